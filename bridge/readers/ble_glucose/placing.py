"""From the meter's wall clock to UTC.

A meter knows no zone and no summer time. What its clock showed when it was read is set against the host's:

- within a minute of the person's zone: right, a result's time is wall time there;
- up to a quarter of an hour: it drifts; the drift is taken off;
- more, or the zone is not known: it runs evenly but was set elsewhere or never for summer time. UTC is the result's
  time less (meter's clock - UTC), also across a change to summer time;
- a result ahead of the meter's own clock was made before that was set back: wall time, nothing more is known.

All but the first are in doubt, and so is a time that its zone shows twice or never.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from bridge.model.time import EARLIEST

SAME_S = 60
QUARTER_S = 15 * 60
"""No two zones are nearer to each other."""
AHEAD = timedelta(minutes=5)
_MOST_OFFSET_MIN = 24 * 60


@dataclass(frozen=True, slots=True)
class Placed:
    """An instant, and whether there is doubt."""

    time: datetime
    doubtful: bool


@dataclass(frozen=True, slots=True)
class Placing:
    """How this meter's times become UTC. `shown` is its clock at the instant `host`; both None when not known."""

    zone: tzinfo | None
    shown: datetime | None = None
    host: datetime | None = None

    @property
    def off_s(self) -> int | None:
        """How far the meter's clock is ahead of the person's wall clock, None when that cannot be told."""
        return None if self.zone is None else self._ahead_of(self.zone)

    @property
    def evenly(self) -> bool:
        """Whether the clock is so far off that the person's zone says nothing about it."""
        if self.shown is None or self.host is None:
            return False
        return self.off_s is None or abs(self.off_s) >= QUARTER_S

    def place(self, wall: datetime) -> Placed:
        """The instant of a time on the meter. Without a zone and without its clock it is taken as UTC, in doubt."""
        if self.shown is not None and wall > self.shown + AHEAD:
            return Placed(self._in_zone(wall), doubtful=True)
        if self.evenly:
            return Placed((wall - timedelta(seconds=self._from_utc_s())).replace(tzinfo=UTC), doubtful=True)
        off_s = self.off_s or 0
        if abs(off_s) > SAME_S:
            return Placed(self._in_zone(wall - timedelta(seconds=off_s)), doubtful=True)
        time = self._in_zone(wall)
        plain = self.zone is not None and not _shown_twice_or_never(wall, self.zone)
        return Placed(time, doubtful=not plain or time < EARLIEST)

    def _in_zone(self, wall: datetime) -> datetime:
        return wall.replace(tzinfo=self.zone or UTC).astimezone(UTC)

    def _ahead_of(self, zone: tzinfo) -> int | None:
        if self.shown is None or self.host is None:
            return None
        return round((self.shown - self.host.astimezone(zone).replace(tzinfo=None)).total_seconds())

    def _from_utc_s(self) -> int:
        """Meter less UTC; what is within a minute of whole quarters of an hour is taken as a zone's offset."""
        ahead_s = self._ahead_of(UTC) or 0
        quarters_s = round(ahead_s / QUARTER_S) * QUARTER_S
        return quarters_s if abs(ahead_s - quarters_s) <= SAME_S else ahead_s


def offset_min(wall: datetime, time: datetime) -> int | None:
    """Minutes from UTC to the meter's clock, None beyond a day."""
    minutes = round((wall - time.replace(tzinfo=None)).total_seconds() / 60)
    return minutes if abs(minutes) <= _MOST_OFFSET_MIN else None


def _shown_twice_or_never(wall: datetime, zone: tzinfo) -> bool:
    return wall.replace(tzinfo=zone, fold=0).utcoffset() != wall.replace(tzinfo=zone, fold=1).utcoffset()
