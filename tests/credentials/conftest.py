"""A vault in a folder or in MongoDB, an identity provider on loop-back, and sessions between them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol

import aiohttp
import pytest
from pymongo.asynchronous.database import AsyncDatabase

from bridge.contracts import OAuthToken
from bridge.credentials import Entry, Sessions, Vault, VaultKey, http_client
from bridge.journal.mongo.connection import connect
from bridge.journal.mongo.vault import TURN_S, MongoCredentials
from bridge.simulators.serving import serve
from tests.credentials.idp import CLIENT_ID, FakeIdP
from tests.support.clock import FakeClock
from tests.support.mongod import ReplicaSet

KEY = VaultKey(bytes(range(32)))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


BOTH = ("folder", "mongo")
"""A module that sets `STORES` to this runs over both."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    chosen = any(mark.args[0] == "stored_in" for mark in metafunc.definition.iter_markers("parametrize"))
    if "stored_in" in metafunc.fixturenames and not chosen:
        metafunc.parametrize("stored_in", getattr(metafunc.module, "STORES", ("folder",)), scope="function")


class Again(Protocol):
    """Opens the test's vault once more, as another process would."""

    def __call__(self, key: VaultKey = KEY) -> Vault: ...


@dataclass
class Servers:
    """The database a test's credentials are in; `turn_s` of the stores that are opened on it."""

    uri: str
    name: str
    db: AsyncDatabase[dict[str, Any]]
    turn_s: float


@pytest.fixture
def turn_s() -> float:
    return TURN_S


@pytest.fixture
async def servers(request: pytest.FixtureRequest, turn_s: float) -> AsyncIterator[Servers]:
    mongo: ReplicaSet = request.getfixturevalue("mongo")
    name = mongo.emptied("credentials")
    client = connect(mongo.uri, name, "test")
    yield Servers(mongo.uri, name, client[name], turn_s)
    await client.close()


@pytest.fixture
def again(stored_in: str, request: pytest.FixtureRequest, tmp_path: Path) -> Again:
    if stored_in == "folder":
        return lambda key=KEY: Vault(tmp_path, key)
    found: Servers = request.getfixturevalue("servers")
    return lambda key=KEY: Vault(MongoCredentials(found.db, lag_s=0, turn_s=found.turn_s), key)


@pytest.fixture
def vault(again: Again) -> Vault:
    return again()


async def damage(vault: Vault, name: str) -> None:
    """Something else than the vault wrote to its store."""
    sealed = await vault.kept_in.read(name)
    assert await vault.kept_in.write(name, b"GBV1 garbage that nobody wrote", sealed.stamp if sealed else None)


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with http_client() as http:
        yield http


@dataclass
class Provider:
    """The running provider."""

    idp: FakeIdP
    base: str

    @property
    def host(self) -> str:
        return self.base.removeprefix("http://")

    def entry(self, now: float, *, life_s: float = 3600.0, **changes: Any) -> Entry:
        """A freshly linked credential of a new family."""
        access, refresh = self.idp.login()
        fields: dict[str, Any] = {
            "client_id": CLIENT_ID,
            "token_url": f"{self.base}/oauth/token",
            "access_token": access,
            "refresh_token": refresh,
            "expires_at": now + life_s,
            "revocation_url": f"{self.base}/oauth/revoke",
            "refresh_margin_s": 600.0,
            "obtained_at": now + life_s - 10800,
            "refreshed_at": now + life_s - 10800,
        }
        return Entry("carelink-cloud", OAuthToken(**{**fields, **changes}), (self.host,), ("read",), now)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    idp = FakeIdP()
    async with serve(idp.app()) as base:
        yield Provider(idp, base)


@pytest.fixture
def sessions(vault: Vault, client: aiohttp.ClientSession, clock: FakeClock) -> Sessions:
    return Sessions(vault, client, clock, random=Random(7), token_timeout_s=10.0)


@pytest.fixture
def linked(vault: Vault, provider: Provider, clock: FakeClock) -> Callable[..., Awaitable[Entry]]:
    """Put a credential `p1` into the vault: `await linked(life_s=60)`."""

    async def link(name: str = "p1", **changes: Any) -> Entry:
        entry = provider.entry(clock.now().timestamp(), **changes)
        await vault.store(name, entry)
        return entry

    return link
