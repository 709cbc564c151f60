from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from bridge.simulators.nightscout import NightscoutSim, SimSettings
from bridge.simulators.serving import serve
from tests.support.clock import FakeClock

SECRET = "a-secret-made-up-for-tests"
ADMIN = {"api-secret": hashlib.sha1(SECRET.encode(), usedforsecurity=False).hexdigest()}
ALL_RIGHTS = [
    "api:entries,treatments,devicestatus,profile:create,read,update,delete",
]


class Site:
    """A served simulator and a client that talks to it."""

    def __init__(self, sim: NightscoutSim, base: str, client: aiohttp.ClientSession) -> None:
        self.sim, self.base, self.client = sim, base, client

    def request(self, method: str, path: str, **options: object) -> aiohttp.client._RequestContextManager:
        options.setdefault("headers", ADMIN)
        return self.client.request(method, self.base + path, **options)  # type: ignore[arg-type]

    async def bearer(self, token: str) -> dict[str, str]:
        async with self.client.get(f"{self.base}/api/v2/authorization/request/{token}") as answer:
            return {"Authorization": f"Bearer {(await answer.json())['token']}"}


@asynccontextmanager
async def site_of(sim: NightscoutSim) -> AsyncIterator[Site]:
    async with serve(sim.app()) as base, aiohttp.ClientSession() as client:
        yield Site(sim, base, client)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def site(clock: FakeClock) -> AsyncIterator[Site]:
    async with site_of(NightscoutSim(SECRET, clock, SimSettings(default_roles=()))) as site:
        yield site
