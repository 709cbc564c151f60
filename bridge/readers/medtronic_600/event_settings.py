"""Events of changed settings: mostly the old value, then the new one, in pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.readers.medtronic_600.event_fields import EventType, Field, entries, event, number, u8
from bridge.readers.medtronic_600.event_insulin import glucose, ratio

Entry = Callable[[bytes, int], dict[str, Any]]
_OLD_NEW: tuple[Field, ...] = (("old", 0x0B, "u8"), ("new", 0x0C, "u8"))
_PRESET_TEMP: tuple[Field, ...] = (
    ("preset", 0x0B, "u8"), ("on", 0x0C, "flag"), ("kind", 0x0D, "u8"), ("rate_u_h", 0x0E, "insulin"),
    ("percent", 0x12, "u8"), ("minutes", 0x13, "u16"),
)  # fmt: skip
_PRESET_BOLUS: tuple[Field, ...] = (
    ("preset", 0x0B, "u8"), ("shape", 0x0C, "u8"), ("normal_u", 0x0D, "insulin"), ("square_u", 0x11, "insulin"),
    ("minutes", 0x15, "u16"),
)  # fmt: skip


def basal_entry(part: bytes) -> dict[str, Any]:
    """Five bytes of a basal pattern, here and in the pump's answers."""
    return {"start_min": part[4] * 30, "rate_u_h": number(part, 0, 4) / 10_000}


def _pattern(raw: bytes) -> dict[str, Any]:
    return {"segments": [basal_entry(part) for part in entries(raw, 0x0D, u8(raw, 0x0C), 5)]}


def _isf(part: bytes, unit: int) -> dict[str, Any]:
    return {"start_min": part[0] * 30, "isf": glucose(part, 1, unit)}


def _ratio(part: bytes, unit: int) -> dict[str, Any]:
    return {"start_min": part[0] * 30, "ratio": ratio(part, 1, unit)}


def _target(part: bytes, unit: int) -> dict[str, Any]:
    return {"start_min": part[0] * 30, "high": glucose(part, 1, unit), "low": glucose(part, 3, unit)}


def _table(name: str, entry: Entry, width: int) -> EventType:
    """Unit, count, then entries that start with the half hour of the day."""

    def segments(raw: bytes) -> dict[str, Any]:
        unit = u8(raw, 0x0B)
        return {"segments": [entry(part, unit) for part in entries(raw, 0x0D, u8(raw, 0x0C), width)]}

    return event(name, ("units", 0x0B, "u8"), more=segments)


def _summary(raw: bytes) -> dict[str, Any]:
    """The three tables of the calculator, one behind the other."""
    carb_unit, bg_unit = u8(raw, 0x0C), u8(raw, 0x0D)
    isf, ratios, targets = u8(raw, 0x10), u8(raw, 0x11), u8(raw, 0x12)
    after_isf = 0x13 + 3 * isf
    after_ratios = after_isf + 5 * ratios
    return {
        "isf": [_isf(part, bg_unit) for part in entries(raw, 0x13, isf, 3)],
        "ratios": [_ratio(part, carb_unit) for part in entries(raw, after_isf, ratios, 5)],
        "targets": [_target(part, bg_unit) for part in entries(raw, after_ratios, targets, 5)],
    }


