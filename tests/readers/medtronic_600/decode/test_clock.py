"""From the pump's counter to instants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from bridge.contracts import Memory, Sighting
from bridge.readers.medtronic_600.clock import FileClock, LiveClock, is_set, signed, wall
from tests.readers.medtronic_600.decode.builders import (
    HOST,
    OFFSET,
    START,
    blood,
    decoded,
    event,
    file,
    history,
    of_kind,
    set_clock,
    visit,
)

PRAGUE = ZoneInfo("Europe/Prague")
NOON = datetime.fromisoformat("2017-09-01T12:00:00")
HOUR, DAY = 3600, 86_400


def test_wall_clock() -> None:
    assert wall(START, OFFSET) == NOON
    assert signed(0xFFFFFFFF) == -1
    assert signed(0) == 0
    assert signed(0x7FFFFFFF) == 0x7FFFFFFF
    assert is_set(START, OFFSET)
    assert not is_set(START, OFFSET - 5 * 365 * DAY)


def test_any_field_gives_a_wall_clock() -> None:
    for rtc in (0, 0xFFFFFFFF):
        for offset in (-(2**31), 2**31 - 1):
            assert wall(rtc, offset).year in range(1900, 2210)


def test_live_time_is_now_less_what_has_passed() -> None:
    clock = LiveClock(HOST, START + 7200)
    moment = clock.moment(START, OFFSET)
    assert moment.time == HOST - timedelta(hours=2)
    assert moment.device_time == NOON
    assert moment.utc_offset_min == 120


def test_live_time_takes_the_drift_off() -> None:
    """4 s a day: what a pump counts as ten days were 40 s less."""
    clock = LiveClock(HOST, START + 10 * DAY)
    assert clock.moment(START, OFFSET).time == HOST - timedelta(days=10) + timedelta(seconds=40)


def test_live_time_survives_a_clock_change() -> None:
    clock = LiveClock(HOST, START + 7200)
    changed = clock.moment(START, OFFSET + HOUR)
    assert changed.time == HOST - timedelta(hours=2)
    assert changed.utc_offset_min == 180


def test_a_wrong_clock_is_rounded_to_a_zone_and_days_are_not() -> None:
    clock = LiveClock(HOST, START + 7200)
    assert clock.moment(START, OFFSET + 200).utc_offset_min == 120
    assert clock.moment(START, OFFSET + 3 * DAY).utc_offset_min is None


def test_file_time_is_the_wall_clock_in_the_zone() -> None:
    clock = FileClock(START, PRAGUE)
    assert clock.moment(START, OFFSET).time == datetime(2017, 9, 1, 10, tzinfo=UTC)
    winter = clock.moment(START + 90 * DAY, OFFSET)
    assert winter.time == datetime(2017, 11, 30, 11, tzinfo=UTC)
    assert winter.utc_offset_min == 60


def test_each_event_of_a_file_has_its_own_offset() -> None:
    found = of_kind(
        decoded(file(history(blood(START, 100), event_with_offset(START + 60, OFFSET + 1800)))), "meter_glucose"
    )
    assert [record.time for record in found] == [
        datetime(2017, 9, 1, 10, 0, tzinfo=UTC),
        datetime(2017, 9, 1, 10, 31, tzinfo=UTC),
    ]


def event_with_offset(rtc: int, offset: int) -> bytes:
    return event(0x32, rtc, b"\0" + (120).to_bytes(2, "big") + b"\1" + bytes(10), offset=offset)


def test_before_a_clock_change_a_file_goes_by_the_counter() -> None:
    """Set forward by six hours on a journey: the reading before it was an hour earlier, not seven."""
    body = history(
        blood(START, 100), set_clock(START + HOUR, 6 * HOUR), event_with_offset(START + HOUR, OFFSET + 6 * HOUR)
    )
    first, second = of_kind(decoded(file(body)), "meter_glucose")
    assert second.time - first.time == timedelta(hours=1)
    assert first.device_time == NOON


def test_doubled_hour_and_missing_zone_are_doubts() -> None:
    clock = FileClock(START, PRAGUE)
    in_doubt = (datetime.fromisoformat("2017-10-29T02:30:00") - NOON) // timedelta(seconds=1)
    assert not clock.moment(START + in_doubt, OFFSET).certain
    assert clock.moment(START, OFFSET).certain
    found = decoded(file(history(blood(START, 100)), timezone=None))
    (record,) = found.records
    assert record.time == datetime(2017, 9, 1, 12, tzinfo=UTC)
    assert record.annotation("clock/uncertain")
    assert [line.code for line in found.diagnostics] == ["clock/no-zone"]


def test_an_unknown_zone_is_said() -> None:
    codes = [line.code for line in decoded(file(history(blood(START, 100)), timezone="No/Where")).diagnostics]
    assert codes == ["clock/unknown-zone", "clock/no-zone"]


def test_a_row_seen_before_keeps_its_time() -> None:
    first = decoded(visit(blood(START, 100)))
    (row,) = first.sightings
    memory = Memory(first.sightings, first.state)
    later = decoded(visit(blood(START, 100), rtc=START + 7200 + 300, host=HOST + timedelta(seconds=307)), memory)
    assert [record.time for record in later.records] == [record.time for record in first.records]
    assert not later.sightings
    moved = decoded(visit(blood(START, 100), rtc=START + 7200 + 300, host=HOST + timedelta(seconds=307)))
    assert moved.records[0].time != first.records[0].time
    own = Memory({row: Sighting(HOST, "another")}, {})
    (record,) = decoded(visit(blood(START, 100)), own).records
    assert (record.time, record.source_key) == (HOST, "another")


def test_only_what_the_journal_recalls_is_a_sighting() -> None:
    found = decoded(visit(blood(START, 100), blood(START + 3 * DAY, 101), rtc=START + 3 * DAY + 600))
    assert len(found.records) == 2
    assert [sighting.source_key for sighting in found.sightings.values()] == [f"{START + 3 * DAY}:32"]


def test_what_lies_ahead_of_the_pump_waits() -> None:
    found = decoded(visit(blood(START, 100), blood(START + 7200 + 301, 110)))
    assert [record.source_key for record in found.records] == [f"{START}:32"]
    assert [line.code for line in found.diagnostics] == ["record/ahead"]


def test_events_of_an_unset_clock_are_dropped() -> None:
    early = event(0x32, START, b"\0\0\x64\1" + bytes(10), offset=OFFSET - 8 * 365 * DAY)
    assert [record.source_key for record in decoded(visit(early, blood(START + 60, 99))).records] == [
        f"{START + 60}:32"
    ]
    assert not decoded(file(history(early))).records


def test_health_of_the_clock() -> None:
    assert decoded(visit(timezone="Europe/Prague")).health.state.value == "ok"
    assert decoded(visit(timezone="Europe/Prague", offset=OFFSET + 700)).health.state.value == "clock_mismatch"
    unset = decoded(visit(blood(START, 100), answers={"0407": b"\1\4\7\0" + bytes(8)}))
    assert not unset.records
    assert "not set" in unset.health.text
