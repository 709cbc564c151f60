"""What only a store that hosts share can do wrong: turns that end, other hosts, a primary that goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from bridge.contracts import OAuthToken
from bridge.credentials import Entry, Sessions, Vault
from bridge.errors import AlreadyRunning, Transient
from bridge.journal.mongo.vault import MongoCredentials
from bridge.model import to_ms
from bridge.model.health import State
from tests.credentials.conftest import KEY, Again, Provider, Servers
from tests.credentials.test_vault import GRANT
from tests.support.mongod import ReplicaSet, step_down

STORES = ("mongo",)
Link = Callable[..., Awaitable[Entry]]
TURN_S = 3.0


def _refresh(entry: Entry) -> str:
    assert isinstance(entry.credential, OAuthToken)
    return str(entry.credential.refresh_token)


async def test_nothing_readable_leaves_the_process(vault: Vault, servers: Servers) -> None:
    await vault.store("p1", GRANT)
    found = await servers.db["vault"].find({}).to_list()
    assert [row["_id"] for row in found] == ["p1"]
    for secret in (*GRANT.secrets, "minimed", "carelink", "login.example"):
        assert secret.encode() not in bytes(found[0]["content"])
        assert secret not in repr(found)


async def test_one_holds_the_turn_until_it_is_over(servers: Servers) -> None:
    one, other = (MongoCredentials(servers.db, turn_s=TURN_S) for _ in range(2))
    await one.write("p1", b"first", None)
    held = await one.turn("p1", 0)
    with pytest.raises(Transient, match="holding the credential p1"):
        await other.turn("p1", 0)
    held.check()
    taken = await other.turn("p1", TURN_S * 3)
    with pytest.raises(Transient, match="ran out"):
        held.check()
    await held.release()
    with pytest.raises(Transient):
        await one.turn("p1", 0)
    await taken.release()
    await (await one.turn("p1", 0)).release()


async def test_a_holder_that_slept_writes_nothing_and_asks_for_nothing(servers: Servers) -> None:
    store = MongoCredentials(servers.db, turn_s=TURN_S)
    await store.write("p1", b"first", None)
    standing = await store.read("p1")
    assert standing is not None
    slept = await store.turn("p1", 0)
    await asyncio.sleep(TURN_S)
    assert await store.write("p1", b"late, but nobody came", standing.stamp, slept) is True
    standing = await store.read("p1")
    assert standing is not None
    await store.turn("p1", 0)
    assert await store.write("p1", b"late", standing.stamp, slept) is False
    with pytest.raises(Transient):
        slept.check()


@pytest.mark.parametrize("turn_s", [TURN_S])
async def test_a_refresher_that_slept_over_its_turn_keeps_the_newer_token(
    sessions: Sessions,
    linked: Link,
    provider: Provider,
    vault: Vault,
    client: aiohttp.ClientSession,
    again: Again,
    turn_s: float,
) -> None:
    """Its answer was on the way when it fell asleep; another one refreshed meanwhile: the last answer stands."""
    provider.idp.leeway = True
    before = await linked(life_s=10)
    provider.idp.gate = asyncio.Event()
    sleeping = asyncio.create_task(sessions.keeper("p1").usable())
    await provider.idp.until(lambda: provider.idp.calls > 0)
    await asyncio.sleep(turn_s)
    other = asyncio.create_task(Sessions(again(), client, sessions.clock).keeper("p1").usable())
    await provider.idp.until(lambda: provider.idp.calls > 1)
    provider.idp.gate.set()
    await sleeping
    assert await other == await vault.load("p1") == await sessions.keeper("p1").current()
    assert _refresh(await other) == provider.idp.families[_refresh(before)].living


async def test_a_primary_that_steps_down_while_a_refresh_is_under_way(
    sessions: Sessions, linked: Link, provider: Provider, vault: Vault, mongo: ReplicaSet
) -> None:
    before = await linked(life_s=10)
    provider.idp.gate = asyncio.Event()
    refreshing = asyncio.create_task(sessions.keeper("p1").usable())
    await provider.idp.until(lambda: provider.idp.calls > 0)
    await asyncio.to_thread(step_down, mongo)
    provider.idp.gate.set()
    entry = await refreshing
    assert entry == await sessions.keeper("p1").current()
    await sessions.keeper("p1").settle()
    assert entry == await vault.load("p1")
    assert _refresh(entry) == provider.idp.families[_refresh(before)].living
    assert provider.idp.calls == 1
    await asyncio.to_thread(_as_before, mongo)


def _as_before(mongo: ReplicaSet) -> None:
    """The first node takes over again: not in the middle of the next test."""
    until = time.monotonic() + 30
    while mongo.primary() is not mongo.nodes[0] and time.monotonic() < until:
        time.sleep(0.2)


async def test_a_token_that_no_database_takes_is_kept_and_saved_when_it_is_back(
    sessions: Sessions, linked: Link, provider: Provider, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer of the database is lost too: what it may have written is no stranger's."""
    await linked(life_s=10)
    kept, write = sessions.keeper("p1"), MongoCredentials.write

    async def written_and_unheard(self: MongoCredentials, *given: Any) -> bool:
        await write(self, *given)
        raise Transient("The MongoDB journal does not answer.")

    with monkeypatch.context() as broken:
        broken.setattr(MongoCredentials, "write", written_and_unheard)
        first = await kept.usable()
        assert (await kept.health()).state == State.VAULT_LOCKED
        assert isinstance(first.credential, OAuthToken)
        await kept.renew(first.credential.access_token)
        second = await kept.current()
        assert second != first
    assert await kept.usable() == second == await vault.load("p1")
    assert (await kept.health()).state == State.OK
    assert provider.idp.calls == 2


async def test_what_another_host_did_is_seen_within_the_lag(servers: Servers) -> None:
    here, there = MongoCredentials(servers.db, lag_s=0.4), MongoCredentials(servers.db)
    vault = Vault(here, KEY)
    await vault.store("p1", GRANT)
    seen = await here.stamp("p1")
    await Vault(there, KEY).store("p1", GRANT.refused("elsewhere", 1.0))
    assert await here.stamp("p1") == seen
    assert await vault.load("p1") != GRANT
    await asyncio.sleep(0.4)
    assert await here.stamp("p1") != seen


async def test_the_vault_is_left_alone_while_a_worker_lives(servers: Servers) -> None:
    store = MongoCredentials(servers.db)
    now = to_ms(datetime.now(UTC))
    await servers.db["workers"].insert_one({"_id": "a/1", "worker": "a", "until_ms": now - 1})
    await store.require_quiet()
    await servers.db["workers"].insert_one({"_id": "b/1", "worker": "b", "until_ms": now + 60_000})
    with pytest.raises(AlreadyRunning, match="A worker of the fleet runs: b"):
        await store.require_quiet()
