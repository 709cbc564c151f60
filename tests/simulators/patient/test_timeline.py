"""The timeline as a whole: the same for the same seed, seamless, and like a person's."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import fmean, pstdev

import pytest

from bridge.simulators.patient import (
    Alarm,
    Bolus,
    Calibration,
    Event,
    FingerStick,
    Meal,
    MicroDose,
    ModeChange,
    PenDose,
    PumpClock,
    SensorChange,
    SensorReading,
    Therapy,
    TimeChange,
    VirtualPatient,
    known_from,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DAYS = 60 if os.environ.get("GLUCOBRIDGE_PROOF") == "long" else 14


@pytest.fixture(scope="module")
def patient() -> VirtualPatient:
    return VirtualPatient(11)


@pytest.fixture(scope="module")
def life(patient: VirtualPatient) -> list[Event]:
    return patient.events(START, START + DAYS * DAY)


@pytest.fixture(scope="module")
def long_life() -> list[Event]:
    return VirtualPatient(2).events(START, START + 30 * DAY)


def _values(life: list[Event]) -> list[SensorReading]:
    return [event for event in life if isinstance(event, SensorReading) and event.mgdl is not None]


def test_the_same_seed_lives_the_same_life_in_any_order_of_asking() -> None:
    one, other = VirtualPatient(4), VirtualPatient(4)
    days = [START + number * DAY for number in range(12)]
    forwards = [one.events(day, day + DAY) for day in days]
    backwards = [other.events(day, day + DAY) for day in reversed(days)]
    assert forwards == backwards[::-1]


def test_other_seeds_live_other_lives() -> None:
    assert VirtualPatient(4).facts(START, START + DAY) != VirtualPatient(5).facts(START, START + DAY)


@pytest.mark.parametrize(
    ("zone", "month", "day"),
    [("Europe/Berlin", 3, 27), ("America/New_York", 10, 30), ("Asia/Kathmandu", 1, 1), ("Australia/Lord_Howe", 4, 3)],
)
def test_windows_join_without_seam_across_days_and_summer_time(zone: str, month: int, day: int) -> None:
    patient = VirtualPatient(9, zone)
    start = datetime(2026, month, day, tzinfo=UTC)
    edges = [start + timedelta(hours=7 * number, seconds=13 * number) for number in range(15)]
    pieces = [event for start, end in pairwise(edges) for event in patient.events(start, end)]
    assert pieces == patient.events(edges[0], edges[-1])


def test_every_event_has_a_name_of_its_own(life: list[Event]) -> None:
    names = Counter(event.uid for event in life)
    assert [name for name, count in names.items() if count > 1] == []


def test_nothing_happens_before_the_start() -> None:
    begin = START + timedelta(hours=15)
    patient = VirtualPatient(3, start=begin)
    assert min(event.time for event in patient.events(START - DAY, START + DAY)) >= begin


def test_rows_come_every_five_minutes(life: list[Event]) -> None:
    rows = [event for event in life if isinstance(event, SensorReading)]
    steps = Counter(round((new.time - old.time).total_seconds()) for old, new in pairwise(rows))
    usual = sum(count for step, count in steps.items() if 298 <= step <= 302)
    assert usual / len(rows) > 0.995
    assert min(steps) > 0


def test_glucose_looks_like_a_persons(life: list[Event]) -> None:
    values = [row.mgdl or 0 for row in _values(life)]
    assert 40 <= min(values) < 70
    assert 200 < max(values) <= 400
    assert 105 < fmean(values) < 150
    assert 22 < pstdev(values) < 60
    assert sum(70 <= value <= 180 for value in values) / len(values) > 0.75


def test_glucose_moves_smoothly_even_over_midnight(life: list[Event]) -> None:
    steps = [
        abs((new.mgdl or 0) - (old.mgdl or 0))
        for old, new in pairwise(_values(life))
        if new.time - old.time < timedelta(minutes=6)
    ]
    assert max(steps) <= 30
    assert fmean(steps) < 5


def test_nights_are_calmer(life: list[Event]) -> None:
    night = [row.mgdl or 0 for row in _values(life) if 0 <= row.time.hour < 4]
    day = [row.mgdl or 0 for row in _values(life) if 8 <= row.time.hour < 20]
    assert pstdev(night) < 0.75 * pstdev(day)


def test_meals_raise_and_insulin_lowers(patient: VirtualPatient, life: list[Event]) -> None:
    boluses = {event.time for event in life if isinstance(event, Bolus)}
    mains = [e.time for e in life if isinstance(e, Meal) and e.carbs_g > 30 and e.time in boluses]
    glucose = [[patient.glucose_mgdl(at + timedelta(minutes=m)) for m in (0, 45, 150)] for at in mains[:30]]
    before, peak, late = (fmean(row[place] for row in glucose) for place in range(3))
    assert peak > before + 20
    assert late < peak - 20


def test_a_days_insulin_is_that_of_an_adult(life: list[Event]) -> None:
    bolus_u: defaultdict[int, float] = defaultdict(float)
    basal_u: defaultdict[int, float] = defaultdict(float)
    for event in life:
        day = (event.time + timedelta(hours=1) - START).days
        if isinstance(event, Bolus):
            bolus_u[day] += event.delivered().total_u
        elif isinstance(event, MicroDose):
            basal_u[day] += event.dose_u
    whole = range(1, DAYS - 1)
    assert all(30 <= bolus_u[day] <= 50 for day in whole), bolus_u
    assert all(10 <= basal_u[day] <= 20 for day in whole), basal_u


def test_automatic_basal_pauses_but_never_for_more_than_two_hours(life: list[Event]) -> None:
    doses = [event.time for event in life if isinstance(event, MicroDose)]
    gaps_min = [(new - old).total_seconds() / 60 for old, new in pairwise(doses)]
    pauses = [gap for gap in gaps_min if gap > 7]
    assert min(gaps_min) > 4.8
    assert max(pauses) <= 120
    assert len(pauses) > 5 * DAYS
    assert max(pauses) > 60


def test_meals_and_their_boluses_are_at_most_a_second_apart(life: list[Event]) -> None:
    boluses = [event.time for event in life if isinstance(event, Bolus) and event.activation == "RECOMMENDED"]
    meals = [event.time for event in life if isinstance(event, Meal)]
    apart = Counter(min((abs((bolus - meal).total_seconds()) for bolus in boluses), default=9e9) for meal in meals)
    assert apart[0.0] > 20
    assert apart[1.0] >= 3
    assert not any(1 < seconds < 60 for seconds in apart)


def test_two_boluses_within_a_second_happen(long_life: list[Event]) -> None:
    times = [event.time for event in long_life if isinstance(event, Bolus) and event.activation != "AUTOCORRECTION"]
    apart = [(new - old).total_seconds() for old, new in pairwise(times)]
    assert apart.count(0.0) >= 1
    assert sum(seconds <= 1 for seconds in apart) >= 3


def test_all_shapes_and_kinds_happen(long_life: list[Event]) -> None:
    boluses = [event for event in long_life if isinstance(event, Bolus)]
    assert {bolus.shape for bolus in boluses} == {"FAST", "SQUARE", "DUAL"}
    assert {bolus.activation for bolus in boluses} == {"RECOMMENDED", "MANUAL", "AUTOCORRECTION"}
    stopped = [bolus.delivered().total_u for bolus in boluses if bolus.cancelled_after_s is not None]
    assert 0.0 in stopped
    assert max(stopped) > 0
    assert {type(event) for event in long_life} >= {FingerStick, Calibration, Alarm, ModeChange, SensorChange}


def test_a_new_sensor_warms_up_for_two_hours(life: list[Event]) -> None:
    starts = [event for event in life if isinstance(event, SensorChange) and event.started]
    assert len(starts) >= DAYS // 8
    for start in starts:
        soon = [e for e in life if isinstance(e, SensorReading) and start.time < e.time < start.time + DAY / 12]
        assert {(row.mgdl, row.state) for row in soon} == {(None, "WARM_UP")}


def test_signal_is_lost_and_some_rows_come_late(long_life: list[Event]) -> None:
    rows = [event for event in long_life if isinstance(event, SensorReading)]
    assert any(row.state == "NO_SENSOR_SIGNAL" and row.mgdl is None for row in rows)
    assert any(new.time - old.time > timedelta(minutes=12) for old, new in pairwise(rows))
    late = [row for row in rows if row.backfilled]
    assert late
    assert all(known_from(row) - row.time <= timedelta(minutes=75) for row in late)


def test_alarms_have_their_own_guid_and_end(life: list[Event]) -> None:
    alarms = [event for event in life if isinstance(event, Alarm)]
    assert len({alarm.guid for alarm in alarms}) == len(alarms) > 2 * DAYS
    assert all(alarm.time < alarm.cleared for alarm in alarms)
    assert {alarm.kind for alarm in alarms} >= {"ALARM", "ALERT", "REMINDER"}
    lows = [alarm for alarm in alarms if alarm.fault_id == 802]
    assert all((alarm.mgdl or 0) < 70 for alarm in lows)


def test_facts_are_the_events_that_carry_a_value(patient: VirtualPatient, life: list[Event]) -> None:
    facts = patient.facts(START, START + DAYS * DAY)
    assert Counter(fact.kind for fact in facts)["sensor_glucose"] == len(_values(life))
    silent = [event for event in life if isinstance(event, SensorReading) and event.mgdl is None]
    assert len(facts) == len(life) - len(silent)
    carbs = patient.facts(START, START + DAYS * DAY, ["carbs"])
    assert [fact.value for fact in carbs] == [event.carbs_g for event in life if isinstance(event, Meal)]


def test_what_happens_does_not_depend_on_any_clock() -> None:
    wrong = PumpClock(((datetime(2000, 1, 1, tzinfo=UTC), 60), (START + DAY, 180)), drift_s_day=20)
    plain, odd = VirtualPatient(6), VirtualPatient(6, pump=wrong)
    life = odd.events(START, START + 3 * DAY)
    assert [event for event in life if not isinstance(event, TimeChange)] == plain.events(START, START + 3 * DAY)
    changes = [event for event in life if isinstance(event, TimeChange)]
    assert [(one.time, one.from_offset_min, one.to_offset_min) for one in changes] == [(START + DAY, 60, 180)]


def test_pens_and_sensor_alone_have_no_pump() -> None:
    pens = {type(event) for event in VirtualPatient(5, therapy=Therapy.PENS).events(START, START + 9 * DAY)}
    assert PenDose in pens
    assert not pens & {Bolus, MicroDose, ModeChange}
    alone = {type(event) for event in VirtualPatient(5, therapy=Therapy.CGM).events(START, START + 9 * DAY)}
    assert alone == {SensorReading, SensorChange, Calibration}


def test_a_day_costs_little_wherever_it_lies() -> None:
    for year in (2021, 2026, 2040):
        patient = VirtualPatient(8)
        begin = time.process_time()
        assert len(patient.events(datetime(year, 7, 1, tzinfo=UTC), datetime(year, 7, 2, tzinfo=UTC))) > 300
        assert (time.process_time() - begin) / 3 < 0.25


def test_status_fits_the_events(patient: VirtualPatient) -> None:
    meal = next(e for e in patient.events(START, START + DAY) if isinstance(e, Bolus) and e.fast_u > 5)
    after, later = patient.status(meal.ends), patient.status(meal.time + timedelta(hours=2))
    assert after.iob_u > 5
    assert later.iob_u < after.iob_u
    assert 0 < after.reservoir_u <= 300
    assert patient.status(meal.time + timedelta(seconds=1)).bolusing


def test_a_slot_belongs_to_the_window_that_begins_with_it(patient: VirtualPatient) -> None:
    first, second = list(patient.slots(START, START + timedelta(minutes=11)))[:2]
    assert list(patient.slots(first, second)) == [first]
    assert list(patient.slots(second, second + timedelta(seconds=1))) == [second]
