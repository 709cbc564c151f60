"""Single events: how a bolus grows, what becomes a fact, how clocks show time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bridge.simulators.patient import (
    Alarm,
    Bolus,
    PumpClock,
    SensorReading,
    VirtualPatient,
    fact,
    fixed,
    kept_to,
    known_from,
)

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def _after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_a_fast_bolus_grows_to_its_programmed_amount() -> None:
    bolus = Bolus("b", NOON, "RECOMMENDED", "FAST", 3.0)
    seen = [bolus.delivered(_after(seconds)) for seconds in (0, 30, 60, 119, 120, 900)]
    assert [one.fast_u for one in seen] == [0.0, 0.75, 1.5, 2.975, 3.0, 3.0]
    assert [one.completed for one in seen] == [False, False, False, False, True, True]


def test_a_dual_bolus_gives_its_fast_part_first() -> None:
    bolus = Bolus("b", NOON, "MANUAL", "DUAL", 1.5, 2.0, 60)
    at_once, halfway, final = (bolus.delivered(_after(s)) for s in (60, 60 + 1800, 60 + 3600))
    assert (at_once.fast_u, at_once.extended_u, at_once.completed) == (1.5, 0.0, False)
    assert (halfway.extended_u, halfway.minutes, halfway.completed) == (1.0, 30, False)
    assert (final.total_u, final.minutes, final.completed) == (3.5, 60, True)
    assert bolus.delivered() == final


def test_a_square_bolus_has_no_fast_part() -> None:
    bolus = Bolus("b", NOON, "MANUAL", "SQUARE", 0.0, 2.0, 90)
    assert bolus.delivered(_after(45 * 60)).extended_u == 1.0
    assert bolus.delivered().total_u == 2.0


def test_a_cancelled_bolus_stops_growing() -> None:
    partly = Bolus("b", NOON, "MANUAL", "FAST", 4.0, cancelled_after_s=40)
    assert partly.delivered().total_u == 1.0
    assert partly.delivered().completed
    never = Bolus("b", NOON, "MANUAL", "FAST", 4.0, cancelled_after_s=0)
    assert never.delivered(_after(9999)).total_u == 0.0
    assert not never.delivered().completed


def test_facts_carry_final_values_unless_asked_for_an_earlier_one() -> None:
    bolus = Bolus("b", NOON, "MANUAL", "FAST", 3.0)
    final, early = fact(bolus), fact(bolus, _after(60))
    assert final is not None
    assert early is not None
    assert (final.value, early.value) == (3.0, 1.5)
    assert fact(SensorReading("s", NOON, None, "WARM_UP", NOON)) is None


def test_a_planned_reminder_is_known_before_it_is_a_fact() -> None:
    alarm = Alarm("a", NOON, _after(60), "GUID", 869, "REMINDER", known_at=_after(-3600))
    assert known_from(alarm) == _after(-3600)
    assert fact(alarm, _after(-1)) is None
    assert fact(alarm, NOON) is not None


def test_late_rows_are_known_late() -> None:
    row = SensorReading("s", NOON, 120, "NO_ERROR_MESSAGE", _after(1800))
    assert row.backfilled
    assert known_from(row) == _after(1800)


def test_a_pump_clock_shows_offset_and_drift() -> None:
    clock = PumpClock(((NOON - timedelta(days=2), 60),), drift_s_day=-3.0)
    assert clock.wall(NOON) == datetime(2026, 3, 10, 12, 59, 54)  # noqa: DTZ001


def test_setting_the_clock_takes_the_drift_away() -> None:
    clock = PumpClock(((NOON - timedelta(days=10), 60), (NOON, 120)), drift_s_day=6.0)
    assert clock.wall(_after(-1)) - (NOON.replace(tzinfo=None) + timedelta(hours=1)) > timedelta(seconds=58)
    assert clock.wall(NOON) == datetime(2026, 3, 10, 14, 0)  # noqa: DTZ001
    assert clock.changes(NOON, _after(1)) == [(NOON, 60, 120)]
    assert clock.changes(_after(1), _after(9)) == []


def test_a_fixed_clock_may_drift_from_a_date() -> None:
    assert fixed(0, 10.0, NOON).wall(NOON + timedelta(days=3)).second == 30


def test_a_zone_may_change_by_half_an_hour_at_half_past() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    clock = VirtualPatient(1, "Australia/Lord_Howe").pump
    autumn, spring = datetime(2026, 4, 4, 15, 0, tzinfo=UTC), datetime(2026, 10, 3, 15, 30, tzinfo=UTC)
    assert clock.changes(start, start + timedelta(days=365)) == [(autumn, 660, 630), (spring, 630, 660)]


@pytest.mark.parametrize("late_h", [0, 7])
def test_an_owner_who_follows_summer_time(late_h: int) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    clock = kept_to("Europe/Berlin", start, start + timedelta(days=365), timedelta(hours=late_h))
    spring = datetime(2026, 3, 29, 1, tzinfo=UTC) + timedelta(hours=late_h)
    autumn = datetime(2026, 10, 25, 1, tzinfo=UTC) + timedelta(hours=late_h)
    assert clock.changes(start, start + timedelta(days=365)) == [(spring, 60, 120), (autumn, 120, 60)]


def test_the_phone_may_travel() -> None:
    patient = VirtualPatient(1, phone=((datetime(2020, 1, 1, tzinfo=UTC), "Europe/Berlin"), (NOON, "Asia/Kathmandu")))
    assert patient.phone_wall(_after(-1)).hour == 12
    assert patient.phone_wall(NOON) == datetime(2026, 3, 10, 17, 45)  # noqa: DTZ001
