"""The pump's clock: a running counter (RTC, seconds) and an offset that turns it into the wall clock it shows.

The counter never goes back; setting the clock changes the offset alone. So spans and order always come from the
counter, and an instant from how long before the read an event happened.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

WALL_EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001
DRIFT_S_PER_DAY = 4
"""How much faster than true time a pump's counter runs."""
LAST_UNSET_YEAR = 2012
"""A pump whose clock was never set shows 2009; what is dated up to this year has no known time."""
AHEAD_S = 300
_QUARTER_S = 900
_DAY_S = 86_400
_SIGN, _WRAP = 0x8000_0000, 0x1_0000_0000


class Moment(NamedTuple):
    """When something was: UTC, the wall clock the pump showed, offset between both in minutes, any doubt."""

    time: datetime
    device_time: datetime
    utc_offset_min: int | None
    certain: bool = True


class Clock(Protocol):
    """Turns the counter into instants."""

    latest: int
    """Counter at the read, or the newest of a file."""

    def moment(self, rtc: int, offset: int) -> Moment:
        """The instant of a counter value; `offset` is the signed one that was in force then."""
        ...


def signed(offset: int) -> int:
    """A 32-bit offset field as the signed number of seconds it means."""
    return offset - _WRAP if offset & _SIGN else offset


def wall(rtc: int, offset: int) -> datetime:
    """The wall clock, naive. `offset` signed, seconds."""
    return WALL_EPOCH + timedelta(seconds=rtc + offset)


def is_set(rtc: int, offset: int) -> bool:
    """False while the pump had not been told the date."""
    return wall(rtc, offset).year > LAST_UNSET_YEAR


class LiveClock:
    """Right after a read: the pump's counter and the host's UTC were seen at one moment."""

    def __init__(self, host_utc: datetime, rtc: int) -> None:
        self._host_utc, self.latest = host_utc, rtc

    def moment(self, rtc: int, offset: int) -> Moment:
        """`host now - elapsed`, with the counter's drift taken off; needs no zone and survives clock changes."""
        elapsed_s = (self.latest - rtc) * (1 - DRIFT_S_PER_DAY / _DAY_S)
        time = _whole_second(self._host_utc - timedelta(seconds=elapsed_s))
        shown = wall(rtc, offset)
        return Moment(time, shown, _offset_min(shown, time))


class FileClock:
    """A payload without a read around it: the wall clock in the person's zone.

    Before the last change of the clock (`changed`: counter and new offset) only the counter is trusted: it runs
    on from there. Without a zone the wall clock is taken as UTC, and every moment is in doubt.
    """

    def __init__(self, latest: int, zone: ZoneInfo | None, changed: tuple[int, int] | None = None) -> None:
        self.latest, self._zone = latest, zone
        self._changed = changed

    def moment(self, rtc: int, offset: int) -> Moment:
        """Instant by the zone, or by the counter for what lies before the last change of the clock."""
        shown = wall(rtc, offset)
        if self._changed is None or rtc >= self._changed[0]:
            time, certain = self._by_zone(shown)
        else:
            time, certain = self._by_zone(wall(*self._changed))
            time -= timedelta(seconds=self._changed[0] - rtc)
        return Moment(time, shown, _offset_min(shown, time), certain)

    def _by_zone(self, shown: datetime) -> tuple[datetime, bool]:
        if self._zone is None:
            return shown.replace(tzinfo=UTC), False
        first, second = (shown.replace(tzinfo=self._zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        return first, first == second


def _whole_second(time: datetime) -> datetime:
    return (time + timedelta(milliseconds=500)).replace(microsecond=0)


def _offset_min(shown: datetime, time: datetime) -> int | None:
    """To the quarter of an hour, as zones are; None for a clock that is days off."""
    seconds = (shown - time.replace(tzinfo=None)).total_seconds()
    minutes = round(seconds / _QUARTER_S) * 15
    return minutes if abs(minutes) <= 24 * 60 else None
