"""Readings: ranges, doubts, quality, arrows."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.contracts import Memory
from tests.readers.carelink_cloud.decode.payloads import START, STEP, after, decoded_of, of_kind, payload, sg

AT = "2026-03-10T06:55:00"
LOW = {"code": "bg/out-of-range", "value": "low", "threshold_mgdl": 40}
HIGH = {"code": "bg/out-of-range", "value": "high", "threshold_mgdl": 400}


def only(row: dict[str, Any], **more: Any) -> Any:
    (record,) = of_kind(decoded_of(payload(sgs=[row], **more)).records, "sensor_glucose")
    return record


@pytest.mark.parametrize(("value", "mgdl", "notes"), [
    (20, 39, [LOW]), (39, 39, [LOW]), (40, 40, []), (400, 400, []), (401, 401, [HIGH]), (600, 401, [HIGH]),
    (126.0, 126, []), ("126", 126, []),
])  # fmt: skip
def test_values_at_the_ends_of_the_sensor(value: object, mgdl: int, notes: list[Any]) -> None:
    record = only(sg(AT, value))
    assert (record.mgdl, list(record.annotations), record.quality) == (mgdl, notes, "ok")


@pytest.mark.parametrize(("state", "value", "mgdl", "note"), [
    ("SG_BELOW_40_MGDL", 12, 39, LOW), ("SG_BELOW_40_MGDL", 45, 39, LOW), ("SG_BELOW_40_MGDL", 0, 39, LOW),
    ("SG_ABOVE_400_MGDL", 380, 401, HIGH), ("SG_ABOVE_400_MGDL", 0, 401, HIGH),
])  # fmt: skip
def test_a_state_out_of_range_says_more_than_its_number(state: str, value: int, mgdl: int, note: Any) -> None:
    record = only(sg(AT, value, sensorState=state))
    assert (record.mgdl, list(record.annotations)) == (mgdl, [note])


@pytest.mark.parametrize("value", [601, 5000, -1, -40, 5.5, 19, 100.5, "x", True, [100], {"a": 1}])
def test_values_that_are_no_glucose_are_refused_and_named(value: object) -> None:
    found = decoded_of(payload(sgs=[sg(AT, value), sg("2026-03-10T06:50:00", 100)]))
    assert [record.mgdl for record in of_kind(found.records, "sensor_glucose")] == [100]
    (diagnostic,) = found.diagnostics
    assert "sensor_glucose.mgdl" in diagnostic.text
    assert not found.understood


@pytest.mark.parametrize("row", [
    {"kind": "SG", "sg": 0}, sg("", 0), sg("1970-01-01T00:00:00.000Z", 0), sg(AT, 0), sg(AT, None),
    sg("", 0, sensorState="SG_BELOW_40_MGDL"), sg(AT, 0, sensorState="WARM_UP"),
])  # fmt: skip
def test_placeholders_are_no_reading_and_no_complaint(row: dict[str, Any]) -> None:
    found = decoded_of(payload(sgs=[row]))
    assert not of_kind(found.records, "sensor_glucose")
    assert (list(found.diagnostics), found.understood) == ([], True)


def test_a_value_without_a_time_is_told() -> None:
    found = decoded_of(payload(sgs=[sg("2003-01-01T00:00:00", 100)]))
    assert not of_kind(found.records, "sensor_glucose")
    assert [diagnostic.code for diagnostic in found.diagnostics] == ["bad_row"]


@pytest.mark.parametrize(("state", "quality"), [
    ("NO_ERROR_MESSAGE", "ok"), ("NORMAL", "ok"), (None, "ok"), ("WARM_UP", "warmup"), ("CALIBRATING", "calibrating"),
    ("CHANGE_SENSOR", "fault"), ("CALIBRATION_REQUIRED", "uncertain"), ("NEVER_HEARD_OF", "uncertain"),
])  # fmt: skip
def test_quality_comes_from_the_state_of_the_row(state: str | None, quality: str) -> None:
    assert only(sg(AT, 120, sensorState=state)).quality == quality


def test_a_backfilled_row_says_so() -> None:
    assert only(sg(AT, 120, isBackfill=True)).annotation("backfilled")
    assert not only(sg(AT, 120, isBackfill=False)).annotations


@pytest.mark.parametrize(("before", "now", "trend"), [
    (("06:50:00", 120), 124, "flat"), (("06:50:00", 120), 125, "none"), (("06:40:00", 120), 121, "none"),
    (None, 120, "none"),
])  # fmt: skip
def test_no_arrow_is_steady_only_when_two_readings_prove_it(before: Any, now: int, trend: str) -> None:
    rows = [sg(f"2026-03-10T{before[0]}", before[1])] if before else []
    found = of_kind(decoded_of(payload(sgs=[*rows, sg(AT, now)], lastSGTrend="NONE")).records, "sensor_glucose")
    assert found[-1].trend == trend
    assert all(record.trend is None for record in found[:-1])


def test_the_arrow_belongs_to_the_newest_row_alone() -> None:
    rows = [sg("2026-03-10T06:50:00", 100)]
    for newest in (sg(AT, 0, sensorState="WARM_UP"), sg(AT, 130, sensorState="CALIBRATING")):
        found = of_kind(decoded_of(payload(sgs=[*rows, newest], lastSGTrend="UP")).records, "sensor_glucose")
        assert all(record.trend is None for record in found)
    later = payload(sgs=rows, lastSGTrend="UP", lastSG=sg(AT, 110))
    assert [record.trend for record in of_kind(decoded_of(later).records, "sensor_glucose")] == [None]
    assert only(sg(AT, 120)).trend is None
    assert only(sg(AT, 120), lastSGTrend="SIDEWAYS").trend is None


def test_an_arrow_once_shown_stays_when_newer_rows_come() -> None:
    first = decoded_of(payload(sgs=[sg(AT, 120)], lastSGTrend="UP"))
    memory = after(Memory(), first)
    rows = [sg(AT, 120), sg("2026-03-10T07:00:00", 150)]
    second = decoded_of(payload(START + STEP, sgs=rows, lastSGTrend="UP_DOUBLE"), memory)
    found = of_kind(second.records, "sensor_glucose")
    assert [record.trend for record in found] == ["forty_five_up", "single_up"]
    assert found[0] == of_kind(first.records, "sensor_glucose")[0]
    third = decoded_of(payload(START + 2 * STEP, sgs=rows, lastSGTrend="NONE"), after(memory, second))
    assert [record.trend for record in of_kind(third.records, "sensor_glucose")] == ["forty_five_up", "single_up"]


def test_a_late_arrow_is_taken_and_remembered() -> None:
    memory = Memory()
    trends = []
    for step, arrow in enumerate(["NONE", "UP", "NONE", "DOWN"]):
        document = payload(START + step * STEP / 10, sgs=[sg(AT, 120, step=step)], lastSGTrend=arrow)
        found = decoded_of(document, memory)
        memory = after(memory, found)
        trends += [record.trend for record in of_kind(found.records, "sensor_glucose")]
    assert trends == ["none", "forty_five_up", "forty_five_up", "forty_five_up"]


def test_two_values_of_one_stamp_are_two_and_the_same_row_listed_twice_is_one() -> None:
    found = decoded_of(payload(sgs=[sg(AT, 120), sg(AT, 120), sg(AT, 130)]))
    records = of_kind(found.records, "sensor_glucose")
    assert sorted((record.mgdl, record.source_key) for record in records) == [(120, f"SG:{AT}"), (130, f"SG:{AT}#2")]


def test_a_reading_listed_twice_stays_one_in_later_answers_too() -> None:
    first = decoded_of(payload(sgs=[sg(AT, 120)]))
    for moved in (AT, "2026-03-10T06:55:07"):
        document = payload(START + STEP, sgs=[sg(moved, 120), sg(moved, 120)])
        found = decoded_of(document, after(Memory(), first))
        assert of_kind(found.records, "sensor_glucose") == of_kind(first.records, "sensor_glucose")
