"""What only a folder can do wrong."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from bridge.credentials import Vault, durable
from bridge.errors import VaultLocked
from tests.credentials.test_vault import GRANT


async def test_files_are_private_and_unreadable(vault: Vault, tmp_path: Path) -> None:
    await vault.store("p1", GRANT)
    file = tmp_path / "vault" / "p1.enc"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    for secret in (b"access-aaaaaaaa", b"refresh-bbbbbbbb", b"minimed", b"carelink"):
        assert secret not in file.read_bytes()


@pytest.mark.parametrize("broken", ["write", "fsync", "replace"])
async def test_a_failing_disk_leaves_the_old_entry(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    await vault.store("p1", GRANT)

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
            await vault.update("p1", GRANT.refused("dead", 5.0), {GRANT.revision})
    assert await vault.load("p1") == GRANT
    assert sorted(path.name for path in (tmp_path / "vault").iterdir()) == [".lock", "p1.enc"]


async def test_a_leftover_of_a_killed_writer_does_not_matter(vault: Vault, tmp_path: Path) -> None:
    (tmp_path / "vault" / ".p1.enc.tmp").write_bytes(b"half")
    await vault.store("p1", GRANT)
    assert await vault.names() == ["p1"]
    assert await vault.load("p1") == GRANT
