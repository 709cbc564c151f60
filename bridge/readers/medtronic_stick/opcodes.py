"""The history's opcodes: what each record is called, how long it is, where its date stands, who reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from bridge.readers.medtronic_stick import fields_events as ev
from bridge.readers.medtronic_stick import fields_insulin as ins
from bridge.readers.medtronic_stick import fields_setup as setup
from bridge.readers.medtronic_stick.model import PumpModel

Fields: TypeAlias = tuple[object, ...] | None
"""A NamedTuple of the record's kind, None for a record whose body is of no use here."""
Parse: TypeAlias = Callable[[bytes, bool], Fields]

BOLUS, PRIME, ALARM, DAY_TOTAL = 0x01, 0x03, 0x06, 0x07
PROFILE_BEFORE, PROFILE_AFTER, BG, SENSOR_ALARM, CLEAR_ALARM = 0x08, 0x09, 0x0A, 0x0B, 0x0C
PATTERN, TEMP_DURATION, OLD_CLOCK, NEW_CLOCK, LOW_BATTERY, BATTERY = 0x14, 0x16, 0x17, 0x18, 0x19, 0x1A
SUSPEND, RESUME, REWIND, WIZARD_12, TEMP_RATE, LOW_RESERVOIR = 0x1E, 0x1F, 0x21, 0x2F, 0x33, 0x34
METER_BG_15, METER_BG, MEAL, EXERCISE, INSULIN = 0x39, 0x3F, 0x40, 0x41, 0x42
WIZARD, DAY_DETAILS, SCHEDULED = 0x5B, (0x6C, 0x6D, 0x6E), 0x7B

BY_SECOND_BYTE, ALERT_ROWS = -1, -2
"""Lengths that the record itself tells: its second byte, or three bytes for each row named by it."""
_NO_DATE, _AT_2 = 0, 2
_51 = 51
_SETUP_51 = 41


@dataclass(frozen=True, slots=True)
class Opcode:
    """One record's form. `dated_at`: place of the five-byte date, 0 for none; `day_at`: of a two-byte one."""

    name: str
    length: int
    dated_at: int
    day_at: int
    parse: Parse | None


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    old: int | None
    new: int | None
    parse: Parse | None = None
    dated_at: tuple[int, int] = (_AT_2, _AT_2)
    day_at: int = 0


def _same(name: str, length: int, parse: Parse | None = None, at: int = _AT_2) -> _Row:
    return _Row(name, length, length, parse, (at, at))


def _day(name: str, length: tuple[int, int], parse: Parse, at: int) -> _Row:
    return _Row(name, *length, parse, (_NO_DATE, _NO_DATE), at)


