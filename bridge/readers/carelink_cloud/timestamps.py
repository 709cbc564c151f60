"""Timestamps in all spellings met so far.

A naive result is the device's wall clock, an aware one is a true instant (its zone is the one it was written
with), None is no time at all.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from bridge.model.time import EPOCH
from bridge.readers.carelink_cloud.values import number

WALL_EPOCH = EPOCH.replace(tzinfo=None)
NEVER, FOREVER = WALL_EPOCH.replace(year=1), WALL_EPOCH.replace(year=9999)
"""Walls before and after all others."""
_FIRST_YEAR, _LAST_YEAR = 2008, 2199
_EPOCH_MS = (946_684_800_000, 7_258_118_400_000)
_ENGLISH = re.compile(r"([A-Z][a-z]{2}) (\d{1,2}), (\d{4}) (\d{1,2}):(\d{2}):(\d{2})", re.ASCII)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NO_OFFSET = timedelta(0)


def stamp(value: object) -> datetime | None:
    """Wall clock (naive) or instant (aware) of a row's stamp, whole milliseconds; None when it has no time.

    A suffix `Z`, `+00:00` or `-00:00` is a false mark: such a stamp is the wall clock as well.
    """
    moment = _parsed(value) if isinstance(value, str) else server_instant(value)
    if moment is None or not in_years(moment):
        return None
    if moment.microsecond:
        moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    return moment


def in_years(moment: datetime) -> bool:
    """Whether a stamp is of years in which such devices are made."""
    return _FIRST_YEAR <= moment.year <= _LAST_YEAR


def _parsed(value: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return _english(value)
    return moment.replace(tzinfo=None) if moment.utcoffset() == _NO_OFFSET else moment


def _english(value: str) -> datetime | None:
    found = _ENGLISH.fullmatch(value.strip())
    if found is None or found[1] not in _MONTHS:
        return None
    day, year, hour, minute, second = map(int, found.groups()[1:])
    try:
        return datetime(year, _MONTHS.index(found[1]) + 1, day, hour, minute, second)  # noqa: DTZ001 - a wall clock has no zone
    except ValueError:
        return None


def server_instant(value: object) -> datetime | None:
    """Instant of an epoch in milliseconds as the server writes it; None for 0 and other placeholders."""
    ms = number(value)
    return EPOCH + timedelta(milliseconds=int(ms)) if ms is not None and _EPOCH_MS[0] < ms < _EPOCH_MS[1] else None


def wall_of(moment: datetime) -> datetime:
    """The clock face of a stamp: what was read, without any zone."""
    return moment.replace(tzinfo=None) if moment.tzinfo else moment


def naive_utc(instant: datetime) -> datetime:
    """An instant as the face of a clock at UTC."""
    return WALL_EPOCH + (instant - EPOCH)


class Zone:
    """A clock east of UTC by `offset_min` minutes."""

    def __init__(self, offset_min: int) -> None:
        self._start = EPOCH - timedelta(minutes=offset_min)

    def utc(self, wall: datetime) -> datetime:
        """The instant at which this clock showed `wall` (naive)."""
        return self._start + (wall - WALL_EPOCH)
