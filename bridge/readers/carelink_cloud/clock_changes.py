"""Which offset a stamp had, when the pump's clock was changed inside the window.

Readings stand in order of time, so a wall clock that jumps back, or a known reading of another offset, shows
where the change lies; events then go by those readings. All instants here are naive UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from math import ceil

from bridge.readers.carelink_cloud.clocks import FAR_MIN
from bridge.readers.carelink_cloud.rows import Row
from bridge.readers.carelink_cloud.timestamps import FOREVER, NEVER

_SPRING_GAPS = ((60, 50, 70), (30, 32, 38))
"""Minutes a clock is set forward, and the gap between two readings (5 min apart) in which such a change lies."""
_JUMPS = ((60, 30), (30, 15), (15, 15))
"""Sizes by which a clock is moved, likeliest first, each with the longest pause of readings it may hide."""
_MOST_JUMPS = 2
_SENSOR_MIN, _SENSOR_SLACK_MIN = 5, 1.5
_JITTER = timedelta(minutes=1)
_SLACK = timedelta(minutes=5)
"""A pump's clock is some minutes wrong, and not by the same before and after it was set."""


class Timeline:
    """Stretches of one offset each, made from signs (instant, offset) in order; the last is the present."""

    def __init__(self, signs: Sequence[tuple[datetime, int]]) -> None:
        self._stretches: list[tuple[datetime, datetime, int]] = []
        begins = NEVER
        for (here, offset), (there, following) in pairwise(signs):
            if offset != following:
                self._stretches.append((begins, there + _SLACK, offset))
                begins = here - _SLACK
        self._stretches.append((begins, FOREVER, signs[-1][1]))

    def offsets(self, wall: datetime) -> list[int]:
        """Offsets under which this wall clock can have been shown, oldest first, each once."""
        return list({
            offset: None
            for begins, ends, offset in self._stretches
            if begins <= wall - timedelta(minutes=offset) <= ends
        })  # fmt: skip


def place_readings(readings: Sequence[Row], offset_min: int, horizon: datetime, changes: Sequence[datetime]) -> None:
    """Set `offset_min` of every new reading (in the order of the answer).

    `offset_min` is the present one, `horizon` the latest instant a reading may have, `changes` the wall stamps
    of clock changes that the answer reports.
    """
    start = 0
    for new, group in groupby(readings, key=lambda row: row.new):
        run = list(group)
        start += len(run)
        if not new:
            continue
        before = readings[start - len(run) - 1] if start > len(run) else None
        after = readings[start] if start < len(readings) else None
        _place_run(run, before, after, offset_min, horizon, changes)


def _place_run(
    run: list[Row],
    before: Row | None,
    after: Row | None,
    offset_min: int,
    horizon: datetime,
    changes: Sequence[datetime],
) -> None:
    later = after.stamped_offset_min if after else offset_min
    if before is None:
        offsets = _walked_back(run, after, later, changes)
    elif before.stamped_offset_min == later:
        offsets = [later] * len(run)
    else:
        split = _break(run, before, after, later, horizon)
        offsets = [before.stamped_offset_min] * split + [later] * (len(run) - split)
    for row, offset in zip(run, offsets, strict=True):
        row.offset_min = offset


def _break(run: list[Row], before: Row, after: Row | None, later: int, horizon: datetime) -> int:
    """How many rows of the run still had the older offset: the split that leaves the smallest pause."""
    earlier = before.stamped_offset_min
    old = [before.at(earlier), *(row.at(earlier) for row in run)]
    new = [*(row.at(later) for row in run), after.at(later) if after else horizon]
    splits = range(len(run) + 1) if new[-2] <= horizon else (len(run),)
    fitting = [(new[split] - old[split], split) for split in splits if new[split] - old[split] >= -_JITTER]
    return min(fitting)[1] if fitting else 0


def _walked_back(run: list[Row], after: Row | None, offset: int, changes: Sequence[datetime]) -> list[int]:
    """Offsets without any older knowledge: from the newest row back, following the jumps of the wall clock."""
    walls = [row.wall for row in run] + ([after.wall] if after else [])
    if not changes and all(earlier <= later for earlier, later in pairwise(walls)):
        return [offset] * len(run)
    steps = list(_steps(walls, changes))
    if sum(1 for step in steps if step) > _MOST_JUMPS:
        return [offset] * len(run)
    offsets = [] if after else [offset]
    for step in reversed(steps):
        offset = offset + step if abs(offset + step) <= FAR_MIN else offset
        offsets.append(offset)
    return offsets[::-1]


def _steps(walls: Sequence[datetime], changes: Sequence[datetime]) -> Iterator[int]:
    """Between each two walls: minutes that the older one's offset is above the newer one's."""
    for earlier, later in pairwise(walls):
        gap = (later - earlier).total_seconds() / 60
        if gap < 0:
            yield _set_back(gap)
        elif any(earlier <= at <= later for at in changes):
            yield -_set_forward(gap)
        else:
            yield 0


def _set_forward(gap_min: float) -> int:
    """Minutes a clock was set forward in a gap that holds a clock change; 0 when no real change fits."""
    return next((step for step, shortest, longest in _SPRING_GAPS if shortest <= gap_min <= longest), 0)


def _set_back(gap_min: float) -> int:
    """Minutes a clock was set back, from the jump between two readings; 0 when no real change fits."""
    for step, longest in _JUMPS:
        size = ceil(-gap_min / step) * step
        pause = size + gap_min
        off_beat = abs(pause - round(pause / _SENSOR_MIN) * _SENSOR_MIN)
        if pause <= longest and off_beat <= _SENSOR_SLACK_MIN:
            return size
    return 0
