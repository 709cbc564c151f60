"""Every row gets its instant and its key: known rows those of their first sighting, new ones today's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from bridge.contracts import Sighting
from bridge.model.time import to_ms
from bridge.readers.carelink_cloud.clock_changes import Timeline, place_readings
from bridge.readers.carelink_cloud.clocks import AHEAD_LIMIT, Clocks
from bridge.readers.carelink_cloud.recall import recognise
from bridge.readers.carelink_cloud.rows import SG, TIME_CHANGE, Row
from bridge.readers.carelink_cloud.timestamps import FOREVER, NEVER, Zone, naive_utc, server_instant
from bridge.readers.carelink_cloud.values import whole

_LATE = timedelta(minutes=2)
_NO_HORIZON = FOREVER.replace(tzinfo=UTC)


@dataclass(slots=True)
class Placed:
    """Rows with `time` and `source_key`. `waiting` had no trustworthy offset; `ahead` are not due yet."""

    rows: list[Row] = field(default_factory=list)
    waiting: list[Row] = field(default_factory=list)
    ahead: list[Row] = field(default_factory=list)
    due_ms: int | None = None
    """When the first of `ahead` is due by the server's clock."""


class _Zones(dict[int, Zone]):
    def __missing__(self, offset_min: int) -> Zone:
        return self.setdefault(offset_min, Zone(offset_min))


def place(
    rows: Sequence[Row], clocks: Clocks, sightings: Mapping[str, Sighting], state: Mapping[str, Any], keys: set[str]
) -> Placed:
    """Place all rows of an answer (readings in the answer's order) but those of `keys`, which have theirs."""
    recognise(rows, sightings, clocks)
    _give_offsets(rows, clocks, state)
    placed = _sorted_in(rows, clocks)
    _give_keys(placed, keys | {sighting.source_key for sighting in sightings.values()})
    return placed


def _give_offsets(rows: Sequence[Row], clocks: Clocks, state: Mapping[str, Any]) -> None:
    """Set `offset_min` of all new rows; it stays None where no offset is known."""
    for row in rows:
        if row.new and row.instant:
            row.offset_min = round((row.instant.utcoffset() or timedelta(0)) / timedelta(minutes=1))
    if clocks.offset_min is None or clocks.horizon is None:
        return
    stamped = [row for row in rows if not row.instant]
    changes = [row.wall for row in stamped if row.kind == TIME_CHANGE]
    readings = [row for row in stamped if row.kind == SG]
    place_readings(readings, clocks.offset_min, naive_utc(clocks.horizon), changes)
    events = [row for row in stamped if row.kind != SG]
    signs = _signs(readings, clocks, state)
    if len({offset for _, offset in signs}) == 1:
        for row in events:
            if row.new:
                row.offset_min = clocks.offset_min
    else:
        _place_events(events, Timeline(signs), clocks, server_instant(state.get("updated_ms")))


def _signs(readings: Sequence[Row], clocks: Clocks, state: Mapping[str, Any]) -> list[tuple[datetime, int]]:
    """What tells which offset was in use when: the readings, or else the last answer; and the present."""
    present = (naive_utc(clocks.now + clocks.drift) if clocks.now else FOREVER, clocks.offset_min or 0)
    if readings:
        if all(row.offset_min == clocks.offset_min for row in readings):
            return [present]
        return [(row.at(offset), offset) for row in readings for offset in (row.stamped_offset_min,)] + [present]
    known_min, seen = whole(state.get("offset_min")), server_instant(state.get("updated_ms"))
    return [(naive_utc(seen), known_min), present] if known_min is not None and seen else [present]


def _place_events(events: Iterable[Row], timeline: Timeline, clocks: Clocks, seen: datetime | None) -> None:
    """Events around a clock change: by the stretch they fit in; in a doubled hour by what can be news since the
    last answer (`seen`), else by the order of their list."""
    horizon = naive_utc(clocks.horizon) if clocks.horizon else FOREVER
    fresh = naive_utc(seen + clocks.drift) - _LATE if seen else NEVER
    last: dict[tuple[str, str], datetime] = {}
    for row in events:
        if row.new:
            offsets = [offset for offset in timeline.offsets(row.wall) if row.at(offset) <= horizon]
            news = [offset for offset in offsets if row.at(offset) >= fresh]
            offsets = news if len(news) == 1 else offsets
            unplaced = not offsets and row.at(clocks.offset_min or 0) <= horizon
            row.uncertain = row.uncertain or unplaced or len(offsets) > 1
            after = last.get(row.sort, NEVER)
            row.offset_min = next((offset for offset in offsets if row.at(offset) >= after), clocks.offset_min)
        last[row.sort] = row.at(row.stamped_offset_min)


def _sorted_in(rows: Sequence[Row], clocks: Clocks) -> Placed:
    """Give the new rows their instants; what lies ahead of the server's clock is held."""
    placed, zones = Placed(), _Zones()
    horizon = clocks.horizon or _NO_HORIZON
    for row in rows:
        if row.new:
            if row.offset_min is None:
                placed.waiting.append(row)
                continue
            row.device_time = row.wall.replace(microsecond=0) if row.wall.microsecond else row.wall
            row.time = zones[row.offset_min].utc(row.wall)
            if row.time > horizon:
                placed.ahead.append(row)
                continue
        placed.rows.append(row)
    if placed.ahead:
        placed.due_ms = to_ms(min(row.time for row in placed.ahead) - AHEAD_LIMIT - clocks.drift)
    return placed


def _give_keys(placed: Placed, taken: set[str]) -> None:
    """Source keys of the new rows: the wanted one, or with an ordinal where two want the same."""
    first: dict[str, Row] = {}
    twins: dict[str, list[Row]] = defaultdict(list)
    for row in placed.rows:
        if not row.new:
            continue
        row.source_key = key = row.key
        if key in first or key in taken:
            twins[key].append(row)
        else:
            first[key] = row
    for key, rows in twins.items():
        _give_ordinals(key, rows + ([first[key]] if key in first else []), taken)


def _give_ordinals(key: str, rows: list[Row], taken: set[str]) -> None:
    """Number twins in order of time, then of content, never of their place in the answer."""
    numbers = (key if number == 1 else f"{key}#{number}" for number in count(1))
    free = (numbered for numbered in numbers if numbered not in taken)
    for row, numbered in zip(sorted(rows, key=lambda row: (row.time, row.canonical)), free, strict=False):
        row.source_key = numbered
