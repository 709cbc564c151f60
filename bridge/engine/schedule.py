"""When the next run of a schedule is: a pure function of the preset, the last run, now, and the person's zone.

`5m` and `hourly` count in UTC and know no clock change. `daily`, `daily HH:MM` and cron strings are wall-clock
times: each runs once for each time that the wall shows, the repeated autumn hour once, a skipped spring time later by
what was skipped. A cron string for every hour also runs in both passes of the repeated hour. Missed runs are one run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from bridge.errors import SettingsInvalid

if TYPE_CHECKING:
    from apscheduler.triggers.cron import CronTrigger

_EVERY = {"5m": timedelta(minutes=5), "hourly": timedelta(hours=1)}
_DAILY_FROM_H, _DAILY_SPREAD_MIN = 3, 120
"""Without a time of its own `daily` runs between 03:00 and 05:00, spread by account."""
_REACH = timedelta(hours=4)
"""More than any zone ever moved its clocks at once but for the date line."""
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
CONNECT = "connect"
_AT = re.compile(r"daily (\d{1,2}):(\d{2})")


@dataclass(frozen=True, slots=True)
class Schedule:
    """A preset: `5m`, `hourly`, `daily`, `daily HH:MM`, `connect` (only when plugged in), or five cron fields."""

    preset: str
    account: str
    """Spreads `hourly` and `daily`, so that not everybody asks in one minute."""

    def next_run(self, last: datetime | None, now: datetime, zone: str) -> datetime | None:
        """The next instant (UTC); one that is not after `now` was missed and is due at once. None: never by time.

        Raises SettingsInvalid for a preset that is none.
        """
        if self.preset == CONNECT:
            return None
        if last is None:
            return now
        if (every := _EVERY.get(self.preset)) is not None:
            return self._ticked(last, every)
        return self._shown_next(last, ZoneInfo(zone))

    def _ticked(self, last: datetime, every: timedelta) -> datetime:
        offset = timedelta(seconds=self._spread(int(every.total_seconds())))
        epoch = datetime(1970, 1, 1, tzinfo=UTC) + offset
        return epoch + ((last - epoch) // every + 1) * every

    def _spread(self, below: int) -> int:
        return int.from_bytes(sha256(self.account.encode()).digest()[:8], "big") % below

    def _shown_next(self, last: datetime, zone: ZoneInfo) -> datetime:
        cron, best = self._cron(), None
        both = cron.split()[1:2] == ["*"]
        for wall in _walls(cron, last.astimezone(zone).replace(tzinfo=None) - _REACH):
            instants = list(_shown(wall, zone, both=both))
            if best is not None and instants[0] > best + _REACH:
                return best
            best = min(
                [*(instant for instant in instants if instant > last), *([best] if best else [])], default=None
            )
        raise SettingsInvalid(f"The schedule {self.preset!r} never comes.", next_step="Correct it.")

    def _cron(self) -> str:
        if (at := _AT.fullmatch(self.preset)) is not None:
            return f"{int(at[2])} {int(at[1])} * * *"
        if self.preset == "daily":
            minutes = self._spread(_DAILY_SPREAD_MIN)
            return f"{minutes % 60} {_DAILY_FROM_H + minutes // 60} * * *"
        return self.preset


def _shown(wall: datetime, zone: ZoneInfo, *, both: bool) -> Iterator[datetime]:
    """The instants at which the wall clock shows this; a time that it skips is read with the offset before."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first > second:  # inside a gap: the two readings lie on its two sides
        yield first
        return
    yield first
    if both and second != first:
        yield second


def _walls(cron: str, after: datetime) -> Iterator[datetime]:
    """Wall times of five cron fields, in order."""
    trigger = _trigger(cron)
    while (fired := trigger.get_next_fire_time(None, (after + timedelta(seconds=1)).replace(tzinfo=UTC))) is not None:
        after = fired.replace(tzinfo=None)
        yield after


@lru_cache(maxsize=64)
def _trigger(cron: str) -> CronTrigger:
    from apscheduler.triggers.cron import CronTrigger

    *fields, weekday = cron.split() or [""]
    try:
        return CronTrigger.from_crontab(" ".join([*fields, _weekdays(weekday)]), timezone=UTC)
    except ValueError as error:
        raise SettingsInvalid(
            f"{cron!r} is no schedule: {error}.",
            next_step="Say 5m, hourly, daily, daily 03:30, connect, or five cron fields such as `30 2 * * *`.",
        ) from None


def _weekdays(field: str) -> str:
    """Cron counts weekdays from Sunday, the library from Monday: names mean the same to both."""
    return re.sub(r"(?<![/\d])[0-7]", lambda day: _DAYS[int(day[0])], field)
