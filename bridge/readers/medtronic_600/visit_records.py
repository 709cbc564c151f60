"""A visit: history, status and settings together, and what is remembered for the next one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from bridge.contracts import Memory
from bridge.model.health import Health, State
from bridge.readers.medtronic_600 import payloads
from bridge.readers.medtronic_600.alarms import open_alarms
from bridge.readers.medtronic_600.clock import Clock, LiveClock, wall
from bridge.readers.medtronic_600.conversation import Conversation
from bridge.readers.medtronic_600.doubts import Doubts
from bridge.readers.medtronic_600.drafts import Draft
from bridge.readers.medtronic_600.glucose import readings
from bridge.readers.medtronic_600.history import Event
from bridge.readers.medtronic_600.payloads import PumpTime
from bridge.readers.medtronic_600.reconstruction import Told, rebuild
from bridge.readers.medtronic_600.settings_record import Content, current_settings, settings_drafts
from bridge.readers.medtronic_600.status_record import Status, alarm_of, read_status, status_draft, status_reading
from bridge.readers.medtronic_600.stretches import Carried, carry, remembered

REMEMBERED = "decoded"
"""Key of the decoder's part of the reader's state, by pump serial."""
_PATTERNS = range(1, 9)
_CLOCK_OFF = timedelta(minutes=10)


@dataclass(slots=True)
class Visited:
    """What a capture says before it becomes records."""

    drafts: list[Draft]
    clock: Clock
    state: Mapping[str, Any]
    health: Health = field(default_factory=Health)


def visited(
    said: Conversation,
    host_utc: datetime,
    time: PumpTime,
    told: Told,
    memory: Memory,
    zone: ZoneInfo | None,
    doubts: Doubts,
) -> Visited:
    """All drafts of a visit. `host_utc`, the instant of the time answer, is what every other is measured from."""
    own = remembered(memory.state.get(REMEMBERED), said.pump)
    carried, auto = Carried.restore(own.get("carried")), _auto(told, own)
    answers = dict(said.answers)
    status = doubts.answer(answers, "013c", read_status)
    rebuilt = rebuild(told, carried, time.rtc, status.running if status else None, doubts, defer=True)
    waiting = carry(rebuilt.last, carried, rebuilt.orphans, time.rtc)
    drafts = [*rebuilt.drafts, *readings(told.readings, status_reading(status) if status else None)]
    if status is not None:
        drafts += _now(status, time, auto, waiting)
    told_settings, settings = _settings(answers, status, time, told.others, own, doubts)
    kept = {"carried": waiting.dump(), "auto": auto, **settings}
    clock = LiveClock(host_utc, time.rtc)
    before = memory.state.get(REMEMBERED)
    pumps = {**(before if isinstance(before, Mapping) else {}), said.pump: kept}
    state = {**memory.state, REMEMBERED: pumps}
    return Visited([*drafts, *told_settings], clock, state, _health(host_utc, time, zone, doubts))


def _auto(told: Told, own: Mapping[str, Any]) -> bool | None:
    """Whether the closed loop ran at the newest event; None while no event was ever read."""
    newest = max((*told.others, *told.readings), key=lambda event: event.rtc, default=None)
    known = own.get("auto")
    return newest.auto_mode if newest is not None else known if isinstance(known, bool) else None


def _now(status: Status, time: PumpTime, auto: bool | None, waiting: Carried) -> list[Draft]:
    """The picture, and the alarm it shows unless the history has told of it."""
    told = {event["fault"] for event in open_alarms([*waiting.open, *waiting.tail])}
    alarm = alarm_of(status)
    picture = status_draft(status, time, auto)
    return [picture] if alarm is None or alarm.body["code"] in told else [picture, alarm]


def _settings(
    answers: dict[str, bytes],
    status: Status | None,
    time: PumpTime,
    events: Sequence[Event],
    own: Mapping[str, Any],
    doubts: Doubts,
) -> tuple[list[Draft], dict[str, Any]]:
    """Settings that became current, and what to remember of them. Half an answer makes no record."""
    device = doubts.answer(answers, "0201", payloads.read_characteristics)
    unit = device.display_unit if device else own.get("unit")
    known = own.get("settings") if isinstance(own.get("settings"), Mapping) else {}
    content = _content(answers, status, unit, doubts)
    if content is None:
        return [], {"unit": unit, "settings": known}
    ordered = sorted(events, key=lambda event: event.rtc)
    drafts, kept = settings_drafts(content, (time.rtc, time.offset), ordered, known or {})
    return drafts, {"unit": unit, "settings": kept}


def _content(answers: dict[str, bytes], status: Status | None, unit: str | None, doubts: Doubts) -> Content | None:
    patterns = [doubts.answer(answers, f"0123:{number}", payloads.read_basal_pattern) for number in _PATTERNS]
    ratios = doubts.answer(answers, "012c", payloads.read_carb_ratios)
    sensitivities = doubts.answer(answers, "012f", payloads.read_sensitivities)
    targets = doubts.answer(answers, "0132", payloads.read_targets)
    basic = doubts.answer(answers, "0139", payloads.read_basic_parameters)
    complete = [pattern for pattern in patterns if pattern is not None]
    if len(complete) < len(_PATTERNS) or ratios is None or sensitivities is None or targets is None or basic is None:
        return None
    active = status.pattern_name if status else None
    return current_settings(complete, active, ratios, sensitivities, targets, basic, unit) if active else None


def _health(host_utc: datetime, time: PumpTime, zone: ZoneInfo | None, doubts: Doubts) -> Health:
    if doubts.damaged:
        return Health(State.MALFORMED, "A part of the pump's history arrived damaged. It is read again.")
    if zone is not None:
        local = host_utc.astimezone(zone).replace(tzinfo=None)
        if abs(wall(time.rtc, time.offset) - local) > _CLOCK_OFF:
            text = "The pump's clock is more than ten minutes off. Set the pump's time and date."
            return Health(State.CLOCK_MISMATCH, text)
    return Health()
