"""The basal line: starts, temporary rates and suspensions become segments that follow each other.

A segment ends where the next one starts. Where the file does not tell what ran (a temporary rate that ended, a
resumed pump), a known schedule fills in, and says so.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

FABRICATED = "basal/fabricated-from-suppressed"
OFF_SCHEDULE = "basal/off-schedule-rate"
INFERRED = "basal/inferred-duration"
UNKNOWN_RATE = "basal/unknown-rate"
_AT_RESUME, _AT_END = timedelta(seconds=2), timedelta(seconds=5)
"""A schedule row this near to a resume, or to the end of a temporary rate, is the same fact."""
_DAY = timedelta(hours=24)
"""No schedule runs longer without a row: its first entry starts every midnight."""


class Step(NamedTuple):
    """A schedule's rate at an instant, and when its next entry starts."""

    rate_u_h: float
    until: datetime
    schedule: str


Schedule = Callable[[datetime], Step | None]


@dataclass(frozen=True, slots=True)
class BasalEvent:
    """One fact of the basal line. `row` is whatever the caller makes records from."""

    time: datetime
    kind: Literal["start", "temp", "suspend", "resume", "dose"]
    row: Any
    rate_u_h: float | None = None
    percent: float | None = None
    minutes: float = 0.0
    schedule: str | None = None
    reason: str | None = None
    is_step: bool = False
    """A start that stands exactly at its entry's time of day."""
    drops_temp: bool = False
    """A resume that does not bring a temporary rate back."""


@dataclass(slots=True)
class Segment:
    """One stretch of basal delivery. `row` is that of the event that began it, `own` whether it began with it."""

    start: datetime
    delivery: Literal["scheduled", "temporary", "suspended"]
    row: Any
    rate_u_h: float | None
    own: bool = True
    percent: float | None = None
    schedule: str | None = None
    reason: str | None = None
    end: datetime | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def minutes(self) -> float | None:
        """How long it lasted."""
        return None if self.end is None else (self.end - self.start) / timedelta(minutes=1)

    def body(self) -> Mapping[str, Any]:
        """The fields of the basal record."""
        return {
            "delivery": self.delivery,
            "rate_u_h": self.rate_u_h,
            "duration_min": self.minutes,
            "percent": self.percent,
            "schedule": self.schedule,
            "suspend_reason": self.reason,
        }


@dataclass(slots=True)
class _Temp:
    event: BasalEvent
    end: datetime


def segments(
    events: Sequence[BasalEvent], until: datetime, schedule: Schedule, *, starts_tell: bool
) -> list[Segment]:
    """Segments of events that stand in the order of the log. `until` is the last instant the file knows of.

    `starts_tell`: whether every change of the scheduled rate has a start row, so that the last one tells what a
    temporary rate or a suspension stands for.
    """
    line = _Line(_resumes_first(events), schedule, starts_tell)
    for event in line.events:
        line.advance(event.time)
        line.take(event)
    line.advance(until)
    line.finish(until)
    return line.segments


def _resumes_first(events: Sequence[BasalEvent]) -> list[BasalEvent]:
    """A schedule row that comes up to two seconds before its resume is moved behind it."""
    ordered = list(events)
    for at in range(1, len(ordered)):
        before, event = ordered[at - 1], ordered[at]
        if event.kind == "resume" and before.kind == "start" and event.time - before.time <= _AT_RESUME:
            ordered[at - 1 : at + 1] = [event, before]
    return ordered


