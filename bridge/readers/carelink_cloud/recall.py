"""Rows that were seen before: they keep the time and the key of their first sighting.

A sighting's key is `<wanted source key>|<content>|<facts>`, and `|#2` for a twin; for a row with a GUID it is
`<GUID>|<wall stamp>|<facts>|guid`. Facts are the arrow a reading was first shown with and `?` for an uncertain clock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from bridge.contracts import Sighting
from bridge.model.time import EPOCH
from bridge.readers.carelink_cloud.clocks import Clocks
from bridge.readers.carelink_cloud.nearest import matched
from bridge.readers.carelink_cloud.rows import SG, Row
from bridge.readers.carelink_cloud.timestamps import WALL_EPOCH, naive_utc

_T = TypeVar("_T")
_K = TypeVar("_K")


_STAMP_LENGTH = 19
_MINUTE = timedelta(minutes=1)
_REACHABLE = timedelta(hours=25)
"""What is older cannot stand in an answer; a clock set back by a day shows its stamps again."""


@dataclass(slots=True)
class Known:
    """One row as first seen. `wall` is naive, `trend` empty when it came without an arrow."""

    key: str
    sort: tuple[str, str]
    guid: bool
    content: str
    trend: str
    uncertain: bool
    wall: datetime
    time: datetime
    source_key: str

    @property
    def offset_min(self) -> int:
        """The offset it was placed with."""
        return round((self.wall - naive_utc(self.time)).total_seconds() / 60)


def arrow_rank(trend: str) -> int:
    """How much an arrow says: nothing (0), that there was none (1), a direction (2)."""
    return ("", "none").index(trend) if trend in ("", "none") else 2


def remember(row: Row) -> tuple[str, Sighting]:
    """The sighting of a placed row."""
    facts = f"{row.trend}?" if row.uncertain else row.trend
    ordinal = row.source_key.removeprefix(row.key)
    if row.guid:
        key = f"{row.guid}|{row.stamp}|{facts}|guid{ordinal}"
    else:
        key = f"{row.key}|{row.content}|{facts}" + (f"|{ordinal}" if ordinal else "")
    return key, Sighting(row.time, row.source_key)


def recognise(rows: Sequence[Row], sightings: Mapping[str, Sighting], clocks: Clocks) -> None:
    """Give every row of `rows` that was seen before its first time and key (`new` becomes False).

    Whole window, one to one: same stamp and content first, then nearest within reach by equal content (on the
    wall clock, then on UTC; the other way round when the server has re-stamped its rows after a clock change),
    then the same stamp and instant with another content: what was corrected is not a new event.
    """
    if not sightings:
        return
    known = _known(sightings)
    _exact([row for row in rows if row.guid], [one for one in known if one.guid], lambda row: row.guid, _key)
    left_rows, left = [row for row in rows if not row.guid], [one for one in known if not one.guid]
    if clocks.offset_min is None:
        _on_the_wall(left_rows, left, clocks)
        return
    utc = _utc(clocks.offset_min)
    if _restamped(left_rows, left, utc, clocks.offset_min):
        left_rows, left = _near(left_rows, left, utc, _known_utc)
        left_rows, left = _on_the_wall(left_rows, left, clocks)
    else:
        left_rows, left = _on_the_wall(left_rows, left, clocks)
        left_rows, left = _near(left_rows, left, utc, _known_utc)
    changed = [row for row in left_rows if row.kind != SG]
    _exact(changed, left, lambda row: (row.key, _minute(utc(row))), lambda one: (one.key, _minute(_known_utc(one))))


def _on_the_wall(rows: Sequence[Row], known: Sequence[Known], clocks: Clocks) -> tuple[list[Row], list[Known]]:
    """Match by what the pump's clock showed. What is older than any answer takes no part."""
    since = (clocks.now or EPOCH) - _REACHABLE
    gone = [one for one in known if one.time < since]
    left_rows, left = _exact(rows, [one for one in known if one.time >= since], _row_identity, _known_identity)
    left_rows, left = _near(left_rows, left, lambda row: row.wall, lambda one: one.wall)
    return left_rows, left + gone


