"""The end-to-end checksum that glucose sensors and pumps put behind a value, low byte first, in two dialects."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from bridge.errors import Malformed
from bridge.wire.crc import crc16

CRC_BYTES = 2


def _reflected(data: bytes) -> int:
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


def _entry(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0x8408 if value & 1 else 0)
    return value


_TABLE = tuple(_entry(value) for value in range(256))


class Dialect(Enum):
    """Who counts how: the profile's own reflected CRC, or the plain one of Medtronic's pumps. Both start at 0xFFFF
    with polynomial 0x1021."""

    PROFILE = "profile"
    MEDTRONIC = "medtronic"

    def crc(self, data: bytes) -> bytes:
        """The two bytes that go behind the data."""
        return _COUNTED[self](data).to_bytes(CRC_BYTES, "little")

    def fits(self, value: bytes) -> bool:
        """Whether a value ends with its checksum."""
        return len(value) >= CRC_BYTES and self.crc(value[:-CRC_BYTES]) == value[-CRC_BYTES:]

    def checked(self, value: bytes) -> bytes:
        """The value without its checksum. Raises Malformed when that is wrong or missing."""
        if not self.fits(value):
            raise Malformed("The checksum of a value from the sensor is wrong.")
        return value[:-CRC_BYTES]


_COUNTED: dict[Dialect, Callable[[bytes], int]] = {Dialect.PROFILE: _reflected, Dialect.MEDTRONIC: crc16}


def dialect_of(value: bytes) -> Dialect | None:
    """In which dialect a value ends with its checksum, None when in neither."""
    return next((dialect for dialect in Dialect if dialect.fits(value)), None)
