"""The parts of one record that both destinations read alike: a bolus's two halves, a day's schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from bridge.model import Bolus, IsfStart, RateStart, RatioStart, TargetStart

S = TypeVar("S", RateStart, RatioStart, IsfStart, TargetStart)

_SHORT_U = 0.0125


@dataclass(frozen=True, slots=True)
class Parts:
    """Delivered insulin, U: at once, and over a span."""

    immediate_u: float
    extended_u: float


def bolus_parts(bolus: Bolus) -> Parts:
    """What was delivered so far; a half the source does not name is what the other leaves of the sum."""
    if bolus.shape == "square":
        return Parts(0, bolus.delivered_u if bolus.extended_u is None else bolus.extended_u)
    immediate, extended = bolus.immediate_u, bolus.extended_u
    if immediate is None:
        immediate = max(0.0, bolus.delivered_u - (extended or 0))
    if extended is None:
        extended = max(0.0, bolus.delivered_u - immediate)
    return Parts(immediate, extended)


def shortfall(programmed_u: float | None, delivered_u: float) -> bool:
    """Whether clearly less went in than was programmed."""
    return programmed_u is not None and round(programmed_u - delivered_u, 6) > _SHORT_U


def daily(entries: Sequence[S] | None) -> Sequence[S]:
    """A day's schedule in order; empty when it is not known or does not cover the day from midnight."""
    ordered = sorted(entries or (), key=lambda entry: entry.start_min)
    starts = [entry.start_min for entry in ordered]
    return ordered if starts and starts[0] == 0 and len(set(starts)) == len(starts) else ()
