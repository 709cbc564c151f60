"""What a capture holds: the pump's answers and history, still as bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bridge.errors import Malformed
from bridge.model.time import parse_instant
from bridge.readers.medtronic_600.history import COMMAND, split_payloads

_TYPES = {"02": 2, "03": 3}
_LONGEST_NAME = 32


@dataclass(frozen=True, slots=True)
class Conversation:
    """One visit, or a payload file (then without pump, host time and answers).

    `answers` by command (`0123:1` for a pattern), payloads with the sequence byte and without the CRC;
    `history` by data type, payloads from their command 030E on.
    """

    pump: str | None = None
    model: str | None = None
    meter: str | None = None
    host_utc: datetime | None = None
    answers: Mapping[str, bytes] = field(default_factory=dict)
    history: Mapping[int, tuple[bytes, ...]] = field(default_factory=dict)


def read_conversation(body: bytes) -> Conversation:
    """A capture's body, or raw history payloads. Raises Malformed for anything else."""
    if body[: len(COMMAND)] == COMMAND:
        return _file(body)
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise _malformed("it is neither a capture nor a history payload") from None
    if not isinstance(said, dict) or not _name(said.get("pump")):
        raise _malformed("it names no pump")
    return Conversation(
        pump=_name(said["pump"]),
        model=_name(said.get("model")),
        meter=_name(said.get("meter")),
        host_utc=_instant(said.get("host_utc")),
        answers={key: _bytes(value) for key, value in _mapping(said.get("answers")).items()},
        history=_history(said.get("history")),
    )


def _file(body: bytes) -> Conversation:
    found: dict[int, list[bytes]] = {}
    for payload in split_payloads(body):
        found.setdefault(payload[2], []).append(payload)
    return Conversation(history={kind: tuple(payloads) for kind, payloads in found.items()})


def _history(value: object) -> dict[int, tuple[bytes, ...]]:
    found = {}
    for kind, payloads in _mapping(value).items():
        if kind not in _TYPES or not isinstance(payloads, list):
            raise _malformed("its history is not by data type")
        found[_TYPES[kind]] = tuple(map(_bytes, payloads))
    return found


def _name(value: object) -> str | None:
    text = value.strip() if isinstance(value, str) else ""
    return text if text and len(text) <= _LONGEST_NAME and text.isprintable() else None


def _instant(value: object) -> datetime:
    try:
        return parse_instant(value)
    except (ValueError, OverflowError):
        raise _malformed("it does not say when the pump was read") from None


def _mapping(value: object) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _malformed("its parts are of the wrong kind")
    return value


def _bytes(value: object) -> bytes:
    try:
        return bytes.fromhex(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise _malformed("it holds something that is not hexadecimal") from None


def _malformed(why: str) -> Malformed:
    return Malformed(f"This is no reading of a MiniMed 600 pump: {why}.")
