"""Characteristic values as text, one a line: `2A18 03 01 00 e8 ...`. How a read is kept, and what sniffers give.

The UUID is the short one (four digits) or the whole; the bytes are hexadecimal, blanks, dashes, colons and `0x`
between them do not matter. Empty lines and lines that begin with `#` say nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from bridge.errors import Malformed

_BASE = "0000{}-0000-1000-8000-00805f9b34fb"
_ASSIGNED = re.compile(_BASE.format("([0-9a-f]{4})"))
_LINE = re.compile(r"\s*(?:0x)?([0-9a-f]{4}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})[\s:=,]+(.*)", re.ASCII)
_BETWEEN = re.compile(r"\(0x\)|0x|[\s:,-]", re.ASCII)
_HEX = re.compile(r"(?:[0-9a-f]{2})*", re.ASCII)


class Value(NamedTuple):
    """One value that was read, notified or indicated. `uuid` as `short` gives it."""

    uuid: str
    data: bytes


def short(uuid: str) -> str:
    """Lower case; of an assigned UUID its four digits."""
    lower = uuid.lower()
    found = _ASSIGNED.fullmatch(lower)
    return found[1] if found else lower


def whole(uuid: str) -> str:
    """The 128-bit form of a UUID that `short` gave."""
    return _BASE.format(uuid) if len(uuid) == 4 else uuid


def written(values: Iterable[Value]) -> bytes:
    """The lines of values, in their order."""
    return "".join(f"{value.uuid.upper()} {value.data.hex()}\n" for value in values).encode()


def read(text: bytes) -> tuple[list[Value], int]:
    """The values of a text and how many lines were no values. Raises Malformed for bytes that are no text."""
    try:
        lines = text.decode("utf-8-sig").lower().splitlines()
    except UnicodeDecodeError:
        raise Malformed(
            "This is no text of characteristic values.", next_step="It has lines such as `2A18 0301...`."
        ) from None
    values, strange = [], 0
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        value = _value(line)
        if value is None:
            strange += 1
        else:
            values.append(value)
    return values, strange


def _value(line: str) -> Value | None:
    found = _LINE.fullmatch(line)
    digits = _BETWEEN.sub("", found[2]) if found else ""
    if found is None or not _HEX.fullmatch(digits):
        return None
    return Value(short(found[1]), bytes.fromhex(digits))
