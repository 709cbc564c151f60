"""Basal as it ran: the log's records walked as a state machine into segments without overlap.

New pumps write each scheduled step; of old ones it follows from the schedules. What is not known is no segment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TypeAlias

from bridge.model.time import iso_wall
from bridge.readers.medtronic_stick.fields_events import AlarmFields, BatteryFields, Delivery
from bridge.readers.medtronic_stick.fields_insulin import ScheduledStart, TempDuration, TempRate
from bridge.readers.medtronic_stick.log import Entry
from bridge.readers.medtronic_stick.opcodes import (
    ALARM,
    BATTERY,
    CLEAR_ALARM,
    NEW_CLOCK,
    OLD_CLOCK,
    PATTERN,
    PRIME,
    PROFILE_AFTER,
    RESUME,
    REWIND,
    SCHEDULED,
    SUSPEND,
    TEMP_DURATION,
    TEMP_RATE,
)
from bridge.readers.medtronic_stick.patterns import NAMES, Patterns, Rate
from bridge.readers.medtronic_stick.segments import INFERRED, LONGEST, UNKNOWN_END, Segment, Segments, Temp
from bridge.readers.medtronic_stick.time import Moment

USER, REWOUND, ALARMED = "user", "rewind", "alarm"
_STOPPING_ALARMS = (4, 6)
_DEAD_BATTERY = 3
_ON_LOW_STATES = (2, 3, 4)
_SEEN, _BEGIN, _DARK = "seen", "begin", "dark"
"""What runs is known; not yet, until the schedule's next step; not, until a record tells."""
_AT_ONCE = timedelta(seconds=5)
"""A scheduled step within this of a resume or of the end of a temporary rate belongs to it."""


