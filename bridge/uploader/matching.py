"""Matching what is local with what was read back, one to one, and finding holes. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Fact:
    """One record as it is compared. `at` is the device's own clock where all sides tell it, else UTC, without zone;
    `value` None: compared by time alone."""

    at: datetime
    time: datetime
    value: float | None


@dataclass(frozen=True, slots=True)
class Matched:
    """What became of the local facts: found there, there with another value, missing; and how many more it has."""

    found: Sequence[Fact]
    differing: Sequence[Fact]
    missing: Sequence[Fact]
    extra: int


def match(local: Iterable[Fact], there: Iterable[Fact], within: timedelta, tolerance: float) -> Matched:
    """Each fact there belongs to one local fact at most: the earliest that fits by time and value, then by time."""
    ours = sorted(local, key=lambda fact: fact.at)
    theirs = sorted(there, key=lambda fact: fact.at)
    times, used = [fact.at for fact in theirs], [False] * len(theirs)

    def take(fact: Fact, *, by_value: bool) -> bool:
        for index in range(bisect_left(times, fact.at - within), len(theirs)):
            if times[index] > fact.at + within:
                return False
            if not used[index] and (not by_value or _agree(fact, theirs[index], tolerance)):
                used[index] = True
                return True
        return False

    left = [fact for fact in ours if not take(fact, by_value=True)]
    missing = [fact for fact in left if not take(fact, by_value=False)]
    gone = set(map(id, left))
    apart = set(map(id, missing))
    return Matched(
        [fact for fact in ours if id(fact) not in gone],
        [fact for fact in left if id(fact) not in apart],
        missing,
        used.count(False),
    )


def _agree(one: Fact, other: Fact, tolerance: float) -> bool:
    if one.value is None or other.value is None:
        return True
    return abs(one.value - other.value) <= tolerance + 1e-9


def holes(spans: Iterable[Span], start: datetime, end: datetime, limit: timedelta) -> Iterator[Span]:
    """Stretches of [start, end] longer than `limit` that no span touches."""
    reached = start
    for since, until in sorted(spans):
        if since - reached > limit and since <= end:
            yield reached, since
        reached = max(reached, min(until, end))
    if end - reached > limit:
        yield reached, end
