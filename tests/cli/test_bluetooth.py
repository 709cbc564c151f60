"""A Bluetooth meter as a person meets it: seen, paired by its code, read, and shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_commands import run

ADDRESS, SERIAL, CODE = "C0:00:00:00:00:01", "0000001", b"123456\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "data"
    assert run(place, "init", "--name", "Child", "--timezone", "Europe/Berlin").returncode == 0
    with (place / "glucobridge.toml").open("a") as file:
        file.write('\n[ble]\nsimulated = ["contour-next-one"]\n[usb]\nenabled = false\n')
    return place


def test_a_meter_is_seen_paired_read_and_shown(folder: Path) -> None:
    assert b"devices pair" in run(folder, "devices").stdout
    seen = run(folder, "devices", "pair")
    assert seen.returncode == 0
    assert f"{ADDRESS}  Contour7800".encode() in seen.stdout
    paired = run(folder, "devices", "pair", ADDRESS.lower(), data=CODE)
    assert paired.returncode == 0, paired.stderr
    assert b"six digits" in paired.stdout
    assert f"Paired: Contour Next One, {SERIAL}. It is read by ble-glucose".encode() in paired.stdout
    assert b"one partner at a time" in paired.stdout
    (row,) = json.loads(run(folder, "devices", "--json").stdout)
    assert (row["place"], row["serial"], row["reader"]) == ("Bluetooth", SERIAL, "ble-glucose")
    first, again = run(folder, "sync"), run(folder, "sync")
    assert (first.returncode, again.returncode) == (0, 0)
    assert b" 0 new records" not in first.stdout
    assert b" 0 new records" in again.stdout
    (status,) = json.loads(run(folder, "status", "--json").stdout)["readers"]
    assert (status["name"], status["state"]) == ("ble-glucose", "ok")
    assert run(folder, "doctor", "ble").returncode == 0


@pytest.mark.parametrize("typed", [b"111111\n", b"twelve\n", b"1234567\n"])
def test_a_wrong_code_pairs_nothing_and_binds_nothing(folder: Path, typed: bytes) -> None:
    before = (folder / "glucobridge.toml").read_text()
    refused = run(folder, "devices", "pair", ADDRESS, data=typed)
    assert refused.returncode != 0
    assert b"not paired" in refused.stderr
    assert b"Traceback" not in refused.stderr
    assert (folder / "glucobridge.toml").read_text() == before


def test_a_device_that_the_system_has_paired_is_bound_by_its_reader(folder: Path) -> None:
    unknown = run(folder, "devices", "bind", "9999999")
    assert unknown.returncode == 2
    assert b"devices pair" in unknown.stderr
    assert b"ble-glucose" in unknown.stderr
    assert run(folder, "devices", "bind", SERIAL, "--reader", "ble-glucose").returncode == 0
    assert run(folder, "sync").returncode == 0
    assert run(folder, "devices", "unbind", SERIAL).returncode == 0
    assert json.loads(run(folder, "devices", "--json").stdout) == []


def test_a_bluetooth_reader_says_what_it_needs_where_there_is_no_bluetooth(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'nobody'}")
    settings = (folder / "glucobridge.toml").read_text().replace('simulated = ["contour-next-one"]', "")
    (folder / "glucobridge.toml").write_text(settings)
    for command in (["doctor", "ble"], ["devices", "pair"], ["devices", "pair", ADDRESS]):
        said = run(folder, *command)
        assert said.returncode != 0, command
        assert b"Bluetooth cannot be used now" in said.stdout + said.stderr
        assert b"bluetoothd" in said.stdout + said.stderr
        assert b"Traceback" not in said.stderr


def test_the_demo_over_bluetooth_ends_by_itself_with_a_summary(tmp_path: Path) -> None:
    shown = run(tmp_path, "demo", "--device", "contour-next-one", "--minutes", "0.1")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert b"by the code 123456 that it showed" in shown.stdout
    assert b"ble-glucose: ok" in shown.stdout
    assert b"Everything that was read has arrived." in shown.stdout
    assert shown.stderr == b""


def test_the_demo_knows_both_kinds_of_a_meter_by_their_names(tmp_path: Path) -> None:
    said = run(tmp_path, "demo", "--device", "abacus")
    assert said.returncode == 2
    assert b"contour-next-one, contour-next-one-usb" in said.stderr


@pytest.mark.parametrize(
    ("reader", "lines", "kind", "value"),
    [
        (
            "ble-glucose",
            "# from a sniffer\n0x2A18: 03 01 00 ea 07 03 0a 08 1e 00 00 00 5f b0 11\n",
            "meter_glucose",
            95,
        ),
        (
            "ble-cgm",
            "2AAA ea-07-03-0a-08-00-00 80 ff\n2AA7 (0x) 06 00 78 00 05 00\n",
            "sensor_glucose",
            120,
        ),
    ],
)
def test_lines_of_a_sniffer_are_decoded(tmp_path: Path, reader: str, lines: str, kind: str, value: int) -> None:
    file = tmp_path / "values.txt"
    file.write_text(lines, "utf-8")
    said = run(tmp_path, "decode", reader, str(file), "--timezone", "UTC")
    assert said.returncode == 0, said.stderr
    (record,) = [json.loads(line) for line in said.stdout.splitlines()]
    assert (record["kind"], record["mgdl"], record["reader"]) == (kind, value, reader)
    assert record["device_time"].startswith("2026-03-10T08:")
    file.write_text("2A37 00 48\n", "utf-8")
    refused = run(tmp_path, "decode", reader, str(file))
    assert refused.returncode == 2
    assert refused.stderr.count(b"\n") == 1
    assert b"It has lines such as" in refused.stderr
