"""CGM Measurement (2AA7): the records of one notification. Pure; Malformed is all that this raises."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

from bridge.errors import Malformed
from bridge.wire.e2e_crc import CRC_BYTES, Dialect, dialect_of
from bridge.wire.sfloat import Number, finite, sfloat

_HEAD = 6
_HAS_TREND, _HAS_QUALITY = 0x01, 0x02
_OCTETS = ((0x80, "status"), (0x40, "cal_temp"), (0x20, "warning"))
"""In the order in which they stand."""
_BELOW, _ABOVE = 1 << 6, 1 << 7

OutOfRange: TypeAlias = Literal["low", "high"]


@dataclass(frozen=True, slots=True)
class CgmMeasurement:
    """One record as sent, None for what was not. Concentration in mg/dL, trend in mg/dL a minute, quality in %."""

    raw: bytes
    size: int
    flags: int
    concentration: Number
    time_offset_min: int
    status: int | None = None
    cal_temp: int | None = None
    warning: int | None = None
    trend: Number | None = None
    quality: Number | None = None

    @property
    def mg_dl(self) -> Decimal | None:
        """The value."""
        return finite(self.concentration)

    @property
    def trend_mgdl_min(self) -> Decimal | None:
        """The rate of change."""
        return finite(self.trend)

    @property
    def out_of_range(self) -> OutOfRange | None:
        """Whether the sensor cannot measure so low, or so high."""
        warning = self.warning or 0
        if warning & _BELOW:
            return "low"
        return "high" if warning & _ABOVE else None


def parse_measurements(value: bytes, dialect: Dialect | None = None) -> list[CgmMeasurement]:
    """The records of a value, each with its checksum in that dialect.

    `dialect` None: not known. Two bytes more than the flags ask for are then a checksum in one of the dialects.
    Raises Malformed for a wrong checksum and for sizes that do not fit.
    """
    found: list[CgmMeasurement] = []
    while value:
        size = value[0]
        if not _HEAD <= size <= len(value):
            raise Malformed("A record of the sensor is cut short.")
        found.append(_record(value[:size], dialect))
        value = value[size:]
    if not found:
        raise Malformed("The sensor sent an empty record.")
    return found


def _record(raw: bytes, dialect: Dialect | None) -> CgmMeasurement:
    body = raw if dialect is None else dialect.checked(raw)
    flags, at = raw[1], _HEAD
    octets: dict[str, int] = {}
    numbers: dict[str, Number] = {}
    for flag, name in _OCTETS:
        if flags & flag:
            octets[name] = _take(body, at, 1)[0]
            at += 1
    for flag, name in ((_HAS_TREND, "trend"), (_HAS_QUALITY, "quality")):
        if flags & flag:
            numbers[name] = sfloat(_take(body, at, 2))
            at += 2
    if dialect is None and len(raw) == at + CRC_BYTES and dialect_of(raw) is None:
        raise Malformed("The checksum of a record from the sensor is wrong.")
    return CgmMeasurement(
        raw=raw,
        size=len(raw),
        flags=flags,
        concentration=sfloat(_take(body, 2, 2)),
        time_offset_min=int.from_bytes(_take(body, 4, 2), "little"),
        status=octets.get("status"),
        cal_temp=octets.get("cal_temp"),
        warning=octets.get("warning"),
        trend=numbers.get("trend"),
        quality=numbers.get("quality"),
    )


def _take(body: bytes, at: int, size: int) -> bytes:
    field = body[at : at + size]
    if len(field) < size:
        raise Malformed("A record of the sensor is cut short.")
    return field
