"""The pump's therapy settings: as they are now, and what they were before each change in the history."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, TypeAlias

from bridge.model.records import PumpSettings
from bridge.readers.medtronic_600.calculations import ratio_g_u
from bridge.readers.medtronic_600.drafts import Draft, mgdl
from bridge.readers.medtronic_600.history import Event
from bridge.readers.medtronic_600.payloads import (
    BasalPattern,
    BasicParameters,
    CarbRatio,
    Sensitivity,
    Target,
    pattern_name,
)

Content: TypeAlias = dict[str, Any]
"""The fields of a `pump_settings` record."""
_SAME_MGDL = 1.0
"""mg/dL and mmol/L tables of the pump are rounded apart."""
_OLD, _NEW = 0, 1
_PAIRED = {0x52: 0x53, 0x5E: 0x5F, 0x60: 0x61, 0x62: 0x63}


def current_settings(
    patterns: Iterable[BasalPattern],
    active: str | None,
    ratios: Sequence[CarbRatio],
    sensitivities: Sequence[Sensitivity],
    targets: Sequence[Target],
    basic: BasicParameters,
    display_unit: str | None,
) -> Content:
    """What the pump's answers say together; tables that are not in use are None."""
    grams = any(row.g_u for row in ratios)
    ratio_rows = [(row.start_min, row.g_u or None if grams else ratio_g_u(row.u_exchange, 1)) for row in ratios]
    return {
        "basal_schedules": {
            pattern.name: [{"start_min": rate.start_min, "rate_u_h": rate.rate_u_h} for rate in pattern.rates]
            for pattern in patterns
            if pattern.rates
        },
        "active_schedule": active,
        "carb_ratios": [{"start_min": start, "g_u": g_u} for start, g_u in ratio_rows if g_u] or None,
        "isf": [{"start_min": row.start_min, "mgdl_u": row.mgdl} for row in sensitivities if row.mgdl] or None,
        "targets": [row._asdict() for row in targets if row.low_mgdl] or None,
        "dia_min": basic.dia_min,
        "max_bolus_u": basic.max_bolus_u,
        "max_basal_u_h": basic.max_basal_u_h,
        "display_unit": display_unit,
    }


def settings_drafts(
    now: Content, at: tuple[int, int], events: Sequence[Event], known: Mapping[str, Any]
) -> tuple[list[Draft], dict[str, Any]]:
    """A draft for each time that settings became current since the last read, and what to remember.

    `at`: counter and offset of this read, the time of a change that the history does not tell. `known` is what
    was remembered: `hash` current, `counts` by hash, `rtc` of the newest change told.
    """
    since = known.get("rtc", 0)
    versions = _versions(now, [event for event in events if event.rtc > since])
    counts, last, drafts = dict(known.get("counts", {})), known.get("hash"), []
    for changed, content in versions:
        name = _hash(content)
        if name == last:
            continue
        counts[name], last = counts.get(name, 0) + 1, name
        rtc, offset = (changed.rtc, changed.offset) if changed else at
        drafts.append(Draft(PumpSettings, f"{name}:{counts[name]}", rtc, offset, content))
    newest = max((changed.rtc for changed, _ in versions if changed), default=since)
    return drafts, {"hash": last, "counts": counts, "rtc": newest}


def _hash(content: Content) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text.encode()).hexdigest()[:16]


def _versions(now: Content, events: Sequence[Event]) -> list[tuple[Event | None, Content]]:
    """Contents with the event that brought each, oldest first; from now backwards as far as all fits."""
    found: list[tuple[Event | None, Content]] = []
    content = now
    for old, new in reversed(_changes(events)):
        if not _stands(content, new):
            break
        found.insert(0, (new, content))
        content = _set(content, old, _OLD)
    return found or [(None, now)]


def _changes(events: Sequence[Event]) -> list[tuple[Event, Event]]:
    """Old and new of each change; one event may be both."""
    found, waiting = [], dict[int, Event]()
    for event in events:
        if not event.known:
            continue
        if event.type in _PAIRED:
            waiting[_PAIRED[event.type]] = event
        elif event.type in waiting:
            found.append((waiting.pop(event.type), event))
        elif event.type in _SINGLE:
            found.append((event, event))
    return found


def _pattern(content: Content, event: Event, _: int) -> Content:
    name, rates = pattern_name(event["pattern"]), event["segments"]
    others = {key: value for key, value in (content["basal_schedules"] or {}).items() if key != name}
    return {"basal_schedules": {**others, name: rates} if rates else others}


def _isf(_: Content, event: Event, __: int) -> Content:
    rows = [(row["start_min"], mgdl(row["isf"], event["units"])) for row in event["segments"]]
    return {"isf": [{"start_min": start, "mgdl_u": value} for start, value in rows if value] or None}


def _ratios(_: Content, event: Event, __: int) -> Content:
    rows = [(row["start_min"], ratio_g_u(row["ratio"], event["units"])) for row in event["segments"]]
    return {"carb_ratios": [{"start_min": start, "g_u": value} for start, value in rows if value] or None}


def _targets(_: Content, event: Event, __: int) -> Content:
    unit = event["units"]
    rows = [
        {"start_min": row["start_min"], "low_mgdl": mgdl(row["low"], unit), "high_mgdl": mgdl(row["high"], unit)}
        for row in event["segments"]
    ]
    return {"targets": [row for row in rows if row["low_mgdl"]] or None}


def _one(field: str, old: str, new: str) -> _Change:
    return lambda _, event, which: {field: event[(old, new)[which]]}


def _active(_: Content, event: Event, which: int) -> Content:
    return {"active_schedule": pattern_name(event[("old", "new")[which]])}


_Change: TypeAlias = Callable[[Content, Event, int], Content]
_SINGLE: Mapping[int, _Change] = {
    0x1C: _active,
    0x58: _one("max_basal_u_h", "old_u_h", "new_u_h"),
    0x59: _one("max_bolus_u", "old_u", "new_u"),
    0x5D: _one("dia_min", "old_dia_min", "new_dia_min"),
}
_TABLES: Mapping[int, _Change] = {0x53: _pattern, 0x5F: _isf, 0x61: _ratios, 0x63: _targets}
_FIELDS: Mapping[int, _Change] = {
    **_SINGLE, **_TABLES, **{old: _TABLES[new] for old, new in _PAIRED.items()},
}  # fmt: skip


def _set(content: Content, event: Event, which: int) -> Content:
    return {**content, **_FIELDS[event.type](content, event, which)}


def _stands(content: Content, event: Event) -> bool:
    """Whether what an event says was set is what the later settings show."""
    return _alike(content, _set(content, event, _NEW))


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) <= (_SAME_MGDL if one >= 20 else 0.01)
    return bool(one == other)
