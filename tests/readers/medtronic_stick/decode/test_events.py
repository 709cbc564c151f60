"""Blood glucose and device events of the history."""

from __future__ import annotations

from typing import Any

import pytest

from tests.readers.medtronic_stick.decode.payloads import (
    alarm,
    clock_set,
    codes,
    date5,
    of_kind,
    plain,
    prime,
    read,
    wall,
    wizard,
)

NOW: dict[str, Any] = {"now": "06-01 12:00"}
METER = bytes.fromhex("a1b2c3")


def bg(at: str, value: int, *, unit: int = 1, requestor: int = 0) -> bytes:
    date = bytearray(date5(wall(at), requestor=requestor))
    date[2] |= (value >> 9) << 7 | unit << 5
    date[4] |= (value >> 8 & 1) << 7
    return bytes([0x0A, value & 0xFF]) + bytes(date)


def meter(at: str, value: int, opcode: int = 0x3F) -> bytes:
    date = bytearray(date5(wall(at), requestor=3))
    date[2] |= (value & 7) << 5
    return bytes([opcode, value >> 3]) + bytes(date) + METER


def glucose(decoded: Any) -> list[Any]:
    return of_kind(decoded, "meter_glucose")


def test_a_meters_value_stands_twice_and_is_one() -> None:
    decoded = read(bg("06-01 08:00", 300, requestor=3), meter("06-01 08:00", 300), **NOW)
    (one,) = glucose(decoded)
    assert (one.mgdl, one.entry, one.raw) == (300, "linked", {"meter_id": "a1b2c3"})
    assert one.source_key.startswith("0a:")
    assert one.control_solution is False


def test_two_meter_values_of_one_second_are_two() -> None:
    pair = bg("06-01 08:00", 100, requestor=3), meter("06-01 08:00", 100)
    decoded = read(*pair, bg("06-01 08:00", 110, requestor=3), meter("06-01 08:00", 110), **NOW)
    assert sorted(one.mgdl for one in glucose(decoded)) == [100, 110]


def test_typed_in_and_in_mmol() -> None:
    decoded = read(bg("06-01 08:00", 600), bg("06-01 09:00", 100, unit=2), bg("06-01 10:00", 90, unit=0), **NOW)
    assert [(one.mgdl, one.entry) for one in glucose(decoded)] == [(600, "manual"), (180, "manual"), (90, "manual")]


def test_a_calculations_value_is_no_second_reading() -> None:
    decoded = read(bg("06-01 08:00", 200), wizard("06-01 08:00:03", bg=200, correction=2), **NOW)
    assert len(glucose(decoded)) == 1


def test_different_values_are_told() -> None:
    decoded = read(bg("06-01 08:00", 200, requestor=3), meter("06-01 08:00", 201), **NOW)
    assert [one.mgdl for one in glucose(decoded)] == [200]
    assert "meter_value_differs" in codes(decoded)


def test_half_a_reading_at_the_begin_is_left_out() -> None:
    decoded = read(meter("06-01 08:00", 200), wizard("06-01 09:00"), **NOW)
    assert glucose(decoded) == []
    assert "meter_value_alone" in codes(decoded)


@pytest.mark.parametrize(("answers", "expected"), [({"89": "01"}, [115]), ({"89": "02"}, []), ({}, [])])
def test_a_value_of_unknown_unit_needs_a_pump_that_shows_mgdl(answers: dict[str, str], expected: list[int]) -> None:
    decoded = read(meter("06-01 08:00", 115, 0x39), model="515", answers=answers, **NOW)
    assert [one.mgdl for one in glucose(decoded)] == expected


def test_the_calculator_tells_the_unit_too() -> None:
    records = (plain(0x21, 0, "06-01 07:00"), meter("06-01 08:00", 115), wizard("06-01 09:00"))
    assert [one.mgdl for one in glucose(read(*records, **NOW))] == [115]
    decoded = read(wizard("06-01 07:00"), meter("06-01 08:00", 115), **NOW)
    assert [one.mgdl for one in glucose(decoded)] == [115]


# --- events ------------------------------------------------------------------------------------------


def events(decoded: Any) -> list[Any]:
    return of_kind(decoded, "device_event")


def test_an_alarm_is_active_until_it_is_cleared() -> None:
    decoded = read(
        alarm("06-01 08:00", 4),
        plain(0x0C, 4, "06-01 08:05"),
        alarm("06-01 09:00", 4),
        alarm("06-01 10:00", 77),
        **NOW,
    )
    assert [(one.event, one.code, one.state, one.severity) for one in events(decoded)] == [
        ("alarm", 4, "cleared", "critical"), ("alarm", 4, "active", "critical"), ("alarm", 77, "active", "high"),
    ]  # fmt: skip
    assert events(decoded)[0].text == "No insulin delivery"
    assert events(decoded)[0].raw == {"line": 258, "module": 0}


def test_sensor_alarms() -> None:
    at = date5(wall("06-01 08:00"), requestor=5)
    decoded = read(bytes([0x0B, 102, 79]) + at, bytes([0x0B, 105, 0]) + at, bytes([0x0B, 88, 0]) + at, **NOW)
    found = {one.code: (one.event, one.severity, one.raw) for one in events(decoded)}
    assert found == {
        102: ("alarm", "high", {"value": 79}),
        105: ("calibration_reminder", "reminder", None),
        88: ("alarm", "normal", None),
    }


def test_what_is_done_to_a_pump() -> None:
    decoded = read(
        plain(0x21, 0, "06-01 08:00"), prime("06-01 08:01", 6.2), prime("06-01 08:02", 0.3, 0.5),
        plain(0x1A, 0, "06-01 09:00"), plain(0x1A, 1, "06-01 09:01"), plain(0x19, 0, "06-01 10:00"),
        plain(0x34, 200, "06-01 11:00"), **NOW,
    )  # fmt: skip
    assert [(one.event, one.target, one.volume_u, one.code) for one in events(decoded)] == [
        ("rewind", None, None, None), ("prime", "tubing", 6.2, None), ("prime", "cannula", 0.3, None),
        ("battery_change", None, None, None), ("alarm", None, None, "low_battery"),
        ("alarm", None, 20, "low_reservoir"),
    ]  # fmt: skip


def test_a_clock_set_to_what_it_was_is_no_change() -> None:
    decoded = read(clock_set("06-01 08:00", "06-01 08:00", requestor=2), **NOW)
    assert events(decoded) == []
    decoded = read(clock_set("06-01 08:00", "06-01 08:01", requestor=2), **NOW)
    assert [one.agent for one in events(decoded)] == ["automatic"]
