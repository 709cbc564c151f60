"""Scheduled basal, temp basals, suspensions and changes of the reservoir: what a pump of these families lives by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import zip_longest

from bridge.simulators.patient import ModeChange, TimeChange, VirtualPatient
from bridge.simulators.stick import records

SCHEDULE = ((0, 0.8), (6 * 60, 1.1), (11 * 60, 0.9), (20 * 60, 0.75))
"""The standard profile: minute of the day on the pump's clock, U/h."""
TEMP_U_H = 0.4
_RESERVOIR_EVERY, _PAUSE_EVERY = 3, 5
_PRIME_U, _CANNULA_U = 8.0, 0.5
_LONGEST_TEMP = timedelta(hours=2)
"""What begins before the end is planned until this much later, so that no record hangs on when the pump is read."""


@dataclass(slots=True)
class Span:
    """Insulin at a steady rate from `start` on."""

    start: datetime
    rate_u_h: float


@dataclass(slots=True)
class BasalLife:
    """`written`: when a record was written (UTC), and its bytes. `spans`: the rate from each instant on.

    `temp_ends`: when a temp basal that still runs was planned to end.
    """

    written: list[tuple[datetime, bytes]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    temp_ends: datetime | None = None

    def given_u(self, start: datetime, end: datetime) -> float:
        """Basal insulin of [start, end)."""
        given = 0.0
        for span, after in zip(self.spans, [*self.spans[1:], None], strict=True):
            begin, stop = max(span.start, start), min(after.start if after is not None else end, end)
            given += span.rate_u_h * max((stop - begin) / timedelta(hours=1), 0.0)
        return given

    def rate(self, at: datetime) -> float:
        """U/h at an instant."""
        return next((span.rate_u_h for span in reversed(self.spans) if span.start <= at), 0.0)


def scheduled(wall: datetime) -> tuple[int, int, float]:
    """Index, start minute and rate of the profile at a wall clock."""
    minute = wall.hour * 60 + wall.minute
    index = max(number for number, (start_min, _) in enumerate(SCHEDULE) if start_min <= minute)
    return index, *SCHEDULE[index]


def live(patient: VirtualPatient, new: bool, start: datetime, end: datetime) -> BasalLife:
    """Basal of [start, end). What overlaps a temp basal or a pause is left out, so that one thing runs at a time."""
    life, free_from = BasalLife(spans=[Span(start, scheduled(patient.pump.wall(start))[2])]), start
    for at, what, until in sorted(_plans(patient, start, end), key=lambda plan: (plan[0], plan[1])):
        if not free_from <= at < end:
            continue
        wall = patient.pump.wall(at)
        match what:
            case "schedule":
                _back(life, patient, new, at)
            case "temp":
                minutes = -(-int((until - at).total_seconds()) // 1800) * 30 + 30
                life.written += [(at, each) for each in records.temp_basal(wall, TEMP_U_H, minutes)]
                life.spans.append(Span(at, TEMP_U_H))
                life.temp_ends = at + timedelta(minutes=minutes)
            case "pause":
                life.written.append((at, records.suspend(new, wall)))
                life.spans.append(Span(at, 0.0))
            case "reservoir":
                life.written.append((at, records.simple(0x21, wall)))
                life.spans.append(Span(at, 0.0))
        if what != "schedule" and until < end:
            life.written += [(until, each) for each in _ending(what, new, patient.pump.wall(until))]
            _back(life, patient, new, until)
        free_from = max(free_from, until)
    return life


def _back(life: BasalLife, patient: VirtualPatient, new: bool, at: datetime) -> None:
    """The schedule runs (again)."""
    index, start_min, rate_u_h = scheduled(patient.pump.wall(at))
    if new:
        life.written.append((at, records.basal_start(patient.pump.wall(at), index, start_min, rate_u_h)))
    life.spans.append(Span(at, rate_u_h))
    life.temp_ends = None


def _ending(what: str, new: bool, wall: datetime) -> list[bytes]:
    if what == "temp":
        return records.temp_basal(wall, 0.0, 0)
    if what == "pause":
        return [records.resume(new, wall)]
    before = wall - timedelta(seconds=40)
    return [records.prime(before, 0.0, _PRIME_U), records.prime(wall, _CANNULA_U, _CANNULA_U)]


def _plans(patient: VirtualPatient, start: datetime, end: datetime) -> Iterator[tuple[datetime, str, datetime]]:
    """When something begins, what, and until when."""
    for day in days(patient, start, end):
        for start_min, _ in SCHEDULE:
            at = instant(patient, day, start_min)
            yield at, "schedule", at
        if day.toordinal() % _RESERVOIR_EVERY == 0:
            at = instant(patient, day, 18 * 60 + 5)
            yield at, "reservoir", at + timedelta(minutes=4)
        if day.toordinal() % _PAUSE_EVERY == 0:
            at = instant(patient, day, 15 * 60)
            yield at, "pause", at + timedelta(minutes=20)
    events = patient.events(start, end + _LONGEST_TEMP)
    for event in events:
        if isinstance(event, TimeChange):
            yield event.time, "schedule", event.time
    modes = [event for event in events if isinstance(event, ModeChange)]
    for mode, after in zip_longest(modes, modes[1:]):
        if not mode.auto and after is not None:
            yield mode.time, "temp", after.time


def days(patient: VirtualPatient, start: datetime, end: datetime) -> list[date]:
    """Days of the pump's clock that begin in [start, end)."""
    first, last = patient.pump.wall(start).date(), patient.pump.wall(end).date()
    found = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return [day for day in found if start <= instant(patient, day, 0) < end]


def instant(patient: VirtualPatient, day: date, minute: int) -> datetime:
    """When the pump's clock shows that minute of that day."""
    shown = datetime.combine(day, time(), UTC) + timedelta(minutes=minute)
    guess = shown - timedelta(minutes=patient.pump.offset_min(shown))
    return shown - timedelta(minutes=patient.pump.offset_min(guess))
