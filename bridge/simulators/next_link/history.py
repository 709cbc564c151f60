"""History as a pump hands it out: events in blocks of 2048 bytes, blocks in pages, pages pressed or plain."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Protocol

from bridge.wire.crc import crc16

BLOCK = 2048
_ROOM = 0x7FC
_BLOCKS_PER_PAGE = 16
_DAY_S = 86_400
PUMP, SENSOR = 2, 3


class History(Protocol):
    """What a pump remembers."""

    def pages(self, kind: int, start_rtc: int, end_rtc: int, now: datetime) -> Sequence[bytes]:
        """Pages (each from its command 030E on) that hold the stretch, and usually more."""
        ...


class Canned:
    """Given pages by data type, whatever stretch is asked for."""

    def __init__(self, pages: Mapping[int, Sequence[bytes]]) -> None:
        self._pages = pages

    def pages(self, kind: int, start_rtc: int, end_rtc: int, now: datetime) -> Sequence[bytes]:
        """All of that type."""
        return self._pages.get(kind, ())


class Events(Protocol):
    """Where a remembered life comes from."""

    def day(self, kind: int, first_rtc: int, last_rtc: int, now: datetime) -> Iterable[bytes]:
        """Events of a type that the pump wrote down in [first, last], as far as it knows them at `now`."""
        ...


class Remembered:
    """A life's events, a day in whole blocks each: a stretch is answered with all days that it touches."""

    def __init__(self, events: Events, *, pressed: bool = True) -> None:
        self._events, self._pressed = events, pressed

    def pages(self, kind: int, start_rtc: int, end_rtc: int, now: datetime) -> Sequence[bytes]:
        """Pages of the days that the stretch touches, oldest first."""
        blocks: list[bytes] = []
        for day in range(start_rtc // _DAY_S, end_rtc // _DAY_S + 1):
            blocks += in_blocks(self._events.day(kind, day * _DAY_S, day * _DAY_S + _DAY_S - 1, now))
        return list(in_pages(kind, blocks, pressed=self._pressed))


def in_blocks(events: Iterable[bytes]) -> list[bytes]:
    """Blocks of whole events with their length and CRC."""
    rooms: list[bytes] = []
    for event in events:
        if rooms and len(rooms[-1]) + len(event) <= _ROOM:
            rooms[-1] += event
        else:
            rooms.append(event)
    return [used.ljust(_ROOM, b"\0") + struct.pack(">HH", len(used), crc16(used)) for used in rooms]


def in_pages(kind: int, blocks: Sequence[bytes], *, pressed: bool = True) -> Iterator[bytes]:
    """Pages of at most 16 blocks."""
    for at in range(0, len(blocks), _BLOCKS_PER_PAGE):
        yield page(kind, b"".join(blocks[at : at + _BLOCKS_PER_PAGE]), pressed=pressed)


@lru_cache(512)
def page(kind: int, plain: bytes, *, pressed: bool = True) -> bytes:
    """One page, from its command on; pressed with LZO1X where that makes it shorter."""
    from lzallright import LZOCompressor

    small = LZOCompressor().compress(plain) if pressed else plain
    shorter = len(small) < len(plain)
    data = small if shorter else plain
    return b"\x03\x0e" + struct.pack(">BIIB", kind, len(data), len(plain), shorter) + data


def plain_size(whole_page: bytes) -> int:
    """How long a page's blocks are together."""
    return int.from_bytes(whole_page[7:11], "big")
