"""The meter's own message: 33 bytes of head with an 8-bit sum, then a payload. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from bridge.errors import Malformed

HEAD = 0x21
_START = b"\x51\x03000000"
_OPERATION, _SEQUENCE, _LENGTH, _SUM = 0x12, 0x13, 0x1C, 0x20


class Operation(IntEnum):
    """What a message is for."""

    OPEN = 0x10
    CLOSE = 0x11
    SEND = 0x12
    READ_INFO = 0x14
    REQUEST_LINK_KEY = 0x16
    SEND_LINK_KEY = 0x17
    """Rewrites the meter's link: known by name only, never sent."""
    RECEIVED = 0x80
    SENT = 0x81
    LINK_KEY = 0x86


@dataclass(frozen=True, slots=True)
class Message:
    """An operation with its counter (32 bits; the meter sets its own in RECEIVED) and payload."""

    operation: int
    sequence: int
    payload: bytes

    @property
    def total(self) -> int:
        """Length of the whole message, bytes."""
        return HEAD + len(self.payload)


def pack(operation: int, sequence: int, payload: bytes = b"") -> bytes:
    """The bytes of a message."""
    head = bytearray(HEAD)
    head[: len(_START)] = _START
    head[_OPERATION] = operation
    head[_SEQUENCE : _SEQUENCE + 4] = sequence.to_bytes(4, "little")
    head[_LENGTH : _LENGTH + 2] = len(payload).to_bytes(2, "little")
    head[_SUM] = (sum(head) + sum(payload)) & 0xFF
    return bytes(head) + payload


def unpack(data: bytes) -> Message:
    """The message of these bytes. Raises Malformed for a wrong start, length or sum."""
    if not is_envelope(data) or len(data) != total_length(data):
        raise Malformed("The meter sent a message of the wrong form or length.")
    if (sum(data) - data[_SUM]) & 0xFF != data[_SUM]:
        raise Malformed("A message from the meter was damaged on its way.")
    return Message(data[_OPERATION], int.from_bytes(data[_SEQUENCE : _SEQUENCE + 4], "little"), data[HEAD:])


def is_envelope(data: bytes) -> bool:
    """Whether the bytes begin a message of this kind (and hold its whole head)."""
    return len(data) >= HEAD and data.startswith(_START)


def total_length(data: bytes) -> int:
    """How long the message that these bytes begin will be; they hold at least the head."""
    return HEAD + int.from_bytes(data[_LENGTH : _LENGTH + 2], "little")
