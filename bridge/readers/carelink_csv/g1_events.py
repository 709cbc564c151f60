"""Single rows of the first generation: glucose, calibrations, alarms, primes, and everything else as it stands."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

from bridge.errors import Malformed
from bridge.model.records import (
    Calibration,
    Carbs,
    DeviceEvent,
    Exercise,
    MeterGlucose,
    Note,
    Record,
    SensorGlucose,
)
from bridge.readers.carelink_csv.clocks import Moment
from bridge.readers.carelink_csv.g1_rows import CHANGES, G1Log, G1Row
from bridge.readers.carelink_csv.making import Draft, Findings
from bridge.readers.carelink_csv.numbers import MMOL

PAIRED = ("BGReceived", "BGCapturedOnPump")
_SAME = timedelta(seconds=5)
_LINKED, _MANUAL = ("paradigm link or b key",), ("paradigm link modified", "pump")
_LIMITS = {"GlucoseSensorDataLow": ("low", 40), "GlucoseSensorDataHigh": ("high", 400)}
_KEPT, _KEPT_OF_MMOL = ("VCNTR", "CAL_TYPE"), ("VCNTR", "CAL_TYPE", "AMOUNT")
_CALIBRATING = {"meter_bg_now": "calibrating", "waiting": "calibrating", "cal_error": "fault", "discard": "fault"}
_TARGETS = {"fixed": "cannula", "manual": "tubing"}
_CRITICAL = frozenset({4, 5, 6, 16, 43, 59, 61})
"""Pump alarms after which no insulin flows."""
_SENSOR_SEVERITY = {101: "high", 102: "high", 105: "reminder", 88: "reminder", 104: "reminder", 112: "low"}
_NUMBERED = re.compile(r"\(\d+\)$")
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

Said = tuple[type[Record], dict[str, Any]]


def read_row(row: G1Row) -> Draft | None:
    """The draft of a row that stands for itself; None when it says nothing. Raises Malformed for a bad value."""
    reader = _READERS.get(row.kind)
    said = reader(row) if reader else _event(row, _event_name(row.kind))
    if said is None:
        return None
    model, body = said
    draft = draft_of(row, model, body)
    if row.kind in _LIMITS:
        side, threshold = _LIMITS[row.kind]
        draft.annotations = ({"code": "bg/out-of-range", "value": side, "threshold_mgdl": threshold},)
    if row.values.flag("BACKFILL_INDICATOR"):
        draft.note("backfilled")
    if model is SensorGlucose:
        kept = _KEPT_OF_MMOL if row.unit == MMOL else _KEPT
        draft.raw = {key: value for key, value in row.values.pairs.items() if key in kept}
    return draft


def draft_of(row: G1Row, model: type[Record], body: Mapping[str, Any]) -> Draft:
    """A draft under the row's own key and moment, with the row's values beside it."""
    return Draft(model, row.moment, row.device, row.key, dict(body), row.line, raw=row.values.pairs)


def _event_name(kind: str) -> str:
    """`ChangeMaxBolus` as `change_max_bolus`."""
    return _WORD.sub("_", kind).lower()


def _event(row: G1Row, event: str, **fields: Any) -> Said:
    return DeviceEvent, {"event": event, **fields}


def _sensor_glucose(row: G1Row) -> Said:
    mgdl = row.mgdl()
    isig = row.values.number("ISIG")
    return SensorGlucose, {"mgdl": mgdl, "isig_na": isig, "quality": "ok" if mgdl else "uncertain"}


def _sensor_cal(row: G1Row) -> Said:
    quality = _CALIBRATING.get(row.values.text("CAL_TYPE"), "uncertain")
    return SensorGlucose, {"isig_na": row.values.number("ISIG"), "quality": quality}


def _sensor_packet(row: G1Row) -> Said:
    if row.values.text("PACKET_TYPE") not in ("init", "pre_init"):
        return _event(row, "sensor_packet")
    return SensorGlucose, {"isig_na": row.values.number("ISIG"), "quality": "warmup"}


def _sensor_error(row: G1Row) -> Said:
    return _event(row, "sensor_stop" if row.values.text("ERROR_TYPE") == "end" else "sensor_error")


def _sensor_sync(row: G1Row) -> Said:
    return _event(row, "sensor_start" if row.values.text("SYNC_TYPE") == "new" else "sensor_sync")


def _calibration(row: G1Row) -> Said:
    return Calibration, {"mgdl": _needed_mgdl(row), "accepted": None}


def _meter(row: G1Row) -> Said:
    requestor = row.values.text("ACTION_REQUESTOR")
    entry = "manual" if requestor in _MANUAL else "linked" if requestor in _LINKED else "meter"
    return MeterGlucose, {"mgdl": _needed_mgdl(row), "entry": entry}


def _received(row: G1Row) -> Said:
    return MeterGlucose, {"mgdl": _needed_mgdl(row), "entry": "linked"}


def _needed_mgdl(row: G1Row) -> int:
    mgdl = row.mgdl()
    if mgdl is None:
        raise Malformed("`AMOUNT` is no glucose")
    return mgdl


def _prime(row: G1Row) -> Said:
    target = _TARGETS.get(row.values.text("PRIME_TYPE"))
    return _event(row, "prime", target=target, volume_u=row.values.needed("AMOUNT"))


def _rewind(row: G1Row) -> Said:
    return _event(row, "rewind")


def _daily_total(row: G1Row) -> Said:
    return _event(row, "daily_insulin_total", volume_u=row.values.needed("AMOUNT"))


def _pump_alarm(row: G1Row) -> Said:
    code = int(row.values.needed("RAW_TYPE"))
    return _alarm(row, code, "critical" if code in _CRITICAL else "high")


def _sensor_alarm(row: G1Row) -> Said:
    code = int(row.values.needed("ALARM_TYPE"))
    return _alarm(row, code, _SENSOR_SEVERITY.get(code, "normal"))


def _alarm(row: G1Row, code: int, severity: str) -> Said:
    text = _NUMBERED.sub("", row.alarm).strip() or f"alarm {code}"
    return _event(row, "alarm", code=code, severity=severity, text=text)


def _cleared(row: G1Row) -> Said:
    code = row.values.number("ALARM_TYPE")
    return _event(row, "alarm_cleared", code=None if code is None else int(code))


def _meal(row: G1Row) -> Said | None:
    amount = row.values.number("CARB_INPUT")
    if not amount:
        return None
    if row.values.text("CARB_UNITS") != "grams":
        return _event(row, "meal_in_exchanges")
    return Carbs, {"grams": amount}


def _exercise(_row: G1Row) -> Said:
    return Exercise, {}


def _other(_row: G1Row) -> Said:
    return Note, {"text": "Other event"}


def _low_reservoir(row: G1Row) -> Said:
    return _event(row, "low_reservoir", volume_u=row.values.number("AMOUNT"))


def _low_battery(row: G1Row) -> Said:
    return _event(row, "low_battery")


def _weak_battery(row: G1Row) -> Said:
    return _event(row, "weak_battery")


_READERS: Mapping[str, Callable[[G1Row], Said | None]] = {
    "GlucoseSensorData": _sensor_glucose,
    "GlucoseSensorDataLow": _sensor_glucose,
    "GlucoseSensorDataHigh": _sensor_glucose,
    "SensorCal": _sensor_cal,
    "SensorPacket": _sensor_packet,
    "SensorError": _sensor_error,
    "SensorSync": _sensor_sync,
    "SensorCalBG": _calibration,
    "BGCapturedOnPump": _meter,
    "BGReceived": _received,
    "Prime": _prime,
    "Rewind": _rewind,
    "ResultDailyTotal": _daily_total,
    "AlarmPump": _pump_alarm,
    "AlarmSensor": _sensor_alarm,
    "ClearAlarm": _cleared,
    "JournalEntryMealMarker": _meal,
    "JournalEntryExerciseMarker": _exercise,
    "JournalEntryOtherMarker": _other,
    "JournalEntryPumpLowReservoir": _low_reservoir,
    "JournalEntryPumpLowBattery": _low_battery,
    "JournalEntryPumpWeakBattery": _weak_battery,
}
"""Row types that have a place of their own in the model; any other is an event under its own name."""


# --- rows that tell one fact twice -----------------------------------------------------------------


def meter_values(rows: Iterable[G1Row], findings: Findings) -> list[Draft]:
    """Finger-sticks: the pump's own row and the radio receipt of one value are one reading; it keeps the meter."""
    received, captured = list[G1Row](), list[G1Row]()
    for row in rows:
        (captured if row.kind == "BGCapturedOnPump" else received).append(row)
    waiting = defaultdict[tuple[str, str | None], list[G1Row]](list)
    for row in received:
        waiting[row.values.text("AMOUNT"), row.device.serial].append(row)
    drafts = []
    for row in captured:
        draft = guarded(row, findings)
        group = waiting[row.values.text("AMOUNT"), row.device.serial]
        twin = min(group, key=lambda other: abs(other.moment.time - row.moment.time), default=None)
        if twin is not None and abs(twin.moment.time - row.moment.time) <= _SAME:
            group.remove(twin)
            if draft is not None:
                draft.raw = {**row.values.pairs, **twin.values.pairs}
        drafts.append(draft)
    alone = [guarded(row, findings) for group in waiting.values() for row in group]
    return [draft for draft in (*drafts, *alone) if draft is not None]


