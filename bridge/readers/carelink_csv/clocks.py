"""Wall clocks become instants: by the person's zone, and by the clock changes that the file tells.

A pump does not follow summer time by itself. Where a file tells of clock changes, the newest row is read in the
person's zone and every change backwards from there gives the offset before it. Without changes each wall clock is
read in the zone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median_high
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

from bridge.errors import Malformed
from bridge.model.time import EARLIEST

_MINUTE = timedelta(minutes=1)
_ROUND_MIN = 30
"""Offsets move by half hours; what is left of a clock change is the drift that it mended."""
_RESET = timedelta(hours=26)
"""A larger change mends a clock that an empty battery had reset; it is no travel."""
_BACK = timedelta(minutes=15)
"""Wall clocks that fall back this far within the repeated hour of autumn have begun its second pass."""
_LAST = 25
_MOST_OFFSET_MIN = 24 * 60
_ZONE = "Name the time zone that the device's clock was set to, such as Europe/Berlin."

UploadKey = tuple[int, int, str]


class Moment(NamedTuple):
    """When a row happened. `uncertain` where the file leaves doubt."""

    time: datetime
    wall: datetime
    offset_min: int | None
    uncertain: bool = False


class Placed(Protocol):
    """What a row says about its place: its wall clock, its log, and its order within one upload (old to new)."""

    @property
    def wall(self) -> datetime: ...  # noqa: D102
    @property
    def stream(self) -> str: ...  # noqa: D102
    @property
    def upload(self) -> UploadKey: ...  # noqa: D102
    @property
    def order(self) -> int: ...  # noqa: D102


@dataclass(slots=True)
class Change:
    """One clock change: what the clock showed before and after, and where it stands in each log that has it."""

    before: datetime
    after: datetime
    places: dict[tuple[str, UploadKey], int] = field(default_factory=dict)

    @property
    def first(self) -> tuple[UploadKey, int]:
        """The upload and order that tell it first."""
        return min((upload, order) for (_, upload), order in self.places.items())

    @property
    def step(self) -> timedelta:
        """How far the clock was moved forward."""
        return self.after - self.before

    def follows(self, row: Placed) -> bool:
        """Whether the row was written before this change."""
        if row.wall < min(self.before, self.after):
            return True
        if row.wall > max(self.before, self.after):
            return False
        order = self.places.get((row.stream, row.upload))
        if order is not None:
            return row.order <= order
        return row.upload < self.first[0]


def zone_named(context: Mapping[str, str]) -> ZoneInfo:
    """The zone of the device's clock. Raises Malformed when none or an unknown one is given."""
    name = context.get("timezone")
    if not name:
        raise Malformed("The file's clock has no time zone.", next_step=_ZONE)
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise Malformed("The time zone given for the file is not known.", next_step=_ZONE) from None


def joined_changes(told: Iterable[tuple[Placed, datetime, bool]], last_year: int) -> list[Change]:
    """Clock changes in the order of the log, each once. `told`: row, new wall clock, whether the pump's log tells
    it (it then wins over the sensor's). A change to a year long before the file's last row mends nothing.
    """
    found: dict[datetime, Change] = {}
    for row, after, is_pump in told:
        if after.year < last_year - 1:
            continue
        change = found.get(after)
        if change is None:
            change = found[after] = Change(row.wall, after)
        elif is_pump:
            change.before = row.wall
        change.places[row.stream, row.upload] = row.order
    return sorted(found.values(), key=lambda change: change.first)


def year_of_last(rows: Sequence[Placed]) -> int:
    """The year of a file's last rows, in file order; one damaged date does not move it."""
    return median_high(row.wall.year for row in rows[-_LAST:]) if rows else 0


def newest_wall(rows: Iterable[Placed], last_year: int) -> datetime | None:
    """The newest wall clock that is not later than the file's last year."""
    return max((row.wall for row in rows if row.wall.year <= last_year), default=None)


