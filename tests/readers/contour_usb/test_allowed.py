"""Nothing but what reading needs ever leaves for a meter."""

from __future__ import annotations

import pytest

from bridge.errors import NotAllowed
from bridge.readers.contour_usb import permitted
from bridge.readers.contour_usb.link import Conversation
from bridge.wire.astm import ACK, CAN, ENQ, ETX, NAK, STX, Frame, build
from tests.readers.contour_usb.bench import NOON

READING = [b"X", ACK, NAK, b"\x04", ENQ, b"R|", b"D|\r", b"D|", b"T|\r", b"T|"]
WRITING = {
    "enter write mode": b"W|", "write mode with CR": b"W|\r", "write date": b"W|D|", "write time": b"W|T|",
    "a date": b"240502|\r", "a time": b"0915|\r", "a date without CR": b"240502|", "a time without CR": b"0915|",
    "switch off the bus": b"E|\r", "switch off without CR": b"E|", "write and switch off": b"W|E|\r",
    "settings": b"S|\r", "meal marks": b"A|1|\r", "units": b"U|1|\r", "reminders": b"I|0200|\r", "targets": b"X|\r",
    "language": b"G|1|\r", "erase": b"Z|\r", "cancel": CAN, "start of frame": STX, "end of frame": ETX,
    "nothing": b"",
    "a frame": build(Frame(1, "W|D|240502")), "two words": b"R|D|\r", "lower case": b"r|", "read then write": b"R|W|",
    "a pump's envelope": b"\x51\x03" + bytes(20),
}  # fmt: skip


class _Recorder:
    """A port that remembers what left."""

    def __init__(self) -> None:
        self.left: list[bytes] = []

    async def write(self, data: bytes, timeout_s: float) -> None:
        self.left.append(data)

    async def read(self, size: int, timeout_s: float) -> bytes:
        return b""


@pytest.mark.parametrize("message", READING)
def test_what_reading_needs_may_leave(message: bytes) -> None:
    assert permitted(message) == message


@pytest.mark.parametrize("name", WRITING)
async def test_every_write_is_refused_before_a_byte_leaves(name: str) -> None:
    with pytest.raises(NotAllowed):
        permitted(WRITING[name])
    port = _Recorder()
    with pytest.raises(NotAllowed):
        await Conversation(port, lambda: NOON)._send(WRITING[name])
    assert port.left == []


def test_every_other_single_byte_is_refused() -> None:
    for value in range(256):
        if bytes([value]) not in READING:
            with pytest.raises(NotAllowed):
                permitted(bytes([value]))
    for letter in range(256):
        word = bytes([letter]) + b"|"
        if word not in READING:
            with pytest.raises(NotAllowed):
                permitted(word)


async def test_a_write_is_a_bug_also_where_errors_do_not_matter() -> None:
    port = _Recorder()
    with pytest.raises(NotAllowed):
        await Conversation(port, lambda: NOON)._quietly(b"W|")
    assert port.left == []
