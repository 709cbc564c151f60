"""What a capture's body holds: a whole read as JSON, or one raw page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from bridge.contracts import Diagnostic
from bridge.errors import Malformed
from bridge.model.capture import Capture
from bridge.model.time import parse_instant
from bridge.readers.medtronic_stick import commands
from bridge.readers.medtronic_stick.commands import Answer, read_answer
from bridge.readers.medtronic_stick.model import PumpModel, pump_model
from bridge.readers.medtronic_stick.pages import PAGE, checked_page
from bridge.readers.medtronic_stick.time import Reading, zone_named

_LONGEST_NAME = 32
_MOST_PAGES = 64


@dataclass(slots=True)
class Body:
    """`reading` is None for a page alone. Pages by number; of the history 0 is the newest, of glucose the highest."""

    model: PumpModel
    serial: str | None
    zone: ZoneInfo | None
    reading: Reading | None
    answers: dict[int, Answer] = field(default_factory=dict)
    history: dict[int, bytes] = field(default_factory=dict)
    glucose: dict[int, bytes] = field(default_factory=dict)
    isig: dict[int, bytes] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)

    @property
    def alone(self) -> bool:
        """Whether this is one page without its pump."""
        return self.serial is None


def read_body(capture: Capture) -> Body:
    """Raises Malformed for what is neither a whole read nor a page."""
    zone = zone_named(capture.context.get("timezone"))
    if len(capture.body) == PAGE and not _is_json(capture.body):
        return _page(capture, zone)
    return _whole(_document(capture.body), zone)


def _is_json(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


def _page(capture: Capture, zone: ZoneInfo | None) -> Body:
    model = capture.context.get("model")
    if model is None:
        raise Malformed("A page alone does not tell its pump.", next_step="Name the model, such as --model 523.")
    checked_page(capture.body)
    body = Body(pump_model(model), None, zone, None)
    pages = body.glucose if capture.context.get("glucose") else body.history
    pages[0] = capture.body
    return body


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise Malformed(
            "This is neither a read of a MiniMed pump nor a page of one.",
            next_step=f"A read is a JSON object, a page has {PAGE} bytes.",
        )
    return told


def _whole(told: Mapping[str, Any], zone: ZoneInfo | None) -> Body:
    model = pump_model(_text(told, "model"))
    body = Body(model, _text(told, "serial"), zone, _reading(told, model))
    for name, code in (("answers", 16), ("history", 10), ("glucose", 10), ("isig", 10)):
        held = {_number(key, name, code): _bytes(value, name) for key, value in _mapping(told, name).items()}
        if name == "answers":
            _read_answers(body, held)
        else:
            setattr(body, name, dict(sorted(held.items())))
    return body


def _read_answers(body: Body, payloads: Mapping[int, bytes]) -> None:
    for opcode, payload in sorted(payloads.items()):
        if not commands.is_read(opcode):
            continue
        try:
            body.answers[opcode] = read_answer(opcode, payload, body.model)
        except Malformed as why:
            body.diagnostics.append(Diagnostic("answer_unreadable", why.message))


def _reading(told: Mapping[str, Any], model: PumpModel) -> Reading:
    clock = read_answer(commands.CLOCK, _bytes(told.get("clock"), "clock"), model)
    try:
        host_utc = parse_instant(told.get("host_utc"))
    except (ValueError, OverflowError):
        raise Malformed("The read does not say when it was made.") from None
    if not isinstance(clock, commands.Clock) or not 2000 <= host_utc.year < 2200:
        raise Malformed("The read was made at no time that can be.")
    return Reading(clock.wall, host_utc)


def _text(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_NAME or not value.isprintable():
        raise Malformed(f"The read has no {name} of the pump.")
    return value


def _mapping(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = told.get(name, {})
    if not isinstance(value, dict) or len(value) > _MOST_PAGES:
        raise Malformed(f"The read's {name} is not what it should be.")
    return value


def _number(key: str, name: str, base: int) -> int:
    try:
        number = int(key, base)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 32:
        raise Malformed(f"The read's {name} has a number that is none.")
    return number


def _bytes(value: object, name: str) -> bytes:
    try:
        return bytes.fromhex(value) if isinstance(value, str) else _no_bytes(name)
    except ValueError:
        return _no_bytes(name)


def _no_bytes(name: str) -> bytes:
    raise Malformed(f"The read's {name} is not written in hexadecimal digits.")
