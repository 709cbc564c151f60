"""Events of the pump itself: clock, linked devices, alarms, battery, reservoir, and what a person logged."""

from __future__ import annotations

from typing import Any

from bridge.readers.medtronic_600.event_fields import Field, entries, event, number, reversed_text, u8

_CLOCK: tuple[Field, ...] = (("new_rtc", 0x0B, "u32"), ("new_offset", 0x0F, "i32"))
_ENTRY: tuple[Field, ...] = (("entry_rtc", 0x0B, "u32"), ("entry_offset", 0x0F, "i32"))
_ALARM_DATA = 0x13


def _devices(raw: bytes) -> dict[str, Any]:
    """What is linked: the pump itself has index 0."""
    return {"devices": [_device(part) for part in entries(raw, 0x0C, u8(raw, 0x0B), 30)]}


def _device(part: bytes) -> dict[str, Any]:
    """The model stands back to front too; zeros where a device (a meter) tells none."""
    return {"index": part[0], "serial": reversed_text(part[1:11]), "model": reversed_text(part[19:27])}


def _serial(raw: bytes) -> dict[str, Any]:
    return {"serial": reversed_text(raw[0x0E:])}


def _alarm_data(raw: bytes) -> dict[str, Any]:
    return {"data": raw[_ALARM_DATA : _ALARM_DATA + 10].hex()}


def _food(raw: bytes) -> dict[str, Any]:
    return {"carbs": number(raw, 0x14, 2) / (10 if u8(raw, 0x13) else 1)}


SYSTEM_TYPES = {
    0x02: event("TIME_RESET", *_CLOCK),
    0x03: event("USER_TIME_DATE_CHANGE", *_CLOCK),
    0x04: event("SOURCE_ID_CONFIGURATION", more=_devices),
    0x05: event(
        "NETWORK_DEVICE_CONNECTION", ("old", 0x0B, "bit0"), ("index", 0x0C, "u8"), ("new", 0x0D, "bit0"), more=_serial
    ),
    0x06: event("AIRPLANE_MODE", ("on", 0x0B, "flag")),
    0x07: event("START_OF_DAY_MARKER"),
    0x08: event("END_OF_DAY_MARKER"),
    0x0B: event("PLGM_CONTROLLER_STATE"),
    0x0C: event("CLOSED_LOOP_STATUS"),
    0x0D: event("CLOSED_LOOP_PERIODIC_DATA"),
    0x0E: event("CLOSED_LOOP_DAILY_DATA"),
    0x20: event("SELF_TEST_REQUESTED"),
    0x21: event("SELF_TEST_RESULTS", ("passed", 0x0B, "flag")),
    0x28: event(
        "ALARM_NOTIFICATION", ("fault", 0x0B, "u16"), ("mode", 0x11, "u8"), ("extra", 0x12, "bit1"),
        ("history", 0x12, "bit2"), more=_alarm_data,
    ),
    0x2A: event("ALARM_CLEARED", ("fault", 0x0B, "u16")),
    0x2B: event(
        "LOW_RESERVOIR", ("by_time", 0x0B, "flag"), ("hours", 0x0C, "u8"), ("minutes", 0x0D, "u8"),
        ("remaining_u", 0x0E, "insulin"),
    ),
    0x2C: event("BATTERY_INSERTED"),
    0x2E: event("FOOD_EVENT_MARKER", *_ENTRY, ("carb_units", 0x13, "u8"), more=_food),
    0x2F: event("EXERCISE_EVENT_MARKER", *_ENTRY, ("minutes", 0x13, "u16")),
    0x30: event("INJECTION_EVENT_MARKER", *_ENTRY, ("dose_u", 0x13, "insulin")),
    0x31: event("OTHER_EVENT_MARKER", *_ENTRY),
    0x34: event("MISSED_MEAL_REMINDER_EXPIRED", ("reminder", 0x0B, "u8")),
    0x36: event("REWIND"),
    0x37: event("BATTERY_REMOVED"),
    0x88: event("CLOSED_LOOP_TEMP_TARGET_STARTED"),
    0x89: event("CLOSED_LOOP_TEMP_TARGET_ENDED"),
    0x8A: event("CLOSED_LOOP_ALARM_AUTO_CLEARED"),
    0xDF: event("CLOSED_LOOP_TRANSITION", ("into_auto", 0x0B, "flag"), ("reason", 0x0C, "u8")),
}  # fmt: skip
