"""A journal file becomes a MongoDB one, and the same commands go on over it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.cli.test_commands import run
from tests.cli.test_devices import METER
from tests.support.mongod import ReplicaSet


def test_a_journal_moves_to_mongodb_and_nothing_is_read_twice(tmp_path: Path, mongo: ReplicaSet) -> None:
    folder = tmp_path / "data"
    assert run(folder, "init", "--name", "Child", "--timezone", "Europe/Berlin").returncode == 0
    settings = folder / "glucobridge.toml"
    settings.write_text(settings.read_text() + '\n[usb]\nsimulated = ["contour-next"]\n')
    assert run(folder, "devices", "bind", METER).returncode == 0
    assert run(folder, "sync").returncode == 0
    refused = run(folder, "journal", "migrate")
    assert refused.returncode == 2
    assert b"[journal]" in refused.stderr
    before = json.loads(run(folder, "status", "--json").stdout)
    settings.write_text(settings.read_text() + f'\n[journal]\nuri = "{mongo.uri}"\ndatabase = "moved"\n')
    moved = run(folder, "journal", "migrate")
    assert moved.returncode == 0, moved.stderr
    assert b"records: " in moved.stdout
    assert json.loads(run(folder, "status", "--json").stdout) == before
    again = run(folder, "sync")
    assert again.returncode == 0, again.stderr
    assert b" 0 new records" in again.stdout
    assert run(folder, "config", "check").returncode == 0


def test_a_password_in_the_address_is_shown_nowhere(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert run(folder, "init").returncode == 0
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GLUCOBRIDGE")}
    secret = "invented-password-17"
    environment["GLUCOBRIDGE__JOURNAL__URI"] = f"mongodb://someone:{secret}@127.0.0.1:1/?serverSelectionTimeoutMS=300"
    command = [sys.executable, "-m", "bridge", "--data", str(folder), "quarantine", "list"]
    said = subprocess.run(command, capture_output=True, check=False, timeout=60, env=environment)
    assert said.returncode == 1
    assert said.stderr
    assert secret.encode() not in said.stdout + said.stderr
    assert b"Traceback" not in said.stderr
