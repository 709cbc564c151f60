"""The pure decoder: one capture and what was remembered in, records and what to remember out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from bridge.contracts import Decoded, Diagnostic, Memory
from bridge.model.capture import Capture
from bridge.model.health import Health, State
from bridge.model.records import Device
from bridge.readers.medtronic_stick import commands
from bridge.readers.medtronic_stick.basals import Line
from bridge.readers.medtronic_stick.bg import read_bg
from bridge.readers.medtronic_stick.body import Body, read_body
from bridge.readers.medtronic_stick.boluses import read_boluses
from bridge.readers.medtronic_stick.cgm import Stream
from bridge.readers.medtronic_stick.checks import Given, tell_day_totals
from bridge.readers.medtronic_stick.commands import Unit
from bridge.readers.medtronic_stick.events import read_events
from bridge.readers.medtronic_stick.log import Log, place, read_log
from bridge.readers.medtronic_stick.making import NAME, Maker
from bridge.readers.medtronic_stick.ordinals import Ordinals
from bridge.readers.medtronic_stick.patterns import patterns_before
from bridge.readers.medtronic_stick.segments import Segment, make_basals
from bridge.readers.medtronic_stick.settings_record import make_settings
from bridge.readers.medtronic_stick.status_record import make_status
from bridge.readers.medtronic_stick.time import (
    Calendar,
    Moment,
    calendar,
    clock_error,
    is_astray,
    is_unset,
    page_calendar,
)

FEED = "medtronic"
FAMILY = "PARADIGM"
_STATE = "decoder"


@dataclass(slots=True)
class _Pass:
    """One decoding under way. `kept`: what earlier ones remember of this pump."""

    body: Body
    maker: Maker
    kept: Mapping[str, Any]
    diagnostics: list[Diagnostic]
    remembered: dict[str, Any] = field(default_factory=dict)
    understood: bool = True


def decode(capture: Capture, memory: Memory) -> Decoded:
    """Records of a whole read, or of one page, in order of time. Raises Malformed for what is neither.

    A page alone: 1,024 bytes, `context` with `model` ("523"), `glucose` (any text) for a glucose page, `timezone`.
    """
    body = read_body(capture)
    feed = FEED if body.serial is None else f"{FEED}:{body.serial}"
    device = Device(manufacturer="Medtronic", model=body.model.text, serial=body.serial, family=FAMILY)
    now = body.reading.host_utc if body.reading else capture.taken_at
    maker = Maker(capture.profile, feed, device, memory.sightings, now)
    states = memory.state.get(_STATE)
    states = states if isinstance(states, Mapping) else {}
    kept = states.get(body.serial)
    run = _Pass(body, maker, kept if isinstance(kept, Mapping) else {}, body.diagnostics)
    health = _read(run)
    state = dict(memory.state)
    if body.serial is not None:
        state[_STATE] = {**states, body.serial: run.remembered}
    maker.records.sort(key=attrgetter("time", "id"))
    return Decoded(
        maker.records,
        sightings=maker.sightings,
        state=state,
        diagnostics=(*run.diagnostics, *maker.diagnostics),
        health=health,
        understood=run.understood and not maker.diagnostics,
    )


def decode_page(
    page: bytes, model: str, *, glucose: bool, profile: str = "default", timezone: str | None = None, now: datetime
) -> Decoded:
    """Records of one page without its pump, in the given zone and without any correction of the clock."""
    context = {"model": model} | ({"glucose": "1"} if glucose else {}) | ({"timezone": timezone} if timezone else {})
    return decode(Capture(profile, NAME, FEED, now, page, context), Memory())


def _read(run: _Pass) -> Health:
    reading = run.body.reading
    if reading is not None and is_unset(reading):
        run.remembered = dict(run.kept)
        text = "The pump's clock is not set: its records have no true time. Set date and time on the pump."
        return Health(State.named("clock_not_set"), text)
    log, stream = read_log(run.body), Stream(run.body)
    has_changes = bool(log.changes or stream.changes)
    _read_history(run, log, has_changes)
    _read_glucose(run, stream, log, has_changes)
    run.diagnostics += log.diagnostics + stream.diagnostics
    run.understood = run.understood and log.understood and stream.understood
    return _read_present(run)


def _read_history(run: _Pass, log: Log, has_changes: bool) -> None:
    ordinals = Ordinals(run.kept.get("clock"))
    walls = [entry.record.wall for entry in log.entries if entry.record.stamped and entry.record.wall]
    place(log, _calendar(run.body, max(walls, default=None), has_changes), ordinals)
    run.remembered["clock"] = ordinals.dump()
    new, now = run.body.model.new, run.body.reading.host_utc if run.body.reading else None
    unit = run.body.answers.get(commands.BG_UNITS)
    run.remembered["boluses"] = read_boluses(log, run.maker, new, now, run.kept.get("boluses"))
    read_bg(log, run.maker, unit if isinstance(unit, Unit) else None)
    read_events(log, run.maker)
    line = Line(patterns_before(run.body.answers, log.entries), new)
    line.walk(log.entries)
    segments = list(line.finish(now))
    make_basals(run.maker, segments)
    tell_day_totals(log, (_given(segment, now) for segment in segments if segment.end or now))


def _given(segment: Segment, now: datetime | None) -> Given:
    start, end = segment.start, segment.end or now or segment.start.time
    return Given(start.wall, start.wall + (end - start.time), segment.rate_u_h or 0.0)


def _read_glucose(run: _Pass, stream: Stream, log: Log, has_changes: bool) -> None:
    ordinals = Ordinals(run.kept.get("glucose_clock"))
    walls = [record.wall for pages in stream.runs for record, _ in pages if record.wall is not None]
    stream.make(_calendar(run.body, max(walls, default=None), has_changes), run.maker, ordinals)
    run.remembered["glucose_clock"] = ordinals.dump()
    told = [change.delta for change in log.changes]
    strange = [change for change in stream.changes if not any(abs(change.delta - d).seconds <= 60 for d in told)]
    if strange and told:
        text = f"{len(strange)} changes of the clock stand among the glucose only."
        run.diagnostics.append(Diagnostic("clock_changes_differ", text))


def _calendar(body: Body, newest: datetime | None, has_changes: bool) -> Calendar:
    if body.reading is None:
        return page_calendar(body.zone, newest)
    return calendar(body.zone, body.reading, has_changes)


def _read_present(run: _Pass) -> Health:
    """Status and settings at the time of the read, and what is to be said of the pump's clock."""
    reading = run.body.reading
    if reading is None:
        return Health()
    error = clock_error(run.body.zone, reading)
    offset_min = round((reading.wall + error - reading.host_utc.replace(tzinfo=None)).total_seconds() / 60)
    moment = Moment(reading.host_utc.astimezone(UTC), reading.wall, offset_min)
    make_status(run.body.answers, run.maker, moment, run.body.model.new)
    run.remembered["settings"], told = make_settings(run.body.answers, run.maker, moment, run.kept.get("settings"))
    run.diagnostics += told
    if not is_astray(error):
        return Health()
    minutes = round(error.total_seconds() / 60)
    way = "slow" if minutes > 0 else "fast"
    text = f"The pump's clock is {abs(minutes)} min {way}. Set it on the pump; times are corrected meanwhile."
    return Health(State.CLOCK_MISMATCH, text)
