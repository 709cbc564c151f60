"""Which wall times a clock that was set back shows twice, and how the two are told apart.

What stands after such a change, up to where the clock had been, bears the change's ordinal; all else bears 0.
So a key does not depend on how far back a read reaches.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from bridge.model.time import iso_wall, parse_wall
from bridge.readers.medtronic_stick.time import Change

_KEPT = 16
"""Older ones are long gone from the pump's memory."""


class Ordinals:
    """Ordinals along a log, oldest first. `known`: the changes back that earlier reads saw, in order of sight."""

    def __init__(self, known: object = None) -> None:
        self._first, self._known = _restored(known)
        self._behind: list[tuple[int, Change]] = []

    @property
    def known(self) -> bool:
        """Whether any change back was ever seen."""
        return bool(self._known)

    def begin(self, oldest: datetime | None, within: Collection[Change]) -> None:
        """A log begins, at this wall time. Changes seen before that are not `within` it lie behind it, unless it is
        older than they."""
        if oldest is not None:
            numbered = enumerate(self._known, self._first)
            self._behind = [each for each in numbered if each[1] not in within and oldest >= each[1].new]

    def changed(self, change: Change) -> None:
        """The clock was set here; the log goes on after it."""
        if change.new >= change.old:
            return
        if change not in self._known:
            self._known.append(change)
        self._behind.append((self._first + self._known.index(change), change))

    def of(self, wall: datetime) -> int:
        """The ordinal of a wall time at this place of the log."""
        return max((ordinal for ordinal, change in self._behind if change.new <= wall < change.old), default=0)

    def dump(self) -> dict[str, object]:
        """As JSON."""
        dropped = max(len(self._known) - _KEPT, 0)
        kept = [[iso_wall(change.old), iso_wall(change.new)] for change in self._known[dropped:]]
        return {"first": self._first + dropped, "changes": kept}


def _restored(known: object) -> tuple[int, list[Change]]:
    """From `dump`; anything else is as if nothing was ever seen."""
    if not isinstance(known, dict):
        return 1, []
    try:
        return int(known["first"]), [_change(pair) for pair in known["changes"]]
    except (KeyError, TypeError, ValueError):
        return 1, []


def _change(pair: Sequence[str]) -> Change:
    old, new = (parse_wall(wall) for wall in pair)
    return Change(old, new)
