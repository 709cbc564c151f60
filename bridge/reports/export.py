"""Records as lines for somebody else: JSON of the reading model, and a flat table for a spreadsheet.

Serials are cut to their last three characters; what the source itself said (`raw`, `source_key`) stays here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from bridge.model.records import (
    Basal,
    Bolus,
    BolusCalculation,
    Calibration,
    Carbs,
    DeviceEvent,
    Exercise,
    Injection,
    Ketone,
    MeterGlucose,
    Note,
    PumpSettings,
    PumpStatus,
    Record,
    SensorGlucose,
)
from bridge.model.time import iso_ms
from bridge.model.units import MGDL_PER_MMOL

Unit = Literal["mg/dL", "mmol/L"]
COLUMNS = ("time_utc", "time_local", "kind", "value", "unit", "detail", "doubt", "device", "serial_end")
"""Of the table. `doubt` names a record's annotations."""
_KEPT_HERE = {"raw", "source_key"}


def line(record: Record) -> str:
    """One line of JSON: the reading model's fields, without what stays here."""
    told = record.model_dump(mode="json", exclude=_KEPT_HERE)
    told["device"]["serial"] = _end(record)
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


def row(record: Record, zone: ZoneInfo, unit: Unit) -> tuple[str, ...]:
    """The cells of one record, in the order of `COLUMNS`; glucose in the unit asked for."""
    value, measured, detail = _SAID[type(record)](record, unit)
    doubt = ", ".join(sorted({str(note["code"]) for note in record.annotations}))
    told = (
        record.kind,
        value,
        measured,
        _plain(detail),
        doubt,
        _plain(record.device.model or ""),
        _plain(_end(record)),
    )
    return (iso_ms(record.time), _local(record.time, zone), *told)


def _local(time: datetime, zone: ZoneInfo) -> str:
    return time.astimezone(zone).isoformat(sep=" ", timespec="seconds")


def _end(record: Record) -> str:
    return (record.device.serial or "")[-3:]


def _plain(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


# --- what a kind says: value, unit, detail ---------------------------------------------------------

_Said = tuple[str, str, str]


def _glucose(mgdl: float | None, unit: Unit) -> tuple[str, str]:
    if mgdl is None:
        return "", ""
    return (f"{mgdl:g}", unit) if unit == "mg/dL" else (f"{mgdl / MGDL_PER_MMOL:.1f}", unit)


def _number(value: float | None, unit: str) -> tuple[str, str]:
    return ("", "") if value is None else (f"{value:g}", unit)


def _words(**said: object) -> str:
    """What is known, in words: `name value`, a flag by its name alone."""
    known = ((name.replace("_", " "), value) for name, value in said.items())
    return "; ".join(_word(name, value) for name, value in known if value not in {None, ""} and value is not False)


def _word(name: str, value: object) -> str:
    if value is True:
        return name
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


def _sensor(r: SensorGlucose, unit: Unit) -> _Said:
    quality = None if r.quality == "ok" else r.quality
    return *_glucose(r.mgdl, unit), _words(trend=r.trend, quality=quality)


def _meter(r: MeterGlucose, unit: Unit) -> _Said:
    return *_glucose(r.mgdl, unit), _words(entry=r.entry, meal=r.meal, control_solution=r.control_solution)


def _calibration(r: Calibration, unit: Unit) -> _Said:
    return *_glucose(r.mgdl, unit), ""


def _ketone(r: Ketone, unit: Unit) -> _Said:
    return *_number(r.mmol_l, "mmol/L"), ""


def _bolus(r: Bolus, unit: Unit) -> _Said:
    over = r.delivered_duration_min if r.delivered_duration_min is not None else r.duration_min
    programmed = r.programmed_u if r.programmed_u != r.delivered_u else None
    shape = None if r.shape == "normal" else r.shape
    said = _words(shape=shape, automatic=r.automatic, programmed_U=programmed, extended_U=r.extended_u,
                  minutes=over, still_running=not r.completed)  # fmt: skip
    return *_number(r.delivered_u, "U"), said


def _calculation(r: BolusCalculation, unit: Unit) -> _Said:
    glucose = " ".join(_glucose(r.bg_mgdl or None, unit)).strip()
    said = _words(carbs_g=r.carbs_g, glucose=glucose, iob_U=r.iob_u, carb_ratio_g_per_U=r.carb_ratio_g_u)
    return *_number(r.recommended_net_u, "U recommended"), said


def _injection(r: Injection, unit: Unit) -> _Said:
    return *_number(r.dose_u, "U"), _words(insulin=r.action)


def _carbs(r: Carbs, unit: Unit) -> _Said:
    return *_number(r.grams, "g"), ""


def _basal(r: Basal, unit: Unit) -> _Said:
    said = _words(delivery=r.delivery, minutes=r.duration_min, dose_U=r.dose_u, percent=r.percent,
                  schedule=r.schedule, reason=r.suspend_reason)  # fmt: skip
    return *_number(r.rate_u_h, "U/h"), said


def _event(r: DeviceEvent, unit: Unit) -> _Said:
    return "", "", _words(event=r.event, text=r.text, state=r.state, volume_U=r.volume_u, mode=r.mode)


def _status(r: PumpStatus, unit: Unit) -> _Said:
    said = _words(reservoir_U=r.reservoir_u, battery_percent=r.battery_pct, mode=r.mode, suspended=r.suspended)
    return *_number(r.iob_u, "U on board"), said


def _settings(r: PumpSettings, unit: Unit) -> _Said:
    return "", "", _words(active_schedule=r.active_schedule, schedules=", ".join(r.basal_schedules or {}))


def _exercise(r: Exercise, unit: Unit) -> _Said:
    return *_number(r.duration_min, "min"), _words(intensity=r.intensity, text=r.text)


def _note(r: Note, unit: Unit) -> _Said:
    return "", "", r.text


_SAID: Mapping[type, Callable[[Any, Unit], _Said]] = {
    SensorGlucose: _sensor, MeterGlucose: _meter, Calibration: _calibration, Ketone: _ketone, Bolus: _bolus,
    BolusCalculation: _calculation, Injection: _injection, Carbs: _carbs, Basal: _basal, DeviceEvent: _event,
    PumpStatus: _status, PumpSettings: _settings, Exercise: _exercise, Note: _note,
}  # fmt: skip
