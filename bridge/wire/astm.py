"""The text frames of glucose meters: numbered, check-summed, answered one by one.

A frame is `STX N text CR (ETB|ETX) C1 C2 CR LF`: N counts 1..7, 0, 1...; ETX ends the last frame; C1 C2 is the
sum modulo 256 of all bytes from N up to and including ETB or ETX, as two hex digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bridge.errors import Malformed

STX, ETX, EOT, ENQ, ACK = b"\x02", b"\x03", b"\x04", b"\x05", b"\x06"
NAK, ETB, CAN, CR, LF = b"\x15", b"\x17", b"\x18", b"\r", b"\n"
CONTROLS = (EOT, ENQ, ACK, NAK, CAN)
"""Bytes that are a message by themselves."""

NUMBERS = 8
_FRAME = re.compile(rb"\x02([0-7])([^\x02]*)([\x03\x17])([0-9A-Fa-f]{2})\r\n\Z")
_PIECE = re.compile(rb"\x02[^\x02]*?[\x03\x17][0-9A-Fa-f]{2}\r\n|\x02[^\x02]*|[^\x02]")
_END = re.compile(rb"\r[\x03\x17][0-9A-Fa-f]{2}\r\n\x05?\Z")


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; `text` without its CR. `whole` is False when the record goes on in the next frame."""

    number: int
    text: str
    last: bool = False
    whole: bool = True


def checksum(body: bytes) -> bytes:
    """The two upper-case hex digits over a body that begins with the frame number and ends with ETB or ETX."""
    return b"%02X" % (sum(body) & 0xFF)


def build(frame: Frame) -> bytes:
    """The bytes of a frame. Raises Malformed for text that has no place in Latin-1."""
    try:
        text = frame.text.encode("latin-1")
    except UnicodeEncodeError:
        raise Malformed("The text does not fit a frame.") from None
    body = b"%d" % (frame.number % NUMBERS) + text + (CR if frame.whole else b"") + (ETX if frame.last else ETB)
    return STX + body + checksum(body) + CR + LF


def parse(data: bytes) -> Frame:
    """The frame that these bytes are. Raises Malformed: state `incomplete` when cut, else `malformed`."""
    found = _FRAME.match(data)
    if found is None:
        raise Malformed("A frame from the meter is cut or damaged.", state="incomplete")
    if checksum(data[1 : found.end(3)]) != found[4].upper():
        raise Malformed("The checksum of a frame from the meter is wrong.")
    text = found[2]
    return Frame(int(found[1]), text.removesuffix(CR).decode("latin-1"), found[3] == ETX, text.endswith(CR))


def ends_frame(message: bytes) -> bool:
    """Whether the bytes end with a frame, ENQ behind it or not: then no more reports follow."""
    return _END.search(message, max(0, len(message) - 8)) is not None


def pieces(data: bytes) -> Iterator[bytes]:
    """A byte stream cut into frames (good or damaged, beginning with STX) and the single bytes between them."""
    return (found[0] for found in _PIECE.finditer(data))
