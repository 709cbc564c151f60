"""Text of characteristic values in, readings out; and what may be written to a sensor."""
# ruff: noqa: DTZ001 - wall clocks have no zone

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from bridge.contracts import Decoded, Memory
from bridge.errors import Malformed, NotAllowed
from bridge.model.capture import Capture
from bridge.model.health import State
from bridge.model.identity import record_id
from bridge.model.records import to_json
from bridge.readers.ble_cgm.allowed import permitted
from bridge.readers.ble_cgm.decode import decode
from bridge.readers.ble_cgm.making import OUT_OF_RANGE, UNCERTAIN, trend
from bridge.simulators.ble import values
from bridge.wire import racp
from bridge.wire.e2e_crc import Dialect
from tests.support import vectors

NOW = datetime(2026, 3, 10, 6, 0, tzinfo=UTC)
STARTED = datetime(2026, 3, 9, 7, 0)
START = "2AAA ea070309070000 80ff"
HOST = {"host_clock": "2026-03-10T06:00:00.000Z", "timezone": "Europe/Berlin"}
"""Berlin is an hour ahead: 24 h after the session's start."""
STATUS = "2AA9 a005 000000"


def reading(mgdl: int | None, offset_min: int, **more: Any) -> str:
    return f"2AA7 {values.sensor_glucose(mgdl, offset_min, **more).hex()}"


def decoded(*lines: str, **context: str) -> Decoded:
    return recalled(Decoded(()), *lines, **context)


def recalled(before: Decoded, *lines: str, **context: str) -> Decoded:
    """After an earlier read."""
    body = "\n".join(lines).encode()
    return decode(Capture("default", "ble-cgm", "ble:CGM0001", NOW, body, context), Memory(state=before.state))


def only(*lines: str, **context: str) -> Any:
    records = decoded(START, STATUS, *lines, **(HOST | context)).records
    assert len(records) == 1
    return records[0]


def test_a_reading_is_one_record() -> None:
    record = only(reading(114, 5, trend_tenths=-15))
    assert (record.kind, record.mgdl, record.quality) == ("sensor_glucose", 114, "ok")
    assert (record.trend, record.rate_mgdl_min) == ("forty_five_down", -1.5)
    assert record.time == datetime(2026, 3, 9, 6, 5, tzinfo=UTC)
    assert (record.device_time, record.utc_offset_min) == (STARTED + timedelta(minutes=5), 60)
    assert record.source_key == "2026-03-09T07:00:00:5"
    assert record.id == record_id("default", "ble:CGM0001", "sensor_glucose", record.source_key)
    assert not record.annotations


@pytest.mark.parametrize(
    ("rate", "name"),
    [
        ("0", "flat"), ("0.9", "flat"), ("-0.9", "flat"), ("1", "forty_five_up"), ("2", "forty_five_up"),
        ("2.1", "single_up"), ("3", "single_up"), ("3.1", "double_up"), ("-2.5", "single_down"),
        ("-9", "double_down"),
    ],
)  # fmt: skip
def test_trend_classes(rate: str, name: str) -> None:
    assert trend(Decimal(rate)) == name


@pytest.mark.parametrize(
    ("octets", "quality"),
    [
        ({"status": 1 << 3}, "fault"), ({"status": 1 << 5}, "fault"), ({"status": 1 << 2}, "fault"),
        ({"status": 1}, "uncertain"), ({"calibration": 1 << 3}, "calibrating"),
        ({"calibration": 1 << 6}, "calibrating"), ({"calibration": 1 << 4}, "uncertain"),
        ({"status": 1 << 1, "calibration": 1 << 2, "warning": 1}, "ok"),
    ],
)  # fmt: skip
def test_quality(octets: dict[str, int], quality: str) -> None:
    assert only(reading(114, 5, **octets)).quality == quality


@pytest.mark.parametrize(
    ("mgdl", "warning", "shown", "side"),
    [(45, 1 << 6, 45, "low"), (400, 1 << 7, 400, "high"), (5, 1 << 6, 10, "low"), (None, 1 << 6, None, "low")],
)
def test_beyond_what_the_sensor_measures(mgdl: int | None, warning: int, shown: int | None, side: str) -> None:
    record = only(reading(mgdl, 5, warning=warning))
    assert record.mgdl == shown
    assert record.annotation(OUT_OF_RANGE)["value"] == side


def test_no_number_is_a_state_only() -> None:
    record = only(reading(None, 10, status=1))
    assert (record.mgdl, record.quality) == (None, "uncertain")


def test_several_records_in_one_value() -> None:
    found = decoded(START, "2AA7 0600720005000780ff070a0001", **HOST)
    assert [getattr(record, "mgdl", 0) for record in found.records] == [114, None]


def test_a_later_value_of_a_minute_stands_for_it() -> None:
    assert only(reading(114, 5), reading(114, 5), reading(116, 5)).mgdl == 116


@pytest.mark.parametrize("dialect", list(Dialect))
def test_checksums_in_both_dialects(dialect: Dialect) -> None:
    feature = bytes.fromhex("00900159")
    good = values.sensor_glucose(114, 5)
    sized = bytes([len(good) + 2]) + good[1:]
    lines = [f"2AA8 {(feature + dialect.crc(feature)).hex()}", f"2AA7 {(sized + dialect.crc(sized)).hex()}"]
    assert only(*lines).mgdl == 114
    bad = f"2AA7 {(sized + b'xx').hex()}"
    found = decoded(START, lines[0], bad, reading(120, 10), **HOST)
    assert not found.records, "without its checksum a value of such a sensor is refused"
    assert not found.understood


# --- the session's start --------------------------------------------------------------------------


