"""The 64-byte "ABC" HID reports of Contour meters and links."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.errors import Malformed

REPORT = 64
PAYLOAD = 60
_MARK = b"ABC"


def reports(message: bytes) -> Iterator[bytes]:
    """The reports that carry a message, 60 bytes each, zero padded."""
    for start in range(0, len(message) or 1, PAYLOAD):
        piece = message[start : start + PAYLOAD]
        yield (_MARK + bytes([len(piece)]) + piece).ljust(REPORT, b"\0")


def payload(report: bytes) -> bytes:
    """What a report from the meter carries. Raises Malformed for anything but such a report."""
    if len(report) < 4 or report[:3] != _MARK or report[3] > PAYLOAD or len(report) < 4 + report[3]:
        raise Malformed("The meter sent a report that is not of its own form.")
    return report[4 : 4 + report[3]]
