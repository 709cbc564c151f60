"""From the meter's wall clock to UTC.

A meter knows no zone and no summer time. What its clock shows at the header is set against the host's clock:

- within a minute: the clock is right, a stamp is wall time in the person's zone;
- up to a quarter of an hour: it drifts. A stamp is wall time in the person's zone, less the drift;
- more: it keeps another zone's time, or summer time was missed. Then nobody sets it, so it ran evenly from the
  result until now: UTC is the stamp less (meter's clock - UTC), also across a change to summer time. The same
  where the person's zone is not known;
- a stamp ahead of the meter's own clock was made before the clock was set back: wall time, nothing is known.

All but the first carry `clock/uncertain`, and so does a stamp that its zone shows twice or never. A result keeps
the correction it was first read with: the meter's clock may be set, the past does not move.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal, TypeAlias

from bridge.model.time import EARLIEST

Way: TypeAlias = Literal["right", "drift", "even", "unsure"]

SAME_S = 60
"""Offsets closer than this are the same one, seen twice."""
DRIFT_S = 15 * 60
"""No zones are nearer to each other."""
AHEAD = timedelta(minutes=5)
_WAYS: tuple[Way, ...] = ("right", "drift", "even", "unsure")
_MOST_OFFSET_MIN = 24 * 60


@dataclass(frozen=True, slots=True)
class Correction:
    """How stamps become UTC. `seconds`: the drift (`drift`), or the meter's clock less UTC (`even`)."""

    way: Way
    seconds: int = 0

    @classmethod
    def restored(cls, value: Any) -> Correction | None:
        """One that was remembered as [way, seconds]."""
        match value:
            case [str(way), int(seconds)] if way in _WAYS and abs(seconds) < 10**10:
                return cls(way, seconds)
        return None

    def resembles(self, other: Correction) -> bool:
        """Whether both are one correction, measured twice."""
        return self.way == other.way and abs(self.seconds - other.seconds) <= SAME_S


RIGHT, UNSURE = Correction("right"), Correction("unsure")


@dataclass(frozen=True, slots=True)
class Placed:
    """An instant, and whether there is doubt."""

    time: datetime
    doubtful: bool


@dataclass(frozen=True, slots=True)
class MeterClock:
    """The meter's clock against the host's, at one moment. `shows_to_s`: 60 where it shows whole minutes."""

    shows: datetime
    shows_to_s: int
    host: datetime

    def offset_s(self, zone: tzinfo) -> int:
        """Meter less the wall clock of a zone, seconds; a clock of whole minutes is taken as in their middle."""
        right = self.host.astimezone(zone).replace(tzinfo=None)
        return round((self.shows - right).total_seconds()) + self.shows_to_s // 2

    def correction(self, zone: tzinfo | None) -> Correction:
        """What its stamps need."""
        offset_s = None if zone is None else self.offset_s(zone)
        if offset_s is not None and abs(offset_s) <= self._minute_s:
            return RIGHT
        if offset_s is not None and abs(offset_s) < DRIFT_S:
            return Correction("drift", offset_s)
        return Correction("even", self._whole_quarters(self.offset_s(UTC)))

    @property
    def _minute_s(self) -> int:
        """What counts as nothing: a minute, and what the clock does not show."""
        return SAME_S + self.shows_to_s // 2

    def _whole_quarters(self, offset_s: int) -> int:
        """Zones lie quarters of an hour apart: what is within a minute of one is one."""
        quarter_s = round(offset_s / DRIFT_S) * DRIFT_S
        return quarter_s if abs(offset_s - quarter_s) <= self._minute_s else offset_s


def place(wall: datetime, correction: Correction, zone: tzinfo | None) -> Placed:
    """The instant of a stamp. Without a zone it is taken as UTC, in doubt."""
    if correction.way == "even":
        return Placed((wall - timedelta(seconds=correction.seconds)).replace(tzinfo=UTC), doubtful=True)
    if correction.way == "drift":
        wall -= timedelta(seconds=correction.seconds)
    time = wall.replace(tzinfo=zone or UTC).astimezone(UTC)
    plain = correction.way == "right" and zone is not None and not _shown_twice_or_never(wall, zone)
    return Placed(time, not plain or time < EARLIEST)


def offset_min(wall: datetime, time: datetime) -> int | None:
    """Minutes from UTC to the meter's clock, None beyond a day."""
    minutes = round((wall - time.replace(tzinfo=None)).total_seconds() / 60)
    return minutes if abs(minutes) <= _MOST_OFFSET_MIN else None


def _shown_twice_or_never(wall: datetime, zone: tzinfo) -> bool:
    return wall.replace(tzinfo=zone, fold=0).utcoffset() != wall.replace(tzinfo=zone, fold=1).utcoffset()
