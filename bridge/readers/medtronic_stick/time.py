"""The pump's wall clock to UTC, from the newest record to the oldest.

A pump knows no zone. What is known is where its clock stood at the read, the person's zone, and every change of
the clock, which the log keeps as the old and the new time.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bridge.errors import Malformed
from bridge.model.records import Annotation

AHEAD = timedelta(minutes=5)
"""What is dated later than this after the read waits until it is due."""
_AGREES = timedelta(seconds=30)
_ASTRAY = timedelta(minutes=10)
_MOST_ZONE_CHANGE_MIN = 1560
_ZONES_MIN = (-720, 840)
_DAY_MIN = 1440
MIDNIGHT = clock_time()
_FIRST_YEAR = 2008
_RESET_DAY = datetime(2012, 1, 1).date()  # noqa: DTZ001 - a wall clock has no zone
_NONE = timedelta(0)
CLOCK_LOST: Annotation = {"code": "clock/uncertain", "reason": "clock_lost"}
NO_ZONE: Annotation = {"code": "clock/uncertain", "reason": "no_timezone"}


class Moment(NamedTuple):
    """When something happened: UTC, the pump's clock then, and the zone offset that the clock showed."""

    time: datetime
    wall: datetime
    offset_min: int
    notes: tuple[Annotation, ...] = ()


class Change(NamedTuple):
    """A change of the pump's clock."""

    old: datetime
    new: datetime

    @property
    def delta(self) -> timedelta:
        """How far the clock was set forward."""
        return self.new - self.old


class _Day(NamedTuple):
    """A day of the pump's clock. `valid`: it can be a true date. `even`: one offset all through it."""

    valid: bool
    even: bool
    offset_min: int
    back: timedelta


class Reading(NamedTuple):
    """The pump's clock and the host's at one instant."""

    wall: datetime
    host_utc: datetime


def zone_named(name: str | None) -> ZoneInfo | None:
    """The zone of a name. Raises Malformed for one that does not exist."""
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Malformed(
            f"{name[:40]!r} is no time zone.", next_step="Give an IANA name such as Europe/Berlin."
        ) from None


class Calendar:
    """Turns walls into moments while a log is walked from its newest record to its oldest.

    With `by_zone` every wall stands for itself under the zone's rules (no change of the clock is known, or a page
    is read alone); otherwise the clock runs evenly between its changes, as a pump's does.
    """

    def __init__(
        self,
        zone: ZoneInfo | None,
        year: int,
        *,
        offset_min: int = 0,
        ahead: timedelta = _NONE,
        by_zone: bool = False,
        latest: datetime | None = None,
        notes: tuple[Annotation, ...] = (),
    ) -> None:
        self._zone, self._year, self._latest = zone, year, latest
        self._offset_min, self._ahead, self._by_zone, self._notes = offset_min, ahead, by_zone, notes
        self._back = ahead - timedelta(minutes=offset_min)
        self._lost = self._resetting = False
        self._newer: datetime | None = None
        self._days: dict[date, _Day] = {}

    def moment(self, wall: datetime | None) -> Moment | None:
        """When the pump's clock showed this; None for a date that is none (of a reset clock, or yet to come)."""
        if wall is None:
            return None
        date = wall.date()
        day = self._days.get(date)
        if day is None:
            day = self._days[date] = self._day(date)
        if not day.valid:
            return None
        if day.even:
            made = Moment((wall + day.back).replace(tzinfo=UTC), wall, day.offset_min, self._notes)
        else:
            made = self._on_a_day_of_change(wall)
        if self._latest is not None and made.time > self._latest:
            return None
        self._newer = made.time
        return made

    def changed(self, change: Change) -> None:
        """What follows (is older) was stamped before this change of the clock."""
        if self.is_reset(change):
            self._resetting = True
            self._days.clear()
            self.lose()
        elif not self._by_zone:
            self._ahead += change.delta
            self._offset_min = _offset_before(self._offset_min, change.delta)
            self._back += change.delta
            self._days.clear()

    def is_reset(self, change: Change) -> bool:
        """Whether the change only ended (or began) a time in which the clock had lost the date."""
        return min(change.old.year, change.new.year) < self._year - 1

    def lose(self) -> None:
        """The pump lost its clock here: how older stamps relate to today is not known for certain."""
        if self._lost:
            return
        self._lost, self._notes = True, (*self._notes, CLOCK_LOST)
        self._by_zone, self._ahead, self._newer = self._zone is not None, _NONE, None
        self._back = -timedelta(minutes=self._offset_min)
        self._days.clear()

    def _day(self, date: date) -> _Day:
        valid = date.year >= _FIRST_YEAR and date != _RESET_DAY
        if self._resetting and date.year < self._year - 1:
            valid = False
        if not self._by_zone or not valid:
            return _Day(valid, True, self._offset_min, self._back)
        offsets = {_offset_of_day(self._zone, date + timedelta(days=days)) for days in (-1, 0, 1)}
        offset_min = next(iter(offsets)) or 0
        even = len(offsets) == 1 and None not in offsets
        return _Day(True, even, offset_min, self._ahead - timedelta(minutes=offset_min))

    def _on_a_day_of_change(self, wall: datetime) -> Moment:
        """A repeated hour: the later one that keeps the log's order. An hour that is skipped: as if it were not."""
        true = wall + self._ahead
        first = true.replace(tzinfo=self._zone).astimezone(UTC)
        second = true.replace(tzinfo=self._zone, fold=1).astimezone(UTC)
        repeated = second > first
        time = second if repeated and (self._newer is None or second <= self._newer) else first
        return Moment(time, wall, _minutes(true - time.replace(tzinfo=None)), self._notes)


