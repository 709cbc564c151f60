"""How far around a record mapping must look (docs/mapping.md)."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.journal.content import RECORD_TYPES
from bridge.journal.spans import Span, around

DAY_MS = 26 * 3_600_000
"""A day and the longest clock change: set changes, basal line, status thinning."""
READINGS_MS = 190 * 60_000
"""The longest pause between micro-doses that readings may explain, and a margin."""

KINDS = tuple(RECORD_TYPES)
"""Every kind, in the model's order."""


def windows(times_ms: Iterable[int]) -> list[tuple[str, int, int]]:
    """(kind, start, end), both inclusive, epoch ms: what stands around records of these times."""
    times = list(times_ms)
    day, readings = around(times, DAY_MS), around(times, READINGS_MS)
    return [(kind, *span) for kind in KINDS for span in (readings if kind == "sensor_glucose" else day)]


def days(times_ms: Iterable[int]) -> list[Span]:
    """The stretches beyond which the previous and next basal are looked up."""
    return around(times_ms, DAY_MS)
