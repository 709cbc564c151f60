from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bridge.contracts import OAuthToken, StaticToken
from bridge.credentials import Entry, Vault, VaultKey
from bridge.errors import SettingsInvalid, Unauthorised, VaultLocked
from bridge.model.health import State
from tests.credentials.conftest import BOTH, KEY, Again, damage

STORES = BOTH
OTHER = VaultKey(b"o" * 32)
GRANT = Entry(
    "carelink-cloud",
    OAuthToken(
        "client", "https://login.example/token", "access-aaaaaaaa", "refresh-bbbbbbbb", 2000.0, extra={"a": "b"}
    ),
    (".minimed.eu", "login.example"),
    ("read",),
    1000.0,
)
TOKEN = Entry("nightscout", StaticToken("glucobridg-0123456789abcdef", "api-secret"), ("ns.example",), (), 1000.0)


async def test_what_goes_in_comes_out_of_a_new_vault(vault: Vault, again: Again) -> None:
    await vault.store("p1", GRANT)
    await vault.store("site.2", TOKEN)
    other = again()
    assert await other.names() == ["p1", "site.2"]
    assert await other.load("p1") == GRANT
    assert await other.load("site.2") == TOKEN


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "A", "é", "a" * 64, ".hidden", "a..b", "a\n", "-a"])
async def test_names_cannot_leave_the_folder(vault: Vault, name: str) -> None:
    for call in (
        vault.load,
        vault.delete,
        vault.stamp,
        lambda n: vault.store(n, GRANT),
        lambda n: vault.add(n, GRANT),
    ):
        with pytest.raises(SettingsInvalid):
            await call(name)


async def test_an_entry_under_another_name_does_not_open(vault: Vault) -> None:
    await vault.store("p1", GRANT)
    sealed = await vault.kept_in.read("p1")
    assert sealed is not None
    await vault.kept_in.write("p2", sealed.content, None)
    with pytest.raises(VaultLocked):
        await vault.load("p2")


async def test_missing_is_not_linked(vault: Vault) -> None:
    with pytest.raises(Unauthorised) as caught:
        await vault.load("p1")
    assert caught.value.state == "not_linked"
    assert await vault.delete("p1") is False


async def test_a_deleted_or_relinked_credential_is_not_written_back(vault: Vault) -> None:
    await vault.store("p1", GRANT)
    assert isinstance(GRANT.credential, OAuthToken)
    fresh = GRANT.renewed(replace(GRANT.credential, access_token="access-cccccccc"))
    assert await vault.delete("p1") is True
    assert await vault.update("p1", fresh, {GRANT.revision}) is False
    assert await vault.names() == []
    relinked = replace(GRANT, link_id="another")
    await vault.store("p1", relinked)
    assert await vault.update("p1", fresh, {GRANT.revision, relinked.revision}) is False
    assert await vault.load("p1") == relinked


async def test_a_state_that_somebody_else_left_behind_is_not_written_over(vault: Vault, again: Again) -> None:
    """A worker that slept holds an older token: what came after it stays."""
    await vault.store("p1", GRANT)
    assert isinstance(GRANT.credential, OAuthToken)
    theirs, ours = (GRANT.renewed(replace(GRANT.credential, refresh_token=f"refresh-{name}")) for name in "tu")
    assert await again().update("p1", theirs, {GRANT.revision}) is True
    assert await vault.update("p1", ours, {GRANT.revision}) is False
    assert await vault.load("p1") == theirs
    assert await vault.update("p1", ours, {GRANT.revision, theirs.revision}) is True
    assert await again().load("p1") == ours


async def test_of_many_that_write_at_once_one_wins(vault: Vault, again: Again) -> None:
    await vault.store("p1", GRANT)
    states = [GRANT.refused(f"reason {number}", 1.0) for number in range(8)]
    done = await asyncio.gather(*(again().update("p1", state, {GRANT.revision}) for state in states))
    assert sorted(done) == [*[False] * 7, True]
    assert await vault.load("p1") == states[done.index(True)]


async def test_adding_leaves_what_is_there(vault: Vault) -> None:
    assert await vault.add("p1", GRANT) is True
    assert await vault.add("p1", TOKEN) is False
    assert await vault.load("p1") == GRANT


async def test_restore_puts_rotating_grants_to_sleep_and_leaves_tokens(vault: Vault) -> None:
    await vault.store("p1", GRANT)
    await vault.store("site", TOKEN)
    assert await vault.mark_login_required_all("restored from a backup", 77.0) == ["p1"]
    assert await vault.mark_login_required_all("again", 78.0) == []
    asleep = await vault.load("p1")
    assert (asleep.login_required, asleep.refused_at) == ("restored from a backup", 77.0)
    assert asleep.credential == GRANT.credential
    assert await vault.load("site") == TOKEN


async def test_describe_shows_state_and_no_secret(vault: Vault) -> None:
    await vault.store("p1", GRANT.refused("revoked", 1500.0))
    await vault.store("site", TOKEN)
    await damage(vault, "torn")
    dead, site, torn = await vault.describe(1600.0)
    assert (dead.state, dead.reason, dead.age_s, dead.expires_at) == (State.LOGIN_REQUIRED, "revoked", 600.0, 2000.0)
    assert (dead.plug_in, dead.hosts, dead.scopes) == (GRANT.plug_in, GRANT.hosts, GRANT.scopes)
    assert (site.state, site.kind, site.expires_at) == (State.OK, "static", None)
    assert torn.state == State.VAULT_LOCKED
    assert not any(secret in repr((dead, site, torn)) for secret in (*GRANT.secrets, *TOKEN.secrets))


async def test_wrong_key_is_named_not_guessed(vault: Vault, again: Again) -> None:
    await vault.store("p1", GRANT)
    with pytest.raises(VaultLocked, match=KEY.id):
        await again(OTHER).load("p1")