class Line:
    """The basal line up to one place of the log."""

    def __init__(self, patterns: Patterns | None, new: bool) -> None:
        self._patterns, self._new = patterns, new
        self._out = Segments()
        self._stops: set[str] = set()
        self._scheduled: Rate | None = None
        self._written: tuple[Moment, str] | None = None
        self._temp: Temp | None = None
        self._asked: Entry | None = None
        self._at: Moment | None = None
        self._ordinal = 0
        self._reason: str | None = None
        self._sight = _BEGIN
        self._sure = False

    def walk(self, entries: list[Entry]) -> None:
        """Take in the whole log."""
        for entry in entries:
            if entry.after_gap:
                self._lose_sight()
            if entry.moment is None:
                self._without_date(entry)
                continue
            moment = self._in_order(entry)
            self._advance(moment.time)
            self._at, self._ordinal = moment, entry.ordinal
            handle = _HANDLERS.get(entry.opcode)
            if handle is not None:
                handle(self, entry, moment)
            if self._patterns is not None:
                self._follow(entry, moment)

    def finish(self, now: datetime | None) -> Iterator[Segment]:
        """The segments, oldest first; the last may be open. `now`: UTC of the read, None for a page alone."""
        if now is not None:
            self._advance(now)
        if self._out.open is not None and self._at is not None and self._temp is None:
            self._out.open.planned_end = self._next_step(self._out.open)
        return self._out.finish(now)

    # --- the course of time ------------------------------------------------------------------------

    def _advance(self, time: datetime) -> None:
        """Let temporary rates end and schedules step until then; after days without a word nothing is known."""
        silent = self._at is not None and time - self._at.time > LONGEST
        until = self._at.time + LONGEST if silent and self._at is not None else time
        while (due := self._next_due(until)) is not None:
            moment = self._moment(due)
            if self._temp is not None and self._temp.end <= due:
                self._temp = None
            elif self._sight == _BEGIN:
                self._sight = _SEEN
            if not self._stops and self._sight == _SEEN:
                self._go_on(moment)
            self._at = moment
        if silent and self._patterns is not None and not self._stops:
            self._black_out(self._moment(until), _BEGIN)

    def _next_due(self, time: datetime) -> datetime | None:
        if self._at is None:
            return None
        dues = [self._temp.end] if self._temp is not None else []
        if self._patterns is not None and self._steps_matter():
            step = self._patterns.next_step(self._at.wall)
            if step is not None:
                dues.append(self._at.time + (step - self._at.wall))
        due = min(dues, default=None)
        return due if due is not None and due <= time else None

    def _steps_matter(self) -> bool:
        """A new pump writes its scheduled steps itself, but not those under a percent rate."""
        if self._stops:
            return False
        if self._temp is not None:
            return self._temp.percent is not None
        return not self._new

    def _next_step(self, segment: Segment) -> datetime | None:
        if self._patterns is None or segment.delivery != "scheduled":
            return None
        step = self._patterns.next_step(segment.start.wall)
        return None if step is None else segment.start.time + (step - segment.start.wall)

    def _moment(self, time: datetime) -> Moment:
        """The moment of a time after the last record, on the pump's clock as it runs since then."""
        at = self._at
        if at is None:
            raise TypeError("no time has begun")
        return at._replace(time=time, wall=at.wall + (time - at.time))

    def _in_order(self, entry: Entry) -> Moment:
        """A record's moment, but never before what is already told: some are written late."""
        moment, at = entry.moment, self._at
        if moment is None:
            raise TypeError("only dated entries have a moment")
        if at is None or moment.time >= at.time:
            return moment
        return at if entry.change is None else moment._replace(time=at.time)

    # --- segments -----------------------------------------------------------------------------------

    def _go_on(self, moment: Moment, key: str | None = None) -> None:
        """What runs from here: nothing while something stops it, else the temporary rate, else the schedule."""
        if self._stops:
            self._begin("suspended", moment, key, rate_u_h=0.0, reason=self._reason)
            return
        if self._temp is not None:
            self._run_temp(moment, key)
            return
        rate = self._rate(moment.wall)
        if rate is None:
            self._out.close(moment.time)
        else:
            self._begin("scheduled", moment, key, rate_u_h=rate.u_h, schedule=rate.schedule)

    def _run_temp(self, moment: Moment, key: str | None) -> None:
        temp = self._temp
        if temp is None or (temp.percent is None and temp.rate_u_h is None):
            self._out.close(moment.time)
            return
        rate_u_h, base = temp.rate_u_h, self._rate(moment.wall)
        if temp.percent is not None and base is not None:
            rate_u_h = base.u_h * temp.percent / 100
        self._begin("temporary", moment, key, rate_u_h=rate_u_h, percent=temp.percent)
        if self._out.open is not None:
            self._out.open.planned_end = temp.end

    def _rate(self, wall: datetime) -> Rate | None:
        """The scheduled rate. What the new pump wrote last is right until the next step of its schedule."""
        told = self._patterns.rate_at(wall) if self._patterns is not None else None
        if not self._new or self._scheduled is None:
            return told
        return told if told is not None and self._stepped(wall) else self._scheduled

    def _stepped(self, wall: datetime) -> bool:
        step = self._patterns.next_step(self._written[0].wall) if self._patterns and self._written else None
        return step is not None and step <= wall

    def _begin(
        self,
        delivery: str,
        moment: Moment,
        key: str | None,
        *,
        rate_u_h: float | None = None,
        percent: int | None = None,
        schedule: str | None = None,
        reason: str | None = None,
    ) -> None:
        derived = key is None
        key = key or f"basal:{iso_wall(moment.wall)}:{self._ordinal}"
        self._out.begin(Segment(moment, key, delivery, rate_u_h, percent, schedule, reason, derived))

    # --- records ------------------------------------------------------------------------------------

    def scheduled(self, entry: Entry, moment: Moment) -> None:
        """A scheduled step. While a person or a rewind stops delivery it only says what comes after."""
        fields = entry.fields
        if not isinstance(fields, ScheduledStart):
            return
        name = NAMES[fields.pattern] if fields.pattern < len(NAMES) else f"pattern {fields.pattern}"
        self._scheduled, self._written = Rate(fields.rate_u_h, name), (moment, entry.key)
        self._temp, self._sure, self._sight = None, True, _SEEN
        self._stops.discard(ALARMED)
        if not self._stops:
            self._go_on(moment, entry.key)

    def temp_rate(self, entry: Entry, moment: Moment) -> None:
        """A temporary rate; how long it runs stands in the next record."""
        self._asked = entry

    def temp_duration(self, entry: Entry, moment: Moment) -> None:
        """A temporary rate begins, or is cancelled."""
        asked, self._asked = self._asked, None
        if not isinstance(entry.fields, TempDuration):
            return
        if not entry.fields.duration_min:
            self._cancel(moment)
            return
        rate = asked.fields if asked is not None and asked.record.wall == entry.record.wall else None
        rate_u_h, percent = (rate.rate_u_h, rate.percent) if isinstance(rate, TempRate) else (None, None)
        self._temp = Temp(rate_u_h, percent, moment.time + timedelta(minutes=entry.fields.duration_min))
        self._sight, self._sure = _SEEN, True
        if not self._stops:
            self._go_on(moment, asked.key if asked is not None else None)

    def _cancel(self, moment: Moment) -> None:
        self._temp = None
        if not self._sure:
            self._first_word(moment)
        elif not self._stops and self._sight == _SEEN:
            self._go_on(moment)

    def suspend(self, entry: Entry, moment: Moment) -> None:
        """Delivery is suspended, by a person or at low glucose."""
        low = isinstance(entry.fields, Delivery) and entry.fields.state in _ON_LOW_STATES
        self._stop(USER, entry, moment, "on_low" if low else "user")

    def resume(self, entry: Entry, moment: Moment) -> None:
        """Delivery goes on. A new pump says so again when its state has settled: that is no news."""
        self._start(moment, USER, ALARMED)

    def rewind(self, entry: Entry, moment: Moment) -> None:
        """The reservoir is out: nothing is delivered until the next prime."""
        self._stop(REWOUND, entry, moment, None)

    def prime(self, entry: Entry, moment: Moment) -> None:
        """The tubing or the cannula was filled."""
        self._start(moment, REWOUND, ALARMED)

    def alarm(self, entry: Entry, moment: Moment) -> None:
        """An alarm that stops delivery, or with a battery out too long."""
        if not isinstance(entry.fields, AlarmFields):
            return
        if entry.fields.code in _STOPPING_ALARMS:
            self._stop(ALARMED, entry, moment, "alarm")
            if self._out.open is not None and self._out.open.reason == "alarm":
                self._out.open.note(INFERRED)
        elif entry.fields.code == _DEAD_BATTERY:
            self._black_out(moment, _DARK)

    def clear_alarm(self, entry: Entry, moment: Moment) -> None:
        """A person cleared an alarm."""
        if ALARMED in self._stops:
            self._start(moment, ALARMED)

    def battery(self, entry: Entry, moment: Moment) -> None:
        """Without a battery nothing is known of delivery."""
        if isinstance(entry.fields, BatteryFields) and entry.fields.inserted:
            self._see_again(moment)
        else:
            self._black_out(moment, _DARK)

    def new_clock(self, entry: Entry, moment: Moment) -> None:
        """The clock was set: what runs is told on the new clock from here."""
        if entry.change is not None and self._out.open is not None:
            self._out.split(moment, f"basal:{iso_wall(moment.wall)}:{self._ordinal}")

    def _stop(self, kind: str, entry: Entry, moment: Moment, reason: str | None) -> None:
        begins = not self._stops
        self._stops.add(kind)
        self._sure, self._sight = True, _SEEN
        if begins:
            self._reason = reason
            self._go_on(moment, entry.key)

    def _start(self, moment: Moment, *kinds: str) -> None:
        stopped = bool(self._stops)
        self._stops.difference_update(kinds)
        if self._stops:
            return
        if not self._sure:
            self._first_word(moment)
        elif stopped or self._sight == _DARK:
            self._sight = _SEEN
            written = self._written
            just = written is not None and moment.time - written[0].time <= _AT_ONCE and self._temp is None
            self._go_on(moment, written[1] if just and written else None)

    def _follow(self, entry: Entry, moment: Moment) -> None:
        """Another pattern or profile: an old pump runs it from here."""
        if self._patterns is None or entry.opcode not in (PATTERN, PROFILE_AFTER):
            return
        self._patterns.apply(entry)
        running = self._out.open
        if not self._new and running is not None and (running.delivery == "scheduled" or running.percent is not None):
            self._go_on(moment)

    # --- what is not known --------------------------------------------------------------------------

    def _first_word(self, moment: Moment) -> None:
        """The log's first word ends something that began before it: what was taken to run since then did not."""
        self._out.forget_since_gap()
        self._sure, self._sight = True, _SEEN
        self._go_on(moment)

    def _lose_sight(self) -> None:
        """Pages are missing here, or the clock was lost."""
        self._stops.clear()
        self._temp = self._asked = self._scheduled = self._written = None
        if self._at is not None:
            self._black_out(self._at, _BEGIN)
        self._out.mark_gap()
        self._at, self._sure = None, False

    def _black_out(self, moment: Moment, sight: str) -> None:
        if self._out.open is not None:
            self._out.open.note(UNKNOWN_END)
            self._out.close(moment.time)
        self._sight = sight

    def _see_again(self, moment: Moment) -> None:
        if self._sight == _DARK:
            self._sight = _SEEN
            self._go_on(moment)

    def _without_date(self, entry: Entry) -> None:
        """A record without a true date: most are of a clock that was reset."""
        if self._patterns is not None and entry.opcode in (PATTERN, PROFILE_AFTER):
            self._patterns.apply(entry)
        if entry.opcode in (OLD_CLOCK, NEW_CLOCK, ALARM) and self._at is not None:
            self._lose_sight()
            self._sight = _DARK
        elif entry.opcode in (PRIME, RESUME) and self._sight == _DARK:
            self._sight = _BEGIN


_Handler: TypeAlias = Callable[[Line, Entry, Moment], None]
_HANDLERS: dict[int, _Handler] = {
    SCHEDULED: Line.scheduled,
    TEMP_RATE: Line.temp_rate,
    TEMP_DURATION: Line.temp_duration,
    SUSPEND: Line.suspend,
    RESUME: Line.resume,
    REWIND: Line.rewind,
    PRIME: Line.prime,
    ALARM: Line.alarm,
    CLEAR_ALARM: Line.clear_alarm,
    BATTERY: Line.battery,
    NEW_CLOCK: Line.new_clock,
}