class _Line:
    def __init__(self, events: list[BasalEvent], schedule: Schedule, starts_tell: bool) -> None:
        self.events, self.segments = events, list[Segment]()
        self._schedule, self._starts_tell = schedule, starts_tell
        self._starts = sorted(event.time for event in events if event.kind == "start")
        self._scheduled: BasalEvent | None = None
        self._temp: _Temp | None = None
        self._suspended = False

    def take(self, event: BasalEvent) -> None:
        """Let an event change what runs."""
        {
            "start": self._start,
            "temp": self._set_temp,
            "suspend": self._suspend,
            "resume": self._resume,
            "dose": self._dose,
        }[event.kind](event)

    def advance(self, to: datetime) -> None:
        """Let a temporary rate run through the schedule's steps, and end, up to an instant."""
        while self._temp is not None and not self._suspended:
            temp, last = self._temp, self.segments[-1]
            step = self._schedule(last.start) if temp.event.percent is not None else None
            if step is not None and step.until < min(temp.end, to):
                self._run_temp(step.until, temp.event, own=False)
                continue
            if temp.end > to:
                return
            self._temp = None
            self._close(temp.end)
            if not self._starts_near(temp.end, _AT_END):
                self._restore_schedule(temp.end, temp.event.row)

    def _start(self, event: BasalEvent) -> None:
        self._scheduled = event
        if self._suspended and event.is_step:
            return
        self._suspended = False
        if self._temp is not None and event.is_step and self._temp.event.percent is None:
            return
        if self._temp is not None and event.is_step:
            self._run_temp(event.time, self._temp.event, own=False)
            return
        self._temp = None
        self._open(Segment(event.time, "scheduled", event.row, event.rate_u_h, schedule=event.schedule))

    def _set_temp(self, event: BasalEvent) -> None:
        if not event.minutes:
            self._cancel(event)
            return
        self._temp = _Temp(event, event.time + timedelta(minutes=event.minutes))
        if not self._suspended:
            self._run_temp(event.time, event, own=True)

    def _cancel(self, event: BasalEvent) -> None:
        if self._temp is None:
            return
        self._temp = None
        if self._suspended:
            return
        self._close(event.time)
        if not self._starts_near(event.time, _AT_END):
            self._restore_schedule(event.time, event.row)

    def _suspend(self, event: BasalEvent) -> None:
        if not self._suspended:
            self._suspended = True
            self._open(Segment(event.time, "suspended", event.row, 0.0, reason=event.reason))

    def _resume(self, event: BasalEvent) -> None:
        if not self._suspended:
            return
        self._suspended = False
        self._close(event.time)
        if event.drops_temp or (self._temp is not None and self._temp.end <= event.time):
            self._temp = None
        if self._starts_near(event.time, _AT_RESUME):
            self._temp = None
            return
        if self._temp is not None:
            self._run_temp(event.time, self._temp.event, own=False, note=FABRICATED, row=event.row)
        else:
            self._restore_schedule(event.time, event.row)

    def _dose(self, event: BasalEvent) -> None:
        """A micro-dose of the closed loop: whatever ran before has ended."""
        self._temp, self._suspended = None, False
        self._close(event.time)

    def _run_temp(
        self, start: datetime, event: BasalEvent, *, own: bool, note: str | None = None, row: Any = None
    ) -> None:
        rate, name = event.rate_u_h, event.schedule
        if event.percent is not None:
            base, name = self._running(start)
            rate = None if base is None else round(base * event.percent / 100, 3)
        segment = Segment(start, "temporary", row or event.row, rate, own=own, percent=event.percent, schedule=name)
        segment.notes += [note] if note else []
        segment.notes += [UNKNOWN_RATE] if rate is None else []
        self._open(segment)

    def _restore_schedule(self, start: datetime, row: Any) -> None:
        rate, name = self._running(start)
        if rate is None:
            return
        self._open(Segment(start, "scheduled", row, rate, own=False, schedule=name, notes=[FABRICATED]))

    def _running(self, at: datetime) -> tuple[float | None, str | None]:
        """The schedule's rate at an instant: as the last start said while it can still run, else by the settings."""
        last = self._scheduled
        if last is not None and self._starts_tell:
            begun = self._schedule(last.time)
            if at < (last.time + _DAY if begun is None else begun.until):
                return last.rate_u_h, last.schedule
        step = self._schedule(at)
        return (None, None) if step is None else (step.rate_u_h, step.schedule)

    def _open(self, segment: Segment) -> None:
        self._close(segment.start)
        self.segments.append(segment)

    def _close(self, at: datetime) -> None:
        """End the last segment here unless it has ended before."""
        if not self.segments:
            return
        last = self.segments[-1]
        end = self._longest(last, at)
        if last.end is None or last.end > end:
            last.end = max(last.start, end)

    def _longest(self, segment: Segment, at: datetime) -> datetime:
        """Where a segment that ends here ends in truth: a schedule never outlasts its next entry or a day."""
        if segment.delivery != "scheduled":
            return at
        step = self._schedule(segment.start)
        limit = segment.start + _DAY
        if step is not None and step.rate_u_h != segment.rate_u_h:
            _once(segment.notes, OFF_SCHEDULE)
        elif step is not None:
            limit = step.until
        if at - limit > _AT_RESUME:
            _once(segment.notes, INFERRED)
            return limit
        return at

    def finish(self, until: datetime) -> None:
        """End what still runs: at the schedule's next entry or the programmed end, else with the file."""
        if not self.segments or self.segments[-1].end is not None:
            return
        last = self.segments[-1]
        step = self._schedule(last.start) if last.delivery == "scheduled" else None
        end = until
        if self._temp is not None and not self._suspended:
            end = self._temp.end
        elif step is not None and step.rate_u_h == last.rate_u_h:
            end = step.until
        last.end = max(last.start, end)
        _once(last.notes, INFERRED)

    def _starts_near(self, at: datetime, within: timedelta) -> bool:
        place = bisect_left(self._starts, at - _AT_RESUME)
        return place < len(self._starts) and self._starts[place] <= at + within


def _once(notes: list[str], code: str) -> None:
    if code not in notes:
        notes.append(code)
