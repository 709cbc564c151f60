"""First seen wins: a row that comes again keeps its time, its key and its stamp, however it was moved."""

from __future__ import annotations

import copy
import os
import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from bridge.contracts import Memory, Sighting
from bridge.model import Record, to_json
from tests.readers.carelink_cloud.decode.payloads import (
    START,
    STEP,
    after,
    alert,
    bolus,
    decoded_of,
    dose,
    marker,
    meal,
    of_kind,
    payload,
    sg,
    wall_text,
)
from tests.support import vectors

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
HOUR = timedelta(hours=1)


def rows_of(records: Any) -> dict[str, Record]:
    return {record.id: record for record in records if record.kind != "pump_status"}


def shifted(wall: str, seconds: float) -> str:
    return (datetime.fromisoformat(wall) + timedelta(seconds=seconds)).isoformat()


def moved(document: dict[str, Any], by: Any) -> dict[str, Any]:
    """The answer with every stamp of its rows moved by `by()` seconds."""
    document = copy.deepcopy(document)
    patient = document["patientData"]
    for row in patient["sgs"]:
        row["timestamp"] = shifted(row["timestamp"], by())
    for row in patient["markers"]:
        row["timestamp"] = row["displayTime"] = shifted(row["displayTime"], by())
    for row in patient["notificationHistory"]["clearedNotifications"]:
        row["triggeredDateTime"] = shifted(row["triggeredDateTime"], by())
    return document


def day() -> dict[str, Any]:
    walls = [wall_text(START - STEP * step, HOUR) for step in range(30, 0, -1)]
    rows = [dose(shifted(wall, 61), 0.1 + 0.05 * (n % 2)) for n, wall in enumerate(walls)]
    rows += [
        bolus(walls[4]),
        bolus(walls[4]),
        bolus(walls[4], 3.0),
        bolus(walls[9], 2.0, "RECOMMENDED"),
        meal(walls[9]),
    ]
    rows += [bolus(walls[15]), bolus(shifted(walls[15], 50)), marker("BG_READING", walls[20], unitValue="121")]
    cleared = [alert("G1", walls[3]), alert(None, walls[6], "816", "ALERT")]
    return payload(sgs=[sg(wall, 100 + n) for n, wall in enumerate(walls)], markers=rows, cleared=cleared)


@pytest.mark.parametrize("seed", range(12))
def test_rows_moved_by_seconds_are_the_same_records_byte_for_byte(seed: int) -> None:
    document, rng = day(), random.Random(seed)
    first = decoded_of(document)
    memory = after(Memory(), first)
    assert len(rows_of(first.records)) == 30 + 30 + 8 + 2
    for _ in range(3):
        again = decoded_of(moved(document, lambda: rng.uniform(-30, 30)), memory)
        assert not again.sightings
        assert {to_json(record) for record in rows_of(again.records).values()} == {
            to_json(record) for record in rows_of(first.records).values()
        }
        memory = after(memory, again)


@pytest.mark.parametrize("by", [-60, 60, 59, -45])
def test_a_whole_window_moved_as_far_as_a_minute_is_known(by: int) -> None:
    document = day()
    first = decoded_of(document)
    again = decoded_of(moved(document, lambda: by), after(Memory(), first))
    assert rows_of(again.records) == rows_of(first.records)


def test_a_row_moved_further_is_another_event() -> None:
    first = decoded_of(payload(markers=[bolus("2026-03-10T06:30:00")]))
    again = decoded_of(payload(markers=[bolus("2026-03-10T06:31:01")]), after(Memory(), first))
    assert not rows_of(first.records).keys() & rows_of(again.records).keys()


def test_two_equal_boluses_in_one_second_stay_two() -> None:
    wall = "2026-03-10T06:30:00"
    first = decoded_of(payload(markers=[bolus(wall), bolus(wall)]))
    keys = [record.source_key for record in of_kind(first.records, "bolus")]
    assert sorted(keys) == [f"INSULIN:{wall}:MANUAL", f"INSULIN:{wall}:MANUAL#2"]
    again = decoded_of(payload(markers=[bolus(shifted(wall, 7)), bolus(wall)]), after(Memory(), first))
    assert rows_of(again.records) == rows_of(first.records)


def test_twins_are_numbered_by_content_not_by_place_and_a_late_twin_takes_the_next_number() -> None:
    wall = "2026-03-10T06:30:00"
    small, large = bolus(wall, 1.0), bolus(wall, 5.0)
    assert rows_of(decoded_of(payload(markers=[small, large])).records) == rows_of(
        decoded_of(payload(markers=[large, small])).records
    )
    first = decoded_of(payload(markers=[large]))
    memory = after(Memory(), first)
    second = decoded_of(payload(START + STEP, markers=[small, large]), memory)
    keys = {record.delivered_u: record.source_key for record in of_kind(second.records, "bolus")}
    assert keys == {5.0: f"INSULIN:{wall}:MANUAL", 1.0: f"INSULIN:{wall}:MANUAL#2"}
    third = decoded_of(payload(START + 2 * STEP, markers=[large, small, meal(wall)]), after(memory, second))
    assert {record.delivered_u: record.source_key for record in of_kind(third.records, "bolus")} == keys


