"""The quick way of a first answer and the careful way end in the same records and sightings."""

from __future__ import annotations

import copy
import random
from datetime import timedelta
from typing import Any

import pytest

from bridge.contracts import Decoded
from bridge.model import record_id, to_json
from bridge.readers.carelink_cloud import reading_rows
from bridge.readers.carelink_cloud.making import Namer
from bridge.readers.carelink_cloud.plain import Plain
from tests.readers.carelink_cloud.decode.payloads import (
    START,
    STEP,
    World,
    changing,
    constant,
    decoded_of,
    dose,
    marker,
    payload,
    sg,
    wall_text,
)
from tests.support import vectors

HOUR = timedelta(hours=1)


def both_ways(document: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Decoded, Decoded]:
    quick = decoded_of(document)
    with monkeypatch.context() as patch:
        patch.setattr(reading_rows, "take_plain", lambda patient, clocks, memory, maker: Plain(patient))
        careful = decoded_of(document)
    return quick, careful


def same(document: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    quick, careful = both_ways(document, monkeypatch)
    assert [to_json(record) for record in quick.records] == [to_json(record) for record in careful.records]
    assert list(quick.records) == list(careful.records)
    assert quick.sightings == careful.sightings
    assert (quick.state, quick.health, quick.understood) == (careful.state, careful.health, careful.understood)
    assert list(quick.diagnostics) == list(careful.diagnostics)


def day() -> dict[str, Any]:
    document: dict[str, Any] = vectors.document("carelink-cloud", "ngp-780g-smartguard.json")
    return document


def test_a_day_of_a_780g(monkeypatch: pytest.MonkeyPatch) -> None:
    same(day(), monkeypatch)


@pytest.mark.parametrize("seed", range(60))
def test_a_day_with_anything_odd_in_it(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    document = day()
    patient = document["patientData"]
    readings, markers = patient["sgs"][-40:], [m for m in patient["markers"] if m["type"] != "MEAL"][:60]
    patient["sgs"], patient["markers"] = readings, markers
    for _ in range(rng.randint(1, 3)):
        rng.choice(ODDITIES)(rng, readings, markers)
    same(document, monkeypatch)


def _swap(rng: random.Random, readings: list[Any], markers: list[Any]) -> None:
    rng.shuffle(rng.choice([readings, markers]))


def _double(rng: random.Random, readings: list[Any], markers: list[Any]) -> None:
    rows = rng.choice([readings, markers])
    rows.insert(rng.randrange(len(rows)), copy.deepcopy(rng.choice(rows)))


def _spell(rng: random.Random, readings: list[Any], markers: list[Any]) -> None:
    row = rng.choice([*readings, *markers])
    name = "displayTime" if "displayTime" in row else "timestamp"
    row[name] = rng.choice(
        [f"{row[name]}.000Z", f"{row[name]}-00:00", "", None, 7, "2025-13-41T00:00:00", "2042-01-01T00:00:00"]
    )


def _value(rng: random.Random, readings: list[Any], markers: list[Any]) -> None:
    rng.choice(readings)["sg"] = rng.choice([0, 39, 401, 5.5, "120", None, True])
    rng.choice(readings)["sensorState"] = rng.choice(["WARM_UP", None, 7, "SG_BELOW_40_MGDL"])
    rng.choice(markers)["data"] = rng.choice(
        [None, {}, {"dataValues": {"bolusAmount": rng.choice([0.1, "0.1", "x", "50", "-1"])}}]
    )


def _change(rng: random.Random, readings: list[Any], markers: list[Any]) -> None:
    markers.append(marker("TIME_CHANGE", rng.choice(readings)["timestamp"] or "2025-11-10T12:00:00"))


def _guid(rng: random.Random, readings: list[Any], markers: list[Any]) -> None:
    rng.choice(markers)["GUID"] = "AA-1"
    rng.choice(markers)["bolusAmount"] = 0.3


ODDITIES = [_swap, _double, _spell, _value, _change, _guid]


def test_a_clock_set_back_goes_the_careful_way(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(changing(2 * HOUR, START + HOUR, HOUR), constant(HOUR))
    world.live(START + 2 * HOUR)
    same(world.answer(START + 2 * HOUR), monkeypatch)


def test_rows_ahead_and_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    for count in range(6):
        walls = [wall_text(START + step * STEP, HOUR) for step in range(-count, 3)]
        same(payload(sgs=[sg(wall) for wall in walls], markers=[dose(wall) for wall in walls]), monkeypatch)


@pytest.mark.parametrize("key", ["SG:2025-11-09T21:26:00", "a|b%c", "e\u0301|%7C", "", "G\u00fc"])
def test_names_are_the_models(key: str) -> None:
    for profile, feed in (("default", "carelink"), ("p|1%", "carelink:eu:zo\u0308e")):
        assert Namer(profile, feed, "bolus").name(key) == record_id(profile, feed, "bolus", key)
