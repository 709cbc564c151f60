"""What is said to the pump: sequence, command, parameters, CRC-16 (most significant byte first). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from bridge.errors import Malformed
from bridge.wire.crc import crc16

RESET = 0x80
"""Sequence byte of a message that starts the count anew."""


class Comd(IntEnum):
    """Commands by name: what this reader asks and what the pump answers."""

    ACK = 0x00FE
    NAK = 0x00FF
    READ_PUMP_STATUS = 0x0112
    READ_BASAL_PATTERN = 0x0116
    BASAL_PATTERN = 0x0123
    READ_CARB_RATIOS = 0x012B
    CARB_RATIOS = 0x012C
    READ_SENSITIVITIES = 0x012E
    SENSITIVITIES = 0x012F
    READ_TARGETS = 0x0131
    TARGETS = 0x0132
    READ_BASIC_PARAMETERS = 0x0138
    BASIC_PARAMETERS = 0x0139
    READ_STRING = 0x013A
    STRING = 0x013B
    PUMP_STATUS = 0x013C
    READ_CHARACTERISTICS = 0x0200
    CHARACTERISTICS = 0x0201
    READ_HISTORY = 0x0304
    END_OF_HISTORY = 0x030A
    READ_HISTORY_INFO = 0x030C
    HISTORY_INFO = 0x030D
    HISTORY = 0x030E
    READ_TIME = 0x0403
    TIME = 0x0407
    HIGH_SPEED = 0x0412
    TRANSFER_BEGINS = 0xFF00
    SEGMENT = 0xFF01
    RESEND = 0xFF02


@dataclass(frozen=True, slots=True)
class Said:
    """One message of the pump's protocol."""

    sequence: int
    command: int
    parameters: bytes = b""

    @property
    def payload(self) -> bytes:
        """The message without its CRC: sequence, command, parameters."""
        return bytes((self.sequence,)) + self.command.to_bytes(2, "big") + self.parameters


def pack(said: Said) -> bytes:
    """The bytes of a message."""
    return said.payload + crc16(said.payload).to_bytes(2, "big")


def unpack(data: bytes) -> Said:
    """The message of decrypted bytes. Raises Malformed for too few bytes or a wrong CRC."""
    if len(data) < 5 or crc16(data):
        raise Malformed("What the pump said could not be understood.")
    return Said(data[0], int.from_bytes(data[1:3], "big"), data[3:-2])


def history_range(data_type: int, start_rtc: int, end_rtc: int) -> bytes:
    """Parameters that ask for part of a history; RTC seconds, both ends included."""
    span = start_rtc.to_bytes(4, "big") + end_rtc.to_bytes(4, "big")
    return bytes((data_type, 4)) + span + bytes(2)


MODEL_STRING = bytes((1, *(0,) * 9, 4, 0))
"""Parameters of READ_STRING that ask for the model's name."""
