"""What a message about the pump means, by its length and first bytes. Pure."""

from __future__ import annotations

from enum import StrEnum

from bridge.readers.medtronic_600.envelope import Message
from bridge.readers.medtronic_600.ngp import RESPONSE


class Heard(StrEnum):
    """What the radio brought."""

    DATA = "data"
    JOINED = "joined"
    EMPTY_CHANNEL = "empty channel"
    NO_ANSWER = "no answer"
    """The pump did not answer; nothing more will come, so the question may be asked again."""
    OVERRUN = "overrun"
    LOST = "lost"
    """The pump is gone: the conversation is over."""
    LINK_LOST = "link lost"
    """The meter's radio has lost its way: it is about to fail."""
    UNKNOWN = "unknown"


class Sent(StrEnum):
    """What became of a message on its way to the pump."""

    OK = "ok"
    BUSY = "busy"
    """The radio is noisy: the answer may still come."""
    NOT_JOINED = "not joined"
    LOST = "lost"


_ANSWERS = (
    (0x2E, bytes.fromhex("550b00000002"), Heard.NO_ANSWER),
    (0x2E, bytes.fromhex("550b000020"), Heard.EMPTY_CHANNEL),
    (0x2E, bytes.fromhex("550b000688"), Heard.OVERRUN),
    (0x30, bytes.fromhex("550d000000020000 02"), Heard.LOST),
)
_NETWORK = 0x4F
_LEAST_DATA = 0x39
_NETWORK_KINDS = {(4, 0x82, 0x42): Heard.JOINED, (0, 0x83, 0x43): Heard.LOST}
_STATES = {2: Sent.OK, 4: Sent.BUSY}


def heard(message: Message) -> Heard:
    """The meaning of a RECEIVED message."""
    payload, total = message.payload, message.total
    if not payload or payload[0] != RESPONSE:
        return Heard.LINK_LOST if len(payload) <= 1 else Heard.LOST
    for length, start, meaning in _ANSWERS:
        if total == length and payload.startswith(start):
            return meaning
    if payload[2:4] == b"\0\x06" and total >= _LEAST_DATA:
        return Heard.DATA
    if total == _NETWORK:
        return _NETWORK_KINDS.get((payload[3], payload[0x12], payload[0x23]), Heard.UNKNOWN)
    return Heard.UNKNOWN


def sent(message: Message) -> Sent:
    """The meaning of a SENT message."""
    payload, total = message.payload, message.total
    if not payload or payload[0] != RESPONSE:
        return Sent.LOST
    if total == 0x27 and payload.startswith(b"\x55\x04\0\0"):
        return Sent.NOT_JOINED
    if total == _NETWORK:
        return Sent.OK
    return _STATES.get(payload[0x0C], Sent.LOST) if total == 0x30 else Sent.LOST
