"""What a meter has stored, and how it writes it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from bridge.model.units import MGDL_PER_MMOL
from bridge.simulators.contour.kinds import Kind
from bridge.simulators.patient import Calibration, FingerStick, Meal, PenDose, VirtualPatient


@dataclass(frozen=True, slots=True)
class Stored:
    """One result: the meter's wall clock and the fields as written. Insulin in tenths of a unit."""

    wall: datetime
    value: str
    unit: str = "mg/dL"
    analyte: Literal["Glucose", "Carb", "Insulin", "Ketone"] = "Glucose"
    method: str = "P"
    markers: tuple[str, ...] = ("M0", "T1")

    def line(self, sequence: int, digits: int) -> str:
        """The record line of this result."""
        stamp = f"{self.wall:%Y%m%d%H%M%S}"[:digits]
        marks = "/".join(self.markers)
        return f"R|{sequence}|^^^{self.analyte}|{self.value}|{self.unit}^{self.method}||{marks}||{stamp}"


def glucose(wall: datetime, mgdl: int, *marks: str, mmol: bool = False) -> Stored:
    """A blood test. Below 20 and above 600 mg/dL a meter stores one step beyond the limit and marks it."""
    low, high = (0.6, 33.3) if mmol else (20, 600)
    shown = round(mgdl / MGDL_PER_MMOL, 1) if mmol else mgdl
    step = 0.1 if mmol else 1
    if shown < low:
        shown, marks = round(low - step, 1), ("<", *marks)
    elif shown > high:
        shown, marks = round(high + step, 1), (">", *marks)
    return Stored(wall, f"{shown}", "mmol/L" if mmol else "mg/dL", markers=(*marks, "M0", "T1"))


def carbs(wall: datetime, grams: float) -> Stored:
    """A logbook entry of carbohydrates, g."""
    return Stored(wall, f"{round(grams)}", "1", "Carb", "", ())


def insulin(wall: datetime, dose_u: float, action: Literal[0, 1, 2, 3] = 1) -> Stored:
    """A logbook entry of insulin; 1 fast, 2 long, 3 mixed."""
    return Stored(wall, f"{round(dose_u * 10)}", f"{action}", "Insulin", "", ())


def lived(
    patient: VirtualPatient, start: datetime, end: datetime, kind: Kind, clock_error_s: float = 0
) -> list[Stored]:
    """What a patient's meter stored of [start, end). `clock_error_s`: how far its clock is ahead of the zone's."""
    zone, error = ZoneInfo(patient.zone), timedelta(seconds=clock_error_s)
    found: list[Stored] = []
    for event in patient.events(start, end):
        wall = event.time.astimezone(zone).replace(tzinfo=None, microsecond=0) + error
        match event:
            case FingerStick() | Calibration():
                found.append(glucose(wall, event.mgdl, mmol=kind.mmol))
            case Meal() if kind.logbook and round(event.carbs_g):
                found.append(carbs(wall, event.carbs_g))
            case PenDose() if kind.logbook:
                found.append(insulin(wall, event.dose_u))
    return found


def lines(results: Iterable[Stored], digits: int) -> list[str]:
    """The record lines of results, numbered from 1."""
    return [stored.line(number, digits) for number, stored in enumerate(results, start=1)]
