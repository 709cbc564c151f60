"""How often a pump's settings have become current: part of their identity, remembered between files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bridge.model.time import iso_ms

_STATE = "settings"
_MOST = 200

Mark = tuple[str, datetime, bool]
"""Digest of the content, since when, and whether that was found at the begin of a file and not as a change."""


class Numbering:
    """Numbers contents per device, the same for the same file read again, whatever files came in between."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._before = state
        known = state.get(_STATE)
        self._known: dict[str, list[tuple[str, str, int]]] = {}
        for feed, rows in known.items() if isinstance(known, Mapping) else ():
            self._known[str(feed)] = [(str(content), str(since), int(n)) for content, since, n in rows]

    def numbered(self, feed: str, marks: Iterable[Mark]) -> list[tuple[str, int]]:
        """Content and number of each mark, oldest first."""
        known = self._known.setdefault(feed, [])
        return [(content, self._number(known, content, iso_ms(since), found)) for content, since, found in marks]

    @staticmethod
    def _number(known: list[tuple[str, str, int]], content: str, since: str, found_at_begin: bool) -> int:
        same = next((n for other, at, n in known if (other, at) == (content, since)), None)
        if same is None and found_at_begin:
            same = _still_current(known, content, since)
        if same is not None:
            return same
        n = 1 + max((n for other, _, n in known if other == content), default=0)
        known.append((content, since, n))
        return n

    def state(self) -> Mapping[str, Any]:
        """What to remember: all that was remembered, and the newest marks."""
        marks = {
            feed: [list(row) for row in sorted(rows, key=lambda row: row[1])[-_MOST:]]
            for feed, rows in self._known.items()
            if rows
        }
        return {**self._before, _STATE: marks} if marks else dict(self._before)


def _still_current(known: Sequence[tuple[str, str, int]], content: str, since: str) -> int | None:
    """The number of the same content that was current just before, or becomes so just after, that instant."""
    ordered = sorted(known, key=lambda row: row[1])
    before = [row for row in ordered if row[1] <= since][-1:]
    after = [row for row in ordered if row[1] > since][:1]
    return next((n for other, _, n in (*before, *after) if other == content), None)
