"""Numbers as the destinations get them, and as text."""

from __future__ import annotations

from math import isfinite

MS_PER_MINUTE = 60_000
DOSE, STATUS, COARSE = 4, 3, 2
"""Decimals: U, U/h, percent; reservoir, IOB, volts; minutes, grams, mmol/L, mg/dL, trend rate."""


def number(value: float, digits: int = DOSE) -> int | float:
    """Rounded half to even; a whole number comes without a fraction."""
    rounded = round(value, digits)
    return int(rounded) if rounded == int(rounded) else rounded


def shown(value: float, digits: int = DOSE) -> str:
    """The number as text for a person."""
    return str(number(value, digits))


def minutes(span_ms: int) -> int | float:
    """Minutes of a span in milliseconds."""
    return number(span_ms / MS_PER_MINUTE, COARSE)


def milliseconds(span_min: float) -> int:
    """Whole milliseconds of a span in minutes."""
    return round(span_min * MS_PER_MINUTE)


def finite(value: object) -> float | None:
    """A finite number found in an annotation, None for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
        return value
    return None
