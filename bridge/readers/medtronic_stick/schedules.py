"""Schedules as the pump packs them: slots that start at half-hours, ended by a slot that starts at 0 again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bridge.readers.medtronic_stick.fields_insulin import HALF_HOUR_MIN, RateStep

_CLEARED = 0x3F
_SLOTS = 8
_MOST_RATES = 48
_DAY_HALF_HOURS = 48


class Step(NamedTuple):
    """A value from a minute of the day on, in the unit that was set."""

    start_min: int
    value: float


class Range(NamedTuple):
    """A target range from a minute of the day on, in the unit that was set."""

    start_min: int
    low: float
    high: float


def ratios(data: bytes, new: bool, exchanges: bool) -> tuple[Step, ...]:
    """Carb ratios: g/U, or U per exchange."""
    if new:
        scale = 1000 if exchanges else 10
        return tuple(Step(_minutes(s), (s[1] << 8 | s[2]) / scale) for s in _slots(data, 3))
    return tuple(Step(_minutes(s), s[1] / (10 if exchanges else 1)) for s in _slots(data, 2))


def sensitivities(data: bytes, mmol: bool) -> tuple[Step, ...]:
    """Insulin sensitivities, nine bits, mg/dL or mmol/L per U."""
    return tuple(Step(_minutes(s), ((s[0] & 0x40) << 2 | s[1]) / (10 if mmol else 1)) for s in _slots(data, 2))


def ranges(data: bytes, mmol: bool) -> tuple[Range, ...]:
    """Target ranges, mg/dL or mmol/L."""
    scale = 10 if mmol else 1
    return tuple(Range(_minutes(s), s[1] / scale, s[2] / scale) for s in _slots(data, 3))


def targets(data: bytes, mmol: bool) -> tuple[Range, ...]:
    """Targets of the x12, low equal to high."""
    scale = 10 if mmol else 1
    return tuple(Range(_minutes(s), s[1] / scale, s[1] / scale) for s in _slots(data, 2))


def rates(data: bytes) -> tuple[RateStep, ...]:
    """A basal profile as a command answers it: entries of rate and start."""
    steps: list[RateStep] = []
    for at in range(0, min(len(data) - 2, _MOST_RATES * 3), 3):
        start = data[at + 2]
        if start >= _DAY_HALF_HOURS or (steps and start * HALF_HOUR_MIN <= steps[-1].start_min):
            break
        steps.append(RateStep(start * HALF_HOUR_MIN, (data[at + 1] << 8 | data[at]) / 40))
    return tuple(steps)


def _slots(data: bytes, size: int) -> Iterator[bytes]:
    last = -1
    for at in range(0, min(len(data) - size + 1, _SLOTS * size), size):
        start = data[at] & _CLEARED
        if start <= last or start >= _DAY_HALF_HOURS:
            return
        last = start
        yield data[at : at + size]


def _minutes(slot: bytes) -> int:
    return (slot[0] & _CLEARED) * HALF_HOUR_MIN
