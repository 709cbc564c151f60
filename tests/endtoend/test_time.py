"""Time end to end: odd zones, summer time, travel and a drifting pump clock; every fact at its true UTC, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import pytest

from bridge.contracts import Interval
from bridge.engine.engine import Engine
from bridge.model import Record
from bridge.simulators.carelink_cloud import Person
from bridge.simulators.patient import PumpClock, VirtualPatient, fixed, kept_to
from tests.support.clock import FakeClock
from tests.support.house import KINDS, House, built, records, require_complete, require_conserved

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
FIRST, LAST = datetime(2025, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
SETTLING = timedelta(minutes=45)
"""The newest facts may still be on their way through the phone."""


@cache
def _rules(zone: str) -> tuple[tuple[datetime, float], ...]:
    """(from, minutes east) of 2025 and 2026, looked at every six hours."""
    found: list[tuple[datetime, float]] = []
    for hours in range(0, int((LAST - FIRST) / timedelta(hours=1)), 6):
        at = FIRST + timedelta(hours=hours)
        offset = at.astimezone(ZoneInfo(zone)).utcoffset()
        minutes = offset / timedelta(minutes=1) if offset is not None else 0.0
        if not found or found[-1][1] != minutes:
            found.append((at, minutes))
    return tuple(found)


def _odd_zones() -> list[tuple[str, datetime]]:
    """One zone for every set of rules that is off the hour at some time, at a day of each of its offsets."""
    by_rules = {_rules(zone): zone for zone in sorted(available_timezones(), reverse=True)}
    chosen = []
    for rules, zone in by_rules.items():
        days = {minutes: at + timedelta(days=10, hours=7) for at, minutes in rules}
        if any(minutes % 60 for minutes in days):
            chosen += [(zone, day) for day in days.values()]
    return sorted(chosen)


def test_the_odd_zones_are_the_known_ones() -> None:
    """Half and quarter hours, east and west, with and without summer time."""
    chosen = {_rules(zone) for zone, _ in _odd_zones()}
    known = ("Asia/Kathmandu", "Australia/Eucla", "Australia/Lord_Howe", "Pacific/Marquesas", "America/St_Johns")
    assert {_rules(zone) for zone in (*known, "Pacific/Chatham", "Asia/Tehran", "Asia/Kolkata")} <= chosen
    assert {minutes % 60 for rules in chosen for _, minutes in rules} == {0, 30, 45}


@pytest.mark.parametrize(("zone", "day"), _odd_zones(), ids=lambda value: str(value)[:24])
async def test_one_cycle_in_an_odd_zone_is_true(tmp_path: Path, zone: str, day: datetime) -> None:
    clock = FakeClock(day)
    person = Person("patient1", VirtualPatient(1, zone))
    async with built(tmp_path, clock, [person]) as house, house.engine() as engine:
        assert (await engine.once()).exit_code == 0
        await _require_true(house, engine, day - timedelta(hours=23), day - timedelta(minutes=10))


CHANGES = [
    ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
]


@pytest.mark.parametrize(("zone", "change"), CHANGES, ids=lambda value: str(value)[:19])
async def test_summer_time_polled_hourly(tmp_path: Path, zone: str, change: datetime) -> None:
    """Pump and phone change together."""
    await _polled_through(tmp_path, VirtualPatient(1, zone), change - timedelta(hours=1, minutes=20), hours=4)


@pytest.mark.parametrize(("zone", "change"), CHANGES[:2], ids=lambda value: str(value)[:19])
async def test_a_pump_set_hours_after_the_phone(tmp_path: Path, zone: str, change: datetime) -> None:
    patient = VirtualPatient(1, zone, pump=kept_to(zone, late=timedelta(hours=3)))
    await _polled_through(tmp_path, patient, change - timedelta(minutes=20), hours=4)


FIRST_SEEN = [each for each in CHANGES if each not in (CHANGES[3], CHANGES[4])]
"""Without those whose one dose in the doubled hour could be of either: no answer tells."""


@pytest.mark.parametrize(("zone", "change"), FIRST_SEEN, ids=lambda value: str(value)[:19])
async def test_summer_time_seen_for_the_first_time_afterwards(tmp_path: Path, zone: str, change: datetime) -> None:
    """Nothing is remembered: both offsets stand in one answer."""
    await _polled_through(tmp_path, VirtualPatient(1, zone), change + timedelta(hours=9), hours=0)


TRAVEL = [("Europe/Berlin", "America/New_York"), ("America/New_York", "Asia/Kathmandu")]
DEPARTURE = datetime(2026, 1, 14, 9, 10, tzinfo=UTC)


@pytest.mark.parametrize("pump_after_h", [0, 3])
@pytest.mark.parametrize(("home", "abroad"), TRAVEL, ids=["west", "east"])
async def test_travel(tmp_path: Path, home: str, abroad: str, pump_after_h: int) -> None:
    """The phone follows the zone by itself, the pump is set by hand."""
    there = DEPARTURE + timedelta(hours=pump_after_h)
    pump = PumpClock(((LONG_AGO, _minutes(home)), (there, _minutes(abroad))))
    patient = VirtualPatient(1, home, pump=pump, phone=((LONG_AGO, home), (DEPARTURE, abroad)))
    await _polled_through(tmp_path, patient, DEPARTURE - timedelta(hours=1), hours=pump_after_h + 3)


def _minutes(zone: str) -> int:
    offset = DEPARTURE.astimezone(ZoneInfo(zone)).utcoffset()
    return int(offset / timedelta(minutes=1)) if offset is not None else 0


@pytest.mark.parametrize("faster", [1, -1], ids=["ahead", "behind"])
async def test_a_drifting_pump_clock_never_jumps(tmp_path: Path, faster: int) -> None:
    """From 4 to 9 minutes wrong: past half a quarter of an hour. Times are wrong by the drift and by no more."""
    begin = datetime(2026, 2, 3, 12, 0, tzinfo=UTC)
    minutes_a_day = 8.0
    since = begin - timedelta(days=4 / minutes_a_day)
    patient = VirtualPatient(1, pump=fixed(60, faster * 60 * minutes_a_day, since))
    clock = FakeClock(begin)
    async with built(tmp_path, clock, [Person("patient1", patient)]) as house, house.engine() as engine:
        for _ in range(5):
            assert not (await engine.once()).needs_person
            clock.advance(3 * 3600)
        await engine.once()
        clock.advance(900)
        await _deliver(engine)
        await require_conserved(house, engine)
        found = await records(engine.journal)
    assert abs(_wrong_by(patient, clock.now())) > timedelta(minutes=8)
    for kind in KINDS:
        _require_shifted(patient, found, kind, Interval(begin - timedelta(hours=20), clock.now() - SETTLING))


async def _deliver(engine: Engine) -> None:
    """What a fast clock dated ahead is due by now."""
    for sink in engine.sinks.values():
        while (await sink.deliverer.round()).leased:
            pass


def _wrong_by(patient: VirtualPatient, at: datetime) -> timedelta:
    return patient.pump.wall(at) - at.replace(tzinfo=None) - timedelta(minutes=patient.pump.offset_min(at))


def _require_shifted(patient: VirtualPatient, found: Sequence[Record], kind: str, window: Interval) -> None:
    """Every fact is one record, as early or late as the pump's clock was at that moment, within seconds."""
    hour = timedelta(hours=1)
    facts = patient.facts(window.start - hour, window.end + hour, [kind])
    want = [time for one in facts if _inside(time := one.time + _wrong_by(patient, one.time), window)]
    have = [record.time for record in found if record.kind == kind and _inside(record.time, window)]
    off = [shown - expected for shown, expected in zip(sorted(have), sorted(want), strict=True)]
    assert max(map(abs, off)) <= timedelta(seconds=5), f"{kind}: off by up to {max(map(abs, off))}"


