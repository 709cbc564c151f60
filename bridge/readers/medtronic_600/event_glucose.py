"""Events of glucose: finger-sticks, calibrations, sensor readings and their alert settings."""

from __future__ import annotations

from typing import Any

from bridge.readers.medtronic_600.event_fields import EventType, entries, event, number, reversed_text, u8

READING_SIZE = 9
_SIGN_10, _WRAP_10 = 0x200, 0x400


def _meter(raw: bytes) -> dict[str, Any]:
    return {"meter": reversed_text(raw[0x0F:])}


def _readings(raw: bytes) -> dict[str, Any]:
    """Newest first; each belongs to the event's counter minus its place times the interval."""
    rtc, interval_s = number(raw, 3, 4), u8(raw, 0x0B) * 60
    slices = entries(raw, 0x0F, u8(raw, 0x0C), READING_SIZE)
    return {"readings": [_reading(part, rtc - place * interval_s) for place, part in enumerate(slices)]}


def _reading(part: bytes, rtc: int) -> dict[str, Any]:
    rate = int.from_bytes(part[5:7], "big", signed=True)
    vcntr = (part[0] & 0x0C) << 6 | part[4]
    return {
        "rtc": rtc,
        "sg": (part[0] & 3) << 8 | part[1],
        "isig": int.from_bytes(part[2:4], "big") / 100,
        "vcntr": (vcntr - _WRAP_10 if vcntr & _SIGN_10 else vcntr) / 100,
        "roc": rate / 100,
        "sensor_status": part[7],
        "reading_status": part[8],
    }


def _levels(name: str, width: int) -> EventType:
    """Alert limits by time of day; the limits themselves stay raw."""

    def limits(raw: bytes) -> dict[str, Any]:
        return {"limits": [part.hex() for part in entries(raw, 0x0F, u8(raw, 0x0E), width)]}

    return event(name, ("on", 0x0C, "flag"), ("snooze_minutes", 0x0D, "u8"), more=limits)


GLUCOSE_TYPES = {
    0x32: event(
        "BG_READING", ("bg_units", 0x0B, "bit0"), ("cal", 0x0B, "bit1"), ("bg_mgdl", 0x0C, "u16"),
        ("bg_source", 0x0E, "u8"), more=_meter,
    ),
    0x33: event("CODE_UPDATE"),
    0x38: event("CALIBRATION_COMPLETE", ("factor", 0x0B, "hundredths"), ("bg_mgdl", 0x0D, "u16")),
    0x82: event(
        "CLOSED_LOOP_BG_READING", ("bg_mgdl", 0x0B, "u16"), ("bg_units", 0x16, "bit0"), ("radio", 0x16, "bit1"),
        ("context", 0x16, "high5"),
    ),
    0xC8: event("SENSOR_SETTINGS_CHANGE"),
    0xC9: event("OLD_SENSOR_WARNING_LEVELS"),
    0xCA: event("NEW_SENSOR_WARNING_LEVELS"),
    0xCB: event(
        "GENERAL_SENSOR_SETTINGS_CHANGE", ("old_on", 0x0C, "flag"), ("old_reminder_minutes", 0x0D, "u16"),
        ("new_on", 0x12, "flag"), ("new_reminder_minutes", 0x13, "u16"),
    ),
    0xCC: event("SENSOR_GLUCOSE_READINGS"),
    0xCD: event("SENSOR_GLUCOSE_GAP"),
    0xCE: event("GLUCOSE_SENSOR_CHANGE"),
    0xCF: event("CALIBRATION_REJECTED", ("reason", 0x0B, "u8")),
    0xD0: event("ALERT_SILENCE_STARTED", ("scope", 0x0B, "u8"), ("minutes", 0x0C, "u16")),
    0xD1: event(
        "ALERT_SILENCE_ENDED", ("scope", 0x0B, "u8"), ("minutes", 0x0C, "u16"), ("minutes_left", 0x0E, "u16"),
        ("automatic", 0x10, "flag"),
    ),
    0xD2: _levels("OLD_LOW_LEVELS", 4),
    0xD3: _levels("NEW_LOW_LEVELS", 4),
    0xD4: _levels("OLD_HIGH_LEVELS", 9),
    0xD5: _levels("NEW_HIGH_LEVELS", 9),
    0xD6: event(
        "SENSOR_GLUCOSE_READINGS_EXTENDED", ("interval", 0x0B, "u8"), ("count", 0x0C, "u8"),
        ("predicted", 0x0D, "u16"), more=_readings,
    ),
}  # fmt: skip
