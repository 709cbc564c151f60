"""Records into pages."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.wire.crc import crc16

_ROOM = 1022


def history_pages(records: Iterable[bytes]) -> list[bytes]:
    """1024-byte pages, the newest (still growing) one first. A record never crosses into the next page."""
    pages = [bytearray()]
    for record in records:
        if len(pages[-1]) + len(record) > _ROOM:
            pages.append(bytearray())
        pages[-1] += record
    return [sealed(bytes(page)) for page in reversed(pages)]


def sealed(page: bytes) -> bytes:
    """A page of up to 1022 bytes, zero filled, with its checksum."""
    full = page.ljust(_ROOM, b"\0")
    return full + crc16(full).to_bytes(2, "big")


def sealed_isig(words: Iterable[int]) -> bytes:
    """An ISIG page of up to 1022 words, least significant byte first."""
    full = b"".join(word.to_bytes(2, "little") for word in words).ljust(2044, b"\0")
    check = crc16(full)
    return full + bytes([check >> 8, 0, check & 0xFF, 0])
