"""The pump's clock: seconds that always run, and an offset that makes them a wall clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bridge.simulators.patient import PumpClock

FIRST_RTC = 0x80000000
DRIFT_S_DAY = 4.0
"""How much faster than time such a pump runs."""
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_DAY_S = 86_400
_PUT_RIGHT = timedelta(days=28)
"""Its owner sees by then that it is fast, and puts it right."""


class RunningClock:
    """`born`: when the pump was made; `shown`: what its owner set it to."""

    def __init__(self, born: datetime, shown: PumpClock, drift_s_day: float = DRIFT_S_DAY) -> None:
        self._born, self._shown = born, shown
        self._rate = 1 + drift_s_day / _DAY_S

    def rtc(self, at: datetime) -> int:
        """Running seconds at an instant."""
        return FIRST_RTC + int((at - self._born).total_seconds() * self._rate)

    def instant(self, rtc: int) -> datetime:
        """The inverse of `rtc`."""
        return self._born + timedelta(seconds=(rtc - FIRST_RTC) / self._rate)

    def offset(self, at: datetime) -> int:
        """What makes the running seconds a wall clock, as the 32 bits that the pump stores."""
        set_at = max([self._put_right(at), *(since for since, _ in self._shown.settings if since <= at)])
        wall = self._shown.wall(set_at).replace(tzinfo=UTC)
        return (int((wall - _EPOCH).total_seconds()) - self.rtc(set_at)) & 0xFFFFFFFF

    def wall(self, at: datetime) -> datetime:
        """What the pump shows."""
        seconds = (self.rtc(at) + self.offset(at)) & 0xFFFFFFFF
        return (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None)

    def _put_right(self, at: datetime) -> datetime:
        """The last time at or before `at`."""
        return self._born + (at - self._born) // _PUT_RIGHT * _PUT_RIGHT

    def corrections(self, start: datetime, end: datetime) -> list[datetime]:
        """When its owner put it right in [start, end)."""
        last = self._put_right(end - timedelta(microseconds=1))
        return [last] if start <= last and last > self._born else []

    def wall_seconds(self, at: datetime) -> int:
        """Wall clock as seconds since 2000."""
        return (self.rtc(at) + self.offset(at)) & 0xFFFFFFFF

    def stamp(self, at: datetime) -> bytes:
        """Running seconds and offset, 8 bytes."""
        return self.rtc(at).to_bytes(4, "big") + self.offset(at).to_bytes(4, "big")
