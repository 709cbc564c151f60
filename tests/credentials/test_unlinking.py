from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from bridge.contracts import Linking, Session
from bridge.credentials import Entry, Sessions, Vault, unlink
from bridge.errors import Forbidden, Transient, VaultLocked
from tests.credentials.conftest import BOTH, Again, Provider, damage
from tests.credentials.idp import CLIENT_ID
from tests.credentials.plugins import REGION, Plugin
from tests.support.clock import FakeClock

STORES = BOTH


@pytest.fixture
def plugin(provider: Provider) -> Plugin:
    return Plugin(provider.base)


async def _linked(vault: Vault, provider: Provider, clock: FakeClock, **changes: Any) -> Entry:
    entry = provider.entry(clock.now().timestamp(), **changes)
    await vault.store("p1", entry)
    return entry


async def test_unlink_revokes_access_then_refresh_then_forgets(
    plugin: Plugin, provider: Provider, sessions: Sessions, vault: Vault, clock: FakeClock
) -> None:
    await _linked(vault, provider, clock)
    said = await unlink("p1", plugin, {}, sessions)
    assert provider.idp.revocations == ["access_token", "refresh_token"]
    assert all(form["client_id"] == CLIENT_ID for form in provider.idp.seen)
    assert await vault.names() == []
    assert said == "Remove the account yourself. The token was revoked at 127.0.0.1."


@pytest.mark.parametrize("force", [False, True])
async def test_an_unreachable_provider_keeps_the_credential_unless_forced(
    plugin: Plugin, provider: Provider, sessions: Sessions, vault: Vault, clock: FakeClock, force: bool
) -> None:
    await _linked(vault, provider, clock)
    provider.idp.revocation_status = 503
    if not force:
        with pytest.raises(Transient, match="still in the vault"):
            await unlink("p1", plugin, {}, sessions)
        assert await vault.names() == ["p1"]
        return
    said = await unlink("p1", plugin, {}, sessions, force=True)
    assert await vault.names() == []
    assert "may still be valid" in said


async def test_a_dead_grant_can_be_unlinked(
    plugin: Plugin, provider: Provider, sessions: Sessions, vault: Vault, clock: FakeClock
) -> None:
    entry = await _linked(vault, provider, clock)
    await vault.store("p1", entry.refused("revoked", 1.0))
    said = await unlink("p1", plugin, {}, sessions)
    assert await vault.names() == []
    assert "revoked" in said


async def test_a_refused_revocation_is_told(
    plugin: Plugin, provider: Provider, sessions: Sessions, vault: Vault, clock: FakeClock
) -> None:
    await _linked(vault, provider, clock)
    provider.idp.revocation_status = 400
    assert "did not accept the revocation" in await unlink("p1", plugin, {}, sessions)
    assert await vault.names() == []


async def test_without_revocation_address_it_says_so(
    plugin: Plugin, provider: Provider, sessions: Sessions, vault: Vault, clock: FakeClock
) -> None:
    await _linked(vault, provider, clock, revocation_url=None)
    assert "offers no revocation" in await unlink("p1", plugin, {}, sessions)


async def test_a_plugin_that_may_not_revoke_does_not_stop_the_unlinking(
    provider: Provider, sessions: Sessions, vault: Vault, clock: FakeClock
) -> None:
    class Powerless(Plugin):
        async def revoke(self, session: Session, settings: Mapping[str, Any]) -> str:
            raise Forbidden("The uploader's token may not delete its own subject.")

    await _linked(vault, provider, clock)
    said = await unlink("p1", Powerless(provider.base), {}, sessions)
    assert said.startswith("The uploader's token may not delete its own subject.")
    assert await vault.names() == []


async def test_an_unreadable_credential_is_forgotten_only_by_force(
    plugin: Plugin, sessions: Sessions, vault: Vault
) -> None:
    await damage(vault, "p1")
    with pytest.raises(VaultLocked):
        await unlink("p1", plugin, {}, sessions)
    assert await vault.names() == ["p1"]
    assert "cannot be read" in await unlink("p1", plugin, {}, sessions, force=True)
    assert await vault.names() == []


async def test_unlinking_waits_for_a_refresh_and_revokes_its_successor(
    plugin: Plugin, provider: Provider, sessions: Sessions, vault: Vault, clock: FakeClock, again: Again
) -> None:
    await _linked(vault, provider, clock, life_s=300)
    provider.idp.gate = asyncio.Event()
    refreshing = asyncio.create_task(sessions.keeper("p1").renew(None))
    await provider.idp.until(lambda: provider.idp.calls > 0)
    plugin.said, silent = "", Silent(provider.base)
    unlinking = asyncio.create_task(unlink("p1", silent, {}, Sessions(again(), sessions.client, clock)))
    await asyncio.sleep(0.03)
    assert not unlinking.done()
    provider.idp.gate.set()
    await asyncio.gather(refreshing, unlinking)
    assert all(family.revoked for family in provider.idp.families.values())
    assert await vault.names() == []


class Silent(Plugin):
    """Nothing to revoke beyond OAuth."""

    async def revoke(self, session: Session, settings: Mapping[str, Any]) -> str:
        return ""


def test_the_fake_is_a_linking(plugin: Plugin) -> None:
    linking: Linking = plugin
    assert replace(REGION, key="x").key == "x"
    assert linking.name == "carelink-cloud"
