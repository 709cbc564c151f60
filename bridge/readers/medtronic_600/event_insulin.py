"""Events of insulin: boluses, basal, suspension, fills, the calculator and the totals of a day. Amounts in U."""

from __future__ import annotations

from typing import Any

from bridge.readers.medtronic_600.event_fields import Field, event, number, u8

_BOLUS: tuple[Field, ...] = (("bolus_source", 0x0B, "u8"), ("bolus_number", 0x0C, "u8"), ("preset", 0x0D, "u8"))
_TEMP: tuple[Field, ...] = (
    ("preset", 0x0B, "u8"), ("kind", 0x0C, "u8"), ("rate_u_h", 0x0D, "insulin"), ("percent", 0x11, "u8"),
    ("prog_minutes", 0x12, "u16"),
)  # fmt: skip
_REASON: Field = ("reason", 0x0B, "u8")
EXCHANGES = 1
"""Carb unit: 0 grams, 1 exchanges."""
MMOL = 1
"""Glucose unit: 0 mg/dL, 1 mmol/L."""


def glucose(raw: bytes, at: int, unit: int) -> float:
    """A glucose number in the event's own unit."""
    value = number(raw, at, 2)
    return value / 10 if unit == MMOL else float(value)


def ratio(raw: bytes, at: int, unit: int) -> float:
    """A carb ratio in the event's own unit: g/U, or U per exchange."""
    value = number(raw, at, 4)
    return value / 1000 if unit == EXCHANGES else value / 10


def food(raw: bytes, at: int, unit: int) -> float:
    """Carbohydrates in the event's own unit: g, or exchanges."""
    value = number(raw, at, 2)
    return value / 10 if unit == EXCHANGES else float(value)


def _actual_minutes(raw: bytes) -> dict[str, Any]:
    return {"actual_minutes": number(raw, 0x15, 2) if len(raw) >= 23 else None}


def _estimate(raw: bytes) -> dict[str, Any]:
    bg_unit, carb_unit = u8(raw, 0x0B), u8(raw, 0x0C)
    return {
        "bg": glucose(raw, 0x0D, bg_unit),
        "carbs": food(raw, 0x0F, carb_unit),
        "isf": glucose(raw, 0x11, bg_unit),
        "ratio": ratio(raw, 0x13, carb_unit),
        "low": glucose(raw, 0x17, bg_unit),
        "high": glucose(raw, 0x19, bg_unit),
    }


def _meal_estimate(raw: bytes) -> dict[str, Any]:
    bg_unit, carb_unit = u8(raw, 0x0B) & 1, u8(raw, 0x0B) >> 1 & 1
    return {
        "bg_units": bg_unit,
        "carb_units": carb_unit,
        "bg": glucose(raw, 0x0C, bg_unit),
        "carbs": food(raw, 0x0E, carb_unit),
        "ratio": ratio(raw, 0x1C, carb_unit),
    }


