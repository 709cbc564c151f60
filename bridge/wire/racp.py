"""The Record Access Control Point: how stored records are counted, asked for and aborted. Never deleted.

A request is operation, operator, operand; the device answers with an indication. The filter of an operand is type 1:
the sequence number of a meter, the minutes since the start of a sensor's session.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from bridge.errors import Malformed, NotAllowed


class Op(IntEnum):
    """Operations. `DELETE` is here to be refused by name."""

    REPORT = 1
    DELETE = 2
    ABORT = 3
    COUNT = 4
    NUMBER = 5
    RESPONSE = 6
    COMBINED_REPORT = 7
    COMBINED_RESPONSE = 8


class Code(IntEnum):
    """How a device says that a request ended."""

    SUCCESS = 1
    OP_NOT_SUPPORTED = 2
    INVALID_OPERATOR = 3
    OPERATOR_NOT_SUPPORTED = 4
    INVALID_OPERAND = 5
    NO_RECORDS = 6
    ABORT_UNSUCCESSFUL = 7
    NOT_COMPLETED = 8
    OPERAND_NOT_SUPPORTED = 9
    SERVER_BUSY = 10


UNSUPPORTED = frozenset(
    {
        Code.OP_NOT_SUPPORTED,
        Code.INVALID_OPERATOR,
        Code.OPERATOR_NOT_SUPPORTED,
        Code.INVALID_OPERAND,
        Code.OPERAND_NOT_SUPPORTED,
    }
)
"""Answers that mean: ask in a simpler way."""

COUNT_ALL, REPORT_ALL, REPORT_LAST, ABORT = b"\x04\x01", b"\x01\x01", b"\x01\x06", b"\x03\x00"
_SINCE = b"\x03\x01"
_ALLOWED = re.compile(rb"\x04\x01|\x01\x01|\x01\x06|\x03\x00|[\x01\x04]\x03\x01..", re.DOTALL)


def count_since(first: int) -> bytes:
    """Ask how many records there are from this number on."""
    return bytes([Op.COUNT]) + _SINCE + first.to_bytes(2, "little")


def report_since(first: int) -> bytes:
    """Ask for the records from this number on."""
    return bytes([Op.REPORT]) + _SINCE + first.to_bytes(2, "little")


def permitted(request: bytes) -> bytes:
    """The request, if it only reads. Raises NotAllowed for everything else, before a byte leaves."""
    if not _ALLOWED.fullmatch(request):
        raise NotAllowed("Something other than a request to read records was about to be sent to the device.")
    return request


@dataclass(frozen=True, slots=True)
class Counted:
    """The answer to a count."""

    records: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer to any other request: `code` is a `Code`, or a number that is not known."""

    request: int
    code: int


Indication: TypeAlias = Counted | Ended


def parse(value: bytes) -> Indication:
    """What a device indicates. Raises Malformed for what is neither a number nor a response."""
    if len(value) == 4 and value[:2] == bytes([Op.NUMBER, 0]):
        return Counted(int.from_bytes(value[2:], "little"))
    if len(value) == 4 and value[:2] == bytes([Op.RESPONSE, 0]):
        return Ended(value[2], value[3])
    raise Malformed("The device answered a request for records in a way that is not known.")


def answers(request: bytes, indication: Indication) -> bool:
    """Whether the indication ends that request."""
    if isinstance(indication, Counted):
        return request[0] == Op.COUNT
    return indication.request == request[0]
