"""Wall clocks: the pump's, set by hand and drifting, and a zone's, as the phone keeps it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_DAY, _MINUTE = timedelta(days=1), timedelta(minutes=1)
_KEPT_FROM, _KEPT_UNTIL = datetime(2024, 1, 1, tzinfo=UTC), datetime(2044, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class PumpClock:
    """A clock that a person sets: `settings` are (from UTC, offset in minutes), oldest first.

    It drifts by `drift_s_day` since `drift_from` or since it was last set; east offsets are positive.
    """

    settings: Sequence[tuple[datetime, int]]
    drift_s_day: float = 0.0
    drift_from: datetime | None = None

    @cached_property
    def _starts(self) -> list[datetime]:
        return [since for since, _ in self.settings]

    def _setting(self, at: datetime) -> tuple[datetime, int]:
        return self.settings[max(bisect_right(self._starts, at) - 1, 0)]

    def offset_min(self, at: datetime) -> int:
        """The offset it was set to, minutes."""
        return self._setting(at)[1]

    def wall(self, at: datetime) -> datetime:
        """What it shows at an instant, naive."""
        since, offset_min = self._setting(at)
        shown = at.replace(tzinfo=None) + timedelta(minutes=offset_min)
        if not self.drift_s_day:
            return shown
        last_set = max(since, self.drift_from or since)
        return shown + (at - last_set) / timedelta(days=1) * timedelta(seconds=self.drift_s_day)

    def changes(self, start: datetime, end: datetime) -> list[tuple[datetime, int, int]]:
        """Times it was set in [start, end): instant, offset before, offset after."""
        pairs = zip(self.settings, self.settings[1:], strict=False)
        return [(since, before, after) for (_, before), (since, after) in pairs if start <= since < end]


def zone_offset_min(zone: str, at: datetime) -> int:
    """A zone's offset from UTC at an instant, minutes."""
    offset = at.astimezone(ZoneInfo(zone)).utcoffset()
    return int((offset or timedelta()) / timedelta(minutes=1))


def fixed(offset_min: int, drift_s_day: float = 0.0, drift_from: datetime | None = None) -> PumpClock:
    """A clock that nobody sets again."""
    return PumpClock(((LONG_AGO, offset_min),), drift_s_day, drift_from)


@lru_cache(256)
def kept_to(
    zone: str, start: datetime = _KEPT_FROM, end: datetime = _KEPT_UNTIL, late: timedelta = timedelta()
) -> PumpClock:
    """A clock whose owner follows the zone's summer time, `late` after each change between start and end."""
    settings = [(LONG_AGO, zone_offset_min(zone, start))]
    noon = start
    while noon < end:
        noon, before = noon + _DAY, noon
        offset_min = zone_offset_min(zone, noon)
        if offset_min != settings[-1][1]:
            settings.append((_change(zone, before, noon) + late, offset_min))
    return PumpClock(tuple(settings))


def _change(zone: str, before: datetime, after: datetime) -> datetime:
    """The minute between the two at which the zone's offset changes."""
    old = zone_offset_min(zone, before)
    low, high = 0, int((after - before) / _MINUTE)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if zone_offset_min(zone, before + middle * _MINUTE) == old else (low, middle)
    return before + high * _MINUTE
