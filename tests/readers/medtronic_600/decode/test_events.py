"""Alarms, device events, and the table of event types."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.contracts import Decoded
from bridge.readers.medtronic_600.alarm_table import ALARMS, describe
from bridge.readers.medtronic_600.event_types import EVENT_TYPES
from bridge.readers.medtronic_600.history import read_event
from tests.readers.medtronic_600.decode.builders import (
    OFFSET,
    START,
    after,
    alarm,
    cleared,
    decoded,
    event,
    file,
    history,
    of_kind,
    set_clock,
    status_answer,
    u16,
    units,
    visit,
)

OFFSET_BYTES = (OFFSET & 0xFFFFFFFF).to_bytes(4, "big")


def from_file(*events: bytes) -> Decoded:
    return decoded(file(history(*events)))


def events_of(found: Decoded, name: str | None = None) -> list[Any]:
    return [record for record in of_kind(found, "device_event") if name in (None, record.event)]


def alarms_of(found: Decoded) -> list[tuple[str, int, str | None]]:
    return [(record.source_key, record.code, record.state) for record in events_of(found, "alarm")]


# --- alarms ------------------------------------------------------------------------------------------


def test_one_alarm_from_its_first_notification_until_cleared() -> None:
    repeats = [alarm(START, 105, units(20)), alarm(START + 600, 105, units(20), mode=3)]
    assert alarms_of(from_file(*repeats)) == [(f"{START}:28", 105, "active")]
    found = from_file(*repeats, cleared(START + 900, 105), alarm(START + 1000, 105))
    assert alarms_of(found) == [(f"{START}:28", 105, "cleared"), (f"{START + 1000}:28", 105, "active")]
    first = events_of(found, "alarm")[0]
    assert (first.severity, first.text) == ("normal", "Low reservoir, 20 U")


def test_an_alarm_is_cleared_at_a_later_read() -> None:
    first = decoded(visit(alarm(START, 802, b"\0" + u16(61))))
    later = decoded(visit(cleared(START + 7300, 802), rtc=START + 7400), after(first))
    assert alarms_of(later) == [(f"{START}:28", 802, "cleared")]
    assert events_of(later)[0].id == events_of(first)[0].id
    assert events_of(first)[0].text == "Alert on low, 61 mg/dL"


def test_an_older_part_says_nothing_about_an_end_it_does_not_hold() -> None:
    day = 86_400
    newest = decoded(visit(event(0x07, START), event(0x08, START + day), rtc=START + day + 60))
    older = decoded(visit(alarm(START - 4 * day, 105), rtc=START + day + 90), after(newest))
    assert alarms_of(older) == [(f"{START - 4 * day}:28", 105, None)]


def test_silenced() -> None:
    (found,) = events_of(from_file(alarm(START, 110), alarm(START, 816, b"\0" + u16(251))))
    assert (found.code, found.raw["silenced"]) == (816, True)
    assert alarms_of(from_file(alarm(START, 110))) == [(f"{START}:28", 110, "active")]


def test_the_status_shows_an_alarm_once() -> None:
    shows = status_answer(alert=(0x4B, u16(104) + START.to_bytes(4, "big") + OFFSET_BYTES))
    first = decoded(visit(answers={"013c": shows}))
    assert alarms_of(first) == [(f"{START}:28", 104, "active")]
    told = decoded(visit(alarm(START, 104), answers={"013c": shows}), after(first))
    assert alarms_of(told) == [(f"{START}:28", 104, "active")]
    again = decoded(visit(answers={"013c": shows}, rtc=START + 7500), after(told))
    assert alarms_of(again) == []


def test_severities() -> None:
    assert {alarm.severity for alarm in ALARMS.values()} == {"critical", "high", "normal", "low", "reminder"}
    assert [describe(code)[0] for code in (7, 113, 104, 117, 107, 829)] == [
        "critical", "high", "normal", "low", "reminder", "low",
    ]  # fmt: skip
    assert describe(12345) == (None, "Alarm 12345")
    assert len(ALARMS) == 78


@pytest.mark.parametrize(
    ("code", "data", "text"),
    [
        (106, b"\x08", "Low reservoir, 8 h left"), (109, b"\x03", "Set change reminder, 3 days"),
        (108, b"\x07\x1e\x02", "Personal reminder 2"), (869, b"\x07\x05", "Calibrate by 07:05"),
        (833, u16(250), "Bolus recommended, 250 mg/dL"), (802, b"\0\x03\x02", "Alert on low"),
        (72, units(30), "Largest fill reached, 30 U"),
    ],
)  # fmt: skip
def test_texts(code: int, data: bytes, text: str) -> None:
    assert describe(code, data.ljust(10, b"\0"))[1] == text


# --- device events -----------------------------------------------------------------------------------


def test_fills() -> None:
    def fill(rtc: int, kind: int, amount_u: float) -> bytes:
        return event(0x1A, rtc, bytes([kind]) + units(amount_u) + units(180))

    found = from_file(fill(START, 0, 8.2), fill(START + 60, 1, 0.3), fill(START + 90, 1, 0), fill(START + 99, 0, 0))
    assert [
        (each.event, each.target, each.volume_u, each.source_key) for each in sorted(events_of(found), key=_key)
    ] == [
        ("prime", "tubing", 8.2, f"{START}:1A"),
        ("prime", "cannula", 0.3, f"{START + 60}:1A"),
        ("site_change", None, None, f"{START + 60}:1A:2"),
    ]


def _key(record: Any) -> str:
    return str(record.source_key)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (0x36, ["reservoir_change", "rewind"]), (0x2C, ["battery_change"]), (0x37, ["battery_removed"]),
        (0xCE, ["sensor_start"]),
    ],
)  # fmt: skip
def test_plain_events(kind: int, names: list[str]) -> None:
    assert sorted(record.event for record in events_of(from_file(event(kind, START)))) == names


def test_calibration_rejected_and_low_reservoir() -> None:
    found = from_file(
        event(0xCF, START, b"\1"),
        event(0x2B, START + 9, b"\0\0\0" + units(20)),
        event(0x2B, START + 19, b"\1\x08\x1e" + units(20)),
    )
    assert [(each.event, each.text) for each in sorted(events_of(found), key=_key)] == [
        ("calibration_rejected", None),
        ("low_reservoir", "Low reservoir, 20 U left"),
        ("low_reservoir", "Low reservoir, 8 h 30 min left"),
    ]


def test_time_change() -> None:
    (found,) = events_of(from_file(set_clock(START, 3600)))
    assert (found.event, found.agent, found.source_key) == ("time_change", "manual", f"{START}:03")
    assert found.clock_from.isoformat() == "2017-09-01T12:00:00"
    assert found.clock_to.isoformat() == "2017-09-01T13:00:00"


def test_the_change_after_a_reset_is_the_resets() -> None:
    reset = event(0x02, START, START.to_bytes(4, "big") + OFFSET_BYTES)
    assert [
        record.source_key
        for record in events_of(from_file(reset, set_clock(START + 5, 60), set_clock(START + 99, 60)))
    ] == [f"{START + 99}:03"]


def test_mode_change() -> None:
    found = events_of(from_file(event(0xDF, START, b"\1\0"), event(0xDF, START + 60, b"\0\2")), "mode_change")
    assert [(each.mode, each.text) for each in found] == [("auto", "calibration"), ("manual", "alarm")]


def test_what_a_person_logged() -> None:
    entered = (START - 600).to_bytes(4, "big") + OFFSET_BYTES
    found = from_file(
        event(0x2F, START, entered + u16(45)),
        event(0x30, START + 1, entered + units(12)),
        event(0x31, START + 2, entered),
    )
    (exercise,), (injection,), (note,) = (of_kind(found, kind) for kind in ("exercise", "injection", "note"))
    assert exercise.duration_min == 45
    assert (injection.dose_u, injection.action) == (12, None)
    assert note.text
    assert {record.device_time.isoformat() for record in found.records if record.device_time} == {
        "2017-09-01T11:50:00"
    }


# --- the table ---------------------------------------------------------------------------------------

ALL_TYPES = """
02 03 04 05 06 07 08 0B 0C 0D 0E 15 16 17 1A 1B 1C 1D 1E 1F 20 21 22 24 25 26 27 28 2A 2B 2C 2E 2F 30 31 32 33 34 36
37 38 39 3C 3D 3E 3F 50 51 52 53 54 55 56 57 58 59 5A 5B 5C 5D 5E 5F 60 61 62 63 64 65 66 68 69 6A 6B 6C 6D 6E 6F 72
73 77 78 79 7B 82 86 87 88 89 8A C8 C9 CA CB CC CD CE CF D0 D1 D2 D3 D4 D5 D6 DC DD DE DF
"""


def test_every_type_has_its_parser() -> None:
    assert sorted(EVENT_TYPES) == [int(code, 16) for code in ALL_TYPES.split()]
    assert len({kind.name for kind in EVENT_TYPES.values()}) == len(EVENT_TYPES)


@pytest.mark.parametrize("kind", sorted(EVENT_TYPES), ids=lambda kind: f"{kind:02X}")
def test_every_type_reads_an_event_of_zeros_and_refuses_a_short_one(kind: int) -> None:
    full = read_event(event(kind, START, bytes(120)))
    assert full.known
    assert set(full.values) >= {row[0] for row in EVENT_TYPES[kind].fields}
    if EVENT_TYPES[kind].size > 11:
        short = read_event(event(kind, START, bytes(EVENT_TYPES[kind].size - 12)))
        assert (short.known, short.values) == (False, {})


def test_unknown_events_are_kept_raw_and_said() -> None:
    found = from_file(event(0xFE, START, b"abc"), event(0xFE, START + 1), event(0x15, START + 2, b"\0"))
    assert not found.records
    assert not found.understood
    assert [line.text for line in found.diagnostics] == [
        "Event type 15 (1 times) is shorter than its kind; kept raw.",
        "Event type FE (2 times) is not known; kept raw.",
    ]
    assert read_event(event(0xFE, START, b"abc")).raw.endswith(b"abc")


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        (event(0x6D, START, b"\0\x08"), {"old": 0, "new": 8}),
        (event(0x69, START, b"\1" + u16(60)), {"on": True, "minutes": 60}),
        (event(0x78, START, b"\0\2\1\2"), {"old_on": False, "old_days": 2, "new_on": True, "new_days": 2}),
        (event(0xD0, START, b"\4" + u16(120)), {"scope": 4, "minutes": 120}),
        (event(0x55, START, b"\x08\1\1" + units(0) + b"\x96" + u16(1440)),
         {"preset": 8, "on": True, "kind": 1, "rate_u_h": 0, "percent": 150, "minutes": 1440}),
        (event(0xD3, START, b"\0\1\x14\1" + u16(0) + b"\x46\x05"),
         {"on": True, "snooze_minutes": 20, "limits": ["00004605"]}),
        (event(0x05, START, b"\0\1\1B1111111GB"),
         {"old": False, "index": 1, "new": True, "serial": "BG1111111B"}),
    ],
)  # fmt: skip
def test_further_layouts(raw: bytes, values: dict[str, object]) -> None:
    assert dict(read_event(raw).values) == values
