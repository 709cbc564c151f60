"""Checksums of the device protocols."""

from __future__ import annotations

from binascii import crc_hqx


def crc16(data: bytes) -> int:
    """CRC-16, polynomial 0x1021, start 0xFFFF, not reflected; `02 06 06 03` gives 0x41CD."""
    return crc_hqx(data, 0xFFFF)


def crc8(data: bytes) -> int:
    """CRC-8, polynomial 0x9B, start 0, not reflected."""
    crc = 0
    for byte in data:
        crc = _CRC8[crc ^ byte]
    return crc


def _step(value: int) -> int:
    for _ in range(8):
        value = (value << 1 ^ (0x9B if value & 0x80 else 0)) & 0xFF
    return value


_CRC8 = bytes(_step(value) for value in range(256))
