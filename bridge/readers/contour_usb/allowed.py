"""What may leave for a meter: the few bytes that reading needs. Nothing here can change anything in it."""

from __future__ import annotations

from bridge.errors import NotAllowed
from bridge.wire.astm import ACK, ENQ, EOT, NAK

WAKE = b"X"
"""Any single byte wakes a meter; this one means nothing else."""
ASK = b"R|"
"""In command mode: the next word names what to read."""
DATE, TIME = b"D|\r", b"T|\r"
_ALLOWED = frozenset({WAKE, ACK, NAK, EOT, ENQ, ASK, DATE, TIME, b"D|", b"T|"})


def permitted(message: bytes) -> bytes:
    """The message, if reading needs it. Raises NotAllowed for everything else, before a byte leaves."""
    if message not in _ALLOWED:
        raise NotAllowed("Something other than a read request was about to be sent to the meter.")
    return message