_ROWS = {
    BOLUS: _Row("bolus", 9, 13, ins.bolus, (4, 8)),
    PRIME: _same("prime", 10, ins.prime, 5),
    ALARM: _same("alarm", 9, ev.alarm, 4),
    DAY_TOTAL: _day("day_total", (7, 10), ev.day_total, 5),
    PROFILE_BEFORE: _same("profile_before", 152, ins.profile_change),
    PROFILE_AFTER: _same("profile_after", 152, ins.profile_change),
    BG: _same("bg", 7, ev.bg),
    SENSOR_ALARM: _same("sensor_alarm", 8, ev.sensor_alarm, 3),
    CLEAR_ALARM: _same("clear_alarm", 7, ev.cleared_alarm),
    PATTERN: _same("select_pattern", 7, ins.pattern_change),
    TEMP_DURATION: _same("temp_duration", 7, ins.temp_duration),
    OLD_CLOCK: _same("old_clock", 7),
    NEW_CLOCK: _same("new_clock", 7),
    LOW_BATTERY: _same("low_battery", 7),
    BATTERY: _same("battery", 7, ev.battery),
    0x1B: _same("auto_off", 7),
    0x1C: _same("insulin_change", 7),
    SUSPEND: _same("suspend", 7, ev.delivery),
    RESUME: _same("resume", 7, ev.delivery),
    0x20: _same("self_test", 7),
    REWIND: _same("rewind", 7),
    0x22: _same("clear_settings", 7),
    0x23: _same("child_block", 7),
    0x24: _same("max_bolus", 7, setup.max_bolus),
    0x25: _same("max_basal_old", 7),
    0x26: _same("remote_ids", 21),
    0x27: _same("remote_id_change", 7),
    0x29: _same("remote_code", 21),
    0x2C: _same("max_basal", 7, setup.max_basal),
    0x2D: _same("wizard_enabled", 7),
    0x2E: _Row("wizard_setup_12", 107, None),
    WIZARD_12: _Row("wizard_12", 19, None, ins.wizard_12),
    0x30: _Row("unabsorbed_12", BY_SECOND_BYTE, None, ins.unabsorbed, (_NO_DATE, _NO_DATE)),
    0x31: _same("bg_reminder", 7),
    0x32: _same("alarm_clock_time", 7),
    TEMP_RATE: _same("temp_rate", 8, ins.temp_rate),
    LOW_RESERVOIR: _same("low_reservoir", 7, ev.low_reservoir),
    0x35: _same("alarm_clock", 7),
    0x36: _same("meter_ids", 21),
    METER_BG_15: _Row("meter_bg", 10, None, ev.meter_bg),
    0x3A: _same("insulin_change_confirmed", 7),
    0x3B: _same("sensor_status", 7),
    0x3C: _same("linked_meter_ids", 21),
    METER_BG: _same("meter_bg", 10, ev.meter_bg),
    MEAL: _same("meal", 9, ev.meal),
    EXERCISE: _same("exercise", 8),
    INSULIN: _same("insulin", 8, ev.insulin_marker),
    0x43: _same("other_marker", 7),
    0x44: _same("sensor_auto_calibration", 7),
    0x4F: _same("sensor_setup_22", 39),
    0x50: _Row("sensor_setup", None, 37),
    0x51: _same("sensor_graph_timeout", 7),
    0x52: _same("sensor_demo", 7),
    0x53: _same("sensor_silence", 8),
    0x54: _same("glucose_limits", 64),
    0x55: _Row("predictive_alerts", None, ALERT_ROWS),
    0x56: _Row("rate_alerts", None, 12),
    0x57: _same("bolus_step", 7),
    0x5A: _Row("wizard_setup", 124, 144, setup.wizard_setup),
    WIZARD: _Row("wizard", 20, 22, ins.wizard),
    0x5C: _same("unabsorbed", BY_SECOND_BYTE, ins.unabsorbed, _NO_DATE),
    0x5D: _same("save_settings", 7),
    0x5E: _same("variable_bolus", 7),
    0x5F: _same("easy_bolus", 7),
    0x60: _same("bg_reminder_enabled", 7),
    0x61: _same("alarm_clock_enabled", 7),
    0x62: _same("temp_basal_type", 7, setup.switch),
    0x63: _same("alert_mode", 7),
    0x64: _same("time_format", 7, setup.switch),
    0x65: _same("reservoir_warning", 7),
    0x66: _same("bolus_reminder_enabled", 7),
    0x67: _same("bolus_reminder", 9),
    0x68: _same("bolus_reminder_deleted", 9),
    0x69: _Row("missed_bolus", 7, 9),
    0x6A: _same("alarm_clock_deleted", 7),
    0x6C: _day("day_detail", (38, 38), ev.day_detail, 1),
    0x6D: _day("day_detail", (44, 44), ev.day_detail, 1),
    0x6E: _day("day_detail", (52, 52), ev.day_detail, 1),
    0x6F: _same("carb_units", 7),
    SCHEDULED: _Row("scheduled", None, 10, ins.scheduled_start),
    0x7C: _Row("other_devices", None, 7),
    0x7D: _Row("other_device_id", None, 37),
    0x7E: _Row("low_suspend_limit", None, 7),
    0x7F: _Row("low_suspend_parameter", None, 8),
    0x81: _Row("device_linked", None, 12),
    0x82: _Row("device_deleted", None, 12),
    0x83: _Row("capture_events", None, 7),
}


@cache
def opcodes(model: PumpModel) -> tuple[Opcode | None, ...]:
    """The records of a model by opcode, None where it has none. Zero is filler and no record."""
    return tuple(_opcode(model, code) for code in range(256))


def _opcode(model: PumpModel, code: int) -> Opcode | None:
    row = _ROWS.get(code)
    if row is None:
        return None
    length = row.new if model.new else row.old
    if length is None or (row.parse is ins.wizard_12 and model.family != 12):
        return None
    if code == 0x50 and model.family >= _51:
        length = _SETUP_51
    return Opcode(row.name, length, row.dated_at[model.new], row.day_at, row.parse)


def length_at(data: bytes, at: int, rule: int) -> int:
    """The length of the record at `at`, by its opcode's rule."""
    if rule > 0:
        return rule
    told = data[at + 1] if at + 1 < len(data) else 0
    return max(told, 2) if rule == BY_SECOND_BYTE else 7 + 3 * (max(told, 1) - 1)