def _restamped(rows: Sequence[Row], known: Sequence[Known], utc: Callable[[Row], datetime], offset_min: int) -> bool:
    """Whether more rows are known by their instant under today's clock than by their stamp."""
    if all(one.offset_min == offset_min for one in known):
        return False
    walls = {(one.sort, one.content, _minute(one.wall)) for one in known}
    instants = {(one.sort, one.content, _minute(_known_utc(one))) for one in known}
    by_wall = sum((row.sort, row.content, _minute(row.wall)) in walls for row in rows)
    return sum((row.sort, row.content, _minute(utc(row))) in instants for row in rows) > by_wall


def _known(sightings: Mapping[str, Sighting]) -> list[Known]:
    """First sightings, oldest first; of several of one row the one that knows an arrow."""
    found: dict[str, Known] = {}
    for key, sighting in sightings.items():
        one = _parsed(key, sighting)
        if one is None:
            continue
        other = found.get(one.source_key)
        if other is None or arrow_rank(one.trend) > arrow_rank(other.trend):
            found[one.source_key] = one
    return sorted(found.values(), key=lambda one: (one.time, len(one.source_key), one.source_key))


def _parsed(text: str, sighting: Sighting) -> Known | None:
    key, *rest = text.split("|")
    if len(rest) not in (2, 3):
        return None
    guid = rest[-1].startswith("guid")
    kind, _, tail = key.partition(":")
    content, facts = rest[:2]
    try:
        wall = datetime.fromisoformat(content if guid else tail[:_STAMP_LENGTH])
    except ValueError:
        return None
    sort = ("", "") if guid else (kind, tail[_STAMP_LENGTH + 1 :])
    trend, uncertain = facts.removesuffix("?"), facts.endswith("?")
    return Known(key, sort, guid, content, trend, uncertain, wall, sighting.time, sighting.source_key)


def _settle(row: Row, one: Known) -> None:
    row.new = False
    row.time, row.source_key, row.device_time = one.time, one.source_key, one.wall
    row.offset_min = one.offset_min
    row.uncertain, row.trend = one.uncertain, one.trend


def _row_identity(row: Row) -> str:
    return f"{row.key}|{row.content}"


def _known_identity(one: Known) -> str:
    return f"{one.key}|{one.content}"


def _key(one: Known) -> str:
    return one.key


def _known_utc(one: Known) -> datetime:
    return naive_utc(one.time)


def _utc(offset_min: int) -> Callable[[Row], datetime]:
    def at(row: Row) -> datetime:
        return naive_utc(row.instant) if row.instant else row.at(offset_min)

    return at


def _exact(
    rows: Iterable[Row], known: Iterable[Known], row_key: Callable[[Row], _K], known_key: Callable[[Known], _K]
) -> tuple[list[Row], list[Known]]:
    """Settle rows with equal keys in the order they stand in; what is left of both."""
    waiting = _grouped(known, known_key)
    left_rows = []
    for row in rows:
        group = waiting.get(row_key(row))
        if group:
            _settle(row, group.pop(0))
        else:
            left_rows.append(row)
    return left_rows, [one for group in waiting.values() for one in group]


def _near(
    rows: Sequence[Row],
    known: Sequence[Known],
    row_clock: Callable[[Row], datetime],
    known_clock: Callable[[Known], datetime],
) -> tuple[list[Row], list[Known]]:
    """Settle rows of equal content within reach on one clock; what is left of both."""
    by_content = _grouped(known, lambda one: (one.sort, one.content))
    taken: set[int] = set()
    for content, group in _grouped(rows, lambda row: (row.sort, row.content)).items():
        candidates = by_content.get(content, [])
        here, there = [_seconds(row_clock(row)) for row in group], [_seconds(known_clock(one)) for one in candidates]
        for i, j in matched(here, there, group[0].reach_s):
            _settle(group[i], candidates[j])
            taken.add(id(candidates[j]))
    return [row for row in rows if row.new], [one for one in known if id(one) not in taken]


def _minute(naive: datetime) -> int:
    return (naive - WALL_EPOCH) // _MINUTE


def _seconds(naive: datetime) -> float:
    return (naive - WALL_EPOCH).total_seconds()


def _grouped(items: Iterable[_T], key: Callable[[_T], _K]) -> dict[_K, list[_T]]:
    groups: dict[_K, list[_T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups
