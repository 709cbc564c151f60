"""How far around a record mapping must look (docs/mapping.md)."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.journal.content import RECORD_TYPES
from bridge.journal.spans import Span, around

DAY_MS = 26 * 3_600_000
"""A day and the longest clock change: boluses, meals, set changes, alarms."""
READINGS_MS = 2 * 190 * 60_000
"""The longest pause between micro-doses that readings may explain, and a margin; once more, for the records around
whose documents may change too."""
LINE_MS = 400 * 60_000
"""Basals as far, and a margin; the next one either way comes beside them."""
STATUSES_MS = 10 * 60_000
"""Statuses are thinned against the newest one accepted, whatever lies between."""
_SPANS = {"sensor_glucose": READINGS_MS, "basal": LINE_MS, "pump_status": STATUSES_MS}

KINDS = tuple(RECORD_TYPES)
"""Every kind, in the model's order."""


def windows(times_ms: Iterable[int]) -> list[tuple[str, int, int]]:
    """(kind, start, end), both inclusive, epoch ms: what stands around records of these times."""
    times = list(times_ms)
    spans = {reach: around(times, reach) for reach in {DAY_MS, *_SPANS.values()}}
    return [(kind, *span) for kind in KINDS for span in spans[_SPANS.get(kind, DAY_MS)]]


def lines(times_ms: Iterable[int]) -> list[Span]:
    """The stretches beyond which the previous and next basal are looked up."""
    return around(times_ms, LINE_MS)
