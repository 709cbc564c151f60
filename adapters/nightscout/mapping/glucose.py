"""Glucose: sensor readings and finger-sticks, calibrations, ketones."""

from __future__ import annotations

from adapters.nightscout.mapping.frame import View, entry, treatment
from adapters.preparation import COARSE, Result, carried, finite, lean, shown, skipped
from bridge.model import Calibration, Ketone, MeterGlucose, SensorGlucose

_LOWEST_DRAWN_MGDL = 39
"""Anything below is read as a sensor's error code."""

_NOISE = {"ok": 1, "uncertain": 3}
_RATE_ARROWS = {
    "triple_up": "TripleUp", "double_up": "DoubleUp", "single_up": "SingleUp", "forty_five_up": "FortyFiveUp",
    "flat": "Flat", "none": "NONE",
    "triple_down": "TripleDown", "double_down": "DoubleDown", "single_down": "SingleDown",
    "forty_five_down": "FortyFiveDown",
}  # fmt: skip
_LEGACY_ARROWS = _RATE_ARROWS | {
    "double_up": "TripleUp", "single_up": "DoubleUp", "forty_five_up": "SingleUp",
    "double_down": "TripleDown", "single_down": "DoubleDown", "forty_five_down": "SingleDown",
}  # fmt: skip
_ARROWS = {"rate": _RATE_ARROWS, "legacy": _LEGACY_ARROWS}
_MEALS = {"before": "before meal", "after": "after meal", "fasting": "fasting"}

_NO_GLUCOSE = skipped("no_glucose")
_SENSOR_NOT_OK = skipped("sensor_not_ok")


def sensor_glucose(record: SensorGlucose, view: View) -> Result:
    """An `sgv` entry. `noise` always stands: the site merges, and a left-out one would keep the old doubt."""
    if record.mgdl is None:
        return _NO_GLUCOSE
    noise = _NOISE.get(record.quality)
    if noise is None:
        return _SENSOR_NOT_OK
    fields: dict[str, int | str] = {"sgv": max(_LOWEST_DRAWN_MGDL, record.mgdl), "noise": noise}
    if record.trend is not None:
        fields["direction"] = _ARROWS[view.settings.arrows][record.trend]
    return entry(record, "sgv", fields)


def meter_glucose(record: MeterGlucose, view: View) -> Result:
    """A `BG Check`, or by setting an `mbg` entry; never both, and never for control solution."""
    if record.control_solution:
        return skipped("control_solution")
    if view.settings.meter == "mbg":
        return entry(record, "mbg", {"mbg": record.mgdl})
    notes = "; ".join(filter(None, (_out_of_range(record), _MEALS.get(record.meal or ""))))
    kind = "Manual" if record.entry == "manual" else "Finger"
    return treatment(
        record, view, "BG Check", glucose=record.mgdl, glucoseType=kind, units="mg/dl", **lean(notes=notes)
    )


def _out_of_range(record: MeterGlucose) -> str:
    note = record.annotation("bg/out-of-range")
    side = {"low": "below", "high": "above"}.get(str(note.get("value"))) if note else None
    if note is None or side is None:
        return ""
    threshold = finite(note.get("threshold_mgdl"))
    return f"{side} range" if threshold is None else f"{side} {shown(threshold, COARSE)} mg/dL"


def calibration(record: Calibration, view: View) -> Result:
    """Carried by the finger-stick it was made with, else a `BG Check` of its own."""
    meter = view.prepared.meter_of(record)
    if meter is not None:
        return carried(meter)
    notes = "calibration, not accepted" if record.accepted is False else "calibration"
    return treatment(record, view, "BG Check", glucose=record.mgdl, glucoseType="Finger", units="mg/dl", notes=notes)


def ketone(record: Ketone, view: View) -> Result:
    """A note: the site has no word for it."""
    return treatment(record, view, "Note", notes=f"Ketone {shown(record.mmol_l, COARSE)} mmol/L")
