"""`review`, `export` and since when a device is somebody's, as a person uses them."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path

import pytest

from tests.cli.test_commands import run

METER = "4229520"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A house whose child's meter was read, all of it older than the binding."""
    place = tmp_path_factory.mktemp("reports") / "data"
    assert run(place, "init", "--name", "Child", "--timezone", "Europe/Berlin").returncode == 0
    with (place / "glucobridge.toml").open("a") as file:
        file.write('\n[usb]\nsimulated = ["contour-next"]\n')
    assert run(place, "devices", "bind", METER).returncode == 0
    assert run(place, "sync").returncode == 0
    return place


def profile_of(folder: Path) -> tuple[str, dict[str, object]]:
    settings = tomllib.loads((folder / "glucobridge.toml").read_text())
    ((name, person),) = settings["profiles"].items()
    return name, person


def test_review_says_what_came_in_and_what_is_older_than_the_binding(folder: Path) -> None:
    told = run(folder, "review", "--days", "90")
    assert told.returncode == 3
    assert b"meter_glucose" in told.stdout
    assert b"before it became this person's" in told.stdout
    assert METER.encode() not in told.stdout
    name, _ = profile_of(folder)
    body = json.loads(run(folder, "review", "--days", "90", "--json").stdout)[name]
    assert [flag["code"] for flag in body["flags"]] == ["before_binding"]
    assert {row["kind"] for row in body["rows"]} >= {"meter_glucose"}


def test_saying_since_when_ends_that(folder: Path) -> None:
    assert run(folder, "devices", "bind", METER, "--since", "2020-01-01").returncode == 0
    told = run(folder, "review", "--days", "90")
    assert told.returncode == 0, told.stdout
    assert b"Nothing looks unfamiliar" in told.stdout
    assert run(folder, "devices", "bind", METER, "--since", "yesterday").returncode == 2


def test_export_writes_both_files_for_their_owner_only(folder: Path, tmp_path: Path) -> None:
    done = run(
        folder, "export", "--from", "2020-01-01", "--to", "2030-01-01", "--out", str(tmp_path), "--unit", "mmol/L"
    )
    assert done.returncode == 0, done.stderr
    lines, table = sorted(tmp_path.iterdir(), key=lambda path: path.suffix, reverse=True)
    assert (lines.suffix, table.suffix) == (".ndjson", ".csv")
    assert {path.stat().st_mode & 0o777 for path in (lines, table)} == {0o600}
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    cells = list(csv.DictReader(table.read_text("utf-8-sig").splitlines()))
    assert len(records) == len(cells) > 5
    assert METER not in lines.read_text() + table.read_text()
    readings = [each for each in cells if each["kind"] == "meter_glucose"]
    assert {each["unit"] for each in readings} == {"mmol/L"}
    assert all(1 < float(each["value"]) < 40 for each in readings)


@pytest.mark.parametrize("words", [
    ("--from", "2026-02-30", "--to", "2026-03-01"), ("--from", "2026-03-02", "--to", "2026-03-01"),
    ("--from", "2026-03-01", "--to", "2026-03-01", "--unit", "stones"),
    ("--from", "2026-03-01", "--to", "2026-03-01", "--out", "/nowhere/at/all"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_in_a_sentence(folder: Path, words: tuple[str, ...]) -> None:
    refused = run(folder, "export", *words)
    assert refused.returncode == 2
    assert refused.stderr.count(b"\n") == 1


def test_unbinding_forgets_since_when(folder: Path) -> None:
    assert run(folder, "devices", "bind", "9999999", "--reader", "contour-usb").returncode == 0
    assert "9999999" in str(profile_of(folder)[1]["bound"])
    assert run(folder, "devices", "unbind", "9999999").returncode == 0
    assert "9999999" not in str(profile_of(folder)[1]["bound"])
