"""The pump's status and its therapy settings."""

from __future__ import annotations

from typing import Any

from adapters.preparation import COARSE, DOSE, STATUS, Result, daily, lean, milliseconds, number, skipped
from adapters.tidepool.mapping.frame import MGDL, UNITS, View, datum, trimmed
from bridge.model import PumpSettings, PumpStatus

_NAME_LENGTH = 100
_DISPLAY = {"mg/dl": MGDL, "mmol/l": "mmol/L"}


def pump_status(record: PumpStatus, view: View) -> Result:
    """`pumpStatus` for battery and reservoir, `controllerStatus` for the phone."""
    if record.id not in view.prepared.kept:
        return skipped("thinned")
    phone = _battery(record.uploader_battery_pct)
    pump = lean(battery=_battery(record.battery_pct), reservoir=_reservoir(record.reservoir_u))
    documents = (
        *(datum(record, view, "controllerStatus", {"battery": phone}) if phone else ()),
        *(datum(record, view, "pumpStatus", pump) if pump else ()),
    )
    return documents or skipped("empty_status")


def _battery(percent: float | None) -> dict[str, Any]:
    return {} if percent is None else {"remaining": number(percent / 100), "units": "percent"}


def _reservoir(units: float | None) -> dict[str, Any]:
    return {} if units is None else {"remaining": number(units, STATUS), "units": UNITS}


def pump_settings(record: PumpSettings, view: View) -> Result:
    """`pumpSettings`; absent parts are left out, but there must be an active schedule."""
    active = trimmed(record.active_schedule)
    if not active:
        return skipped("settings_incomplete")
    fields = lean(
        activeSchedule=active,
        units={"bg": MGDL, "carb": "grams"},
        **_schedules(record),
        basal=_rate_maximum(record),
        bolus=_bolus_limits(record),
        display=_display(record),
        manufacturers=list(filter(None, (trimmed(record.device.manufacturer, _NAME_LENGTH),))),
        model=trimmed(record.device.model, _NAME_LENGTH),
        serialNumber=trimmed(record.device.serial, _NAME_LENGTH),
    )
    return datum(record, view, "pumpSettings", fields)


def _schedules(record: PumpSettings) -> dict[str, Any]:
    basals = {
        trimmed(name): [{"start": _start(one.start_min), "rate": number(one.rate_u_h)} for one in daily(entries)]
        for name, entries in (record.basal_schedules or {}).items()
    }
    return {
        "basalSchedules": {name: entries for name, entries in basals.items() if name and entries},
        "carbRatio": [_amount(one.start_min, one.g_u) for one in daily(record.carb_ratios)],
        "insulinSensitivity": [_amount(one.start_min, one.mgdl_u) for one in daily(record.isf)],
        "bgTarget": [
            {
                "start": _start(one.start_min),
                "low": number(one.low_mgdl, COARSE),
                "high": number(one.high_mgdl, COARSE),
            }
            for one in daily(record.targets)
        ],
    }


def _start(minute: int) -> int:
    return milliseconds(minute)


def _amount(minute: int, value: float) -> dict[str, Any]:
    return {"start": _start(minute), "amount": number(value, COARSE)}


def _rate_maximum(record: PumpSettings) -> dict[str, Any]:
    if record.max_basal_u_h is None:
        return {}
    return {"rateMaximum": {"units": "Units/hour", "value": number(record.max_basal_u_h, DOSE)}}


def _bolus_limits(record: PumpSettings) -> dict[str, Any]:
    largest: dict[str, Any] = {}
    if record.max_bolus_u is not None:
        largest = {"units": UNITS, "value": number(record.max_bolus_u, DOSE)}
    calculator: dict[str, Any] = {}
    if record.dia_min is not None:
        insulin = {"units": "minutes", "duration": number(record.dia_min, COARSE)}
        calculator = {"enabled": True, "insulin": insulin}
    return lean(amountMaximum=largest, calculator=calculator)


def _display(record: PumpSettings) -> dict[str, Any]:
    units = _DISPLAY.get((record.display_unit or "").lower())
    return {"bloodGlucose": {"units": units}} if units else {}
