"""Which pages of a pump have been read, by their running numbers: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

GIVEN_UP_AFTER = 3
"""A page that could not be read without error in so many passes is no longer asked for."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """Pages of one kind. `upto`: the newest number seen, which may have grown since; None before the first read.

    `missing`: pages still to be read, with how many passes failed at each. `begun`: page `upto` was read in part.
    """

    upto: int | None = None
    missing: Mapping[int, int] = field(default_factory=dict)
    begun: bool = False

    @classmethod
    def restore(cls, kept: object) -> Shelf:
        """From `dump`; anything else is an empty shelf, so that all is read again."""
        if not isinstance(kept, Mapping):
            return cls()
        try:
            missing = {int(number): int(times) for number, times in kept["missing"].items()}
            return cls(int(kept["upto"]), missing, kept["begun"] is True)
        except (TypeError, KeyError, ValueError, AttributeError):
            return cls()

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        missing = {str(number): times for number, times in self.missing.items()}
        return {"upto": self.upto, "missing": missing, "begun": self.begun}

    def open(self, newest: int, count: int) -> Book:
        """What to read of the `count` pages up to `newest` that the pump has.

        The page that was the newest has grown and is read again; all are, when the numbers went back (another
        memory). A page that is read late comes with the next newer one, whose records tell its time.
        """
        oldest = max(newest - count + 1, 0)
        known = self if self.upto is not None and self.upto <= newest else Shelf()
        fresh = range(oldest if known.upto is None else max(known.upto, oldest), newest + 1)
        numbers = {*fresh, *(number for number in known.missing if oldest <= number <= newest)}
        numbers |= {number + 1 for number in numbers if number < newest}
        missing = {number: known.missing.get(number, 0) for number in numbers}
        return Book(newest, sorted(numbers, reverse=True), missing, known.upto if known.begun else None)


@dataclass(slots=True)
class Book:
    """One pass over a shelf: `wanted` numbers, newest first, and what became of them."""

    newest: int
    wanted: list[int]
    times: dict[int, int]
    begun: int | None
    read: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)

    def grow(self, newest: int) -> None:
        """The pump began new pages meanwhile."""
        for number in range(self.newest, newest + 1):
            self.times.setdefault(number, 0)
            self.read.discard(number)
        self.newest = newest

    def end_at(self, number: int) -> None:
        """The pump has no page of this number: nor any older one."""
        self.times = {each: times for each, times in self.times.items() if each > number}

    def last_chance(self, number: int) -> bool:
        """Whether a page that was never read in part fails for the last time now."""
        return self.times.get(number, 0) >= GIVEN_UP_AFTER - 1 and number != self.begun

    @property
    def lost(self) -> list[int]:
        """Pages that are given up."""
        return [number for number, times in self._left() if times >= GIVEN_UP_AFTER]

    def close(self) -> Shelf:
        """The shelf for the next pass: what was neither read nor given up is missing."""
        missing = {number: times for number, times in self._left() if times < GIVEN_UP_AFTER}
        return Shelf(self.newest, missing, self.newest in (*self.read, self.begun))

    def _left(self) -> list[tuple[int, int]]:
        left = sorted(self.times.items())
        return [(number, times + (number in self.failed)) for number, times in left if number not in self.read]
