"""A new key for the vault, and a vault that moves from a folder into a shared store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.contracts import CredentialStore
from bridge.credentials import Vault, VaultKey, VaultSealer, create_key, find_key, move, open_vault, rotate, write_key
from bridge.credentials.ring import KeyRing
from bridge.errors import Unauthorised, VaultLocked
from bridge.journal.mongo.vault import MongoCredentials
from tests.credentials.conftest import BOTH, KEY, Again, Servers
from tests.credentials.test_vault import GRANT, TOKEN

STORES = BOTH
LINKS = ["0", "1", "2", "3"]


async def test_rotation_reencrypts_and_keeps_what_the_old_key_sealed(again: Again, tmp_path: Path) -> None:
    old = create_key(tmp_path, {})
    store = again(old).kept_in
    vault = Vault(store, old)
    await vault.store("p1", GRANT)
    capture = VaultSealer(vault).seal(b"capture", "capture")
    new, third = VaultKey.fresh(), VaultKey.fresh()
    await rotate(store, tmp_path, old, new)
    assert find_key(tmp_path, {}).id == new.id
    turned = await open_vault(store, new)
    assert await turned.load("p1") == GRANT
    assert VaultSealer(turned).unseal(capture, "capture") == b"capture"
    assert await _sealed_with(store, new, "p1")
    await rotate(store, tmp_path, new, third)
    assert VaultSealer(await open_vault(store, third)).unseal(capture, "capture") == b"capture"
    assert await store.names() == ["p1"]
    assert await store.read(f".older-keys.{new.id}") is None


async def _sealed_with(store: CredentialStore, key: VaultKey, name: str) -> bytes:
    sealed = await store.read(name)
    assert sealed is not None
    return KeyRing(key).unseal(sealed.content, f"credential:{name}")


@pytest.mark.parametrize("own_file", [True, False])
@pytest.mark.parametrize("writes", range(7))
async def test_rotation_cut_anywhere_loses_nothing(
    again: Again, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int, own_file: bool
) -> None:
    old, new = create_key(tmp_path, {}) if own_file else KEY, VaultKey.fresh()
    store = again(old).kept_in
    for number in range(4):
        await Vault(store, old).store(f"p{number}", replace(GRANT, link_id=str(number)))
    _cut_after(writes, store, monkeypatch)
    cut = False
    try:
        await rotate(store, tmp_path, old, new)
    except KeyboardInterrupt:
        cut = True
    monkeypatch.undo()
    assert cut == (writes < (6 if own_file else 5))
    usable = find_key(tmp_path, {}) if own_file else (new if writes else old)
    assert [(await (await open_vault(store, usable)).load(f"p{n}")).link_id for n in range(4)] == LINKS
    await rotate(store, tmp_path, old, new)
    assert [(await (await open_vault(store, new)).load(f"p{n}")).link_id for n in range(4)] == LINKS
    assert [await _sealed_with(store, new, f"p{n}") for n in range(4)]


def _cut_after(writes: int, store: CredentialStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Die at a write: of the store, or of the key's file."""
    left, write = [writes], type(store).write

    def die() -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1

    async def write_or_die(self: Any, *given: Any) -> bool:
        die()
        return await write(self, *given)

    monkeypatch.setattr(type(store), "write", write_or_die)
    _cut_key_file(die, monkeypatch)


def _cut_key_file(die: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    real = write_key

    def write_or_die(path: Path, key: VaultKey) -> None:
        die()
        real(path, key)

    monkeypatch.setattr("bridge.credentials.rotation.write_key", write_or_die)


Moving = Callable[[], Awaitable[list[str]]]


@pytest.fixture
async def moving(tmp_path: Path, servers: Servers) -> Moving:
    """A folder with two credentials, and the way to bring them into MongoDB."""
    folder = Vault(tmp_path / "here", KEY)
    await folder.store("p1", GRANT)
    await folder.store("site", TOKEN)

    async def bring() -> list[str]:
        return await move(Vault(tmp_path / "here", KEY), await open_vault(MongoCredentials(servers.db, lag_s=0), KEY))

    return bring


@pytest.mark.parametrize("stored_in", ["mongo"])
async def test_a_folder_moves_into_the_store_and_is_empty_then(moving: Moving, vault: Vault, tmp_path: Path) -> None:
    assert await moving() == ["p1", "site"]
    assert await vault.load("p1") == GRANT
    assert await vault.load("site") == TOKEN
    assert list((tmp_path / "here" / "vault").glob("*.enc")) == []
    assert await moving() == []


async def test_what_an_older_key_sealed_is_read_after_the_move(servers: Servers, tmp_path: Path) -> None:
    old, new = create_key(tmp_path, {}), VaultKey.fresh()
    capture = VaultSealer(Vault(tmp_path, old)).seal(b"capture", "capture")
    await rotate(Vault(tmp_path, old).kept_in, tmp_path, old, new)
    store = MongoCredentials(servers.db)
    await move(Vault(tmp_path, new), await open_vault(store, new))
    assert VaultSealer(await open_vault(store, new)).unseal(capture, "capture") == b"capture"


@pytest.mark.parametrize("stored_in", ["mongo"])
async def test_a_move_that_was_cut_off_goes_on_and_never_overwrites(
    moving: Moving, vault: Vault, tmp_path: Path
) -> None:
    await vault.store("p1", GRANT)
    assert await moving() == ["p1", "site"]
    await Vault(tmp_path / "here", KEY).store("p1", replace(GRANT, link_id="another"))
    with pytest.raises(VaultLocked, match="differ"):
        await moving()
    assert await vault.load("p1") == GRANT
    assert (await Vault(tmp_path / "here", KEY).load("p1")).link_id == "another"


@pytest.mark.parametrize("stored_in", ["mongo"])
async def test_who_still_has_the_folder_finds_nothing_after_the_move(
    moving: Moving, vault: Vault, tmp_path: Path
) -> None:
    """A refresh that was under way there cannot write its token back: the grant is in one place."""
    stale = Vault(tmp_path / "here", KEY)
    await moving()
    assert await stale.update("p1", GRANT.refused("late", 1.0), {GRANT.revision}) is False
    with pytest.raises(Unauthorised):
        await stale.load("p1")
    assert await vault.load("p1") == GRANT
