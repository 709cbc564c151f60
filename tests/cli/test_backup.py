"""Backup beside a living journal, restore into an empty folder, and what a backup never holds."""

from __future__ import annotations

import asyncio
import tarfile
from pathlib import Path

import pytest

from bridge.backup import load, save
from bridge.contracts import OAuthToken, StaticToken
from bridge.credentials import Entry, Vault, create_key
from bridge.errors import SettingsInvalid
from bridge.journal import open_journal
from tests.support.clock import FakeClock

SECRETS = ("invented-access-token", "invented-refresh-token", "invented-site-token")


async def _folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / "glucobridge.toml").write_text('installation = "x"\n')
    vault = Vault(folder, create_key(folder))
    token = OAuthToken("client", "https://id.example/token", SECRETS[0], SECRETS[1], 2e9)
    await vault.store("p1-carelink-cloud", Entry("carelink-cloud", token, ("id.example",), (), 1.0))
    await vault.store(
        "p1-nightscout", Entry("nightscout", StaticToken(SECRETS[2], "api-secret"), ("s.example",), (), 1.0)
    )
    await (await open_journal(folder / "journal.db", clock=FakeClock())).close()
    return folder


async def test_a_backup_holds_neither_the_key_nor_a_secret(tmp_path: Path) -> None:
    folder = await _folder(tmp_path / "data")
    save(folder, tmp_path / "b.tar.gz")
    with tarfile.open(tmp_path / "b.tar.gz") as archive:
        names = archive.getnames()
        body = b"".join(file.read() for name in names if (file := archive.extractfile(name)))
    assert sorted(names) == [
        "glucobridge.toml", "journal.db", "vault/p1-carelink-cloud.enc", "vault/p1-nightscout.enc",
    ]  # fmt: skip
    key = (folder / "vault.key").read_text().strip()
    assert not [secret for secret in (*SECRETS, key) if secret.encode() in body]
    assert (tmp_path / "b.tar.gz").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("keep", "renewed"), [(True, []), (False, ["p1-carelink-cloud"])])
async def test_rotating_grants_sleep_after_a_restore(tmp_path: Path, keep: bool, renewed: list[str]) -> None:
    folder = await _folder(tmp_path / "data")
    save(folder, tmp_path / "b.tar.gz")
    target = tmp_path / "new"
    target.mkdir()
    (target / "vault.key").write_bytes((folder / "vault.key").read_bytes())
    (target / "vault.key").chmod(0o600)
    assert await asyncio.to_thread(load, tmp_path / "b.tar.gz", target, keep_grants=keep) == renewed
    await (await open_journal(target / "journal.db", clock=FakeClock())).close()
    with pytest.raises(SettingsInvalid, match="not empty"):
        load(tmp_path / "b.tar.gz", target, keep_grants=keep)


def test_what_is_no_backup_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tar.gz").write_bytes(b"nonsense")
    (tmp_path / "d").mkdir()
    with pytest.raises(SettingsInvalid, match="cannot be read"):
        load(tmp_path / "x.tar.gz", tmp_path / "d", keep_grants=True)
