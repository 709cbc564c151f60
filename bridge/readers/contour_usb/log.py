"""A transfer as text that a person can read and write: one frame a line, control characters by name.

`<STX>2P|1<CR><ETB>53<CR><LF>`; another byte outside printable ASCII is two hex digits (`<E4>`); a `<` that would
read as such a name is `<LT>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bridge.wire.astm import STX, pieces

_NAMES = {
    0x02: "STX", 0x03: "ETX", 0x04: "EOT", 0x05: "ENQ", 0x06: "ACK", 0x15: "NAK", 0x17: "ETB", 0x18: "CAN",
    0x0D: "CR", 0x0A: "LF",
}  # fmt: skip
_BYTES = {name: bytes([code]) for code, name in _NAMES.items()} | {"LT": b"<"}
_NAME = "|".join((*_BYTES, "[0-9A-Fa-f]{2}"))
_NAMED = re.compile(f"<({_NAME})>".encode())
_ESCAPED = re.compile(f"[^\\x20-\\x7E]|<(?=(?:{_NAME})>)".encode())


def written(frames: Iterable[bytes]) -> bytes:
    """The log of frames."""
    return b"".join(_ESCAPED.sub(_name, frame) + b"\n" for frame in frames)


def read(body: bytes) -> list[bytes]:
    """The frames and single bytes of a log, or of a transfer's raw bytes. Empty when there is no frame in it."""
    if STX not in body:
        body = b"".join(_NAMED.sub(_byte, line.strip()) for line in body.splitlines())
    return list(pieces(body)) if STX in body else []


def _name(found: re.Match[bytes]) -> bytes:
    code = found[0][0]
    return b"<LT>" if code == 0x3C else f"<{_NAMES.get(code, f'{code:02X}')}>".encode()


def _byte(found: re.Match[bytes]) -> bytes:
    name = found[1].decode()
    return _BYTES.get(name) or bytes([int(name, 16)])
