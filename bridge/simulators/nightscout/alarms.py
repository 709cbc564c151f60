"""Whether the site's urgent-low alarm sounds, and what keeps it silent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bridge.model import to_ms
from bridge.simulators.nightscout.store import Collection
from bridge.simulators.nightscout.values import Doc, is_number, moment

URGENT_LOW_MGDL = 55
_LOWEST_READING_MGDL = 40
_WINDOW_MS = 10 * 60_000
_AUTOMATIC_PREFIXES = ("openaps://", "loop://")
_HUMAN_TYPES = frozenset(("BG Check", "Meal Bolus", "Carb Correction", "Correction Bolus"))


def urgent_low_fires(collections: Mapping[str, Collection], now: datetime) -> bool:
    """Whether the newest reading sounds the urgent low at `now`: younger than 10 min, low, and not snoozed.

    What a person did within 10 min snoozes it; plain `enteredBy` counts as a person.
    """
    now_ms = to_ms(now)
    reading = _newest(collections["entries"], "sgv", now_ms)
    if reading is None or reading["date"] <= now_ms - _WINDOW_MS:
        return False
    if not _LOWEST_READING_MGDL <= reading["sgv"] < URGENT_LOW_MGDL:
        return False
    return not _snoozed(collections, now_ms)


def _snoozed(collections: Mapping[str, Collection], now_ms: int) -> bool:
    human = [at for at in map(_human_ms, collections["treatments"]) if at is not None and at <= now_ms]
    if not human:
        return False
    meter = _newest(collections["entries"], "mbg", now_ms)
    latest = max(max(human), meter["date"] if meter else 0)
    return latest > now_ms - _WINDOW_MS


def _human_ms(treatment: Doc) -> int | None:
    kind: Any = treatment.get("eventType")
    if kind == "Announcement":
        return None
    automatic = str(treatment.get("enteredBy", "")).startswith(_AUTOMATIC_PREFIXES)
    if automatic and kind not in _HUMAN_TYPES:
        return None
    at = moment(treatment.get("created_at"))
    return at[0] if at else None


def _newest(entries: Collection, kind: str, now_ms: int) -> Doc | None:
    """The newest entry of a type with a value, not lying ahead."""
    for entry in entries.newest_first():
        at = entry.get("date")
        if entry.get("type") == kind and is_number(entry.get(kind)) and is_number(at) and at <= now_ms:
            return entry
    return None
