"""What a sensor says of itself and its session: feature, status, start, answers of its control point.

Pure; Malformed is all that these raise. A checksum at the end is taken off where there is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from bridge.errors import Malformed
from bridge.wire.date_time import DATE_TIME_BYTES, date_time
from bridge.wire.e2e_crc import CRC_BYTES, Dialect, dialect_of
from bridge.wire.sfloat import finite, sfloat

_FEATURE_BYTES, _STATUS_BYTES, _START_BYTES = 4, 5, DATE_TIME_BYTES + 2
_E2E_BIT, _TREND_BIT, _QUALITY_BIT = 12, 15, 16
_NO_ZONE = -128
_DST_MIN = {0: 0, 2: 30, 4: 60, 8: 120}
RESPONSE, CALIBRATION = 0x1C, 0x06
_CALIBRATION_BYTES = 10


@dataclass(frozen=True, slots=True)
class CgmFeature:
    """What a sensor can; `dialect` is that of its checksums, None where it sends none."""

    feature: int
    type: int
    location: int
    dialect: Dialect | None

    @property
    def e2e_crc(self) -> bool:
        """Whether values end with a checksum."""
        return bool(self.feature >> _E2E_BIT & 1)

    @property
    def trend(self) -> bool:
        """Whether records can have a trend."""
        return bool(self.feature >> _TREND_BIT & 1)

    @property
    def quality(self) -> bool:
        """Whether records can have a quality."""
        return bool(self.feature >> _QUALITY_BIT & 1)


def parse_feature(value: bytes) -> CgmFeature:
    """CGM Feature (2AA8): the checksum is always there, and tells the dialect where it is used."""
    if len(value) != _FEATURE_BYTES + CRC_BYTES:
        raise Malformed("The sensor's features came in a form that is not known.")
    feature = int.from_bytes(value[:3], "little")
    used = bool(feature >> _E2E_BIT & 1)
    dialect = dialect_of(value)
    if used and dialect is None:
        raise Malformed("The checksum of the sensor's features is wrong.")
    return CgmFeature(feature, value[3] & 0x0F, value[3] >> 4, dialect if used else None)


@dataclass(frozen=True, slots=True)
class SessionStart:
    """When the session began on the sensor's wall clock, None when that was never set; minutes east, DST minutes."""

    local: datetime | None
    tz_min: int | None
    dst_min: int | None

    @property
    def offset(self) -> timedelta | None:
        """The wall clock less UTC, None when the sensor does not know its zone."""
        return None if self.tz_min is None else timedelta(minutes=self.tz_min + (self.dst_min or 0))


def parse_session_start(value: bytes) -> SessionStart:
    """CGM Session Start Time (2AAA)."""
    body = _without_crc(value, _START_BYTES)
    quarters = int.from_bytes(body[7:8], "little", signed=True)
    zone_min = None if quarters == _NO_ZONE else quarters * 15
    return SessionStart(date_time(body), zone_min, _DST_MIN.get(body[8]))


@dataclass(frozen=True, slots=True)
class CgmStatus:
    """How far the session is, in minutes, and the three octets."""

    time_offset_min: int
    status: int
    cal_temp: int
    warning: int


def parse_status(value: bytes) -> CgmStatus:
    """CGM Status (2AA9)."""
    body = _without_crc(value, _STATUS_BYTES)
    return CgmStatus(int.from_bytes(body[:2], "little"), *body[2:])


@dataclass(frozen=True, slots=True)
class Control:
    """A value of the Specific Ops Control Point (2AAC); an answer names its request and a code."""

    opcode: int
    operand: bytes

    @property
    def request(self) -> int | None:
        """Which request a response code answers."""
        return self.operand[0] if self.opcode == RESPONSE and self.operand else None

    @property
    def response(self) -> int | None:
        """The code of a response: 1 for success."""
        return self.operand[1] if self.opcode == RESPONSE and len(self.operand) > 1 else None


def parse_control(value: bytes, dialect: Dialect | None) -> Control:
    """A value of the control point; `dialect` None where no checksums are used."""
    body = value if dialect is None else dialect.checked(value)
    if not body:
        raise Malformed("The sensor's control point sent nothing.")
    return Control(body[0], body[1:])


@dataclass(frozen=True, slots=True)
class StoredCalibration:
    """A calibration that the sensor recalls; `status` bits: 0 rejected, 1 out of range, 2 pending."""

    mg_dl: Decimal | None
    time_offset_min: int
    record: int
    status: int

    @property
    def accepted(self) -> bool | None:
        """Whether the sensor took it, None while that is open."""
        if self.status & 0b11:
            return False
        return None if self.status else True


def parse_calibration(control: Control) -> StoredCalibration | None:
    """What a calibration answer says, None for any other value of the control point."""
    operand = control.operand
    if control.opcode != CALIBRATION:
        return None
    if len(operand) != _CALIBRATION_BYTES:
        raise Malformed("A calibration from the sensor came in a form that is not known.")
    number, offset_min, record = (int.from_bytes(operand[at : at + 2], "little") for at in (0, 2, 7))
    return StoredCalibration(finite(sfloat(number.to_bytes(2, "little"))), offset_min, record, operand[9])


def _without_crc(value: bytes, size: int) -> bytes:
    if len(value) == size + CRC_BYTES and dialect_of(value) is None:
        raise Malformed("The checksum of a value from the sensor is wrong.")
    if len(value) not in (size, size + CRC_BYTES):
        raise Malformed("A value from the sensor came in a form that is not known.")
    return value[:size]
