"""The clocks of one answer: the server's, the pump's and the phone's, and the offset that wall clocks have.

The pump's wall clock minus the server's instant, rounded to a quarter of an hour, is the offset of every stamp
in the answer. What was used is remembered, so that a clock some minutes wrong never flips it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import floor
from typing import Any

from bridge.readers.carelink_cloud.rows import QUARTER_MIN
from bridge.readers.carelink_cloud.timestamps import server_instant, stamp, wall_of
from bridge.readers.carelink_cloud.values import flag, number, text, whole

FAR_MIN = 14 * 60
HYSTERESIS_MIN = 10.0
DRIFT_LIMIT_MIN = 5.0
LIVE_AGE = timedelta(minutes=30)
AHEAD_LIMIT = timedelta(minutes=5)
"""A row further ahead of the server's clock is held until it is due."""
PUMP_FAMILY = "NGP"


@dataclass(frozen=True, slots=True)
class Source:
    """One clock as read: its offset in minutes (east positive) and what is left of the difference."""

    offset_min: int
    drift_min: float


@dataclass(frozen=True, slots=True)
class Clocks:
    """All that an answer says about time. Instants are UTC; offsets are minutes east of UTC.

    `offset_min` is None when no trustworthy clock was in reach: new rows wait. `drift` is the pump's clock
    minus true time, zero when unknown.
    """

    now: datetime | None
    updated_at: datetime | None
    pump: Source | None
    phone: Source | None
    live: bool
    offset_min: int | None

    @property
    def drift(self) -> timedelta:
        """How far the pump's clock is ahead."""
        return timedelta(minutes=self.pump.drift_min) if self.pump and self.live else timedelta(0)

    @property
    def age(self) -> timedelta | None:
        """Age of the last upload by the server's own clock."""
        return self.now - self.updated_at if self.now and self.updated_at else None

    @property
    def horizon(self) -> datetime | None:
        """Rows later than this are held. None when the answer tells no time."""
        return self.now + AHEAD_LIMIT + self.drift if self.now else None

    @property
    def apart_min(self) -> int:
        """Minutes that the pump's offset is ahead of the phone's, zero unless both are known and live."""
        return self.pump.offset_min - self.phone.offset_min if self.live and self.pump and self.phone else 0

    def remembered(self, state: Mapping[str, Any]) -> dict[str, int | None]:
        """What the next answer needs to know; a clock out of reach keeps what was known of it."""
        pump = self.pump.offset_min if self.pump and self.live else whole(state.get("pump_offset_min"))
        phone = self.phone.offset_min if self.phone else whole(state.get("phone_offset_min"))
        used = whole(state.get("offset_min")) if self.offset_min is None else self.offset_min
        return {"pump_offset_min": pump, "phone_offset_min": phone, "offset_min": used}


def read_clocks(patient: Mapping[str, Any], state: Mapping[str, Any]) -> Clocks:
    """The clocks of an answer, with what was remembered of the last one."""
    now = server_instant(patient.get("currentServerTime"))
    updated_at = last_upload(patient)
    live = _is_live(patient, now, updated_at)
    pump = _pump(patient, now, whole(state.get("pump_offset_min")))
    phone = _phone(patient, whole(state.get("phone_offset_min")))
    offset = pump.offset_min if pump and live else _without_pump(pump, phone, whole(state.get("offset_min")))
    return Clocks(now or updated_at, updated_at, pump, phone, live, offset)


def last_upload(patient: Mapping[str, Any]) -> datetime | None:
    """Server instant of the last upload: of device data, else of the phone."""
    names = (
        "lastMedicalDeviceDataUpdateServerTime",
        "lastConduitUpdateServerDateTime",
        "lastConduitUpdateServerTime",
    )
    return next((found for name in names if (found := server_instant(patient.get(name)))), None)


def _is_live(patient: Mapping[str, Any], now: datetime | None, updated_at: datetime | None) -> bool:
    """Whether the pump's clock in this answer can be believed."""
    if now and updated_at and now - updated_at >= LIVE_AGE:
        return False
    if text(patient.get("medicalDeviceFamily")) != PUMP_FAMILY:
        return True
    return flag(patient.get("pumpCommunicationState")) is not False


def _pump(patient: Mapping[str, Any], now: datetime | None, known_min: int | None) -> Source | None:
    wall = _pump_wall(patient)
    return _source(wall, now, known_min) if wall and now else None


def _pump_wall(patient: Mapping[str, Any]) -> datetime | None:
    ms = number(patient.get("medicalDeviceTime"))
    if ms is not None and ms > 1:
        face = server_instant(ms)
        return face.replace(tzinfo=None) if face else None
    names = ("sMedicalDeviceTime", "medicalDeviceTimeAsString")
    return next((found for name in names if (found := stamp(patient.get(name)))), None)


def _phone(patient: Mapping[str, Any], known_min: int | None) -> Source | None:
    wall = stamp(patient.get("lastConduitDateTime"))
    names = ("lastConduitUpdateServerDateTime", "lastConduitUpdateServerTime")
    server = next((found for name in names if (found := server_instant(patient.get(name)))), None)
    if wall is None or (server is None and wall.tzinfo is None):
        return None
    return _source(wall, server or wall.astimezone(UTC), known_min)


def _source(read: datetime, at: datetime, known_min: int | None) -> Source | None:
    """Offset of a clock that showed `read` at the instant `at`; a real zone suffix names it outright."""
    raw = (wall_of(read) - wall_of(at.astimezone(UTC))) / timedelta(minutes=1)
    suffix = read.utcoffset()
    if suffix is not None:
        offset = floor(suffix / timedelta(minutes=1) + 0.5)
    elif known_min is not None and abs(raw - known_min) < HYSTERESIS_MIN:
        offset = known_min
    else:
        offset = floor(raw / QUARTER_MIN + 0.5) * QUARTER_MIN
    return Source(offset, raw - offset) if abs(offset) <= FAR_MIN else None


def _without_pump(pump: Source | None, phone: Source | None, known_min: int | None) -> int | None:
    """The offset of new rows while the pump's clock cannot be believed: what phone and memory agree upon.

    A phone that moved alone (travel, summer time) is not followed for the pump's rows: those wait.
    """
    if phone is None:
        return known_min
    if known_min is None:
        return phone.offset_min if pump is None or pump.offset_min == phone.offset_min else None
    return phone.offset_min if phone.offset_min == known_min else None
