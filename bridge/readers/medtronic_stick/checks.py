"""Plausibility: a calculation adds up, and a day's basal equals the pump's own total."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from bridge.model.records import Annotation
from bridge.readers.medtronic_stick.fields_events import DayDetail
from bridge.readers.medtronic_stick.fields_insulin import WizardFields
from bridge.readers.medtronic_stick.log import Log

_DAY = timedelta(days=1)
_ROUNDING_U = 0.11
_WHOLE_DAY_H = 23.98
_SHARE = 0.05
_LEAST_U = 0.1
_DOUBT: tuple[Annotation, ...] = ({"code": "wizard/implausible"},)


class Given(NamedTuple):
    """Basal at one rate, on the pump's wall clock."""

    start: datetime
    end: datetime
    rate_u_h: float


def wizard_doubt(fields: WizardFields) -> tuple[Annotation, ...]:
    """An annotation when the estimate is not what food, correction and insulin on board make."""
    correction_u = fields.correction_u
    if correction_u > 0:
        correction_u = max(correction_u - fields.iob_u, 0.0)
    expected_u = max(fields.food_u + correction_u, 0.0)
    return () if abs(fields.estimate_u - expected_u) <= _ROUNDING_U else _DOUBT


def tell_day_totals(log: Log, given: Iterable[Given]) -> None:
    """A diagnostic for each wholly known day whose basal is not the pump's total of that day."""
    told = {entry.record.wall: entry.fields.basal_u for entry in log.entries if isinstance(entry.fields, DayDetail)}
    basal_u, hours = _by_day(given) if told else ({}, {})
    for day, total_u in told.items():
        if day is None or hours[day] < _WHOLE_DAY_H:
            continue
        if abs(basal_u[day] - total_u) > max(total_u * _SHARE, _LEAST_U):
            text = f"Basal of {day:%Y-%m-%d}: {basal_u[day]:.2f} U by the records, {total_u:.2f} U by the pump."
            log.tell("basal_day_mismatch", text)


def _by_day(given: Iterable[Given]) -> tuple[dict[datetime, float], dict[datetime, float]]:
    basal_u: dict[datetime, float] = defaultdict(float)
    hours: dict[datetime, float] = defaultdict(float)
    for piece in given:
        for day, span_h in _days(piece):
            basal_u[day] += piece.rate_u_h * span_h
            hours[day] += span_h
    return basal_u, hours


def _days(piece: Given) -> Iterator[tuple[datetime, float]]:
    start = piece.start
    while start < piece.end:
        day = start.replace(hour=0, minute=0, second=0, microsecond=0)
        end = min(piece.end, day + _DAY)
        yield day, (end - start) / timedelta(hours=1)
        start = end
