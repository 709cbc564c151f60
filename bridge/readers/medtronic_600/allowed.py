"""The gate: what may leave for the meter and the pump behind it. Reading only; checked on the bytes themselves."""

from __future__ import annotations

from collections.abc import Callable

from bridge.errors import Malformed, NotAllowed
from bridge.readers.medtronic_600 import comd, envelope, ngp
from bridge.readers.medtronic_600.comd import Comd
from bridge.readers.medtronic_600.envelope import Operation
from bridge.readers.medtronic_600.ngp import Ngp

Reveal = Callable[[bytes], bytes]
"""Decrypts what is about to leave, so that it can be read."""

CONTROL = frozenset((b"X", b"\x04", b"\x05", b"\x15", b"W|", b"Q|", b"1|", b"0|"))
"""What is said to the meter's own side: wake, leave, ask, decline, and its way through to the radio."""
OPERATIONS = frozenset(
    (Operation.OPEN, Operation.CLOSE, Operation.SEND, Operation.READ_INFO, Operation.REQUEST_LINK_KEY)
)
RADIO = frozenset((Ngp.JOIN_NETWORK, Ngp.TRANSMIT_PACKET))
PUMP = frozenset((
    Comd.READ_TIME, Comd.READ_PUMP_STATUS, Comd.READ_BASAL_PATTERN, Comd.READ_CARB_RATIOS, Comd.READ_SENSITIVITIES,
    Comd.READ_TARGETS, Comd.READ_BASIC_PARAMETERS, Comd.READ_STRING, Comd.READ_CHARACTERISTICS,
    Comd.READ_HISTORY_INFO, Comd.READ_HISTORY, Comd.HIGH_SPEED, Comd.ACK, Comd.RESEND,
))  # fmt: skip


def require(message: bytes, reveal: Reveal | None) -> None:
    """Raise NotAllowed unless every layer of a message is on its list. `reveal` None: no pump is joined yet."""
    if message in CONTROL:
        return
    try:
        _require_operation(envelope.unpack(message), reveal)
    except Malformed as error:
        raise NotAllowed("A message of unknown form was about to leave for the meter.") from error


def _require_operation(message: envelope.Message, reveal: Reveal | None) -> None:
    _listed("meter operation", message.operation, OPERATIONS)
    if message.operation != Operation.SEND:
        return
    frame = ngp.unpack(message.payload)
    _listed("radio command", frame.command, RADIO)
    if frame.command == Ngp.TRANSMIT_PACKET:
        _require_pump(ngp.transmitted(frame), reveal)


def _require_pump(encrypted: bytes, reveal: Reveal | None) -> None:
    if reveal is None:
        raise NotAllowed("A packet was about to leave for a pump that is not joined.")
    _listed("pump command", comd.unpack(reveal(encrypted)).command, PUMP)


def _listed(what: str, code: int, allowed: frozenset[int]) -> None:
    if code not in allowed:
        raise NotAllowed(f"The {what} 0x{code:02X} is not one that only reads; it did not leave.")
