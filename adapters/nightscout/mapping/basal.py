"""The basal line as temp basals: micro-doses and the pauses between them, temps, suspends."""

from __future__ import annotations

from typing import Any

from adapters.nightscout.mapping.frame import Treatment, View
from adapters.preparation import (
    COARSE,
    Result,
    Segment,
    finite,
    is_micro_dose,
    lean,
    micro_dose_minutes,
    micro_dose_rate,
    minutes,
    number,
    skipped,
)
from bridge.contracts import Fate
from bridge.model import Basal, second_id, to_ms

_TEMP_BASAL = "Temp Basal"
_RUNNING_TEMP_MIN = 30
_LOW_SUSPEND_MIN = 120
"""The pump's own limit for a suspend on or before low."""
_OPEN_SUSPEND_MIN = 1440
_SHORTEST_PAUSE_MS = 6 * 60_000
_LONGEST_PAUSE_MS = 180 * 60_000
_LOW_REASONS = ("before_low", "on_low")
_SUSPENDED = {
    "user": "Pump suspended by user",
    "before_low": "Suspended before low",
    "on_low": "Suspended on low",
    "alarm": "Suspended by alarm",
    None: "Pump suspended",
}


def basal(record: Basal, view: View) -> Result:
    """Temp basals; a micro-dose brings the proven pause after it as a second document."""
    segment = view.prepared.segments[record.id]
    if is_micro_dose(record):
        rate = micro_dose_rate(record)
        dose = Treatment(_TEMP_BASAL, _fields(number(micro_dose_minutes(record), COARSE), rate, automatic=True))
        pause = _pause(segment, view)
        return tuple(one.of(record, view) for one in (dose, pause) if one is not None)
    if record.delivery == "scheduled" and view.settings.basal_scheduled == "skip":
        return skipped("scheduled_is_profile")
    fields = _suspend(segment) if record.delivery == "suspended" else _temp(segment)
    return fields if isinstance(fields, Fate) else (Treatment(_TEMP_BASAL, fields).of(record, view),)


def _fields(duration_min: float, rate_u_h: float, *, automatic: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {"duration": duration_min, "absolute": rate_u_h, "rate": rate_u_h}
    return fields | {"automatic": True} if automatic else fields


def _duration(segment: Segment, while_open_min: float) -> float:
    return number(while_open_min, COARSE) if segment.length_ms is None else minutes(segment.length_ms)


def _suspend(segment: Segment) -> dict[str, Any] | Fate:
    reason = segment.record.suspend_reason
    by_pump = reason in _LOW_REASONS
    duration = _duration(segment, _LOW_SUSPEND_MIN if by_pump else _OPEN_SUSPEND_MIN)
    if not duration:
        return skipped("zero_length")
    return _fields(duration, 0, automatic=by_pump) | {"notes": _SUSPENDED[reason]}


def _temp(segment: Segment) -> dict[str, Any] | Fate:
    record = segment.record
    duration = _duration(segment, _programmed_min(record))
    if not duration:
        return skipped("zero_length")
    if record.rate_u_h is not None:
        return _fields(duration, number(record.rate_u_h), automatic=record.delivery == "automatic")
    if record.percent is None:
        return skipped("temp_rate_unknown" if record.delivery == "temporary" else "rate_unknown")
    return _relative(record, duration)


def _relative(record: Basal, duration_min: float) -> dict[str, Any] | Fate:
    change = number((record.percent or 0) - 100)
    automatic = record.delivery == "automatic"
    if change == 0:
        return skipped("temp_is_schedule")
    if change == -100:
        return _fields(duration_min, 0, automatic=automatic)
    return {"duration": duration_min, "percent": change} | lean(automatic=automatic or None)


def _programmed_min(record: Basal) -> float:
    programmed = finite((record.annotation("basal/open") or {}).get("programmed_min"))
    return programmed if programmed and programmed > 0 else _RUNNING_TEMP_MIN


def _pause(segment: Segment, view: View) -> Treatment | None:
    """Zero insulin between two micro-doses, where readings prove that nothing was missed: unknown is not zero."""
    record, following, end_ms = segment.record, segment.following, segment.end_ms
    if following is None or end_ms is None or not is_micro_dose(following):
        return None
    next_ms = to_ms(following.time)
    if not _SHORTEST_PAUSE_MS < next_ms - segment.start_ms <= _LONGEST_PAUSE_MS:
        return None
    length = minutes(max(0, next_ms - end_ms))
    prepared, profile = view.prepared, record.profile
    if not length or prepared.mode_changed(profile, segment.start_ms, next_ms):
        return None
    if not prepared.heard(profile, segment.start_ms, next_ms):
        return None
    return Treatment(_TEMP_BASAL, _fields(length, 0, automatic=True), key=second_id(record.id, "zero"), at_ms=end_ms)
