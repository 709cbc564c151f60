from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.contracts import OAuthToken, StaticToken
from bridge.credentials import Entry, Vault, VaultKey, VaultSealer, create_key, durable, find_key, rotate
from bridge.credentials.ring import KeyRing
from bridge.errors import SettingsInvalid, Unauthorised, VaultLocked
from bridge.model.health import State
from tests.credentials.conftest import KEY

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


def test_what_goes_in_comes_out_of_a_new_vault(vault: Vault, tmp_path: Path) -> None:
    vault.store("p1", GRANT)
    vault.store("site.2", TOKEN)
    again = Vault(tmp_path, KEY)
    assert again.names() == ["p1", "site.2"]
    assert again.load("p1") == GRANT
    assert again.load("site.2") == TOKEN


def test_files_are_private_and_unreadable(vault: Vault) -> None:
    vault.store("p1", GRANT)
    content = (vault.folder / "p1.enc").read_bytes()
    assert stat.S_IMODE((vault.folder / "p1.enc").stat().st_mode) == 0o600
    assert stat.S_IMODE(vault.folder.stat().st_mode) == 0o700
    for secret in (b"access-aaaaaaaa", b"refresh-bbbbbbbb", b"minimed", b"carelink"):
        assert secret not in content


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "A", "é", "a" * 64, ".hidden", "a..b", "a\n", "-a"])
def test_names_cannot_leave_the_folder(vault: Vault, name: str) -> None:
    for call in (vault.load, vault.delete, vault.stamp, lambda n: vault.store(n, GRANT)):
        with pytest.raises(SettingsInvalid):
            call(name)


def test_a_file_moved_to_another_name_does_not_open(vault: Vault) -> None:
    vault.store("p1", GRANT)
    (vault.folder / "p1.enc").rename(vault.folder / "p2.enc")
    with pytest.raises(VaultLocked):
        vault.load("p2")


def test_missing_is_not_linked(vault: Vault) -> None:
    with pytest.raises(Unauthorised) as caught:
        vault.load("p1")
    assert caught.value.state == "not_linked"
    assert vault.delete("p1") is False


def test_a_deleted_or_relinked_credential_is_not_written_back(vault: Vault) -> None:
    vault.store("p1", GRANT)
    assert isinstance(GRANT.credential, OAuthToken)
    fresh = GRANT.renewed(replace(GRANT.credential, access_token="access-cccccccc"))
    assert vault.delete("p1") is True
    assert vault.update("p1", fresh) is False
    assert vault.names() == []
    relinked = replace(GRANT, link_id="another")
    vault.store("p1", relinked)
    assert vault.update("p1", fresh) is False
    assert vault.load("p1") == relinked


@pytest.mark.parametrize("broken", ["write", "fsync", "replace"])
def test_a_failing_disk_leaves_the_old_entry(vault: Vault, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    vault.store("p1", GRANT)

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if broken == "write":
            patch.setattr(durable, "_write", fail)
        elif broken == "fsync":
            patch.setattr(os, "fsync", fail)
        else:
            patch.setattr(Path, "replace", fail)
        with pytest.raises(VaultLocked, match="No space left"):
            vault.update("p1", GRANT.refused("dead", 5.0))
    assert vault.load("p1") == GRANT
    assert sorted(path.name for path in vault.folder.iterdir()) == [".lock", "p1.enc"]


def test_a_leftover_of_a_killed_writer_does_not_matter(vault: Vault) -> None:
    (vault.folder / ".p1.enc.tmp").write_bytes(b"half")
    vault.store("p1", GRANT)
    assert vault.names() == ["p1"]
    assert vault.load("p1") == GRANT


def test_restore_puts_rotating_grants_to_sleep_and_leaves_tokens(vault: Vault) -> None:
    vault.store("p1", GRANT)
    vault.store("site", TOKEN)
    assert vault.mark_login_required_all("restored from a backup", 77.0) == ["p1"]
    assert vault.mark_login_required_all("again", 78.0) == []
    asleep = vault.load("p1")
    assert (asleep.login_required, asleep.refused_at) == ("restored from a backup", 77.0)
    assert asleep.credential == GRANT.credential
    assert vault.load("site") == TOKEN


def test_describe_shows_state_and_no_secret(vault: Vault) -> None:
    vault.store("p1", GRANT.refused("revoked", 1500.0))
    vault.store("site", TOKEN)
    (vault.folder / "torn.enc").write_bytes(b"GBV1")
    dead, site, torn = vault.describe(1600.0)
    assert (dead.state, dead.reason, dead.age_s, dead.expires_at) == (State.LOGIN_REQUIRED, "revoked", 600.0, 2000.0)
    assert (dead.plug_in, dead.hosts, dead.scopes) == (GRANT.plug_in, GRANT.hosts, GRANT.scopes)
    assert (site.state, site.kind, site.expires_at) == (State.OK, "static", None)
    assert torn.state == State.VAULT_LOCKED
    assert not any(secret in repr((dead, site, torn)) for secret in (*GRANT.secrets, *TOKEN.secrets))


def test_wrong_key_is_named_not_guessed(vault: Vault, tmp_path: Path) -> None:
    vault.store("p1", GRANT)
    with pytest.raises(VaultLocked, match=KEY.id):
        Vault(tmp_path, OTHER).load("p1")


def test_rotation_reencrypts_and_keeps_what_the_old_key_sealed(tmp_path: Path) -> None:
    old = create_key(tmp_path, {})
    vault = Vault(tmp_path, old)
    vault.store("p1", GRANT)
    capture = VaultSealer(vault).seal(b"capture", "capture")
    new = VaultKey.fresh()
    rotate(tmp_path, old, new)
    assert find_key(tmp_path, {}).id == new.id
    turned = Vault(tmp_path, new)
    assert turned.load("p1") == GRANT
    assert VaultSealer(turned).unseal(capture, "capture") == b"capture"
    assert KeyRing(new).unseal((turned.folder / "p1.enc").read_bytes(), "credential:p1")
    third = VaultKey.fresh()
    rotate(tmp_path, new, third)
    assert VaultSealer(Vault(tmp_path, third)).unseal(capture, "capture") == b"capture"
    assert len(list(turned.folder.glob(".older-keys.*"))) == 1


@pytest.mark.parametrize("own_file", [True, False])
@pytest.mark.parametrize("writes", range(7))
def test_rotation_cut_anywhere_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int, own_file: bool
) -> None:
    old, new = create_key(tmp_path, {}) if own_file else KEY, VaultKey.fresh()
    for number in range(4):
        Vault(tmp_path, old).store(f"p{number}", replace(GRANT, link_id=str(number)))
    _cut_after(writes, monkeypatch)
    cut = False
    try:
        rotate(tmp_path, old, new)
    except KeyboardInterrupt:
        cut = True
    monkeypatch.undo()
    assert cut == (writes < (6 if own_file else 5))
    usable = find_key(tmp_path, {}) if own_file else (new if writes else old)
    assert [Vault(tmp_path, usable).load(f"p{n}").link_id for n in range(4)] == ["0", "1", "2", "3"]
    rotate(tmp_path, old, new)
    assert [Vault(tmp_path, new).load(f"p{n}").link_id for n in range(4)] == ["0", "1", "2", "3"]
    assert all(
        KeyRing(new).unseal((tmp_path / "vault" / f"p{n}.enc").read_bytes(), f"credential:p{n}") for n in range(4)
    )


def _cut_after(writes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    left, real = [writes], Path.replace

    def replace_or_die(path: Path, target: Path) -> Path:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return real(path, target)

    monkeypatch.setattr(Path, "replace", replace_or_die)