def _inside(time: datetime, window: Interval) -> bool:
    return window.start <= time < window.end


async def _polled_through(tmp_path: Path, patient: VirtualPatient, begin: datetime, hours: int) -> None:
    """Poll every hour, then require every fact since a day before, once, at its true UTC."""
    clock = FakeClock(begin)
    async with built(tmp_path, clock, [Person("patient1", patient)]) as house, house.engine() as engine:
        for _ in range(hours + 1):
            assert (await engine.once()).exit_code == 0
            clock.advance(3600)
        assert (await engine.once()).exit_code == 0
        await _require_true(house, engine, begin - timedelta(hours=23), clock.now() - SETTLING)


async def _require_true(house: House, engine: Engine, start: datetime, end: datetime) -> None:
    """Nothing missing, nothing at another time, nothing twice, and the destinations hold just that."""
    await require_complete(house, engine.journal, start, end)
    found = await records(engine.journal)
    patient = house.world.people[0].patient
    for kind in KINDS:
        want = Counter(round(one.time.timestamp()) for one in patient.facts(start, end, [kind]))
        have = Counter(round(one.time.timestamp()) for one in found if one.kind == kind and start <= one.time < end)
        surplus = {datetime.fromtimestamp(second, UTC): count for second, count in (have - want).items()}
        assert not surplus, f"{kind}: {len(surplus)} records that no fact explains, such as {next(iter(surplus))}"
    await require_conserved(house, engine)
