from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from bridge.credentials import VaultKey, create_key, find_key
from bridge.credentials.ring import KeyRing
from bridge.errors import VaultLocked

FIRST, SECOND, THIRD = (VaultKey(bytes([n]) * 32) for n in (1, 2, 3))


def test_sources_are_asked_in_order(tmp_path: Path) -> None:
    named, systemd = tmp_path / "named", tmp_path / "systemd"
    systemd.mkdir()
    named.write_text(SECOND.text())
    (systemd / "glucobridge-vault-key").write_text(THIRD.text() + "\n")
    own = create_key(tmp_path, {})
    environment = {
        "GLUCOBRIDGE_VAULT_KEY": FIRST.text(),
        "GLUCOBRIDGE_VAULT_KEY_FILE": str(named),
        "CREDENTIALS_DIRECTORY": str(systemd),
    }
    for wanted, source in zip((FIRST, SECOND, THIRD), tuple(environment), strict=True):
        assert find_key(tmp_path, environment).id == wanted.id
        del environment[source]
    assert find_key(tmp_path, environment).id == own.id


def test_empty_variables_are_not_set(tmp_path: Path) -> None:
    own = create_key(tmp_path, {"GLUCOBRIDGE_VAULT_KEY": ""})
    assert find_key(tmp_path, {"GLUCOBRIDGE_VAULT_KEY": "", "GLUCOBRIDGE_VAULT_KEY_FILE": ""}).id == own.id


def test_create_writes_once_and_privately(tmp_path: Path) -> None:
    key = create_key(tmp_path, {})
    file = tmp_path / "vault.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert create_key(tmp_path, {}).id == key.id == find_key(tmp_path, {}).id
    assert create_key(tmp_path, {"GLUCOBRIDGE_VAULT_KEY": FIRST.text()}).id == FIRST.id


def test_create_refuses_beside_a_vault_whose_key_is_gone(tmp_path: Path) -> None:
    (tmp_path / "vault").mkdir()
    (tmp_path / "vault" / "p1.enc").write_bytes(b"x")
    with pytest.raises(VaultLocked, match="key is missing"):
        create_key(tmp_path, {})
    assert not (tmp_path / "vault.key").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_readable_key_file_is_refused_with_the_command(tmp_path: Path, mode: int) -> None:
    create_key(tmp_path, {})
    (tmp_path / "vault.key").chmod(mode)
    with pytest.raises(VaultLocked, match=f"chmod 600 {tmp_path}/vault.key"):
        find_key(tmp_path, {})


@pytest.mark.parametrize("text", ["", "c2hvcnQ=", "not base64 !", "é", base64.b64encode(b"x" * 33).decode()])
def test_a_wrong_key_is_named_by_source_only(tmp_path: Path, text: str) -> None:
    named = tmp_path / "named"
    named.write_text(text, "utf-8")
    with pytest.raises(VaultLocked) as caught:
        find_key(tmp_path, {"GLUCOBRIDGE_VAULT_KEY_FILE": str(named)})
    assert str(named) in str(caught.value)
    assert not text or text not in str(caught.value)


def test_missing_key_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(VaultLocked, match="glucobridge init"):
        find_key(tmp_path, {})


def test_url_safe_base64_is_the_same_key(tmp_path: Path) -> None:
    key = VaultKey(b"\xfb\xff" * 16)
    text = key.text().replace("+", "-").replace("/", "_")
    assert find_key(tmp_path, {"GLUCOBRIDGE_VAULT_KEY": text}).id == key.id


def test_sealed_bytes_are_bound_to_purpose_key_and_content() -> None:
    sealer = KeyRing(FIRST)
    sealed = sealer.seal(b"plain", "capture")
    assert sealer.unseal(sealed, "capture") == b"plain"
    assert sealer.seal(b"plain", "capture") != sealed
    with pytest.raises(VaultLocked):
        sealer.unseal(sealed, "credential:p1")
    with pytest.raises(VaultLocked, match=FIRST.id):
        KeyRing(SECOND).unseal(sealed, "capture")
    for at in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[at] ^= 1
        with pytest.raises(VaultLocked):
            sealer.unseal(bytes(damaged), "capture")
    for length in range(len(sealed)):
        with pytest.raises(VaultLocked):
            sealer.unseal(sealed[:length], "capture")


def test_older_keys_still_unseal() -> None:
    sealed = KeyRing(FIRST).seal(b"plain", "capture")
    assert KeyRing(SECOND, (THIRD, FIRST)).unseal(sealed, "capture") == b"plain"


def test_a_key_never_shows_itself() -> None:
    assert FIRST.text() not in repr(FIRST)
    assert FIRST.text() not in repr(KeyRing(FIRST))
