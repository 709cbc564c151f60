"""Alarms, primes, rewinds, batteries, clock changes and markers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from bridge.model.records import DeviceEvent, Exercise, Note
from bridge.readers.medtronic_stick.fields_events import (
    AlarmFields,
    BatteryFields,
    ClearedAlarm,
    LowReservoir,
    SensorAlarm,
)
from bridge.readers.medtronic_stick.fields_insulin import PrimeFields
from bridge.readers.medtronic_stick.log import Entry, Log
from bridge.readers.medtronic_stick.making import Maker
from bridge.readers.medtronic_stick.opcodes import EXERCISE, LOW_BATTERY, NEW_CLOCK, REWIND

_Body: TypeAlias = dict[str, Any] | None
_OTHER_MARKER = 0x43
_REMOTE = 2

PUMP_ALARMS: dict[int, tuple[str, str]] = {
    3: ("critical", "Battery out too long, insulin delivery stopped"),
    4: ("critical", "No insulin delivery"),
    5: ("critical", "Battery depleted"),
    6: ("critical", "Auto-off, insulin delivery stopped"),
    16: ("critical", "Pump was reset"),
    17: ("critical", "Pump was reset and lost its clock"),
    21: ("critical", "Pump was reset and lost its clock"),
    59: ("high", "Button error"),
    61: ("critical", "Pump must be programmed again"),
    62: ("critical", "Reservoir empty"),
    103: ("critical", "Low glucose, insulin delivery suspended"),
}
"""Severity and text by code; an unknown code is `high` with its number."""
SENSOR_ALARMS: dict[int, tuple[str, str]] = {
    101: ("normal", "High glucose"),
    102: ("high", "Low glucose"),
    104: ("normal", "Meter glucose needed now"),
    105: ("reminder", "Calibration reminder"),
    106: ("normal", "Calibration error"),
    107: ("normal", "Sensor at its end"),
    112: ("low", "Weak sensor signal"),
    113: ("normal", "Sensor signal lost"),
    114: ("normal", "High glucose predicted"),
    115: ("high", "Low glucose predicted"),
}
"""Severity and text by code; an unknown code is `normal` with its number."""
_CALIBRATION_REMINDER = 105


def read_events(log: Log, maker: Maker) -> None:
    """Make the events. An alarm that a person cleared later in the log is `cleared`, else `active`."""
    cleared = _cleared(log)
    for entry in log.entries:
        read = _READERS.get(type(entry.fields)) or _BY_OPCODE.get(entry.opcode)
        if read is None or entry.moment is None:
            continue
        body = read(entry)
        if body is None:
            continue
        if isinstance(entry.fields, AlarmFields):
            body["state"] = "cleared" if id(entry) in cleared else "active"
        maker.make(DeviceEvent, entry.key, entry.moment, body)
    _read_markers(log, maker)


def _cleared(log: Log) -> set[int]:
    """Pump alarms that were cleared."""
    active: dict[int, list[Entry]] = {}
    cleared: set[int] = set()
    for entry in log.entries:
        if isinstance(entry.fields, AlarmFields):
            active.setdefault(entry.fields.code, []).append(entry)
        elif isinstance(entry.fields, ClearedAlarm):
            cleared |= {id(alarm) for alarm in active.pop(entry.fields.code, ())}
    return cleared


def _read_markers(log: Log, maker: Maker) -> None:
    for entry in log.entries:
        if entry.moment is None:
            continue
        if entry.opcode == EXERCISE:
            maker.make(Exercise, entry.key, entry.moment, {})
        elif entry.opcode == _OTHER_MARKER:
            maker.make(Note, entry.key, entry.moment, {"text": "Event marker"})


def _alarm(entry: Entry) -> _Body:
    if not isinstance(entry.fields, AlarmFields):
        return None
    fields = entry.fields
    severity, text = PUMP_ALARMS.get(fields.code, ("high", f"Pump alarm {fields.code}"))
    raw = {"line": fields.line, "module": fields.module}
    return {"event": "alarm", "code": fields.code, "severity": severity, "text": text, "raw": raw}


def _sensor_alarm(entry: Entry) -> _Body:
    if not isinstance(entry.fields, SensorAlarm):
        return None
    fields = entry.fields
    severity, text = SENSOR_ALARMS.get(fields.code, ("normal", f"Sensor alert {fields.code}"))
    event = "calibration_reminder" if fields.code == _CALIBRATION_REMINDER else "alarm"
    raw = {"value": fields.value} if fields.value else None
    return {"event": event, "code": fields.code, "severity": severity, "text": text, "raw": raw}


def _prime(entry: Entry) -> _Body:
    if not isinstance(entry.fields, PrimeFields):
        return None
    fields = entry.fields
    raw = {"fixed_u": fields.fixed_u} if fields.fixed_u else None
    return {"event": "prime", "target": fields.target, "volume_u": fields.delivered_u, "raw": raw}


def _battery(entry: Entry) -> _Body:
    inserted = isinstance(entry.fields, BatteryFields) and entry.fields.inserted
    return {"event": "battery_change"} if inserted else None


def _low_reservoir(entry: Entry) -> _Body:
    if not isinstance(entry.fields, LowReservoir):
        return None
    units = entry.fields.units_left
    text = f"Reservoir low, {units:g} U left"
    return {"event": "alarm", "code": "low_reservoir", "severity": "normal", "text": text, "volume_u": units}


def _low_battery(entry: Entry) -> _Body:
    return {"event": "alarm", "code": "low_battery", "severity": "normal", "text": "Battery low"}


def _rewind(entry: Entry) -> _Body:
    return {"event": "rewind"}


def _new_clock(entry: Entry) -> _Body:
    if entry.change is None:
        return None
    agent = {0: "manual", _REMOTE: "automatic"}.get(entry.record.requestor or 0)
    return {"event": "time_change", "clock_from": entry.change.old, "clock_to": entry.change.new, "agent": agent}


_Read: TypeAlias = Callable[[Entry], _Body]
_READERS: dict[type, _Read] = {
    AlarmFields: _alarm,
    SensorAlarm: _sensor_alarm,
    PrimeFields: _prime,
    BatteryFields: _battery,
    LowReservoir: _low_reservoir,
}
_BY_OPCODE: dict[int, _Read] = {LOW_BATTERY: _low_battery, REWIND: _rewind, NEW_CLOCK: _new_clock}
