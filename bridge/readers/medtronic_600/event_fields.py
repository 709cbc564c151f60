"""How the parts of a history event are read: a table of (name, offset, kind) an event type.

Offsets count from the start of the event, numbers are big-endian.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Any, TypeAlias

from bridge.errors import Malformed

HEADER = 11
"""Type, flags and source, size, counter, offset."""
Field: TypeAlias = tuple[str, int, str]
More: TypeAlias = Callable[[bytes], dict[str, Any]]

_U8, _U16, _I16, _U32, _I32 = Struct(">B"), Struct(">H"), Struct(">h"), Struct(">I"), Struct(">i")
_KINDS: Mapping[str, tuple[Struct, Callable[[int], Any]]] = {
    "u8": (_U8, int),
    "flag": (_U8, bool),
    "bit0": (_U8, lambda value: bool(value & 1)),
    "bit1": (_U8, lambda value: bool(value & 2)),
    "bit2": (_U8, lambda value: bool(value & 4)),
    "high5": (_U8, lambda value: value >> 3),
    "half_hour": (_U8, lambda value: value * 30),
    "u16": (_U16, int),
    "hundredths": (_U16, lambda value: value / 100),
    "i16_hundredths": (_I16, lambda value: value / 100),
    "u32": (_U32, int),
    "i32": (_I32, int),
    "insulin": (_U32, lambda value: value / 10_000),
    "signed_insulin": (_I32, lambda value: value / 10_000),
}


@dataclass(frozen=True, slots=True)
class EventType:
    """One kind of event. `size`: the fewest bytes that hold all its fields; `more` reads what no table can."""

    name: str
    size: int
    fields: tuple[tuple[str, int, Struct, Callable[[int], Any]], ...] = ()
    more: More | None = None

    def read(self, raw: bytes) -> dict[str, Any]:
        """The values of an event. Raises Malformed for one that is too short for its fields."""
        if len(raw) < self.size:
            raise too_short()
        values = {name: taken(form.unpack_from(raw, at)[0]) for name, at, form, taken in self.fields}
        if self.more is not None:
            values |= self.more(raw)
        return values


def event(name: str, *fields: Field, more: More | None = None) -> EventType:
    """An event type from its table."""
    bound = tuple((label, at, *_KINDS[kind]) for label, at, kind in fields)
    return EventType(name, max([HEADER, *(at + form.size for _, at, form, _ in bound)]), bound, more)


def too_short() -> Malformed:
    """What is raised for an event that ends before its fields do."""
    return Malformed("A history event is shorter than its kind.", next_step="Read the pump again.")


def entries(raw: bytes, start: int, count: int, width: int) -> list[bytes]:
    """`count` slices of `width` bytes from `start`. Raises Malformed where the event has fewer."""
    if len(raw) < start + count * width:
        raise too_short()
    return [raw[at : at + width] for at in range(start, start + count * width, width)]


def u8(raw: bytes, at: int) -> int:
    """One byte. Raises Malformed past the end."""
    if at >= len(raw):
        raise too_short()
    return raw[at]


def number(raw: bytes, at: int, size: int) -> int:
    """An unsigned number. Raises Malformed past the end."""
    if len(raw) < at + size:
        raise too_short()
    return int.from_bytes(raw[at : at + size], "big")


def reversed_text(raw: bytes) -> str:
    """Text that the pump stores back to front, blanks and zeros taken off; empty when it is no plain text."""
    text = raw[::-1].strip(b" \0").decode("ascii", "replace")
    return text if text.isprintable() and "\ufffd" not in text else ""
