"""What happened to the devices, and what a person wrote."""

from __future__ import annotations

from collections.abc import Callable

from adapters.preparation import COARSE, DOSE, Result, carried, lean, milliseconds, number, skipped
from adapters.tidepool.mapping.frame import MGDL, View, datum, trimmed
from bridge.model import DeviceEvent, Exercise, Note, iso_wall

_NAME_LENGTH = 100
_SILENT = (
    "battery_change", "sensor_start", "sensor_stop", "transmitter", "mode_change", "calibration_reminder",
)  # fmt: skip
_INTENSITIES = ("low", "medium", "high")


def _codes(**named: tuple[int, ...]) -> dict[str, str]:
    return {str(code): name for name, codes in named.items() for code in codes}


_NGP_ALARMS = _codes(
    occlusion=(7, 8), no_power=(6, 11, 84), low_power=(58, 73, 104), low_insulin=(105, 106), no_insulin=(113,),
    auto_off=(12,), over_limit=(52,), no_delivery=(3, 4, 15, 23, 53, 54),
)  # fmt: skip
_ALARMS = {
    "NGP": _NGP_ALARMS,
    "600": _NGP_ALARMS,
    "PARADIGM": _codes(no_power=(3,), no_delivery=(4,), low_power=(5,), no_insulin=(62,)),
}


def device_event(record: DeviceEvent, view: View) -> Result:
    """The `deviceEvent` an event has a word for."""
    if record.event in _SILENT:
        return skipped("no_counterpart")
    mapper = _EVENTS.get(record.event)
    return skipped("unmapped_event") if mapper is None else mapper(record, view)


def _alarm(record: DeviceEvent, view: View) -> Result:
    code = trimmed(record.code, _NAME_LENGTH) if isinstance(record.code, str) else record.code
    alarm_type = _ALARMS.get(record.device.family or "", {}).get(str(code), "other")
    payload = lean(code=code, severity=record.severity, text=trimmed(record.text))
    return datum(record, view, "deviceEvent/alarm", {"alarmType": alarm_type, **lean(payload=payload)})


def _reservoir_change(record: DeviceEvent, view: View) -> Result:
    return datum(record, view, "deviceEvent/reservoirChange", {})


def _rewind(record: DeviceEvent, view: View) -> Result:
    change = view.prepared.change_near(record, "reservoir_change")
    return _reservoir_change(record, view) if change is None else carried(change)


def _prime(record: DeviceEvent, view: View) -> Result:
    if record.target is None:
        return skipped("no_counterpart")
    volume = None if record.volume_u is None else number(record.volume_u, DOSE)
    return datum(record, view, "deviceEvent/prime", {"primeTarget": record.target, **lean(volume=volume)})


def _site_change(record: DeviceEvent, view: View) -> Result:
    prime = view.prepared.change_near(record, "prime", lambda one: one.target == "cannula")
    return datum(record, view, "deviceEvent/prime", {"primeTarget": "cannula"}) if prime is None else carried(prime)


def _temp_target(record: DeviceEvent, view: View) -> Result:
    duration, low = milliseconds(record.duration_min or 0), record.low_mgdl
    if not duration or low is None:
        return skipped("no_counterpart")
    high = low if record.high_mgdl is None else record.high_mgdl
    fields = {
        "overrideType": "custom",
        "duration": duration,
        "bgTarget": {"low": number(low, COARSE), "high": number(high, COARSE)},
        "units": {"bg": MGDL},
    }
    return datum(record, view, "deviceEvent/pumpSettingsOverride", fields)


def _time_change(record: DeviceEvent, view: View) -> Result:
    if record.clock_to is None:
        return skipped("no_counterpart")
    before = {} if record.clock_from is None else {"time": iso_wall(record.clock_from)}
    method = record.agent if record.agent in ("manual", "automatic") else None
    fields = {"to": {"time": iso_wall(record.clock_to)}, **lean(**{"from": before, "method": method})}
    return datum(record, view, "deviceEvent/timeChange", fields)


_EVENTS: dict[str, Callable[[DeviceEvent, View], Result]] = {
    "alarm": _alarm,
    "reservoir_change": _reservoir_change,
    "rewind": _rewind,
    "prime": _prime,
    "site_change": _site_change,
    "temp_target": _temp_target,
    "time_change": _time_change,
}


def exercise(record: Exercise, view: View) -> Result:
    """A `physicalActivity`."""
    minutes = record.duration_min
    duration = {} if minutes is None else {"value": number(minutes, COARSE), "units": "minutes"}
    intensity = record.intensity if record.intensity in _INTENSITIES else None
    fields = lean(duration=duration, reportedIntensity=intensity, name=trimmed(record.text, _NAME_LENGTH))
    return datum(record, view, "physicalActivity", fields)


def note(record: Note, view: View) -> Result:
    """A `reportedState` with the text in its notes."""
    text = trimmed(record.text)
    if not text:
        return skipped("empty_note")
    return datum(
        record, view, "reportedState", {"states": [{"state": "other", "stateOther": "note"}], "notes": [text]}
    )
