"""The layers between a meter, its radio and a pump, as the devices build and take them apart."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from bridge.wire.crc import crc16

_HEAD = struct.Struct("<2s6s10xBI5xH2xB")


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message between host and meter."""

    operation: int
    sequence: int
    payload: bytes = b""

    def encode(self) -> bytes:
        """33 bytes of head and the payload."""
        unsummed = self._head(0) + self.payload
        return self._head(sum(unsummed) & 0xFF) + self.payload

    def _head(self, total: int) -> bytes:
        return _HEAD.pack(b"\x51\x03", b"000000", self.operation, self.sequence, len(self.payload), total)

    @classmethod
    def decode(cls, raw: bytes) -> Envelope:
        """Raises ValueError for what a meter would not take."""
        if len(raw) < _HEAD.size:
            raise ValueError("too short")
        kind, zeros, operation, sequence, length, total = _HEAD.unpack_from(raw)
        payload = raw[_HEAD.size :]
        whole = kind == b"\x51\x03" and zeros == b"000000" and len(payload) == length
        if not whole or (sum(raw) - total) & 0xFF != total:
            raise ValueError("damaged")
        return cls(operation, sequence, payload)


def radio_frame(body: bytes, command: int = 0x55) -> bytes:
    """A radio frame: command, size, body, CRC low byte first."""
    start = bytes((command, 2 + len(body))) + body
    return start + struct.pack("<H", crc16(start))


def open_radio_frame(raw: bytes) -> tuple[int, bytes]:
    """(command, body) of a radio frame. Raises ValueError."""
    if len(raw) < 4 or raw[1] != len(raw) - 2 or struct.unpack("<H", raw[-2:])[0] != crc16(raw[:-2]):
        raise ValueError("damaged")
    return raw[0], raw[2:-2]


def pump_word(sequence: int, rest: bytes) -> bytes:
    """A word of the pump's protocol: sequence, command and parameters, CRC high byte first."""
    start = bytes((sequence,)) + rest
    return start + struct.pack(">H", crc16(start))


def open_pump_word(raw: bytes) -> tuple[int, int, bytes]:
    """(sequence, command, parameters). Raises ValueError."""
    if len(raw) < 5 or crc16(raw):
        raise ValueError("damaged")
    return raw[0], int.from_bytes(raw[1:3], "big"), raw[3:-2]
