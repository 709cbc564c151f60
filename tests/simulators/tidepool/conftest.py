"""A served simulator and a plain client that speaks to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from bridge.simulators.serving import serve
from bridge.simulators.tidepool import TidepoolSim
from tests.support.clock import FakeClock

OWNER, CAREGIVER, VIEWER = "bbbbbbbbbb", "cccccccccc", "dddddddddd"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def sim(clock: FakeClock) -> TidepoolSim:
    sim = TidepoolSim(now=clock.now)
    for user, name in ((OWNER, "Olga Owner"), (CAREGIVER, "Carl Giver"), (VIEWER, "Vera Viewer")):
        sim.add_account(user, f"{user}@example.org", f"pass-{user}", name)
    sim.share(OWNER, CAREGIVER, "upload", "view")
    sim.share(OWNER, VIEWER, "view")
    sim.add_client("bridge", "http://127.0.0.1:9/callback")
    return sim


@pytest.fixture
async def base(sim: TidepoolSim) -> AsyncIterator[str]:
    async with serve(sim.app()) as address:
        yield address


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as client:
        yield client
