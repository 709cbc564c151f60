"""What the meter's radio is told and tells: command, size, body, CRC-16 (least significant byte first). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from bridge.errors import Malformed
from bridge.wire.crc import crc16

RESPONSE = 0x55
MODE_FLAGS = 0x11
"""Encrypted and high speed: both bits, on every packet."""
_MAC = 8


class Ngp(IntEnum):
    """Radio commands by name. This reader sends JOIN_NETWORK and TRANSMIT_PACKET alone."""

    INITIALIZE = 0x01
    SCAN_NETWORK = 0x02
    JOIN_NETWORK = 0x03
    LEAVE_NETWORK = 0x04
    TRANSMIT_PACKET = 0x05
    READ_DATA = 0x06
    READ_STATUS = 0x07
    READ_NETWORK_STATUS = 0x08
    SET_SECURITY_MODE = 0x0C
    READ_STATISTICS = 0x0D
    SET_RF_MODE = 0x0E
    CLEAR_STATUS = 0x10
    SET_LINK_KEY = 0x14


@dataclass(frozen=True, slots=True)
class Frame:
    """A radio command (or RESPONSE) and its body."""

    command: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Joined:
    """A network that the meter knows: `channel` as the pump counts them, signal in percent."""

    channel: int
    rssi_raw: int

    @property
    def rssi_pct(self) -> int:
        """Signal strength, percent."""
        return self.rssi_raw * 100 // 0xA8


def pack(command: int, body: bytes) -> bytes:
    """The bytes of a frame."""
    framed = bytes((command, len(body) + 2)) + body
    return framed + crc16(framed).to_bytes(2, "little")


def unpack(payload: bytes) -> Frame:
    """The frame of a message's payload. Raises Malformed for a wrong size or CRC."""
    size = payload[1] if len(payload) > 1 else 0
    if size < 2 or len(payload) != size + 2:
        raise Malformed("The meter's radio sent a frame of the wrong length.")
    if crc16(payload[:size]) != int.from_bytes(payload[size:], "little"):
        raise Malformed("A frame from the meter's radio was damaged on its way.")
    return Frame(payload[0], payload[2:size])


def join_body(channel: int, link_mac: int, pump_mac: int) -> bytes:
    """Body that looks for the pump on a channel."""
    macs = link_mac.to_bytes(_MAC, "little") + pump_mac.to_bytes(_MAC, "little")
    return bytes((1, channel, 0, 0, 0, 7, 7, 0, 0, 2)) + macs


def transmit_body(pump_mac: int, sequence: int, encrypted: bytes) -> bytes:
    """Body that carries an encrypted message to the pump."""
    return pump_mac.to_bytes(_MAC, "little") + bytes((sequence, MODE_FLAGS, len(encrypted))) + encrypted


def transmitted(frame: Frame) -> bytes:
    """The encrypted part of a TRANSMIT_PACKET frame. Raises Malformed."""
    return _counted(frame.body, _MAC + 2)


def received(frame: Frame) -> bytes:
    """The encrypted part of a pump's answer. Raises Malformed."""
    return _counted(frame.body, 0x15)


def _counted(body: bytes, at: int) -> bytes:
    if len(body) <= at or len(body) != at + 1 + body[at]:
        raise Malformed("A packet from the pump does not have the length that it names.")
    return body[at + 1 :]


def joined(frame: Frame) -> Joined | None:
    """What a network's description says; None when the frame is not one of a joined network."""
    body = frame.body
    if frame.command != RESPONSE or len(body) != 42 or (body[0x10], body[0x21]) != (0x82, 0x42):
        return None
    return Joined(channel=body[0x29], rssi_raw=body[0x18])