def test_equal_micro_doses_five_minutes_apart_never_merge() -> None:
    walls = [wall_text(START - STEP * step, HOUR) for step in range(12, 0, -1)]
    first = decoded_of(payload(markers=[dose(wall) for wall in walls]))
    memory = after(Memory(), first)
    for by in (-29, 29):
        rows = [dose(shifted(wall, by)) for wall in walls[1:]] + [dose(wall_text(START, HOUR))]
        again = decoded_of(payload(START + STEP, markers=rows), memory)
        assert len(rows_of(again.records)) == 12
        assert len(rows_of(again.records).keys() - rows_of(first.records).keys()) == 1


def test_a_bolus_that_grows_is_one_record() -> None:
    wall, memory, seen = "2026-03-10T06:58:00", Memory(), []
    for step, (units, done) in enumerate([(0.5, False), (1.5, False), (2.0, True)]):
        row = bolus(shifted(wall, step * 3), 2.0, deliveredFastAmount=str(units), completed=done)
        found = decoded_of(payload(START + step * STEP, markers=[row]), memory)
        memory = after(memory, found)
        seen += of_kind(found.records, "bolus")
    assert len({record.id for record in seen}) == len({record.time for record in seen}) == 1
    assert [(record.delivered_u, record.completed) for record in seen] == [(0.5, False), (1.5, False), (2.0, True)]


def test_a_corrected_amount_is_no_new_event() -> None:
    first = decoded_of(payload(markers=[meal("2026-03-10T06:30:00", 40)]))
    again = decoded_of(payload(START + STEP, markers=[meal("2026-03-10T06:30:00", 55)]), after(Memory(), first))
    assert rows_of(first.records).keys() == rows_of(again.records).keys()
    assert [record.grams for record in of_kind(again.records, "carbs")] == [55]


def test_rows_restamped_to_a_new_clock_are_known_by_their_instant() -> None:
    document = day()
    first = decoded_of(document)
    restamped = moved(document, lambda: 3600)
    patient = restamped["patientData"]
    patient["medicalDeviceTime"] += 3_600_000
    patient["lastConduitDateTime"] = shifted(patient["lastConduitDateTime"], 3600)
    again = decoded_of(restamped, after(Memory(), first))
    assert rows_of(again.records) == rows_of(first.records)
    new = sg(wall_text(START + STEP, 2 * HOUR), 222)
    later = payload(START + 2 * STEP, offset=2 * HOUR, sgs=[*patient["sgs"], new], markers=patient["markers"])
    found = decoded_of(later, after(after(Memory(), first), again))
    (record,) = [record for record in of_kind(found.records, "sensor_glucose") if record.mgdl == 222]
    assert record.time == START + STEP


@pytest.mark.parametrize("by", [0, 20, -30])
def test_rows_that_keep_their_stamps_after_a_clock_change_are_known_by_them(by: int) -> None:
    document = day()
    first = decoded_of(document)
    shaken = moved(document, lambda: by)
    shaken["patientData"]["medicalDeviceTime"] += 3_600_000
    again = decoded_of(shaken, after(Memory(), first))
    assert rows_of(again.records) == rows_of(first.records)


def test_the_same_rows_again_are_not_given_again_and_cost_nothing() -> None:
    document = day()
    first = decoded_of(document)
    memory = after(Memory(), first)
    later = copy.deepcopy(document)
    for name in ("currentServerTime", "medicalDeviceTime", "lastMedicalDeviceDataUpdateServerTime"):
        later["patientData"][name] += 60_000
    found = decoded_of(later, memory)
    assert [record.kind for record in found.records] == ["pump_status"]
    assert not found.sightings
    assert (found.state["rows"], found.understood) == (first.state["rows"], True)
    for name, value in (("lastSGTrend", "UP"), ("medicalDeviceFamily", "CC"), ("markers", [])):
        changed = copy.deepcopy(later)
        changed["patientData"][name] = value
        assert len(decoded_of(changed, memory).records) > 1, name


def test_a_lost_memory_gives_the_same_records() -> None:
    first = decoded_of(day())
    assert rows_of(decoded_of(day()).records) == rows_of(first.records)
    junk = ["", "SG", "a|b|c", "SG:2026|1|", "||||||", "SG:2026-03-10T06:55:00|x"]
    sightings = {key: Sighting(START, "junk") for key in junk}
    state = {"offset_min": "x", "rows": 7, "held_until_ms": [], "mode": 3, "updated_ms": {}, "pump_offset_min": 1e99}
    assert rows_of(decoded_of(day(), Memory(sightings, state)).records) == rows_of(first.records)


@pytest.mark.proof
def test_proof_a_day_shaken_a_thousand_times_makes_no_new_record() -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    document = vectors.document("carelink-cloud", "ngp-780g-smartguard.json")
    first = decoded_of(document)
    memory, known = after(Memory(), first), {to_json(record) for record in first.records}
    for _ in range(1000 if LONG else 100):
        again = decoded_of(moved(document, lambda: rng.uniform(-30, 30)), memory)
        assert not {to_json(record) for record in again.records} - known, seed
        assert len(again.records) == len(first.records)
        assert not again.sightings
        memory = after(memory, again)
