"""Sensor glucose: times, the bit in the ISIG page, changes of the clock, what waits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.contracts import Memory
from bridge.readers.medtronic_stick.decode import decode, decode_page
from tests.readers.medtronic_stick.decode.payloads import (
    bolus,
    capture,
    clock_set,
    codes,
    date4,
    glucose_page,
    isig_page,
    keys,
    mark,
    of_kind,
    page,
    sensor_clock,
    wall,
)

NOW: dict[str, Any] = {"now": "06-01 12:00"}
A, B, C, D = b"\x32", b"\x33", b"\x34", b"\x35"
"""Values of 100, 102, 104, 106 mg/dL."""


def decoded_of(*records: bytes, **how: Any) -> Any:
    return decode(capture(glucose={7: glucose_page(*records)}, **(NOW | how)), Memory())


def readings(decoded: Any) -> list[tuple[str, int | None]]:
    return [(one.device_time.strftime("%H:%M"), one.mgdl) for one in of_kind(decoded, "sensor_glucose")]


def test_a_mark_tells_the_time_of_what_stands_before_it() -> None:
    decoded = decoded_of(A, B, mark("06-01 08:10", 2))
    assert readings(decoded) == [("08:05", 100), ("08:10", 102)]
    assert keys(decoded.records) == ["sensor_glucose:2025-06-01T08:05:0", "sensor_glucose:2025-06-01T08:10:0"]
    assert [one.utc_offset_min for one in decoded.records] == [0, 0]


def test_slots_without_a_value_take_their_time() -> None:
    slots = b"\x02", b"\x03\x01", b"\x04\x02", b"\x05\x01", b"\x13", b"\x01"
    assert readings(decoded_of(A, *slots, B, mark("06-01 08:25"))) == [("08:00", 100), ("08:25", 102)]


def test_out_of_range() -> None:
    low, high = of_kind(decoded_of(b"\x06", b"\x07\xff", mark("06-01 08:05")), "sensor_glucose")
    assert (low.mgdl, low.annotations) == (40, ({"code": "bg/out-of-range", "value": "low", "threshold_mgdl": 40},))
    assert (high.mgdl, high.annotations) == (
        400,
        ({"code": "bg/out-of-range", "value": "high", "threshold_mgdl": 400},),
    )


@pytest.mark.parametrize(("sub", "count"), [(0, 3), (1, 3), (2, 1)])
def test_what_follows_the_last_mark_counts_on_unless_it_closes_a_gap(sub: int, count: int) -> None:
    decoded = decoded_of(A, mark("06-01 08:00", sub), B, b"\x13", C)
    assert len(readings(decoded)) == count
    assert readings(decoded)[-1][0] == ("08:10" if count == 3 else "08:00")
    assert ("glucose_without_time" in codes(decoded)) is (count == 1)


def test_what_follows_another_record_waits_for_the_next_mark() -> None:
    status = b"\x0b" + date4(wall("06-01 08:02"), 2)
    waiting = decoded_of(A, mark("06-01 08:00"), status, B)
    assert readings(waiting) == [("08:00", 100)]
    assert waiting.understood
    later = decoded_of(A, mark("06-01 08:00"), status, B, C, mark("06-01 08:30"))
    assert readings(later) == [("08:00", 100), ("08:25", 102), ("08:30", 104)]


def test_times_go_on_into_the_next_older_page() -> None:
    pages = {7: glucose_page(C, D, mark("06-01 08:15")), 6: glucose_page(A, B)}
    decoded = decode(capture(glucose=pages, **NOW), Memory())
    assert readings(decoded) == [("08:00", 100), ("08:05", 102), ("08:10", 104), ("08:15", 106)]


def test_a_missing_page_ends_what_is_known() -> None:
    pages = {7: glucose_page(C, mark("06-01 08:15")), 5: glucose_page(A, mark("06-01 02:00"), B)}
    decoded = decode(capture(glucose=pages, **NOW), Memory())
    assert readings(decoded) == [("02:00", 100), ("02:05", 102), ("08:15", 104)]
    assert "glucose_gap" in codes(decoded)


def test_a_bad_page_is_left_out() -> None:
    bad = b"\x55" + glucose_page(A, B)[1:]
    decoded = decode(capture(glucose={7: glucose_page(C, mark("06-01 08:15")), 6: bad}, **NOW), Memory())
    assert readings(decoded) == [("08:15", 104)]
    assert "page_unreadable" in codes(decoded)
    assert not decoded.understood


def test_an_unknown_record_is_told() -> None:
    decoded = decoded_of(A, b"\x11", mark("06-01 08:00"))
    assert readings(decoded) == [("08:00", 100)]
    assert "unknown_glucose_record" in codes(decoded)
    assert not decoded.understood


# --- the sensor current ------------------------------------------------------------------------------


def test_the_isig_page_of_a_new_pump_holds_the_lowest_bit() -> None:
    isig = {7: isig_page({0: 2501, 1: 2600})}
    new = of_kind(decoded_of(A, B, mark("06-01 08:10"), isig=isig), "sensor_glucose")
    assert [(one.mgdl, one.isig_na) for one in new] == [(101, 25.0), (102, 26.0)]
    old = of_kind(decoded_of(A, B, mark("06-01 08:10"), isig=isig, model="522"), "sensor_glucose")
    assert [(one.mgdl, one.isig_na) for one in old] == [(100, 25.01), (102, 26.0)]
    without = of_kind(decoded_of(A, B, mark("06-01 08:10")), "sensor_glucose")
    assert [(one.mgdl, one.isig_na) for one in without] == [(100, None), (102, None)]


def test_a_bad_isig_page_is_as_none() -> None:
    decoded = decoded_of(A, mark("06-01 08:10"), isig={7: b"\x01" + isig_page({0: 2501})[1:]})
    assert [one.isig_na for one in of_kind(decoded, "sensor_glucose")] == [None]
    assert not decoded.understood


# --- the clock ---------------------------------------------------------------------------------------


def test_a_change_of_the_clock_within_the_readings() -> None:
    """Summer time, set at 08:02: what stands before it is on the old clock, whose times the pump kept."""
    change = sensor_clock("06-01 08:02", 1), sensor_clock("06-01 09:02", 0)
    decoded = decoded_of(A, B, *change, C, D, mark("06-01 09:10"), timezone="Europe/Berlin", offset_min=120)
    assert readings(decoded) == [("07:55", 100), ("08:00", 102), ("09:05", 104), ("09:10", 106)]
    assert [one.time for one in of_kind(decoded, "sensor_glucose")] == [
        datetime(2025, 6, 1, 6, minute, tzinfo=UTC) + (at - at) for minute, at in ((55, wall("06-01 00:00")),)
    ] + [datetime(2025, 6, 1, 7, minute, tzinfo=UTC) for minute in (0, 5, 10)]
    assert [one.utc_offset_min for one in of_kind(decoded, "sensor_glucose")] == [60, 60, 120, 120]


def test_a_clock_set_back_gives_ordinals_to_repeated_minutes_only() -> None:
    change = sensor_clock("06-01 09:02", 1), sensor_clock("06-01 08:02", 0)
    first = decoded_of(A, mark("06-01 08:40"), B, mark("06-01 09:00"), *change, C, mark("06-01 08:40"), D,
                       mark("06-01 09:05"))  # fmt: skip
    found = keys(of_kind(first, "sensor_glucose"))
    assert found == [
        "sensor_glucose:2025-06-01T08:40:0", "sensor_glucose:2025-06-01T09:00:0",
        "sensor_glucose:2025-06-01T08:40:1", "sensor_glucose:2025-06-01T09:05:0",
    ]  # fmt: skip
    made = capture(glucose={7: glucose_page(C, mark("06-01 08:40"))}, **NOW)
    later = decode(made, Memory(state=first.state))
    assert keys(of_kind(later, "sensor_glucose")) == [found[2]]


def test_changes_that_only_the_sensor_knows_are_told() -> None:
    glucose = {
        7: glucose_page(A, mark("06-01 07:00"), sensor_clock("06-01 08:02", 1), sensor_clock("06-01 08:32", 0))
    }
    history = [page(bolus("06-01 06:00", 1), clock_set("06-01 08:02:10", "06-01 09:02:10"))]
    decoded = decode(capture(history, glucose=glucose, **NOW), Memory())
    assert "clock_changes_differ" in codes(decoded)
    same = {7: glucose_page(A, mark("06-01 07:00"), sensor_clock("06-01 08:02", 1), sensor_clock("06-01 09:02", 0))}
    assert "clock_changes_differ" not in codes(decode(capture(history, glucose=same, **NOW), Memory()))


# --- calibrations and sensors ------------------------------------------------------------------------


def test_calibrations_and_new_sensors() -> None:
    value = b"\x0e" + date4(wall("06-01 08:03"), 1) + b"\x2c"
    new, found = (b"\x0d" + date4(wall(f"06-01 07:3{sub}"), sub) for sub in (1, 3))
    decoded = decoded_of(A, mark("06-01 07:00"), new, found, value, B, mark("06-01 08:10"))
    assert [(one.mgdl, one.source_key) for one in of_kind(decoded, "calibration")] == [
        (300, "calibration:2025-06-01T08:03:0")
    ]
    assert [(one.event, one.source_key) for one in of_kind(decoded, "device_event")] == [
        ("sensor_start", "sensor_start:2025-06-01T07:31:0")
    ]


def test_a_page_alone() -> None:
    raw = glucose_page(A, B, mark("06-01 08:10"))
    now = datetime(2025, 6, 2, tzinfo=UTC)
    decoded = decode_page(raw, "722", glucose=True, timezone="Europe/Berlin", now=now)
    assert [one.time for one in decoded.records] == [
        datetime(2025, 6, 1, 6, 5, tzinfo=UTC), datetime(2025, 6, 1, 6, 10, tzinfo=UTC),
    ]  # fmt: skip
