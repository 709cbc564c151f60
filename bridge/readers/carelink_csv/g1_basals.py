"""Basal delivery of the first generation: log rows and schedules become the basal line."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bridge.errors import Malformed
from bridge.model.records import Basal
from bridge.readers.carelink_csv.basals import BasalEvent, Segment, Step, segments
from bridge.readers.carelink_csv.clocks import Moment, UploadKey
from bridge.readers.carelink_csv.g1_rows import G1Row
from bridge.readers.carelink_csv.g1_settings import State
from bridge.readers.carelink_csv.making import Draft, Findings, canonical, digest

START, TEMP_RATE, TEMP_PERCENT = "BasalProfileStart", "ChangeTempBasal", "ChangeTempBasalPercent"
SUSPENSION = "ChangeSuspendState"
BASAL_TYPES = (START, TEMP_RATE, TEMP_PERCENT, SUSPENSION)
FROM_SCHEDULE = "basal/fabricated-from-schedule"
_SILENT = timedelta(days=3)
"""A pump in use writes something at least this often."""
_DAY, _MINUTE = timedelta(days=1), timedelta(minutes=1)
_SUSPENDS = {
    "user_suspend": "user",
    "low_suspend_mode_1": "on_low",
    "low_suspend_no_response": "on_low",
    "low_suspend_user_selected": "on_low",
    "alarm_suspend": "alarm",
}
_RESUMES = ("normal_pumping", "user_restart_basal", "auto_resume_complete", "auto_resume_reduced")
_DROPS_TEMP = "auto_resume_reduced"


class Schedules:
    """Which rate the schedules of a pump have at an instant, by the settings that were valid then."""

    def __init__(self, states: Sequence[State]) -> None:
        self._states = states
        self._times = [state.moment.time for state in states]

    def state(self, instant: datetime) -> State | None:
        """The settings in force."""
        place = bisect_right(self._times, instant)
        return self._states[place - 1] if place else None

    def next_change(self, instant: datetime) -> datetime | None:
        """When the settings are confirmed or change next."""
        place = bisect_right(self._times, instant)
        return self._times[place] if place < len(self._times) else None

    def at(self, instant: datetime) -> Step | None:
        """The rate, and the instant of the next entry; None when the settings are not known."""
        state = self.state(instant)
        if state is None or state.moment.offset_min is None:
            return None
        name = state.settings.active_schedule or ""
        entries = state.settings.basal_schedules.get(name)
        return _step(entries, name, instant, timedelta(minutes=state.moment.offset_min)) if entries else None


def _step(entries: Sequence[Mapping[str, Any]], name: str, instant: datetime, offset: timedelta) -> Step:
    wall = instant + offset
    midnight = wall.replace(hour=0, minute=0, second=0, microsecond=0)
    minute = (wall - midnight) / _MINUTE
    running = next((entry for entry in reversed(entries) if entry["start_min"] <= minute), entries[-1])
    later = next((entry["start_min"] for entry in entries if entry["start_min"] > minute), None)
    until = midnight + (_DAY if later is None else timedelta(minutes=later))
    return Step(running["rate_u_h"], until - offset, name)


def basal_drafts(rows: Iterable[G1Row], states: Sequence[State], findings: Findings) -> list[Draft]:
    """Drafts of one pump's basal segments; `rows` is its whole log."""
    log = sorted((row for row in rows if row.stream == "pump"), key=_in_time)
    ordered = [row for row in log if row.kind in BASAL_TYPES]
    events = [event for row in ordered if (event := _guarded(row, findings)) is not None]
    schedules = Schedules(states)
    fabricated = not any(event.kind == "start" for event in events)
    if not log:
        return []
    if fabricated and states:
        times = [row.moment.time for row in log]
        events = sorted([*events, *_from_schedule(schedules, times)], key=_after_its_cause)
    found = segments(events, log[-1].moment.time, schedules.at, starts_tell=True)
    return [_draft(segment) for segment in found]


def _in_time(row: G1Row) -> tuple[datetime, UploadKey, int]:
    return row.moment.time, row.upload, row.order


def _after_its_cause(event: BasalEvent) -> tuple[datetime, bool]:
    return event.time, event.kind == "start"


def _guarded(row: G1Row, findings: Findings) -> BasalEvent | None:
    try:
        return _event(row)
    except Malformed as why:
        findings.reject(row.line, why.message)
        return None


def _event(row: G1Row) -> BasalEvent:
    values, time = row.values, row.moment.time
    if row.kind == START:
        at = values.number("START_TIME")
        of_day = timedelta(hours=row.wall.hour, minutes=row.wall.minute, seconds=row.wall.second)
        is_step = at is not None and at == of_day / timedelta(milliseconds=1)
        name = values.text("PATTERN_NAME") or None
        return BasalEvent(time, "start", row, values.needed("RATE"), schedule=name, is_step=is_step)
    if row.kind == TEMP_RATE:
        return BasalEvent(time, "temp", row, values.needed("RATE"), minutes=values.minutes("DURATION"))
    if row.kind == TEMP_PERCENT:
        percent = values.needed("PERCENT_OF_RATE")
        return BasalEvent(time, "temp", row, percent=percent, minutes=values.minutes("DURATION"))
    return _suspension(row)


def _suspension(row: G1Row) -> BasalEvent:
    state = row.values.text("STATE")
    if state in _SUSPENDS:
        return BasalEvent(row.moment.time, "suspend", row, reason=_SUSPENDS[state])
    if state in _RESUMES:
        return BasalEvent(row.moment.time, "resume", row, drops_temp=state == _DROPS_TEMP)
    raise Malformed("`STATE` is not one that is known")


def _from_schedule(schedules: Schedules, times: Sequence[datetime]) -> Iterator[BasalEvent]:
    """Starts of schedule entries for pumps that do not write them, while the log shows that the pump was in use."""
    at = times[0]
    while at < times[-1]:
        heard = times[bisect_right(times, at)]
        state, step = schedules.state(at), schedules.at(at)
        if heard - at > _SILENT:
            at = heard
            continue
        following = min(schedules.next_change(at) or heard, heard)
        if state is not None and step is not None:
            yield BasalEvent(at, "start", state.row, step.rate_u_h, schedule=step.schedule, is_step=True)
            following = min(step.until, schedules.next_change(at) or step.until)
        at = following


def _draft(segment: Segment) -> Draft:
    """The draft of a segment: under its row's key where it began with one, else under its own content."""
    row: G1Row = segment.row
    body = segment.body()
    notes = list(segment.notes)
    if segment.own and row.kind in BASAL_TYPES:
        return Draft(Basal, row.moment, row.device, row.key, dict(body), row.line, _codes(notes), row.values.pairs)
    if segment.own:
        notes.append(FROM_SCHEDULE)
    wall = row.moment.wall + (segment.start - row.moment.time)
    moment = Moment(segment.start, wall, row.moment.offset_min, row.moment.uncertain)
    content = digest(canonical([body["delivery"], segment.percent, segment.rate_u_h, segment.schedule]), 12)
    key = f"Basal:{wall.isoformat()}:{content}"
    return Draft(Basal, moment, row.device, key, dict(body), row.line, _codes(notes))


def _codes(notes: Iterable[str]) -> tuple[dict[str, Any], ...]:
    return tuple({"code": code} for code in notes)