class Clocks:
    """Instants of one file's rows."""

    def __init__(self, zone: ZoneInfo, changes: Sequence[Change], newest: datetime | None) -> None:
        self._changes = list(changes)
        self._hours: dict[tuple[int, int, int], tuple[int, int]] = {}
        self._zone = zone
        self._offsets: list[int] = []
        if self._changes:
            self._offsets = self._walked_back(self._offset(newest or self._changes[-1].after, 0))

    def _walked_back(self, offset_min: int) -> list[int]:
        """Offsets before the first change, between each two, and after the last."""
        offsets = [offset_min]
        for change in reversed(self._changes):
            if abs(change.step) < _RESET:
                offset_min -= round(change.step / _MINUTE / _ROUND_MIN) * _ROUND_MIN
            offsets.append(offset_min)
        return offsets[::-1]

    def moments(self, rows: Iterable[Placed]) -> list[Moment]:
        """The moments of rows that stand in the order of their log, oldest first."""
        if self._changes:
            return [self._by_changes(row) for row in rows]
        second_pass: dict[str, datetime | None] = {}
        return [self._by_zone(row, second_pass) for row in rows]

    def after(self, change: Placed, wall: datetime) -> Moment:
        """The instant of a clock change, under the offset that the new time has."""
        for at, known in enumerate(self._changes, start=1):
            if known.after == wall:
                return self._moment(change.wall, wall, self._offsets[at], uncertain=abs(known.step) >= _RESET)
        return self._moment(change.wall, change.wall, self._offset(change.wall, 0), uncertain=True)

    def _by_changes(self, row: Placed) -> Moment:
        at = len(self._changes)
        while at and self._changes[at - 1].follows(row):
            at -= 1
        mended = self._mended(row, at)
        if mended is not None:
            return mended
        return self._moment(row.wall, row.wall, self._offsets[at])

    def _mended(self, row: Placed, at: int) -> Moment | None:
        """The moment of a row that a reset clock stamped: it happened shortly before the clock was set right."""
        if at == len(self._changes) or abs(self._changes[at].step) < _RESET:
            return None
        change = self._changes[at]
        plain, moved = change.after - row.wall, change.before - row.wall
        if moved < timedelta(0) or timedelta(0) <= plain <= moved:
            return None
        offset_min = self._offsets[at + 1]
        return Moment(_instant(change.after - moved, offset_min), row.wall, None, uncertain=True)

    def _by_zone(self, row: Placed, second_pass: dict[str, datetime | None]) -> Moment:
        first, second = self._both(row.wall)
        if first == second:
            second_pass.pop(row.stream, None)
            return self._moment(row.wall, row.wall, first)
        if first < second:
            return self._moment(row.wall, row.wall, first, uncertain=True)
        latest = second_pass.get(row.stream, row.wall)
        repeated = latest is None or latest - row.wall > _BACK
        second_pass[row.stream] = None if repeated else max(latest or row.wall, row.wall)
        return self._moment(row.wall, row.wall, second if repeated else first, uncertain=not repeated)

    def _moment(self, wall: datetime, reckoned: datetime, offset_min: int, *, uncertain: bool = False) -> Moment:
        time = _instant(reckoned, offset_min)
        kept = offset_min if abs(offset_min) <= _MOST_OFFSET_MIN else None
        return Moment(time, wall, kept, uncertain or time < EARLIEST)

    def _offset(self, wall: datetime, fold: int) -> int:
        return self._both(wall)[fold]

    def _both(self, wall: datetime) -> tuple[int, int]:
        """Offsets of a wall clock in its first and second pass; equal but for the hours of a change."""
        key = (wall.toordinal(), wall.hour, wall.minute // 15)
        found = self._hours.get(key)
        if found is None:
            first, second = (_minutes(wall.replace(tzinfo=self._zone, fold=fold)) for fold in (0, 1))
            found = self._hours[key] = (first, second)
        return found


def _minutes(aware: datetime) -> int:
    offset = aware.utcoffset()
    return round(offset / _MINUTE) if offset is not None else 0


def _instant(wall: datetime, offset_min: int) -> datetime:
    return (wall - timedelta(minutes=offset_min)).replace(tzinfo=UTC)
