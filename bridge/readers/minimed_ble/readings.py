"""Glucose, calibrations and meals: one event, one record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bridge.model.records import Calibration, Carbs, MeterGlucose, SensorGlucose
from bridge.readers.minimed_ble import history
from bridge.readers.minimed_ble.drafts import Draft, draft
from bridge.readers.minimed_ble.timeline import Dated, Timeline

_QUALITY = {"starting": "warmup", "updating": "calibrating"}
_BEYOND = {"high": 1, "low": -1}
_DOUBTED_MIN = 5


def readings(line: Timeline) -> list[Draft]:
    """All of them."""
    found = (_READ[each.event.type](each) for each in line.events if each.event.type in _READ)
    return [made for made in found if made is not None]


def _sensor(each: Dated) -> Draft:
    event = each.event
    limit, beyond, mgdl = event["limit"], event["range"], event["mg_dl"]
    if beyond is not None:
        mgdl = limit + _BEYOND[beyond]
    state = event["state"]
    quality = "ok" if mgdl is not None else _QUALITY.get(state or "", "uncertain")
    made = draft(SensorGlucose, each, mgdl=mgdl, quality=quality)
    if beyond is not None:
        made.note("bg/out-of-range", value=beyond, threshold_mgdl=limit)
    made.raw |= {"isig": event["isig"], "counter": event["v_counter"]} | ({"state": state} if state else {})
    return _placed(made, event)


def _blood(each: Dated) -> Draft | None:
    mgdl = each.event["mg_dl"]
    if not mgdl:
        return None
    return _placed(draft(MeterGlucose, each, mgdl=mgdl, entry="linked"), each.event)


def _calibration(accepted: bool) -> Callable[[Dated], Draft | None]:
    def made(each: Dated) -> Draft | None:
        mgdl = each.event["mg_dl"]
        return _placed(draft(Calibration, each, mgdl=mgdl, accepted=accepted), each.event) if mgdl else None

    return made


def _meal(each: Dated) -> Draft | None:
    grams = each.event["carb_g"]
    return draft(Carbs, each, grams=float(grams)) if grams is not None and grams > 0 else None


def _placed(made: Draft, event: history.Event) -> Draft:
    """What the offset counts is not known for certain: a large one is a doubt about the time."""
    offset_min: Any = event["time_offset_min"]
    made.raw["time_offset_min"] = offset_min
    if abs(offset_min) >= _DOUBTED_MIN:
        made.note("clock/uncertain")
    return made


_READ: Mapping[int, Callable[[Dated], Draft | None]] = {
    history.SENSOR: _sensor,
    history.BG: _blood,
    history.CALIBRATED: _calibration(accepted=True),
    history.CALIBRATION_REJECTED: _calibration(accepted=False),
    history.MEAL: _meal,
}
