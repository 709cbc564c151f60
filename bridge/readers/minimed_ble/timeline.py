"""The events of a read in their order, each with the pump's wall clock where that can be told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.readers.minimed_ble.history import REFERENCE, Event

OPEN_FOR = timedelta(hours=24)
"""How long the next read reaches back for what has not ended."""


@dataclass(frozen=True, slots=True)
class Dated:
    """An event and when it was on the pump's clock."""

    event: Event
    wall: datetime

    @property
    def sequence(self) -> int:
        """Its number."""
        return self.event.sequence


@dataclass(frozen=True, slots=True)
class Timeline:
    """`undated`: so many events lie before the first reference time, or the pump's clock is not set."""

    events: Sequence[Dated]
    undated: int
    clock_set: bool

    @property
    def newest(self) -> Dated | None:
        """The last event."""
        return self.events[-1] if self.events else None

    def reach(self, open_since: int | None) -> int | None:
        """From which event on the next read asks, so that all that is open can be told: a reference time."""
        newest = self.newest
        if newest is None:
            return None
        least = newest.wall - OPEN_FOR
        since = newest.sequence if open_since is None else open_since
        anchors = [each for each in self.events if each.event.type == REFERENCE]
        before = [each.sequence for each in anchors if each.sequence <= since]
        recent = [each.sequence for each in anchors if each.wall >= least]
        return max(max(before, default=anchors[0].sequence), min(recent, default=anchors[-1].sequence))


def timeline(events: Iterable[Event]) -> Timeline:
    """Ordered by number; what stands before the first reference time has no date."""
    dated: list[Dated] = []
    undated, clock_set = 0, True
    anchor: datetime | None = None
    for event in sorted(events, key=lambda event: event.sequence):
        if event.type == REFERENCE:
            anchor, clock_set = event["local"], event["local"] is not None
        if anchor is None:
            undated += 1
        elif event.type == REFERENCE:
            dated.append(Dated(event, anchor))
        else:
            dated.append(Dated(event, anchor + timedelta(seconds=event.offset_s)))
    return Timeline(dated, undated, clock_set)
