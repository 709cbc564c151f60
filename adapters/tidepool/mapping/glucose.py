"""Glucose: sensor readings and finger-sticks, calibrations, ketones. Values stay as the device gave them."""

from __future__ import annotations

from typing import Any

from adapters.preparation import COARSE, Result, lean, number, skipped
from adapters.tidepool.mapping.frame import MGDL, View, datum
from bridge.model import Calibration, Ketone, MeterGlucose, SensorGlucose

_INTERVAL_MS = 300_000
_GOOD = ("ok", "uncertain")
_TRENDS = {
    "triple_up": "rapidRise", "double_up": "rapidRise", "single_up": "moderateRise", "forty_five_up": "slowRise",
    "flat": "constant",
    "triple_down": "rapidFall", "double_down": "rapidFall", "single_down": "moderateFall",
    "forty_five_down": "slowFall",
}  # fmt: skip

_NO_GLUCOSE = skipped("no_glucose")
_SENSOR_NOT_OK = skipped("sensor_not_ok")


def sensor_glucose(record: SensorGlucose, view: View) -> Result:
    """A `cbg`."""
    if record.mgdl is None:
        return _NO_GLUCOSE
    if record.quality not in _GOOD:
        return _SENSOR_NOT_OK
    fields: dict[str, Any] = {"value": record.mgdl, "units": MGDL, "sampleInterval": _INTERVAL_MS}
    trend = _TRENDS.get(record.trend or "")
    if trend is not None:
        fields["trend"] = trend
    if record.rate_mgdl_min is not None:
        fields |= {"trendRate": number(record.rate_mgdl_min, COARSE), "trendRateUnits": "mg/dL/minute"}
    if record.annotations and record.annotation("backfilled"):
        fields["backfilled"] = True
    return datum(record, view, "cbg", fields)


def meter_glucose(record: MeterGlucose, view: View) -> Result:
    """An `smbg`; never for control solution."""
    if record.control_solution:
        return skipped("control_solution")
    sub_type = None if record.entry == "meter" else record.entry
    fields = lean(subType=sub_type, payload=lean(meal=record.meal))
    return datum(record, view, "smbg", {"value": record.mgdl, "units": MGDL, **fields})


def calibration(record: Calibration, view: View) -> Result:
    """A `deviceEvent/calibration`; a refused one would count as accepted there."""
    if record.accepted is False:
        return skipped("calibration_rejected")
    return datum(record, view, "deviceEvent/calibration", {"value": record.mgdl, "units": MGDL})


def ketone(record: Ketone, view: View) -> Result:
    """A `bloodKetone`."""
    return datum(record, view, "bloodKetone", {"value": number(record.mmol_l, COARSE), "units": "mmol/L"})
