"""Requests to the CareLink USB stick and its replies, as bytes: pure.

A request is answered by 64 bytes whose tail is old buffer content, or, a read of the radio, by just its size.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from bridge.errors import Malformed
from bridge.wire.crc import crc8, crc16

REPLY = 64
"""Size of every reply but that to a read of the radio."""
LINK_STATUS, PRODUCT_INFO, SIGNAL = b"\x03\0\0", b"\x04\0\0", b"\x06\0\0"
RADIO_STATS, USB_STATS = b"\x05\0\0", b"\x05\x01\0"
TRANSMIT, READ_RADIO = 0x01, 0x0C
OPCODE_AT, PARAMS_AT = 13, 15
"""Where a transmit packet names the pump command, and where the command's parameters start."""
POWER = 0x5D
_ACK, _NAK, _RADIO_REPLY = 0x55, 0x66, 0x02
_NAME = b"ComLink II"
_HEADER, _FRAME = 13, 14
_LAST = 0x80


def read_radio(size: int) -> bytes:
    """The request for the `size` bytes that the link status announced."""
    head = bytes([READ_RADIO, 0]) + size.to_bytes(2, "big")
    return head + bytes([crc8(head)])


def transmit(serial: str, opcode: int, params: bytes = b"", *, records: int = 1, retries: int = 2) -> bytes:
    """One pump command for the stick to send. `records`: how many 64-byte records answer (0 for an ack)."""
    button = 0x55 if opcode == POWER else 0
    head = b"\x01\0\xa7\x01" + bytes.fromhex(serial) + (0x8000 | len(params)).to_bytes(2, "big")
    head += bytes([button, retries, min(records, 2), 0, opcode])
    return head + bytes([crc8(head)]) + params + bytes([crc8(params)])


@dataclass(frozen=True, slots=True)
class Status:
    """A 64-byte reply: the `body` of an accepted request, or the `code` of the stick's refusal."""

    accepted: bool
    code: int
    body: bytes


def parse_status(reply: bytes) -> Status:
    """Raises Malformed for what is not a status reply."""
    if len(reply) != REPLY or reply[0] != 0x01 or reply[1] not in (_ACK, _NAK):
        raise Malformed("The CareLink stick gave a reply that does not belong to the request.")
    return Status(reply[1] == _ACK, reply[2], reply[3:])


@dataclass(frozen=True, slots=True)
class Link:
    """What the stick says of its radio: `waiting` bytes can be read once `ready`."""

    acknowledged: bool
    ready: bool
    receiving: bool
    transmitting: bool
    troubled: bool
    waiting: int


def parse_link(body: bytes) -> Link:
    """The body of a link status reply. Flags: 1 ready, 2 receiving, 4 transmitting, 8, 16, 32 errors."""
    flags = body[2]
    waiting = int.from_bytes(body[3:5], "big")
    ready = body[0] == 0 and bool(flags & 1) and waiting > 0
    return Link(body[0] == 0, ready, bool(flags & 2), bool(flags & 4), bool(flags & 0x38), waiting)


@dataclass(frozen=True, slots=True)
class Product:
    """What the stick is. `serial` in hex; `interfaces` as (index, kind): 1 pump radio, 3 USB."""

    serial: str
    version: str
    radio: str
    description: str
    software: str
    interfaces: tuple[tuple[int, int], ...]


def parse_product(body: bytes) -> Product:
    """The body of a product info reply. Raises Malformed for the late reply to something else."""
    if body[6:16] != _NAME:
        raise Malformed("The CareLink stick answered an older request.")
    count = body[18]
    pairs = tuple((body[at], body[at + 1]) for at in range(19, min(19 + 2 * count, len(body) - 1), 2))
    radio = "868.35 MHz" if body[5] == 1 else "916.5 MHz"
    return Product(body[:3].hex(), f"{body[3]}.{body[4]}", radio, _NAME.decode(), f"{body[16]}.{body[17]:02d}", pairs)


@dataclass(frozen=True, slots=True)
class Stats:
    """Counters of one of the stick's interfaces since it got power."""

    crc_errors: int
    sequence_errors: int
    naks: int
    timeouts: int
    received: int
    sent: int


def parse_stats(body: bytes) -> Stats:
    """The body of an interface statistics reply."""
    received, sent = int.from_bytes(body[4:8], "big"), int.from_bytes(body[8:12], "big")
    return Stats(body[0], body[1], body[2], body[3], received, sent)


class Radio(IntEnum):
    """What a read of the radio brought."""

    ACK = 1
    NAK = 2
    SINGLE = 3
    PART = 4
    TIMEOUT = 5


@dataclass(frozen=True, slots=True)
class RadioReply:
    """One read of the radio. `last`: the pump's answer is complete; `intact`: its data's checksum is right."""

    status: Radio
    retries: int
    level: int
    last: bool
    serial: str
    data: bytes
    intact: bool


def parse_radio(reply: bytes) -> RadioReply:
    """Raises Malformed unless the header is a sound one of a radio reply that fits its length."""
    if len(reply) < _FRAME or reply[0] != _RADIO_REPLY or reply[7:9] != b"\xa7\x01" or crc8(reply[:12]) != reply[12]:
        raise Malformed("The CareLink stick gave a radio reply with a broken head.")
    length = (reply[5] & ~_LAST) << 8 | reply[6]
    if length + _FRAME != len(reply):
        raise Malformed("The CareLink stick gave a radio reply of another length than it says.")
    data = reply[_HEADER : _HEADER + length]
    try:
        status = Radio(reply[2])
    except ValueError:
        raise Malformed("The CareLink stick gave a radio reply of an unknown kind.") from None
    last = bool(reply[5] & _LAST)
    return RadioReply(status, reply[3], reply[4], last, reply[9:12].hex(), data, crc8(data) == reply[-1])


def sound_page(page: bytes) -> bool:
    """Whether a history or glucose page (1024 bytes) is as the pump wrote it."""
    return len(page) == 1024 and crc16(page[:1022]) == int.from_bytes(page[1022:], "big")


def sound_isig_page(page: bytes) -> bool:
    """Whether an ISIG page (2048 bytes) is as the pump wrote it: its checksum stands at 2044 and 2046."""
    return len(page) == 2048 and crc16(page[:2044]) == page[2044] << 8 | page[2046]