def page_calendar(zone: ZoneInfo | None, newest: datetime | None) -> Calendar:
    """For a page alone: the given zone, no correction; without a zone, UTC with doubt."""
    year = newest.year if newest else _FIRST_YEAR
    return Calendar(zone, year, by_zone=zone is not None, notes=() if zone else (NO_ZONE,))


def calendar(zone: ZoneInfo | None, reading: Reading, has_changes: bool) -> Calendar:
    """For a read of the whole pump. Without a zone the offset is what the two clocks say."""
    ahead = clock_error(zone, reading)
    if abs(ahead) < _AGREES:
        ahead = _NONE
    return Calendar(
        zone,
        reading.host_utc.year,
        offset_min=_offset_at(zone, reading),
        ahead=ahead,
        by_zone=zone is not None and not has_changes and abs(ahead) <= _ASTRAY,
        latest=reading.host_utc + AHEAD,
    )


def clock_error(zone: ZoneInfo | None, reading: Reading) -> timedelta:
    """How far the pump's clock is behind the local time."""
    return reading.host_utc.replace(tzinfo=None) + timedelta(minutes=_offset_at(zone, reading)) - reading.wall


def is_astray(error: timedelta) -> bool:
    """Whether the pump's clock is wrong by so much that a person should set it."""
    return abs(error) > _ASTRAY


def is_unset(reading: Reading) -> bool:
    """Whether the pump's clock shows the date of a reset."""
    return reading.wall.year < reading.host_utc.year - 1


def _offset_at(zone: ZoneInfo | None, reading: Reading) -> int:
    if zone is not None:
        return _minutes(reading.host_utc.astimezone(zone).utcoffset() or _NONE)
    return _folded(_rounded_min(reading.wall - reading.host_utc.replace(tzinfo=None), 15))


def _offset_before(offset_min: int, delta: timedelta) -> int:
    change_min = _rounded_min(delta, 30)
    return _folded(offset_min - change_min) if abs(change_min) <= _MOST_ZONE_CHANGE_MIN else offset_min


def _offset_of_day(zone: ZoneInfo | None, day: date) -> int | None:
    """The offset all through a day; None when it changes on that day."""
    midnights = (datetime.combine(day + timedelta(days=days), MIDNIGHT, tzinfo=zone) for days in (0, 1))
    first, second = (midnight.utcoffset() or _NONE for midnight in midnights)
    return _minutes(first) if first == second else None


def _folded(offset_min: int) -> int:
    """An offset within the zones of the earth: whole days are no zone change."""
    while offset_min < _ZONES_MIN[0]:
        offset_min += _DAY_MIN
    while offset_min > _ZONES_MIN[1]:
        offset_min -= _DAY_MIN
    return offset_min


def _rounded_min(span: timedelta, step: int) -> int:
    return round(span / timedelta(minutes=step)) * step


def _minutes(span: timedelta) -> int:
    return round(span.total_seconds() / 60)
