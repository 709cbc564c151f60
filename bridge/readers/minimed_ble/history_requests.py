"""The control point of the pump's history: its own codes, not those of meters and sensors. Never deletes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from bridge.errors import Malformed, NotAllowed


class Op(IntEnum):
    """Operations. `DELETE` is here to be refused by name."""

    REPORT = 0x33
    DELETE = 0x3C
    ABORT = 0x55
    COUNT = 0x5A
    NUMBER = 0x66
    RESPONSE = 0x0F


class Operator(IntEnum):
    """Which records."""

    NULL = 0x0F
    ALL = 0x33
    UP_TO = 0x3C
    FROM = 0x55
    RANGE = 0x5A
    FIRST = 0x66
    LAST = 0x69


SUCCESS, NO_RECORDS = 0xF0, 0x06
_BY_SEQUENCE = 0x0F
FIRST = bytes([Op.REPORT, Operator.FIRST, _BY_SEQUENCE])
LAST = bytes([Op.REPORT, Operator.LAST, _BY_SEQUENCE])
_ALLOWED = re.compile(rb"\x33[\x66\x69]\x0f|\x33\x5a\x0f.{8}", re.DOTALL)


def report(first: int, last: int) -> bytes:
    """Ask for the records of these sequence numbers, both included."""
    bounds = first.to_bytes(4, "little") + last.to_bytes(4, "little")
    return bytes([Op.REPORT, Operator.RANGE, _BY_SEQUENCE]) + bounds


def permitted(request: bytes) -> bytes:
    """The request, if it only reads. Raises NotAllowed for everything else, before a byte leaves."""
    if not _ALLOWED.fullmatch(request):
        raise NotAllowed("Something other than a request to read the history was about to be sent to the pump.")
    return request


@dataclass(frozen=True, slots=True)
class Counted:
    """The answer to a count."""

    number: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer to any other request."""

    request: int
    code: int


Indication: TypeAlias = Counted | Ended


def parse(value: bytes) -> Indication:
    """What the pump indicates. Raises Malformed for anything else."""
    if len(value) == 6 and value[:2] == bytes([Op.NUMBER, Operator.NULL]):
        return Counted(int.from_bytes(value[2:], "little"))
    if len(value) == 4 and value[:2] == bytes([Op.RESPONSE, Operator.NULL]):
        return Ended(value[2], value[3])
    raise Malformed("The pump answered a request for its history in a way that is not known.")
