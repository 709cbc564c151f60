"""A capture at rest: one compressed and sealed block in which no word of it can be read."""

from __future__ import annotations

import json
from datetime import datetime

import zstandard

from bridge.contracts import Sealer
from bridge.errors import VaultLocked
from bridge.model import Capture

_LENGTH_BYTES = 4


def pack(capture: Capture, sealer: Sealer | None) -> bytes:
    """Feed, context and body, compressed, then sealed when there is a vault."""
    head = json.dumps({"feed": capture.feed, "context": dict(capture.context)}).encode()
    plain = len(head).to_bytes(_LENGTH_BYTES, "big") + head + capture.body
    packed = zstandard.ZstdCompressor(level=6).compress(plain)
    return packed if sealer is None else sealer.seal(packed, _purpose(capture.profile, capture.reader))


def unpack(
    block: bytes, sealed: bool, profile: str, reader: str, taken_at: datetime, sealer: Sealer | None
) -> Capture:
    """The capture again. Raises VaultLocked when it is sealed and the key is not at hand."""
    if sealed:
        if sealer is None:
            raise VaultLocked("The captures are sealed and the vault is closed.", next_step="Unlock the vault first.")
        block = sealer.unseal(block, _purpose(profile, reader))
    plain = zstandard.ZstdDecompressor().decompress(block)
    end = _LENGTH_BYTES + int.from_bytes(plain[:_LENGTH_BYTES], "big")
    head = json.loads(plain[_LENGTH_BYTES:end])
    return Capture(profile, reader, head["feed"], taken_at, plain[end:], head["context"])


def _purpose(profile: str, reader: str) -> str:
    return f"capture|{profile}|{reader}"