SETTINGS_TYPES = {
    0x50: event("SETTINGS_SAVE"),
    0x51: event("SETTINGS_RESET_TO_DEFAULTS"),
    0x52: event("OLD_BASAL_PATTERN", ("pattern", 0x0B, "u8"), more=_pattern),
    0x53: event("NEW_BASAL_PATTERN", ("pattern", 0x0B, "u8"), more=_pattern),
    0x54: event("OLD_PRESET_TEMP_BASAL", *_PRESET_TEMP),
    0x55: event("NEW_PRESET_TEMP_BASAL", *_PRESET_TEMP),
    0x56: event("OLD_PRESET_BOLUS", *_PRESET_BOLUS),
    0x57: event("NEW_PRESET_BOLUS", *_PRESET_BOLUS),
    0x58: event("MAX_BASAL_RATE_CHANGE", ("old_u_h", 0x0B, "insulin"), ("new_u_h", 0x0F, "insulin")),
    0x59: event("MAX_BOLUS_CHANGE", ("old_u", 0x0B, "insulin"), ("new_u", 0x0F, "insulin")),
    0x5A: event(
        "PERSONAL_REMINDER_CHANGE", ("reminder", 0x0B, "u8"), ("is_reminder", 0x0C, "flag"),
        ("old_minutes", 0x0D, "u16"), ("old_on", 0x0F, "flag"), ("listed", 0x10, "flag"),
        ("new_minutes", 0x11, "u16"), ("new_on", 0x13, "flag"),
    ),
    0x5B: event(
        "MISSED_MEAL_REMINDER_CHANGE", ("reminder", 0x0B, "u8"), ("old_start_minutes", 0x0D, "u16"),
        ("old_end_minutes", 0x0F, "u16"), ("old_on", 0x11, "flag"), ("new_start_minutes", 0x13, "u16"),
        ("new_end_minutes", 0x15, "u16"), ("new_on", 0x17, "flag"),
    ),
    0x5C: event("BOLUS_INCREMENT_CHANGE", *_OLD_NEW),
    0x5D: event(
        "BOLUS_WIZARD_SETTINGS_CHANGE", ("old_on", 0x0B, "flag"), ("old_carb", 0x0C, "u8"),
        ("old_dia_min", 0x0D, "u16"),
        ("new_on", 0x0F, "flag"), ("new_carb", 0x10, "u8"), ("new_dia_min", 0x11, "u16"),
    ),
    0x5E: _table("OLD_ISF", _isf, 3),
    0x5F: _table("NEW_ISF", _isf, 3),
    0x60: _table("OLD_CARB_RATIO", _ratio, 5),
    0x61: _table("NEW_CARB_RATIO", _ratio, 5),
    0x62: _table("OLD_TARGETS", _target, 5),
    0x63: _table("NEW_TARGETS", _target, 5),
    0x64: event("DUAL_BOLUS_OPTION_CHANGE", *_OLD_NEW),
    0x65: event("SQUARE_BOLUS_OPTION_CHANGE", *_OLD_NEW),
    0x66: event(
        "EASY_BOLUS_OPTION_CHANGE", *_OLD_NEW, ("old_step_u", 0x0D, "insulin"), ("new_step_u", 0x11, "insulin"),
    ),
    0x68: event("BG_REMINDER_OPTION_CHANGE", *_OLD_NEW),
    0x69: event("BG_REMINDER_TIME", ("on", 0x0B, "flag"), ("minutes", 0x0C, "u16")),
    0x6A: event(
        "AUDIO_VIBRATE_CHANGE", ("old_mode", 0x0B, "u8"), ("old_volume", 0x0C, "u8"), ("new_mode", 0x0D, "u8"),
        ("new_volume", 0x0E, "u8"),
    ),
    0x6B: event("TIME_FORMAT_CHANGE", *_OLD_NEW),
    0x6C: event(
        "LOW_RESERVOIR_WARNING_CHANGE", ("old_kind", 0x0B, "u8"), ("old_minutes", 0x0C, "u16"),
        ("old_u", 0x0E, "insulin"), ("new_kind", 0x12, "u8"), ("new_minutes", 0x13, "u16"),
        ("new_u", 0x15, "insulin"),
    ),
    0x6D: event("LANGUAGE_CHANGE", *_OLD_NEW),
    0x6E: event("STARTUP_WIZARD", ("ended", 0x0B, "flag")),
    0x6F: event("REMOTE_BOLUS_OPTION_CHANGE"),
    0x72: event(
        "AUTO_SUSPEND_CHANGE", ("old_on", 0x0B, "flag"), ("old_hours", 0x0C, "u8"), ("new_on", 0x0D, "flag"),
        ("new_hours", 0x0E, "u8"),
    ),
    0x73: event("BOLUS_DELIVERY_RATE_CHANGE", *_OLD_NEW),
    0x77: event(
        "DISPLAY_OPTION_CHANGE", ("old_brightness", 0x0B, "u16"), ("old_seconds", 0x0D, "u16"),
        ("new_brightness", 0x0F, "u16"), ("new_seconds", 0x11, "u16"),
    ),
    0x78: event(
        "SET_CHANGE_REMINDER", ("old_on", 0x0B, "flag"), ("old_days", 0x0C, "u8"), ("new_on", 0x0D, "flag"),
        ("new_days", 0x0E, "u8"),
    ),
    0x79: event("BLOCK_MODE_CHANGE"),
    0x7B: event(
        "BOLUS_WIZARD_SETTINGS_SUMMARY", ("on", 0x0B, "flag"), ("carb_units", 0x0C, "u8"), ("bg_units", 0x0D, "u8"),
        ("dia_min", 0x0E, "u16"), more=_summary,
    ),
    0x86: event("CLOSED_LOOP_OPTION_CHANGE"),
    0x87: event("CLOSED_LOOP_SETTINGS_CHANGE"),
}  # fmt: skip
