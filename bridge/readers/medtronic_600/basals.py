"""The basal line: what ran when. Starts and ends are counter values, so a set clock changes no length.

Marks (schedule entries, temps, suspensions, closed loop) are walked in order; a segment lasts until a mark changes
what runs. A segment is known by the event that began it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from bridge.model.records import Basal
from bridge.readers.medtronic_600.boluses import is_micro
from bridge.readers.medtronic_600.drafts import Draft, draft
from bridge.readers.medtronic_600.history import Event
from bridge.readers.medtronic_600.payloads import pattern_name

SEGMENT, TEMP, TEMP_DONE, STOPPED, RESTARTED, TRANSITION = 0x1D, 0x1B, 0x22, 0x1E, 0x1F, 0xDF
TYPES = (SEGMENT, TEMP, TEMP_DONE, STOPPED, RESTARTED, TRANSITION)
DOSE_S = 300
_DOSES_PER_HOUR = 12
_PAUSE_S = 360
"""Doses further apart than this had nothing between them."""
_REPEAT_S = 120
"""Within this after a temp the pump names again the entry that ran before."""
_PERCENT = 1
_REASONS = {1: "alarm", 2: "user", 4: "on_low", 5: "user", 10: "before_low"}


class _Mark(NamedTuple):
    rtc: int
    order: int
    what: str
    event: Event
    closes: Event | None = None
    """The later event that says this."""


class _Runs(NamedTuple):
    """What runs: two equal ones are one segment."""

    delivery: str
    rate_u_h: float | None
    percent: int | None = None
    schedule: str | None = None
    entry: int = 0
    """Counter of the schedule entry: each makes its own segment."""


@dataclass(slots=True)
class Basals:
    """What a stretch of history says. `orphans`: ends near its start whose beginning lies before it."""

    drafts: list[Draft] = field(default_factory=list)
    orphans: list[Event] = field(default_factory=list)


def basals(events: Sequence[Event], *, reaches_now: bool) -> Basals:
    """All segments and micro-doses of a stretch; the last segment is open."""
    known = [event for event in events if event.known and (event.type in TYPES or is_micro(event))]
    temps, unpaired = _temps(known)
    line = _Line()
    for mark in sorted([*_marks(known), *temps, *_pauses(known)], key=lambda mark: mark[:2]):
        line.take(mark)
    line.end(reaches_now=reaches_now)
    for done in unpaired:
        line.forget(done.rtc - _minutes(done) * 60, done.rtc)
    return Basals(line.drafts, [*unpaired, *line.orphans])


def _marks(events: Sequence[Event]) -> list[_Mark]:
    names = {SEGMENT: "entry", STOPPED: "stop", RESTARTED: "restart", TRANSITION: "loop"}
    return [
        _Mark(event.rtc, 2, "dose" if is_micro(event) else names[event.type], event)
        for event in events
        if event.type not in (TEMP, TEMP_DONE)
    ]


def _temps(events: Sequence[Event]) -> tuple[list[_Mark], list[Event]]:
    """Beginnings and ends of temps, and ends without a beginning."""
    marks, unpaired, running = list[_Mark](), list[Event](), None
    for event in events:
        if event.type == TEMP:
            if running is not None:
                marks.append(_Mark(event.rtc, 0, "temp_end", event))
            running = event
            marks.append(_Mark(event.rtc, 1, "temp", event))
        elif event.type == TEMP_DONE and running is None:
            unpaired.append(event)
        elif event.type == TEMP_DONE and running is not None:
            end = _temp_end(running, event)
            marks = [mark for mark in marks if mark.event is not running]
            marks += [_Mark(running.rtc, 1, "temp", running, event), _Mark(end, 0, "temp_end", event)]
            running = None
    return marks, unpaired


def _temp_end(began: Event, done: Event) -> int:
    """By its length in minutes: the end itself is stamped on the whole minute."""
    if done["actual_minutes"] is None and done["canceled"]:
        return done.rtc
    return began.rtc + _minutes(done) * 60


def _minutes(done: Event) -> int:
    actual = done["actual_minutes"]
    return int(done["prog_minutes"] if actual is None else actual)


def _pauses(events: Sequence[Event]) -> list[_Mark]:
    """Ends of micro-doses that no other dose followed in time; the last one's is not known yet."""
    doses = [event for event in events if is_micro(event)]
    return [
        _Mark(dose.rtc + DOSE_S, 2, "pause", dose, following)
        for dose, following in pairwise(doses)
        if following.rtc - dose.rtc > _PAUSE_S
    ]


