"""A served Tidepool with four accounts, and adapters on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from adapters.tidepool import TidepoolAdapter
from bridge.simulators.serving import serve
from bridge.simulators.tidepool import TidepoolSim
from tests.adapters.tidepool.support import CAREGIVER, CLINIC, OWNER, VIEWER, SimSession, adapter_for
from tests.support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def sim(clock: FakeClock) -> TidepoolSim:
    sim = TidepoolSim(now=clock.now)
    for user, name in ((OWNER, "Olga Owner"), (CAREGIVER, "Carl Giver"), (VIEWER, "Vera Viewer")):
        sim.add_account(user, f"{user}@example.org", f"pass-{user}", name)
    sim.add_account(CLINIC, "clinic@example.org", "pass-clinic", "Clinic", roles=("clinician",))
    sim.share(OWNER, CAREGIVER, "upload", "view")
    sim.share(OWNER, VIEWER, "view")
    sim.add_client("bridge", "http://127.0.0.1:8788/callback")
    return sim


@pytest.fixture
async def base(sim: TidepoolSim) -> AsyncIterator[str]:
    async with serve(sim.app()) as address:
        yield address


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as client:
        yield client


@pytest.fixture
def session(http: aiohttp.ClientSession, sim: TidepoolSim) -> SimSession:
    return SimSession(http, sim)


@pytest.fixture
def adapter(session: SimSession, base: str, clock: FakeClock) -> TidepoolAdapter:
    return adapter_for(session, base, clock)
