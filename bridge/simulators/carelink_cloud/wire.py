"""How the cloud writes numbers, wall clocks and arrows, and what it fills in at each request."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.simulators.carelink_cloud.uploads import Picture
from bridge.simulators.patient import SensorReading

Stamp = Callable[[datetime], str]
"""Writes an instant as the pump's clock showed it."""
MAX_AUTO_U_H = 1.4616
"""Ceiling of the automatic basal, U/h."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
SERVER_MS, WALL_MS, WALL_FLAT, WALL_ENGLISH = "@server@", "@wall@", "@flat@", "@english@"
"""Places in a document that a request fills: server time, the pump's clock as number, as text, in English."""
_PLACES = re.compile(rb'"(@server@|@wall@|@flat@|@english@)"')


def ms(instant: datetime) -> int:
    """Epoch milliseconds."""
    return round(instant.timestamp() * 1000)


def wall_ms(wall: datetime) -> int:
    """A wall clock in milliseconds, as if it were UTC."""
    return ms(wall.replace(tzinfo=UTC))


def single(value: float) -> float:
    """A number that went through a 32-bit float."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def noisy(value: float) -> str:
    """A 32-bit float written with all its digits: 0.1 becomes 0.10000000149011612."""
    return format(single(value), ".17g")


def plain(value: float) -> str:
    """A number without needless digits: 12.0 becomes 12."""
    return format(value, "g")


def bare(wall: datetime) -> str:
    """A wall clock without any zone mark."""
    return wall.isoformat(timespec="seconds")


def minus_zero(wall: datetime) -> str:
    """A wall clock that claims to be UTC."""
    return wall.isoformat(timespec="seconds") + ".000-00:00"


def english(wall: datetime) -> str:
    """A wall clock in English words."""
    return f"{_MONTHS[wall.month - 1]} {wall.day:02d}, {wall.year} {wall:%H:%M:%S}"


def arrow(readings: Sequence[SensorReading]) -> str:
    """The arrow of the newest reading: classes of 1, 2 and 3 mg/dL per minute."""
    if len(readings) < 2:
        return "NONE"
    old, new = readings[-2:]
    if old.mgdl is None or new.mgdl is None or new.time - old.time > timedelta(minutes=7):
        return "NONE"
    rate = (new.mgdl - old.mgdl) / ((new.time - old.time) / timedelta(minutes=1))
    strength = ("", "", "_DOUBLE", "_TRIPLE")[min(int(abs(rate)), 3)]
    return "NONE" if abs(rate) < 1 else f"{'UP' if rate > 0 else 'DOWN'}{strength}"


@dataclass(frozen=True, slots=True)
class Template:
    """An encoded document with places left open, so that an answer costs no encoding."""

    parts: tuple[bytes, ...]
    picture: Picture

    @classmethod
    def of(cls, document: Any, picture: Picture) -> Template:
        """Encode once."""
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        return cls(tuple(_PLACES.split(body)), picture)

    def fill(self, now: datetime) -> bytes:
        """The answer at `now`: the pump's clock is advanced by the time since the upload."""
        shown = self.picture.person.patient.pump.wall(self.picture.taken_at)
        wall = shown + (now - self.picture.taken_at)
        values = {
            SERVER_MS.encode(): str(ms(now)).encode(),
            WALL_MS.encode(): str(wall_ms(wall)).encode(),
            WALL_FLAT.encode(): json.dumps(minus_zero(wall)).encode(),
            WALL_ENGLISH.encode(): json.dumps(english(wall)).encode(),
        }
        return b"".join(values.get(part, part) for part in self.parts)
