"""Where credentials are, how they move into MongoDB, and a new key for them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bridge.contracts import OAuthToken, StaticToken
from bridge.credentials import Entry, Vault, find_key
from tests.cli.test_commands import run
from tests.support.mongod import ReplicaSet

SECRET = "invented-site-token-17"
SITE = Entry("nightscout", StaticToken(SECRET, "api-secret"), ("s.example",), (), 1.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    assert run(folder, "init", "--name", "Child").returncode == 0
    asyncio.run(Vault(folder, find_key(folder, {})).store("p1-nightscout", SITE))
    return folder


def _use_mongo(folder: Path, mongo: ReplicaSet, database: str) -> None:
    settings = folder / "glucobridge.toml"
    database = mongo.emptied(database)
    settings.write_text(settings.read_text() + f'\n[journal]\nuri = "{mongo.uri}"\ndatabase = "{database}"\n')


def test_a_restored_database_makes_rotating_logins_sleep(folder: Path, mongo: ReplicaSet) -> None:
    token = OAuthToken("client", "https://id.example/token", "invented-access-1", "invented-refresh-1", 2e9)
    vault = Vault(folder, find_key(folder, {}))
    asyncio.run(vault.store("p1-carelink-cloud", Entry("carelink-cloud", token, ("id.example",), (), 1.0)))
    _use_mongo(folder, mongo, "vault_sleeps")
    assert run(folder, "credentials", "move").returncode == 0
    slept = run(folder, "credentials", "require-login")
    assert slept.returncode == 0, slept.stderr
    assert slept.stdout == b"p1-carelink-cloud needs a new login: `glucobridge link`.\n"
    told = run(folder, "credentials").stdout
    assert b"p1-carelink-cloud: login_required" in told
    assert b"p1-nightscout: ok" in told


def test_a_new_key_in_the_folder(folder: Path) -> None:
    old = find_key(folder, {})
    told = run(folder, "credentials", "rotate-key")
    assert told.returncode == 0, told.stderr
    assert find_key(folder, {}).id != old.id
    assert b"p1-nightscout: ok" in run(folder, "credentials").stdout
    assert SECRET.encode() not in run(folder, "credentials").stdout


def test_a_key_of_a_file_is_made_and_used_again(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "next.key"
    for _ in range(2):
        assert run(folder, "credentials", "rotate-key", "--to", str(file)).returncode == 0
        assert file.read_text() == (folder / "vault.key").read_text()
    assert file.stat().st_mode & 0o077 == 0


def test_credentials_move_and_until_then_nothing_starts(folder: Path, mongo: ReplicaSet) -> None:
    _use_mongo(folder, mongo, "vault_moves")
    for command in (["credentials"], ["mirror", "--once"], ["status"]):
        refused = run(folder, *command)
        assert refused.returncode == 1
        assert b"glucobridge credentials move" in refused.stderr
    moved = run(folder, "credentials", "move")
    assert moved.returncode == 0, moved.stderr
    assert b"1 credentials are in MongoDB" in moved.stdout
    assert b"p1-nightscout: ok" in run(folder, "credentials").stdout
    assert list((folder / "vault").glob("*.enc")) == []
    turned = run(folder, "credentials", "rotate-key")
    assert turned.returncode == 0, turned.stderr
    assert b"p1-nightscout: ok" in run(folder, "credentials").stdout
