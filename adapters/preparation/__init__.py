"""Preparation that every destination shares: one revision of each record, partners, the basal line, kept statuses.

Pure: no clock, no network. The same set of records in any order prepares the same.
"""

from adapters.preparation.basal_line import Segment, is_micro_dose, micro_dose_minutes, micro_dose_rate
from adapters.preparation.links import Meal, is_automatic, is_live
from adapters.preparation.numbers import COARSE, DOSE, STATUS, finite, milliseconds, minutes, number, shown
from adapters.preparation.outcome import Result, carried, gathered, lean, skipped
from adapters.preparation.parts import Parts, bolus_parts, daily, shortfall
from adapters.preparation.prepared import Prepared

__all__ = [
    "COARSE", "DOSE", "STATUS", "Meal", "Parts", "Prepared", "Result", "Segment", "bolus_parts", "carried", "daily",
    "finite", "gathered", "is_automatic", "is_live", "is_micro_dose", "lean", "micro_dose_minutes", "micro_dose_rate",
    "milliseconds", "minutes", "number", "shortfall", "shown", "skipped",
]  # fmt: skip