def guarded(row: G1Row, findings: Findings) -> Draft | None:
    """The draft of a row, or None with the reason noted."""
    try:
        return read_row(row)
    except Malformed as why:
        findings.reject(row.line, why.message)
        return None


def clock_changes(log: G1Log, findings: Findings) -> list[Draft]:
    """One event a change; the sensor log's row of the same change tells nothing more."""
    drafts: list[Draft] = []
    rows = [row for row in log.rows if row.kind in CHANGES]
    told = set[tuple[object, str | None]]()
    for row in sorted(rows, key=lambda row: (row.kind != "ChangeTime", row.line)):
        try:
            after = row.values.wall("NEW_TIME")
        except Malformed as why:
            findings.reject(row.line, why.message)
            continue
        if (after, row.device.serial) in told:
            continue
        told.add((after, row.device.serial))
        agent = "manual" if row.values.text("ACTION_REQUESTOR") == "pump" else None
        body = {"event": "time_change", "clock_from": row.wall, "clock_to": after, "agent": agent}
        draft = draft_of(row, DeviceEvent, body)
        draft.moment = _at_change(log, row, draft.moment)
        drafts.append(draft)
    return drafts


def _at_change(log: G1Log, row: G1Row, plain: Moment) -> Moment:
    after = row.values.wall("NEW_TIME")
    known = any(change.after == after for change in log.changes)
    return log.clocks.after(row, after) if known else plain
