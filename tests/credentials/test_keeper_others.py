from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from bridge.contracts import OAuthToken
from bridge.credentials import Entry, Sessions, Vault, keeper
from bridge.errors import Transient, Unauthorised, VaultLocked
from bridge.model.health import State
from tests.credentials.conftest import BOTH, Again, Provider, damage

Link = Callable[..., Awaitable[Entry]]
STORES = BOTH


def _access(entry: Entry) -> str:
    assert isinstance(entry.credential, OAuthToken)
    return entry.credential.access_token


def _refresh(entry: Entry) -> str | None:
    assert isinstance(entry.credential, OAuthToken)
    return entry.credential.refresh_token


# --- a disk that fails ---


@pytest.fixture
def full(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Make the vault's disk full, or not any more."""
    real = Vault._write

    def switch(on: bool) -> None:
        async def fail(*_: Any) -> bool:
            raise VaultLocked("The vault cannot be written: No space left on device.")

        monkeypatch.setattr(Vault, "_write", fail if on else real)

    return switch


async def test_an_unsaved_token_is_used_alarmed_about_and_saved_later(
    sessions: Sessions, linked: Link, provider: Provider, vault: Vault, full: Callable[[bool], None]
) -> None:
    before = await linked(life_s=10)
    full(True)
    kept = sessions.keeper("p1")
    entry = await kept.usable()
    assert _access(entry) != _access(before)
    assert await vault.load("p1") == before
    assert (await kept.health()).state == State.VAULT_LOCKED
    assert await kept.usable() == entry
    await kept.renew(_access(entry))
    newest = await kept.current()
    assert provider.idp.calls == 2
    assert newest.refreshes == 2
    full(False)
    assert await kept.usable() == newest == await vault.load("p1")
    assert (await kept.health()).state == State.OK


async def test_nobody_else_shows_the_dead_predecessor_meanwhile(
    sessions: Sessions,
    linked: Link,
    provider: Provider,
    client: aiohttp.ClientSession,
    again: Again,
    full: Callable[[bool], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await linked(life_s=-1)
    full(True)
    await sessions.keeper("p1").usable()
    monkeypatch.setattr(keeper, "_TURN_DEADLINE_S", 0.05)
    other = Sessions(again(), client, sessions.clock)
    with pytest.raises(Transient, match="Another process"):
        await other.keeper("p1").usable()
    assert provider.idp.calls == 1
    full(False)
    await sessions.keeper("p1").settle()
    await other.keeper("p1").usable()
    assert provider.idp.calls == 1


async def test_an_unsaved_token_of_a_deleted_credential_is_dropped(
    sessions: Sessions, linked: Link, vault: Vault, full: Callable[[bool], None]
) -> None:
    await linked(life_s=10)
    full(True)
    kept = sessions.keeper("p1")
    await kept.usable()
    await vault.delete("p1")
    full(False)
    with pytest.raises(Unauthorised) as caught:
        await kept.usable()
    assert caught.value.state == "not_linked"
    assert await vault.names() == []
    assert kept._turn is None


# --- others in between ---


async def test_a_deleted_credential_is_not_written_back(
    sessions: Sessions, linked: Link, provider: Provider, vault: Vault
) -> None:
    await linked(life_s=10)
    provider.idp.gate = asyncio.Event()
    running = asyncio.create_task(sessions.keeper("p1").usable())
    await provider.idp.until(lambda: provider.idp.calls > 0)
    await vault.delete("p1")
    provider.idp.gate.set()
    with pytest.raises(Unauthorised) as caught:
        await running
    assert caught.value.state == "not_linked"
    assert await vault.names() == []


async def test_a_credential_linked_anew_is_not_overwritten(
    sessions: Sessions, linked: Link, provider: Provider, vault: Vault
) -> None:
    await linked(life_s=10)
    provider.idp.gate = asyncio.Event()
    running = asyncio.create_task(sessions.keeper("p1").usable())
    await provider.idp.until(lambda: provider.idp.calls > 0)
    newer = await linked(life_s=3600)
    provider.idp.gate.set()
    assert await running == newer == await vault.load("p1")


async def test_a_caller_that_gives_up_does_not_lose_the_token(
    sessions: Sessions, linked: Link, provider: Provider, vault: Vault
) -> None:
    before = await linked(life_s=10)
    provider.idp.gate = asyncio.Event()
    running = asyncio.create_task(sessions.keeper("p1").usable())
    await provider.idp.until(lambda: provider.idp.calls > 0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    provider.idp.gate.set()
    await sessions.keeper("p1").settle()
    stored = await vault.load("p1")
    assert _refresh(stored) != _refresh(before)
    assert _refresh(stored) == provider.idp.families[str(_refresh(before))].living


async def test_what_another_process_refreshed_is_taken_over(
    sessions: Sessions, linked: Link, provider: Provider, client: aiohttp.ClientSession, again: Again
) -> None:
    await linked(life_s=10)
    kept = sessions.keeper("p1")
    await kept.current()
    other = Sessions(again(), client, sessions.clock)
    theirs = await other.keeper("p1").usable()
    assert await kept.usable() == theirs
    assert provider.idp.calls == 1


async def test_two_processes_at_once_refresh_once(
    sessions: Sessions, linked: Link, provider: Provider, client: aiohttp.ClientSession, again: Again
) -> None:
    await linked(life_s=-1)
    others = [Sessions(again(), client, sessions.clock) for _ in range(4)]
    entries = await asyncio.gather(*(each.keeper("p1").usable() for each in (sessions, *others)))
    assert provider.idp.calls == 1
    assert len({_access(entry) for entry in entries}) == 1


async def test_marked_by_restore_means_asleep_at_once(
    sessions: Sessions, linked: Link, provider: Provider, vault: Vault
) -> None:
    await linked()
    await sessions.keeper("p1").usable()
    await vault.mark_login_required_all("restored", 1.0)
    with pytest.raises(Unauthorised, match="restored"):
        await sessions.keeper("p1").usable()
    assert provider.idp.calls == 0


async def test_a_garbled_file_is_named_and_the_provider_left_alone(
    sessions: Sessions, linked: Link, provider: Provider, vault: Vault
) -> None:
    await linked(life_s=-1)
    await damage(vault, "p1")
    with pytest.raises(VaultLocked):
        await sessions.keeper("p1").usable()
    assert provider.idp.calls == 0
    assert (await sessions.health())["p1"].state == State.VAULT_LOCKED


async def test_replace_keeps_the_link(linked: Link) -> None:
    entry = await linked()
    assert replace(entry, refreshes=3).link_id == entry.link_id
