"""A virtual patient: an unbounded timeline in true UTC, the same for the same seed, made a day at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from bridge.simulators.patient import loop, sensor
from bridge.simulators.patient.alarms import alarms_of
from bridge.simulators.patient.chance import draws, unit
from bridge.simulators.patient.clocks import LONG_AGO, PumpClock, kept_to
from bridge.simulators.patient.events import (
    Bolus,
    Calibration,
    Event,
    Fact,
    FingerStick,
    SensorReading,
    TimeChange,
    fact,
)
from bridge.simulators.patient.glucose import glucose, seen_by_sensor
from bridge.simulators.patient.plan import DayPlan, plan_day
from bridge.simulators.patient.status import PatientStatus, status_at

_MARGIN = timedelta(hours=3)
"""An event may happen this long after the end of the day that made it."""
_KEPT_DAYS = 8


class Therapy(StrEnum):
    """What the person treats with."""

    SMARTGUARD = "smartguard"
    PENS = "pens"
    CGM = "cgm"
    """A sensor that is calibrated by finger-stick; insulin is nobody's business."""


class VirtualPatient:
    """Deterministic by `seed`. Nothing happens before `start`; `zone` is where the person lives.

    `pump` is the pump's clock (by default its owner follows the zone's summer time at once, 2024-2043) and `phone`
    the phone's zone by (from UTC, zone name): both only show time, what happens is the same.
    """

    def __init__(
        self,
        seed: int,
        zone: str = "Europe/Berlin",
        *,
        start: datetime = LONG_AGO,
        pump: PumpClock | None = None,
        phone: Sequence[tuple[datetime, str]] = (),
        therapy: Therapy = Therapy.SMARTGUARD,
    ) -> None:
        self.seed, self.zone, self.start, self.therapy = seed, zone, start, therapy
        self.pump = pump or kept_to(zone)
        self.phone = phone or ((LONG_AGO, zone),)
        self._zone = ZoneInfo(zone)
        self._plan: Callable[[int], DayPlan] = lru_cache(_KEPT_DAYS + 2)(self._make_plan)
        self._day: Callable[[int], tuple[Event, ...]] = lru_cache(_KEPT_DAYS)(self._make_day)

    def __repr__(self) -> str:
        return f"VirtualPatient(seed={self.seed}, zone={self.zone!r}, therapy={self.therapy.value})"

    def events(self, start: datetime, end: datetime) -> list[Event]:
        """All that happens in [start, end), oldest first."""
        found = [event for event in self._around(start, end) if start <= event.time < end]
        return sorted(found, key=_by_time)

    def facts(self, start: datetime, end: datetime, kinds: Iterable[str] = ()) -> list[Fact]:
        """What must have arrived downstream of [start, end) in the end; all kinds when none are named."""
        wanted = frozenset(kinds)
        said = (fact(event) for event in self.events(start, end))
        return sorted(one for one in said if one is not None and (not wanted or one.kind in wanted))

    def slots(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """The five-minute beats at which sensor and pump speak, in [start, end)."""
        begin = max(start, self.start)
        for _, _, second in sensor.slots(self.seed, begin.timestamp(), end.timestamp()):
            yield datetime.fromtimestamp(second, UTC)

    def status(self, at: datetime) -> PatientStatus:
        """What the devices show at an instant."""
        day = self.events(at - timedelta(hours=24), at + timedelta(seconds=1))
        return status_at(self.seed, at, sensor.session_at(self.seed, at.timestamp()), day)

    def phone_wall(self, at: datetime) -> datetime:
        """The phone's wall clock at an instant, naive."""
        zone = next((name for since, name in reversed(self.phone) if since <= at), self.phone[0][1])
        return at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)

    def glucose_mgdl(self, at: datetime) -> float:
        """True glucose at an instant, mg/dL."""
        return self._glucose(self._ordinal(at))(at.timestamp())

    def _ordinal(self, at: datetime) -> int:
        return at.astimezone(self._zone).date().toordinal()

    def _around(self, start: datetime, end: datetime) -> Iterator[Event]:
        for day in range(self._ordinal(start - _MARGIN), self._ordinal(end) + 1):
            yield from self._day(day)

    def _make_plan(self, day: int) -> DayPlan:
        return plan_day(self.seed, self._zone, day)

    def _glucose(self, day: int) -> Callable[[float], float]:
        """Glucose as a function of the epoch second, good for one day."""
        plan = self._plan(day)
        pushes = (*self._plan(day - 1).pushes, *plan.pushes)
        midnight_s = plan.start.timestamp()
        if self.therapy is Therapy.CGM:
            pushes = tuple(push for push in pushes if abs(push.mgdl) > 30)
        return lambda epoch_s: glucose(self.seed, pushes, epoch_s, (epoch_s - midnight_s) / 3600)

    def _make_day(self, day: int) -> tuple[Event, ...]:
        plan, mgdl_at = self._plan(day), lru_cache(1024)(self._glucose(day))
        gap = sensor.gap_of(self.seed, day, plan.start.timestamp(), plan.end.timestamp())
        readings = sensor.rows(self.seed, plan.start, plan.end, gap, mgdl_at)
        changes = sensor.changes(self.seed, plan.start, plan.end)
        events: list[Event] = [*readings, *changes, *self._clock_set(plan), *self._sticks(day, plan, mgdl_at)]
        if self.therapy is Therapy.SMARTGUARD:
            events += self._pump(day, plan, readings, mgdl_at)
        elif self.therapy is Therapy.PENS:
            events += [*plan.meals, *plan.pens]
        return tuple(event for event in events if event.time >= self.start)

    def _pump(
        self, day: int, plan: DayPlan, readings: Sequence[SensorReading], mgdl_at: Callable[[float], float]
    ) -> list[Event]:
        """Meals, boluses and what the loop and its alarms add."""
        span = loop.manual_span(self.seed, day, plan.start, plan.end)
        modes = loop.mode_changes(span)
        changes = sensor.changes(self.seed, plan.start, plan.end)
        automatic: list[Bolus] = loop.corrections(self.seed, plan.start, plan.end, span, mgdl_at)
        doses = loop.micro_doses(self.seed, day, plan.start, plan.end, span, mgdl_at)
        alarms = alarms_of(self.seed, day, readings, changes, modes, plan.at(20 * 60))
        return [*plan.meals, *plan.boluses, *automatic, *doses, *modes, *alarms]

    def _clock_set(self, plan: DayPlan) -> list[TimeChange]:
        return [
            TimeChange(f"clock-{int(when.timestamp())}", when, before, after)
            for when, before, after in self.pump.changes(plan.start, plan.end)
        ]

    def _sticks(self, day: int, plan: DayPlan, mgdl_at: Callable[[float], float]) -> list[Event]:
        """Finger-sticks; most of them are calibrations where the sensor needs them."""
        chance = draws(self.seed, day, "sticks")
        needs = self.therapy is Therapy.CGM
        found: list[Event] = []
        for number in range(2 if needs else chance.randint(0, 2)):
            when = plan.at(chance.uniform(400, 700) + number * 600)
            mgdl = seen_by_sensor(mgdl_at(when.timestamp()) * chance.uniform(0.93, 1.07))
            kind = Calibration if needs or chance.random() < 0.2 else FingerStick
            found.append(kind(f"stick-{day}-{number}", when, mgdl))
        return found

    def spread(self, stream: int, at: datetime) -> float:
        """A number in [0, 1) that belongs to this patient and this second (an upload's delay, say)."""
        return unit(self.seed, stream, int(at.timestamp()))


def _by_time(event: Event) -> tuple[datetime, str]:
    return event.time, event.uid
