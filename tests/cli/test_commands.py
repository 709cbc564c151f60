"""The command line as a person meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.vectors import path


def run(folder: Path, *arguments: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GLUCOBRIDGE")}
    return subprocess.run(
        [sys.executable, "-m", "bridge", "--data", str(folder), *arguments],
        input=data, capture_output=True, check=False, timeout=60, env=environment,
    )  # fmt: skip


def test_init_makes_a_private_folder_once(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert run(folder, "init", "--name", 'Ro"bin', "--timezone", "Europe/Helsinki").returncode == 0
    assert (folder / "vault.key").stat().st_mode & 0o077 == 0
    assert run(folder, "config", "check").returncode == 0
    again = run(folder, "init")
    assert again.returncode == 2
    assert b"exists already" in again.stderr


def test_every_error_is_one_sentence_with_the_next_step(tmp_path: Path) -> None:
    for arguments in (["status"], ["run"], ["mirror", "--once"], ["doctor"], ["link", "nightscout"]):
        said = run(tmp_path, *arguments)
        assert said.returncode == 2
        assert b"glucobridge init" in said.stderr
        assert b"Traceback" not in said.stderr


def test_an_unknown_plugin_is_named_with_the_known_ones(tmp_path: Path) -> None:
    said = run(tmp_path, "decode", "abacus", "-", data=b"{}")
    assert said.returncode == 2
    assert b"carelink-cloud" in said.stderr


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"\xff\xfe", b'{"patientData": 1e999}'])
def test_decode_of_something_else_is_one_clear_line(tmp_path: Path, body: bytes) -> None:
    said = run(tmp_path, "decode", "carelink-cloud", "-", data=body)
    assert said.returncode in {0, 2}
    assert said.stdout == b""
    assert len(said.stderr.strip().splitlines()) == 1
    assert b"Traceback" not in said.stderr


def test_decode_and_map_of_a_whole_day(tmp_path: Path) -> None:
    day = path("carelink-cloud", "ngp-780g-smartguard.json")
    decoded = run(tmp_path, "decode", "carelink-cloud", str(day))
    records = [json.loads(line) for line in decoded.stdout.splitlines()]
    assert decoded.returncode == 0
    kinds = [record["kind"] for record in records]
    boluses = [record for record in records if record["kind"] == "bolus"]
    doses = [record["dose_u"] for record in records if record["kind"] == "basal" and record["dose_u"]]
    assert (kinds.count("sensor_glucose"), len(boluses), kinds.count("carbs"), len(doses)) == (288, 11, 6, 162)
    assert round(sum(bolus["delivered_u"] for bolus in boluses), 3) == 46.5
    assert round(sum(doses), 3) == 16.55
    assert sum(1 for bolus in boluses if bolus["carbs_id"]) == 6
    assert min(r["time"] for r in records if r["kind"] == "sensor_glucose") == "2025-11-10T02:26:00.000Z"
    mapped = run(tmp_path, "map", "nightscout", data=decoded.stdout)
    documents = [json.loads(line)["document"] for line in mapped.stdout.splitlines()]
    pauses = [d for d in documents if d.get("eventType") == "Temp Basal" and d["absolute"] == 0]
    assert len(pauses) == 26
    assert run(tmp_path, "map", "tidepool", data=decoded.stdout).returncode == 0


def test_map_refuses_a_line_that_is_no_record(tmp_path: Path) -> None:
    said = run(tmp_path, "map", "nightscout", data=b'{"kind": "carbs"}\n')
    assert said.returncode == 2
    assert b"Line 1" in said.stderr
