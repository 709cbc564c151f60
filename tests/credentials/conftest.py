"""A vault in a temporary folder, an identity provider on loop-back, and sessions between them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest

from bridge.contracts import OAuthToken
from bridge.credentials import Entry, Sessions, Vault, VaultKey, http_client
from bridge.simulators.serving import serve
from tests.credentials.idp import CLIENT_ID, FakeIdP
from tests.support.clock import FakeClock

KEY = VaultKey(bytes(range(32)))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path, KEY)


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
def linked(vault: Vault, provider: Provider, clock: FakeClock) -> Callable[..., Entry]:
    """Put a credential `p1` into the vault: `linked(life_s=60)`."""

    def link(name: str = "p1", **changes: Any) -> Entry:
        entry = provider.entry(clock.now().timestamp(), **changes)
        vault.store(name, entry)
        return entry

    return link
