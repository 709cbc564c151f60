"""What each form of message means."""

from __future__ import annotations

import pytest

from bridge.readers.medtronic_600 import answers, ngp
from bridge.readers.medtronic_600.answers import Heard, Sent
from bridge.readers.medtronic_600.envelope import HEAD, Message

NETWORK = bytearray(42)
NETWORK[1], NETWORK[0x10], NETWORK[0x21], NETWORK[0x29] = 4, 0x82, 0x42, 20
NONSTANDARD = bytearray(NETWORK)
NONSTANDARD[1], NONSTANDARD[0x10], NONSTANDARD[0x21] = 0, 0x83, 0x43
DATA = b"\0\x06" + bytes(19) + b"\x05" + bytes(5)


def _framed(body: str | bytes) -> bytes:
    return ngp.pack(ngp.RESPONSE, bytes.fromhex(body) if isinstance(body, str) else bytes(body))


@pytest.mark.parametrize(
    ("payload", "total", "meaning"),
    [
        (b"\0", 0x22, Heard.LINK_LOST),
        (b"\xff", 0x22, Heard.LINK_LOST),
        (b"", 0x21, Heard.LINK_LOST),
        (_framed("000000020000030000"), 0x2E, Heard.NO_ANSWER),
        (_framed("000020000000030000"), 0x2E, Heard.EMPTY_CHANNEL),
        (_framed("000688006501030000"), 0x2E, Heard.OVERRUN),
        (_framed("0006880065ff030000"), 0x2E, Heard.OVERRUN),
        (_framed("0000000200000200017788"), 0x30, Heard.LOST),
        (_framed(bytes(NETWORK)), 0x4F, Heard.JOINED),
        (_framed(bytes(NONSTANDARD)), 0x4F, Heard.LOST),
        (_framed(bytes(42)), 0x4F, Heard.UNKNOWN),
        (_framed(DATA), 0x40, Heard.DATA),
        (b"\x54\x0b" + bytes(11), 0x2E, Heard.LOST),
        (_framed("0102"), 0x27, Heard.UNKNOWN),
    ],
)
def test_received(payload: bytes, total: int, meaning: Heard) -> None:
    message = Message(0x80, 1, payload)
    assert (message.total, answers.heard(message)) == (total, meaning)


@pytest.mark.parametrize(
    ("payload", "total", "meaning"),
    [
        (_framed("0004000000000300010502"), 0x30, Sent.OK),
        (_framed("0004000000000300010504"), 0x30, Sent.BUSY),
        (_framed("0004000000000300010501"), 0x30, Sent.LOST),
        (_framed("0000"), 0x27, Sent.NOT_JOINED),
        (_framed(bytes(NETWORK)), 0x4F, Sent.OK),
        (b"", HEAD, Sent.LOST),
        (b"\0", 0x22, Sent.LOST),
    ],
)
def test_sent(payload: bytes, total: int, meaning: Sent) -> None:
    message = Message(0x81, 1, payload)
    assert (message.total, answers.sent(message)) == (total, meaning)
