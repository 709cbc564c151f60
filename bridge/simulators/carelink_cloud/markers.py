"""The markers of version 13: numbers as text with 32-bit noise, grouped by type, values nested."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from bridge.simulators.carelink_cloud.uploads import Picture
from bridge.simulators.carelink_cloud.views import VIEWS
from bridge.simulators.carelink_cloud.wire import MAX_AUTO_U_H, Stamp, noisy, plain
from bridge.simulators.patient import (
    Bolus,
    Calibration,
    FingerStick,
    Meal,
    MicroDose,
    ModeChange,
    PenDose,
    TimeChange,
)

Row = dict[str, Any]
Moved = Callable[[datetime], datetime]
"""Moves a marker's time, for a cloud that stamps its markers anew."""
_Marker = tuple[datetime, Row, Row]
"""Time, values, and what the app shows of them."""


def pump_markers(picture: Picture, stamp: Stamp, moved: Moved) -> list[Row]:
    """All markers of a pump; the two of the window's start and all mode changes carry no values."""
    edge: _Marker = (picture.start, {}, {})
    modes = [edge, *((change.time, {}, {}) for change in picture.of(ModeChange))]
    groups: dict[str, Iterable[_Marker]] = {
        "AUTO_MODE_STATUS": modes,
        "AUTO_BASAL_DELIVERY": map(_dose, picture.of(MicroDose)),
        "MEAL": map(_meal, picture.of(Meal)),
        "LOW_GLUCOSE_SUSPENDED": [edge],
        "INSULIN": (_bolus(bolus, picture.taken_at) for bolus in picture.of(Bolus)),
        **_sticks(picture),
        "TIME_CHANGE": [(change.time, {}, {}) for change in picture.of(TimeChange)],
    }
    return _written(groups, stamp, moved)


def pen_markers(picture: Picture, stamp: Stamp, moved: Moved) -> list[Row]:
    """All markers of a person with a sensor and pens."""
    groups = {"INSULIN": map(_pen, picture.of(PenDose)), "MEAL": map(_meal, picture.of(Meal)), **_sticks(picture)}
    return _written(groups, stamp, moved)


def _written(groups: dict[str, Iterable[_Marker]], stamp: Stamp, moved: Moved) -> list[Row]:
    """As the cloud lists them: type by type, the first of each type with its view."""
    found: list[Row] = []
    for kind, markers in groups.items():
        rows = [_row(kind, stamp(moved(when)), values, shown) for when, values, shown in markers]
        if rows:
            rows[0]["views"] = VIEWS[kind]
        found += rows
    return found


def _row(kind: str, told: str, values: Row, shown: Row) -> Row:
    return {
        "type": kind, "timestamp": told, "displayTime": told, "data": {"dataValues": values, "resourceValues": shown}
    }  # fmt: skip


def _dose(dose: MicroDose) -> _Marker:
    return dose.time, {"bolusAmount": noisy(dose.dose_u), "maxAutoBasalRate": noisy(MAX_AUTO_U_H)}, {}


def _meal(meal: Meal) -> _Marker:
    grams = plain(meal.carbs_g)
    shown = {
        "LS_Grams": [grams], "LS_CarbsWithValue": [grams], "LS_CarbsEnteredWithValue": [str(meal.carbs_g)],
        "LS_Meal": [],
    }  # fmt: skip
    return meal.time, {"amount": meal.carbs_g}, shown


def _bolus(bolus: Bolus, at: datetime) -> _Marker:
    given = bolus.delivered(at)
    values: Row = {"insulinType": "UNKNOWN"}
    if bolus.shape != "SQUARE":
        values |= {"programmedFastAmount": plain(bolus.fast_u), "deliveredFastAmount": plain(given.fast_u)}
    if bolus.shape != "FAST":
        values |= {
            "programmedExtendedAmount": plain(bolus.extended_u), "deliveredExtendedAmount": plain(given.extended_u),
            "programmedDuration": bolus.duration_min, "effectiveDuration": given.minutes,
        }  # fmt: skip
    values |= {"activationType": bolus.activation, "completed": given.completed, "bolusType": bolus.shape}
    total = [plain(given.total_u)]
    shown = {
        "LS_Bolus": [], "LS_Insulin_Units": total, "LS_RegularBolusCompletedDeliveryTitle": total,
        "LS_RegularBolusCompletedDeliveryDesc": total,
    }  # fmt: skip
    return bolus.time, values, shown


def _pen(dose: PenDose) -> _Marker:
    return dose.time, {"insulinType": "RAPID", "insulinUnits": plain(dose.dose_u)}, {}


def _calibration(stick: Calibration) -> _Marker:
    return stick.time, {**_blood(stick.mgdl), "calibrationSuccess": True}, {}


def _sticks(picture: Picture) -> dict[str, Iterable[_Marker]]:
    return {
        "BG_READING": ((one.time, _blood(one.mgdl), {}) for one in picture.of(FingerStick)),
        "CALIBRATION": map(_calibration, picture.of(Calibration)),
    }


def _blood(mgdl: int) -> Row:
    return {"unitValue": str(mgdl), "bgUnits": "MGDL"}
