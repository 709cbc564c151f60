"""Every history vector: blocks, events with all their values, readings."""

from __future__ import annotations

import csv
from typing import Any

import pytest

from bridge.readers.medtronic_600.clock import signed, wall
from bridge.readers.medtronic_600.history import Event, read_event, read_payload
from bridge.wire.crc import crc16
from tests.readers.medtronic_600.decode.builders import decoded, file, of_kind
from tests.support import vectors

FOLDER = "medtronic-600"
SINGLE = vectors.rows(FOLDER, "events.jsonl")
PUMP = vectors.document(FOLDER, "history_pump.json")
PUMP_EVENTS = vectors.rows(FOLDER, "history_pump_events.jsonl")
SENSOR = vectors.document(FOLDER, "history_sensor.json")
READINGS = list(csv.DictReader(vectors.path(FOLDER, "history_sensor_readings.csv").read_text("utf-8").splitlines()))
SUFFIXES = ("", "_u", "_u_h", "_min")
ENTRY_NAMES = {"rate": "rate_u_h"}


def value_of(event: Event, name: str) -> Any:
    """Our value of a field that the vectors name without its unit, in the form the vectors have it."""
    found = event.values[next(name + end for end in SUFFIXES if name + end in event.values)]
    if name == "new_offset":
        return found & 0xFFFFFFFF
    return found


def renamed(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{ENTRY_NAMES.get(key, key): value for key, value in entry.items()} for entry in entries]


def check(event: Event, expected: dict[str, Any]) -> None:
    assert event.known
    for name in ("type", "auto_mode", "source", "rtc"):
        assert getattr(event, name) == expected[name]
    if expected["name"] is not None:
        assert event.name == expected["name"]
    assert event.offset == signed(expected["offset"])
    assert len(event.raw) == expected["size"]
    assert event.wall.isoformat() == expected["time"]
    for name, value in expected["f"].items():
        if name == "new_time":
            assert wall_of(event) == value
        else:
            wanted = renamed(value) if name == "segments" else value
            assert value_of(event, name) == wanted, name


def wall_of(event: Event) -> str:
    return wall(event["new_rtc"], event["new_offset"]).isoformat()


@pytest.mark.parametrize(
    "row", SINGLE, ids=lambda row: f"{row['id']}:{row['expected']['rtc']}:{row['event_hex'][:2]}"
)
def test_single_events(row: dict[str, Any]) -> None:
    check(read_event(bytes.fromhex(row["event_hex"])), row["expected"])


def pump_events() -> list[Event]:
    return [event for text in PUMP["payloads_hex"] for event in read_payload(bytes.fromhex(text)).events()]


def test_pump_history_blocks_and_events() -> None:
    answers = [read_payload(bytes.fromhex(text)) for text in PUMP["payloads_hex"]]
    assert [answer.data_type for answer in answers] == [2, 2]
    assert [len(block) for answer in answers for block in answer.blocks] == PUMP["block_sizes"]
    events = pump_events()
    assert len(events) == len(PUMP_EVENTS) == PUMP["event_count"]
    for event, row in zip(events, PUMP_EVENTS, strict=True):
        assert event.raw.hex() == row["hex"]
        check(event, row)


def test_sensor_history_blocks_and_events() -> None:
    answer = read_payload(bytes.fromhex(SENSOR["payload_hex"]))
    assert answer.data_type == SENSOR["data_type"]
    assert [len(block) for block in answer.blocks] == SENSOR["block_sizes"]
    assert [f"{crc16(block):04x}" for block in answer.blocks] == SENSOR["block_crcs"]
    events = list(answer.events())
    assert len(events) == SENSOR["event_count"]
    for event, row in zip(events[:5] + events[-3:], SENSOR["events_first5"] + SENSOR["events_last3"], strict=True):
        check(event, row)


def test_every_sensor_reading() -> None:
    events = list(read_payload(bytes.fromhex(SENSOR["payload_hex"])).events())
    found = [
        (event, place, reading) for event in events for place, reading in enumerate(event.values.get("readings", ()))
    ]
    assert len(found) == len(READINGS)
    by_rtc = {int(row["rtc"]): row for row in READINGS}
    for event, place, reading in found:
        row = by_rtc[reading["rtc"]]
        assert reading["sg"] == int(row["sg_raw"])
        assert place == int(row["index_in_event"])
        assert event.offset == signed(int(row["offset_u32"]))
        assert (reading["sensor_status"], reading["reading_status"]) == (
            int(row["sensor_status"]),
            int(row["reading_status"]),
        )
        for name, column in (("isig", "isig"), ("vcntr", "vcntr"), ("roc", "rate_of_change")):
            assert reading[name] == float(row[column])


def test_sensor_records_of_a_file() -> None:
    found = of_kind(decoded(file(bytes.fromhex(SENSOR["payload_hex"]))), "sensor_glucose")
    assert len(found) == len(READINGS)
    by_key = {record.source_key: record for record in found}
    for row in READINGS:
        record = by_key[f"{row['rtc']}:D6"]
        assert record.mgdl == int(row["sg_raw"])
        assert record.isig_na == float(row["isig"])
        assert record.device_time.isoformat() == row["wall_time"]
        assert record.utc_offset_min == 120
        backfilled = row["reading_status"] == "1"
        assert record.rate_mgdl_min == (None if backfilled else float(row["rate_of_change"]))
        assert (record.annotation("backfilled") is not None) == backfilled


def test_daily_list_of_devices_names_the_pump() -> None:
    sources = [event for event in pump_events() if event.type == 0x04]
    assert len(sources) == 24
    assert {
        (each["serial"], each["model"]) for event in sources for each in event["devices"] if each["index"] == 0
    } == {("NG1234567H", "MMT-1712")}


def test_calculator_summary_event() -> None:
    (summary,) = [event for event in pump_events() if event.type == 0x7B]
    assert summary["dia_min"] == 180
    assert [row["isf"] for row in summary["isf"]] == [140, 120, 140, 100, 140]
    assert [row["ratio"] for row in summary["ratios"]] == [0.5, 1.0, 0.6, 0.5]
    assert [(row["low"], row["high"]) for row in summary["targets"]] == [(90, 120), (80, 120), (80, 120), (90, 120)]