INSULIN_TYPES = {
    0x15: event("NORMAL_BOLUS_PROGRAMMED", *_BOLUS, ("programmed_u", 0x0E, "insulin"), ("iob_u", 0x12, "insulin")),
    0x16: event(
        "SQUARE_BOLUS_PROGRAMMED", *_BOLUS, ("programmed_u", 0x0E, "insulin"), ("prog_minutes", 0x12, "u16"),
        ("iob_u", 0x14, "insulin"),
    ),
    0x17: event(
        "DUAL_BOLUS_PROGRAMMED", *_BOLUS, ("normal_u", 0x0E, "insulin"), ("square_u", 0x12, "insulin"),
        ("prog_minutes", 0x16, "u16"), ("iob_u", 0x18, "insulin"),
    ),
    0x1A: event(
        "CANNULA_FILL_DELIVERED", ("kind", 0x0B, "u8"), ("amount_u", 0x0C, "insulin"),
        ("remaining_u", 0x10, "insulin"),
    ),
    0x1B: event("TEMP_BASAL_PROGRAMMED", *_TEMP),
    0x1C: event("BASAL_PATTERN_SELECTED", ("old", 0x0B, "u8"), ("new", 0x0C, "u8")),
    0x1D: event(
        "BASAL_SEGMENT_START", ("pattern", 0x0B, "u8"), ("segment", 0x0C, "u8"), ("rate_u_h", 0x0D, "insulin"),
    ),
    0x1E: event("INSULIN_DELIVERY_STOPPED", _REASON),
    0x1F: event("INSULIN_DELIVERY_RESTARTED", _REASON),
    0x22: event("TEMP_BASAL_COMPLETE", *_TEMP, ("canceled", 0x14, "bit0"), more=_actual_minutes),
    0x24: event("BOLUS_SUSPENDED"),
    0x25: event("SUSPENDED_BOLUS_RESUMED"),
    0x26: event("SUSPENDED_BOLUS_CANCELED"),
    0x27: event("BOLUS_CANCELED", ("kind", 0x0B, "u8"), ("bolus_number", 0x0C, "u8")),
    0x39: event("ACTIVE_INSULIN_CLEARED"),
    0x3C: event(
        "DAILY_TOTALS", ("day_rtc", 0x0B, "u32"), ("day_offset", 0x0F, "u32"), ("minutes", 0x13, "u16"),
        ("meter_bg_count", 0x15, "u8"), ("meter_bg_avg", 0x16, "u16"), ("meter_bg_low", 0x18, "u16"),
        ("meter_bg_high", 0x1A, "u16"), ("manual_bg_count", 0x1C, "u8"), ("manual_bg_avg", 0x1D, "u16"),
        ("manual_bg_low", 0x1F, "u16"), ("manual_bg_high", 0x21, "u16"), ("bg_avg", 0x23, "u16"),
        ("total_u", 0x25, "insulin"), ("basal_u", 0x29, "insulin"), ("basal_pct", 0x2D, "u8"),
        ("bolus_u", 0x2E, "insulin"), ("bolus_pct", 0x32, "u8"), ("carb_units", 0x33, "u8"),
        ("food", 0x34, "u16"), ("wizard_count", 0x36, "u8"), ("food_only_u", 0x37, "insulin"),
        ("correction_only_u", 0x3B, "insulin"),
        ("food_and_correction_u", 0x3F, "insulin"), ("manual_u", 0x43, "insulin"), ("food_count", 0x47, "u8"),
        ("correction_count", 0x48, "u8"), ("both_count", 0x49, "u8"), ("manual_count", 0x4A, "u8"),
        ("sg_count", 0x4B, "u16"), ("sg_avg", 0x4D, "u16"), ("sg_sd", 0x4F, "u16"), ("above_minutes", 0x51, "u16"),
        ("above_pct", 0x53, "u8"), ("in_range_minutes", 0x54, "u16"), ("in_range_pct", 0x56, "u8"),
        ("below_minutes", 0x57, "u16"), ("below_pct", 0x59, "u8"), ("suspend_minutes", 0x5A, "u16"),
        ("alerts_before_high", 0x5C, "u16"), ("alerts_before_low", 0x5E, "u16"), ("alerts_low", 0x60, "u16"),
        ("alerts_high", 0x62, "u16"), ("alerts_rise", 0x64, "u16"), ("alerts_fall", 0x66, "u16"),
        ("alerts_suspend_low", 0x68, "u16"), ("alerts_suspend_before_low", 0x6A, "u16"),
    ),
    0x3D: event(
        "BOLUS_WIZARD_ESTIMATE", ("bg_units", 0x0B, "u8"), ("carb_units", 0x0C, "u8"),
        ("correction_u", 0x1B, "signed_insulin"), ("food_u", 0x1F, "insulin"), ("iob_u", 0x23, "insulin"),
        ("iob_adj_u", 0x27, "insulin"), ("estimate_u", 0x2B, "insulin"), ("step", 0x2F, "u8"),
        ("modified", 0x30, "bit0"), ("final_u", 0x31, "insulin"), more=_estimate,
    ),
    0x3E: event(
        "MEAL_WIZARD_ESTIMATE", ("correction_u", 0x10, "signed_insulin"), ("food_u", 0x14, "insulin"),
        ("estimate_u", 0x18, "insulin"), ("final_u", 0x18, "insulin"), more=_meal_estimate,
    ),
    0x3F: event(
        "CLOSED_LOOP_DAILY_TOTALS", ("day_rtc", 0x0B, "u32"), ("day_offset", 0x0F, "u32"), ("minutes", 0x13, "u16"),
        ("bg_count", 0x15, "u8"), ("bg_avg", 0x16, "u16"), ("bg_low", 0x18, "u16"), ("bg_high", 0x1A, "u16"),
        ("bg_sd", 0x1C, "u16"), ("total_u", 0x1E, "insulin"), ("basal_u", 0x22, "insulin"), ("basal_pct", 0x26, "u8"),
        ("bolus_u", 0x27, "insulin"), ("bolus_pct", 0x2B, "u8"), ("food", 0x2C, "u16"),
        ("wizard_food_u", 0x2E, "insulin"), ("wizard_correction_u", 0x32, "insulin"),
        ("wizard_both_u", 0x36, "insulin"), ("meal_food_u", 0x3A, "insulin"), ("meal_correction_u", 0x3E, "insulin"),
        ("meal_both_u", 0x42, "insulin"), ("wizard_food_count", 0x46, "u8"), ("wizard_correction_count", 0x47, "u8"),
        ("wizard_both_count", 0x48, "u8"), ("meal_food_count", 0x49, "u8"), ("meal_correction_count", 0x4A, "u8"),
        ("meal_both_count", 0x4B, "u8"), ("manual_count", 0x4C, "u8"), ("sg_count", 0x4D, "u16"),
        ("sg_avg", 0x4F, "u16"), ("sg_sd", 0x51, "u16"), ("above_minutes", 0x53, "u16"), ("above_pct", 0x55, "u8"),
        ("in_range_minutes", 0x56, "u16"), ("in_range_pct", 0x58, "u8"), ("below_minutes", 0x59, "u16"),
        ("below_pct", 0x5B, "u8"), ("suspend_minutes", 0x5C, "u16"), ("threshold_alarms", 0x5E, "u16"),
        ("predictive_alarms", 0x60, "u16"), ("micro_bolus_u", 0x62, "insulin"), ("auto_minutes", 0x66, "u16"),
        ("auto_in_range_minutes", 0x68, "u16"), ("auto_above_minutes", 0x6A, "u16"),
        ("auto_below_minutes", 0x6C, "u16"), ("micro_bolus_count", 0x6E, "u16"),
    ),
    0xDC: event(
        "NORMAL_BOLUS_DELIVERED", *_BOLUS, ("programmed_u", 0x0E, "insulin"), ("delivered_u", 0x12, "insulin"),
        ("iob_u", 0x16, "insulin"),
    ),
    0xDD: event(
        "SQUARE_BOLUS_DELIVERED", *_BOLUS, ("programmed_u", 0x0E, "insulin"), ("delivered_u", 0x12, "insulin"),
        ("prog_minutes", 0x16, "u16"), ("actual_minutes", 0x18, "u16"), ("iob_u", 0x1A, "insulin"),
    ),
    0xDE: event(
        "DUAL_BOLUS_PART_DELIVERED", *_BOLUS, ("normal_u", 0x0E, "insulin"), ("square_u", 0x12, "insulin"),
        ("delivered_u", 0x16, "insulin"), ("part", 0x1A, "u8"), ("prog_minutes", 0x1B, "u16"),
        ("actual_minutes", 0x1D, "u16"), ("iob_u", 0x1F, "insulin"),
    ),
}  # fmt: skip