def test_the_sensors_own_zone_is_believed() -> None:
    start = "2AAA ea070309070000 0404"
    record = decoded(start, reading(114, 5)).records[0]
    assert record.time == datetime(2026, 3, 9, 5, 5, tzinfo=UTC)
    assert not record.annotations


def test_a_sensor_clock_that_is_wrong_is_reckoned_from_its_minutes() -> None:
    record = decoded("2AAA ea0703090a0000 80ff", STATUS, reading(114, 5), **HOST).records[0]
    assert record.time == datetime(2026, 3, 9, 6, 5, tzinfo=UTC)
    assert record.annotation(UNCERTAIN)


def test_without_a_zone_the_minutes_tell() -> None:
    context = {"host_clock": HOST["host_clock"]}
    assert decoded(START, STATUS, reading(114, 5), **context).records[0].time == datetime(
        2026, 3, 9, 6, 5, tzinfo=UTC
    )


def test_the_start_once_reckoned_stays() -> None:
    lines = ("2AAA ea0703090a0000 80ff", STATUS, reading(114, 5))
    first = decoded(*lines, **HOST)
    later = HOST | {"host_clock": "2026-03-10T06:00:41.000Z"}
    again = recalled(first, *lines, **later)
    assert [record.time for record in again.records] == [record.time for record in first.records]


def test_without_a_start_there_is_no_time() -> None:
    found = decoded(reading(114, 5))
    assert not found.records
    assert found.health.state is State.CLOCK_NOT_SET
    unset = decoded("2AAA 00000000000000 80ff", reading(114, 5))
    assert unset.health.state is State.CLOCK_NOT_SET


def test_what_is_read_is_remembered_and_a_new_session_begins_anew() -> None:
    first = decoded(START, STATUS, reading(114, 5), complete="yes", **HOST)
    assert first.state["sessions"]["ble:CGM0001"]["read_to"] == 5
    partial = recalled(first, START, STATUS, reading(114, 10), complete="no", **HOST)
    assert partial.health.state is State.INCOMPLETE
    assert partial.state["sessions"]["ble:CGM0001"]["read_to"] == 5
    new = recalled(first, "2AAA ea07030a060000 80ff", complete="yes", **HOST)
    assert "read_to" not in new.state["sessions"]["ble:CGM0001"]


def test_a_reading_ahead_of_this_machine_waits() -> None:
    found = decoded(START, reading(114, 24 * 60 + 30), complete="yes", **HOST)
    assert not found.records
    assert "read_to" not in found.state["sessions"]["ble:CGM0001"]


def test_a_recalled_calibration() -> None:
    operand = values.short_float(120, 0) + bytes.fromhex("0a00 1a ffff 0100")
    for status, accepted in ((0, True), (1, False), (2, False), (4, None)):
        record = only(f"2AAC 06{operand.hex()}{status:02x}")
        assert (record.kind, record.mgdl, record.accepted) == ("calibration", 120, accepted)
    assert record.source_key == "2026-03-09T07:00:00:10"


@pytest.mark.parametrize("body", ["", "hello", "2A18 030100e8070501081e00000078b011", "2A29 4142"])
def test_what_is_not_of_a_sensor_is_malformed(body: str) -> None:
    with pytest.raises(Malformed):
        decoded(body)


# --- read-only ------------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", range(256))
def test_no_opcode_of_the_control_point_leaves(opcode: int) -> None:
    """Start and stop session (1A, 1B), calibrate (04), set anything (01, 07, 0A ...), reset an alert (19), all."""
    for operand in (b"", b"\x05", bytes(10)):
        with pytest.raises(NotAllowed):
            permitted("2aac", bytes([opcode]) + operand)


@pytest.mark.parametrize("uuid", ["2aaa", "2aa7", "2aa8", "2aa9", "2aab"])
def test_no_session_is_written(uuid: str) -> None:
    with pytest.raises(NotAllowed):
        permitted(uuid, values.date_time(STARTED) + b"\x04\x00")


def test_records_are_only_read() -> None:
    for request in (racp.REPORT_ALL, racp.report_since(5), racp.ABORT):
        assert permitted("2a52", request) == request
    for operator in range(7):
        with pytest.raises(NotAllowed):
            permitted("2a52", bytes([racp.Op.DELETE, operator]))


# --- mutated --------------------------------------------------------------------------------------

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"


@pytest.mark.proof
def test_mutated_values_end_in_typed_errors_and_whole_records() -> None:
    seed = Random().randrange(2**32)
    print(f"seed {seed}")
    random, made = Random(seed), 0
    rows = [row for row in vectors.rows("ble-and-contour", "cgm.jsonl") if "value_hex" in row]
    pool = [(row["kind"][:4].upper(), bytes.fromhex(row["value_hex"])) for row in rows]
    pool += [("2AA9", bytes.fromhex("a005000000")), ("2AAA", bytes.fromhex("ea07030907000080ff"))]
    each = 10
    for _ in range((500_000 if LONG else 20_000) // each):
        lines = []
        for _ in range(each):
            uuid, value = random.choice(pool)
            changed = bytearray(value)
            for _ in range(random.randint(0, 3)):
                place = random.randint(0, len(changed))
                changed[place : place + random.randint(0, 2)] = random.randbytes(random.randint(0, 2))
            lines.append(f"{uuid} {changed.hex()}")
        context = HOST if random.random() < 0.7 else {}
        try:
            found = decoded(*lines, **context)
        except Malformed:
            continue
        made += sum(len(to_json(record)) > 0 for record in found.records)
        assert len({record.id for record in found.records}) == len(found.records)
    assert made > 100
