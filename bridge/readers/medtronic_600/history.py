"""History as the pump sends it (0x030E): LZO in, 2048-byte blocks with a CRC, raw events out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lzallright import LZOCompressor, LZOError

from bridge.errors import Malformed
from bridge.readers.medtronic_600.clock import signed, wall
from bridge.readers.medtronic_600.event_fields import HEADER
from bridge.readers.medtronic_600.event_types import EVENT_TYPES
from bridge.wire.crc import crc16

COMMAND = b"\x03\x0e"
PUMP_DATA, SENSOR_DATA = 2, 3
BLOCK = 2048
MOST_BYTES = 65_536
"""Largest uncompressed size taken; a pump sends half of it at most."""
_HEAD = 12
_USED_AT, _CRC_AT = 0x7FC, 0x7FE
_MOST_COMPRESSED = MOST_BYTES + MOST_BYTES // 16 + 67
"""What LZO can grow to at worst."""
_AGAIN = "Nothing of this transfer was used; it is read again."


@dataclass(slots=True)
class Event:
    """One event of the history. `offset` is signed; `values` is empty where the type has no known layout.

    `carried`: known from an earlier read, a partner for this one's events only.
    """

    type: int
    auto_mode: bool
    source: int
    rtc: int
    offset: int
    raw: bytes
    values: Mapping[str, Any]
    known: bool = True
    carried: bool = False

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    @property
    def name(self) -> str | None:
        """The type's name, None when it is unknown."""
        found = EVENT_TYPES.get(self.type)
        return found.name if found else None

    @property
    def key(self) -> str:
        """Counter and type: what a record's identity is made of."""
        return f"{self.rtc}:{self.type:02X}"

    @property
    def wall(self) -> datetime:
        """What the pump showed then."""
        return wall(self.rtc, self.offset)


@dataclass(frozen=True, slots=True)
class Payload:
    """One 0x030E answer, unpacked. `blocks` are the used parts, checked."""

    data_type: int
    blocks: tuple[bytes, ...]

    def events(self) -> Iterator[Event]:
        """All events in the order of the blocks. Raises Malformed where one's size is impossible."""
        for block in self.blocks:
            yield from block_events(block)


def split_payloads(data: bytes) -> list[bytes]:
    """The answers in a file that holds one behind the other. Raises Malformed for anything else."""
    found, at = [], 0
    while at < len(data):
        if data[at : at + 2] != COMMAND or len(data) < at + _HEAD:
            raise Malformed("This is no history of a MiniMed 600 pump.")
        end = at + _HEAD + int.from_bytes(data[at + 3 : at + 7], "big")
        found.append(data[at:end])
        at = end
    return found


def read_payload(payload: bytes) -> Payload:
    """Unpack an answer that starts with its command. Raises Malformed for wrong sizes, CRC or LZO data."""
    if payload[:2] != COMMAND or len(payload) < _HEAD:
        raise Malformed("The pump's history answer does not start as one.", next_step=_AGAIN)
    compressed, size = (int.from_bytes(payload[at : at + 4], "big") for at in (3, 7))
    data = payload[_HEAD:]
    if compressed != len(data) or compressed > _MOST_COMPRESSED or size > MOST_BYTES or size % BLOCK:
        raise Malformed("The sizes in the pump's history answer do not fit.", next_step=_AGAIN)
    if payload[11] & 1:
        data = _decompressed(data, size)
    if len(data) != size:
        raise Malformed("The pump's history has not the size it names.", next_step=_AGAIN)
    return Payload(payload[2], tuple(_used(data[at : at + BLOCK]) for at in range(0, size, BLOCK)))


def _decompressed(data: bytes, size: int) -> bytes:
    try:
        return LZOCompressor.decompress(data, size)
    except LZOError:
        raise Malformed("The pump's history cannot be decompressed.", next_step=_AGAIN) from None


def _used(block: bytes) -> bytes:
    length = int.from_bytes(block[_USED_AT:_CRC_AT], "big")
    if length > _USED_AT or crc16(block[:length]) != int.from_bytes(block[_CRC_AT:], "big"):
        raise Malformed("A block of the pump's history fails its check.", next_step=_AGAIN)
    return block[:length]


def block_events(used: bytes) -> Iterator[Event]:
    """The events in the used part of a block. Raises Malformed where a size is impossible."""
    at = 0
    while at < len(used):
        size = used[at + 2] if at + 2 < len(used) else 0
        if size < HEADER or at + size > len(used):
            raise Malformed("A block of the pump's history holds an impossible event.", next_step=_AGAIN)
        yield read_event(used[at : at + size])
        at += size


def read_event(raw: bytes) -> Event:
    """One event of at least 11 bytes; of an unknown type, or too short for its fields, it is kept raw."""
    if len(raw) < HEADER:
        raise Malformed("A history event is shorter than its header.", next_step=_AGAIN)
    kind = EVENT_TYPES.get(raw[0])
    values: Mapping[str, Any] = {}
    if kind is not None:
        try:
            values = kind.read(raw)
        except Malformed:
            kind = None
    rtc, offset = (int.from_bytes(raw[at : at + 4], "big") for at in (3, 7))
    return Event(raw[0], bool(raw[1] & 0x80), raw[1] & 0x7F, rtc, signed(offset), raw, values, kind is not None)
