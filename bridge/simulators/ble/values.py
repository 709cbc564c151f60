"""What virtual meters and sensors put into their characteristics."""

from __future__ import annotations

import struct
from datetime import datetime, timedelta


def date_time(wall: datetime) -> bytes:
    """Seven bytes."""
    return struct.pack("<HBBBBB", wall.year, wall.month, wall.day, wall.hour, wall.minute, wall.second)


def short_float(mantissa: int, exponent: int) -> bytes:
    """A 16-bit decimal float."""
    return struct.pack("<H", (exponent & 0xF) << 12 | mantissa & 0xFFF)


def glucose(
    sequence: int,
    wall: datetime,
    mgdl: int | None,
    *,
    offset_min: int | None = None,
    mmol_tenths: int | None = None,
    kind: int = 1,
    location: int = 1,
    status: int | None = None,
    note_follows: bool = False,
) -> bytes:
    """Glucose Measurement: `mgdl` in kg/L, or `mmol_tenths` in mol/L, or neither."""
    flags, rest = 0, b""
    if offset_min is not None:
        flags, rest = flags | 1, struct.pack("<h", offset_min)
    if mmol_tenths is not None:
        flags, rest = flags | 2 | 4, rest + short_float(mmol_tenths, -4) + bytes([kind | location << 4])
    elif mgdl is not None:
        flags, rest = flags | 2, rest + short_float(mgdl, -5) + bytes([kind | location << 4])
    if status is not None:
        flags, rest = flags | 8, rest + struct.pack("<H", status)
    if note_follows:
        flags |= 16
    return struct.pack("<BH", flags, sequence & 0xFFFF) + date_time(wall) + rest


def note(sequence: int, *, meal: int | None = None, carbs_g: int | None = None) -> bytes:
    """Glucose Measurement Context."""
    flags, rest = 0, b""
    if carbs_g is not None:
        flags, rest = flags | 1, bytes([1]) + short_float(carbs_g, -3)
    if meal is not None:
        flags, rest = flags | 2, rest + bytes([meal])
    return struct.pack("<BH", flags, sequence & 0xFFFF) + rest


def current_time(wall: datetime) -> bytes:
    """Current Time: ten bytes."""
    return date_time(wall) + bytes([wall.isoweekday(), 0, 0])


def contour_time(wall: datetime, offset_min: int) -> bytes:
    """A Contour clock: UTC and the offset."""
    return b"\x01" + date_time(wall - timedelta(minutes=offset_min)) + struct.pack("<h", offset_min)


def isens_time(wall: datetime) -> bytes:
    """An i-SENS clock's answer."""
    return b"\xc0\x03\x01\x00" + date_time(wall)


def reflected_crc(data: bytes) -> bytes:
    """The profile's own checksum, bit by bit."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x8408 if crc & 1 else crc >> 1
    return struct.pack("<H", crc)


def sensor_glucose(
    mgdl: int | None,
    offset_min: int,
    *,
    trend_tenths: int | None = None,
    status: int | None = None,
    calibration: int | None = None,
    warning: int | None = None,
    crc: bool = False,
) -> bytes:
    """One CGM Measurement record."""
    octets = [(0x80, status), (0x40, calibration), (0x20, warning)]
    flags = sum(flag for flag, octet in octets if octet is not None) | (trend_tenths is not None)
    value = short_float(mgdl, 0) if mgdl is not None else b"\xff\x07"
    body = bytes([flags]) + value + struct.pack("<H", offset_min)
    body += bytes(octet for _, octet in octets if octet is not None)
    if trend_tenths is not None:
        body += short_float(trend_tenths, -1)
    sized = bytes([len(body) + 1 + 2 * crc]) + body
    return sized + reflected_crc(sized) if crc else sized
