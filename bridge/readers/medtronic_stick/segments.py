"""Pieces of the basal line, and the records they become."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from bridge.model.records import Annotation, Basal
from bridge.readers.medtronic_stick.making import Maker
from bridge.readers.medtronic_stick.time import Moment

LONGEST = timedelta(days=5)
"""No segment is longer: what ran on was not told."""
_SLIVER = timedelta(seconds=5)
INFERRED: Annotation = {"code": "basal/inferred-duration"}
UNKNOWN_END: Annotation = {"code": "basal/unknown-duration"}
_UNKNOWN_RATE: Annotation = {"code": "basal/unknown-rate"}


class Temp(NamedTuple):
    """A temporary rate until `end` (UTC); neither rate nor percent when its first record was not read."""

    rate_u_h: float | None
    percent: int | None
    end: datetime


@dataclass(slots=True)
class Segment:
    """One piece. `derived`: no record of its own begins it. `end` is None while it runs."""

    start: Moment
    key: str
    delivery: str
    rate_u_h: float | None
    percent: int | None
    schedule: str | None
    reason: str | None
    derived: bool
    end: datetime | None = None
    planned_end: datetime | None = None
    notes: list[Annotation] = field(default_factory=list)

    def note(self, annotation: Annotation) -> None:
        """Annotate, once."""
        if annotation not in self.notes:
            self.notes.append(annotation)

    def lasts(self, until: datetime) -> timedelta:
        """Its length, when it runs until its end or, without one, until then."""
        return (self.end or until) - self.start.time


class Segments:
    """The line so far: closed pieces, and the one that is open."""

    def __init__(self) -> None:
        self._closed: list[Segment] = []
        self._since_gap = 0
        self.open: Segment | None = None

    def begin(self, segment: Segment) -> None:
        """Another piece runs from here."""
        self.close(segment.start.time)
        self.open = segment

    def split(self, moment: Moment, key: str) -> None:
        """What runs goes on from here as a piece of its own."""
        running = self.open
        if running is not None:
            self.begin(replace(running, start=moment, key=key, derived=True, notes=list(running.notes)))

    def close(self, time: datetime) -> None:
        """Nothing is known to run from here."""
        if self.open is not None:
            self.open.end = time
            self._closed.append(self.open)
            self.open = None

    def mark_gap(self) -> None:
        """What came before is not in doubt by what comes."""
        self._since_gap = len(self._closed)

    def forget_since_gap(self) -> None:
        """What was taken to run since the gap (or the log's begin) did not."""
        del self._closed[self._since_gap :]
        self.open = None

    def finish(self, now: datetime | None) -> Iterator[Segment]:
        """All pieces, oldest first, without slivers and gaps of seconds between them."""
        pieces = [*self._closed, self.open] if self.open is not None else self._closed
        last: Segment | None = None
        for piece in pieces:
            if piece.end is not None and piece.lasts(piece.end) <= (_SLIVER if piece.derived else timedelta(0)):
                continue
            if last is not None:
                _join(last, piece.start.time)
                yield last
            last = piece
        if last is not None:
            if now is not None and last.end is None and last.lasts(now) > LONGEST:
                last.end = now
            _join(last, None)
            yield last


def _join(piece: Segment, following: datetime | None) -> None:
    """Close a gap of seconds, and cut what is too long."""
    if piece.end is not None and following is not None and timedelta(0) < following - piece.end <= _SLIVER:
        piece.end = following
    if piece.end is not None and piece.end - piece.start.time > LONGEST:
        piece.end = piece.start.time + LONGEST
        piece.note(UNKNOWN_END)


def make_basals(maker: Maker, segments: Iterable[Segment]) -> None:
    """The records of segments."""
    for segment in segments:
        body = {
            "delivery": segment.delivery,
            "rate_u_h": segment.rate_u_h,
            "duration_min": _minutes(segment.start.time, segment.end),
            "percent": segment.percent,
            "schedule": segment.schedule,
            "suspend_reason": segment.reason,
        }
        maker.make(Basal, segment.key, segment.start, body, _notes(segment))


def _notes(segment: Segment) -> list[Annotation]:
    notes = list(segment.notes)
    if segment.rate_u_h is None:
        notes.append(_UNKNOWN_RATE)
    if segment.end is None:
        planned_min = _minutes(segment.start.time, segment.planned_end)
        notes.append({"code": "basal/open"} if planned_min is None else _open(planned_min))
    return notes


def _open(planned_min: float) -> Annotation:
    return {"code": "basal/open", "programmed_min": planned_min}


def _minutes(start: datetime, end: datetime | None) -> float | None:
    return None if end is None else round((end - start).total_seconds() / 60, 6)
