"""Devices as a person meets them: plug in, bind, read, and pass a read on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_commands import run

METER = "4229520"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "data"
    assert run(place, "init", "--name", "Child", "--timezone", "Europe/Berlin").returncode == 0
    with (place / "glucobridge.toml").open("a") as file:
        file.write('\n[usb]\nsimulated = ["contour-next"]\n')
    return place


def test_a_device_is_shown_bound_read_and_read_again_without_doubles(folder: Path) -> None:
    (shown,) = json.loads(run(folder, "devices", "--json").stdout)
    assert (shown["model"], shown["serial"], shown["profile"]) == ("Contour Next", METER, "")
    assert b"belongs to nobody" in run(folder, "doctor", "usb").stdout
    refused = run(folder, "sync")
    assert refused.returncode == 2
    assert b"bound to anybody" in refused.stderr
    assert run(folder, "devices", "bind", METER).returncode == 0
    assert run(folder, "doctor", "usb").returncode == 0
    first, again = run(folder, "sync"), run(folder, "sync")
    assert (first.returncode, again.returncode) == (0, 0)
    assert b" 0 new records" not in first.stdout
    assert b" 0 new records" in again.stdout
    (status,) = json.loads(run(folder, "status", "--json").stdout)["readers"]
    assert (status["name"], status["state"]) == ("contour-usb", "ok")


def test_a_device_that_is_not_there_can_be_bound_by_name_and_unbound(folder: Path) -> None:
    assert run(folder, "devices", "bind", "123456").returncode == 2
    assert run(folder, "devices", "bind", "9999999", "--reader", "contour-usb").returncode == 0
    assert run(folder, "sync").returncode == 1
    assert run(folder, "devices", "unbind", "9999999").returncode == 0
    assert run(folder, "devices", "unbind", "9999999").returncode == 2


def test_one_device_for_two_people_is_refused_and_changes_nothing(folder: Path) -> None:
    with (folder / "glucobridge.toml").open("a") as file:
        file.write('\n[profiles.father]\nname = "Father"\n')
    assert run(folder, "devices", "bind", METER, "--profile", "Child").returncode == 0
    before = (folder / "glucobridge.toml").read_text()
    twice = run(folder, "devices", "bind", METER, "--profile", "Father")
    assert twice.returncode == 2
    assert b"belongs to one person" in twice.stderr
    assert (folder / "glucobridge.toml").read_text() == before


def test_a_saved_read_holds_no_serial_and_gives_the_same_readings(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "read.json"
    nothing = run(folder, "capture", str(file))
    assert nothing.returncode in {1, 2}
    run(folder, "devices", "bind", METER)
    assert run(folder, "sync").returncode == 0
    assert run(folder, "capture", str(file)).returncode == 0
    assert METER.encode() not in file.read_bytes()
    replayed = run(folder, "replay", str(file))
    assert replayed.returncode == 0
    records = [json.loads(line) for line in replayed.stdout.splitlines()]
    assert len(records) > 3
    assert {record["device"]["serial"] for record in records} == {"0000001"}
    assert {record["kind"] for record in records} == {"meter_glucose"}
    other = run(folder, "replay", str(folder / "glucobridge.toml"))
    assert other.returncode == 2