class _Line:
    """The pump's delivery as the marks go by."""

    def __init__(self) -> None:
        self.drafts: list[Draft] = []
        self.orphans: list[Event] = []
        self._entry: Event | None = None
        self._temp: Event | None = None
        self._stopped: Event | None = None
        self._loop = self._pause = False
        self._temp_ended = -_REPEAT_S
        self._open: tuple[_Runs, Draft] | None = None

    def take(self, mark: _Mark) -> None:
        """One mark: change what runs, then begin a segment if it differs."""
        getattr(self, f"_on_{mark.what}")(mark)
        self._go_on(mark)

    def end(self, *, reaches_now: bool) -> None:
        """The stretch ends: a temp that runs says how long it was meant to."""
        if self._open is not None and reaches_now and self._open[0].delivery == "temporary" and self._temp:
            self._open[1].note("basal/open", programmed_min=self._temp["prog_minutes"])

    def forget(self, start: int, end: int) -> None:
        """Drop what was thought to run under a temp whose rate nobody knows."""
        kept = []
        for made in self.drafts:
            if made.body.get("dose_u") is not None or made.body["delivery"] == "suspended" or made.rtc >= end:
                kept.append(made)
            elif made.rtc < start:
                _cut(made, start)
                kept.append(made)
        self.drafts = kept

    def _on_entry(self, mark: _Mark) -> None:
        old = self._entry
        repeated = old is not None and all(
            old[name] == mark.event[name] for name in ("pattern", "segment", "rate_u_h")
        )
        if not (repeated and mark.rtc - self._temp_ended <= _REPEAT_S):
            self._entry = mark.event

    def _on_temp(self, mark: _Mark) -> None:
        self._temp = mark.event

    def _on_temp_end(self, mark: _Mark) -> None:
        self._temp, self._temp_ended = None, mark.rtc

    def _on_stop(self, mark: _Mark) -> None:
        self._stopped = mark.event

    def _on_restart(self, mark: _Mark) -> None:
        if self._stopped is None:
            self.orphans.append(mark.event)
        self._stopped = None

    def _on_loop(self, mark: _Mark) -> None:
        """Leaving or entering, the schedule's place is not known until its next entry."""
        self._loop = self._pause = bool(mark.event["into_auto"])
        self._entry = None

    def _on_dose(self, mark: _Mark) -> None:
        self._loop, self._pause = True, False
        dose_u = mark.event["delivered_u"]
        body = {"delivery": "automatic", "dose_u": dose_u, "rate_u_h": dose_u * _DOSES_PER_HOUR}
        self.drafts.append(draft(Basal, mark.event, **body, duration_min=DOSE_S / 60))

    def _on_pause(self, _: _Mark) -> None:
        self._pause = self._loop

    def _runs(self) -> _Runs | None:
        if self._stopped is not None:
            return _Runs("suspended", 0.0)
        if self._loop:
            return _Runs("automatic", 0.0) if self._pause else None
        if self._temp is not None:
            return self._temporary(self._temp)
        if self._entry is None:
            return None
        entry = self._entry
        return _Runs("scheduled", entry["rate_u_h"], schedule=pattern_name(entry["pattern"]), entry=entry.rtc)

    def _temporary(self, temp: Event) -> _Runs:
        name = pattern_name(self._entry["pattern"]) if self._entry else None
        if temp["kind"] != _PERCENT:
            return _Runs("temporary", temp["rate_u_h"], schedule=name)
        rate = round(self._entry["rate_u_h"] * temp["percent"] / 100, 4) if self._entry else None
        return _Runs("temporary", rate, temp["percent"], name)

    def _go_on(self, mark: _Mark) -> None:
        """Close the segment that a mark ends and begin the next; a pause ends with the dose that follows."""
        runs = self._runs()
        if self._open is not None and self._open[0] == runs:
            return
        if self._open is not None:
            _cut(self._open[1], mark.rtc, mark.event)
        self._open = None if runs is None else (runs, self._begin(runs, mark))

    def _begin(self, runs: _Runs, mark: _Mark) -> Draft:
        nth = 2 if mark.what == "pause" else 1
        made = draft(Basal, mark.event, mark.closes, nth=nth, delivery=runs.delivery, rate_u_h=runs.rate_u_h)
        made.rtc = mark.rtc
        made.body |= {"percent": runs.percent, "schedule": runs.schedule}
        if runs.delivery == "suspended" and self._stopped is not None:
            made.body["suspend_reason"] = _REASONS.get(self._stopped["reason"])
            made.raw["reason"] = self._stopped["reason"]
        if runs.rate_u_h is None:
            made.note("basal/unknown-rate")
        self.drafts.append(made)
        return made


def _cut(made: Draft, rtc: int, *because: Event) -> None:
    """End a segment; one that never ran is dropped later by its length of 0."""
    made.body["duration_min"] = (rtc - made.rtc) / 60
    made.events = (*made.events, *because)


def lengths(drafts: Sequence[Draft]) -> list[Draft]:
    """Without the segments that began and ended in the same second."""
    return [made for made in drafts if made.body.get("duration_min") != 0]


def open_events(events: Sequence[Event]) -> list[Event]:
    """The events whose effect lasts beyond the end of a stretch: they are partners for the next read."""
    last: dict[str, Event] = {}
    for event in events:
        if event.known:
            _settle(last, event)
    return list(last.values())


_OPENS: dict[int, str] = {SEGMENT: "entry", TEMP: "temp", STOPPED: "stop", TRANSITION: "loop"}
_CLOSES: dict[int, str] = {TEMP_DONE: "temp", RESTARTED: "stop"}


def _settle(last: dict[str, Any], event: Event) -> None:
    if event.type in _OPENS:
        last[_OPENS[event.type]] = event
    elif event.type in _CLOSES:
        last.pop(_CLOSES[event.type], None)
