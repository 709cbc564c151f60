"""A visit fit to be passed on: made-up serials and addresses, checks that fit again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from bridge.errors import Malformed
from bridge.model.capture import Capture
from bridge.model.pseudonym import Pseudonyms
from bridge.readers.medtronic_600.history import BLOCK, COMMAND, block_events, read_payload, split_payloads
from bridge.wire.crc import crc16

_CHARACTERISTICS, _STRING = "0201", "013b"
_ADDRESSES = {_CHARACTERISTICS: slice(13, 21), _STRING: slice(3, 11)}
"""Where an answer holds the radio address, which tells the serial."""
_SOURCES, _CONNECTION, _READING = 0x04, 0x05, 0x32
_SERIAL = 10


def redacted(capture: Capture, names: Pseudonyms) -> Capture:
    """The same visit or file without serials. Raises Malformed for what is neither."""
    if capture.body[: len(COMMAND)] == COMMAND:
        payloads = [_payload(each, names) for each in split_payloads(capture.body)]
        return replace(capture, body=b"".join(payloads))
    told: dict[str, Any] = json.loads(capture.body)
    for serial in (told.get("pump"), told.get("meter")):
        if serial:
            names.of(str(serial))
    history = {kind: [_payload(bytes.fromhex(each), names).hex() for each in said] for kind, said in _history(told)}
    answers = {key: _answer(key, bytes.fromhex(value), names).hex() for key, value in told["answers"].items()}
    shown = {key: names.of(str(told[key])) for key in ("pump", "meter") if told.get(key)}
    body = {**told, **shown, "answers": answers, "history": history}
    return replace(capture, body=json.dumps(body, separators=(",", ":")).encode())


def _history(told: dict[str, Any]) -> Iterable[tuple[str, list[str]]]:
    found: dict[str, list[str]] = told["history"]
    return found.items()


def _answer(key: str, payload: bytes, names: Pseudonyms) -> bytes:
    place = _ADDRESSES.get(key)
    shown = bytearray(names.replaced(payload))
    if place is not None:
        shown[place] = bytes(len(shown[place]))
    return bytes(shown)


def _payload(payload: bytes, names: Pseudonyms) -> bytes:
    """A history answer, uncompressed; one that cannot be read has nothing that can be told apart: left out."""
    try:
        blocks = read_payload(payload).blocks
    except Malformed:
        return COMMAND + payload[2:3] + bytes(9)
    data = b"".join(_block(block, names) for block in blocks)
    size = len(data).to_bytes(4, "big")
    return COMMAND + payload[2:3] + size + size + bytes(1) + data


def _block(used: bytes, names: Pseudonyms) -> bytes:
    try:
        shown = b"".join(_event(event.raw, names) for event in block_events(used))
    except Malformed:
        shown = b""
    return shown.ljust(BLOCK - 4, b"\0") + len(shown).to_bytes(2, "big") + crc16(shown).to_bytes(2, "big")


def _event(raw: bytes, names: Pseudonyms) -> bytes:
    shown = bytearray(raw)
    for at in _serials(raw):
        shown[at] = _backwards(names, bytes(shown[at]))
    return bytes(shown)


def _serials(raw: bytes) -> Iterator[slice]:
    """Where an event holds serials; they are written backwards."""
    if raw[0] == _SOURCES:
        yield from (slice(at, at + _SERIAL) for at in range(0x0D, len(raw) - _SERIAL, 30))
    elif raw[0] == _CONNECTION:
        yield slice(0x0E, min(len(raw), 0x0E + _SERIAL))
    elif raw[0] == _READING:
        yield slice(0x0F, min(len(raw), 0x0F + _SERIAL))


def _backwards(names: Pseudonyms, field: bytes) -> bytes:
    serial = field[::-1].strip(b" \0").decode("latin-1")
    if not serial:
        return field
    return field[::-1].replace(serial.encode("latin-1"), names.of(serial).encode("latin-1"))[::-1]
