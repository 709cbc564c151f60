"""Every row of the shared vectors, values equal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from bridge.readers.minimed_ble import history_requests
from bridge.readers.minimed_ble.history import parse_event
from bridge.readers.minimed_ble.status import (
    ActiveBasal,
    GlucoseLimits,
    TimeInRange,
    parse_answer,
    parse_features,
    parse_status,
)
from tests.support import vectors

ROWS = vectors.rows("ble-and-contour", "idd.jsonl")


def exact(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return Decimal(str(value)) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def agrees(found: object, expected: dict[str, Any]) -> None:
    for name, wanted in expected.items():
        assert exact(getattr(found, name)) == exact(wanted), name


def status(value: bytes, expected: dict[str, Any]) -> None:
    agrees(parse_status(value), expected)


def features(value: bytes, expected: dict[str, Any]) -> None:
    agrees(parse_features(value), expected)


def basal(value: bytes, expected: dict[str, Any]) -> None:
    found = parse_answer(value)
    assert isinstance(found, ActiveBasal)
    agrees(found, expected)


def time_in_range(value: bytes, expected: dict[str, Any]) -> None:
    found = parse_answer(value)
    assert isinstance(found, TimeInRange)
    agrees(found, expected)


def racp(value: bytes, expected: dict[str, Any]) -> None:
    agrees(history_requests.parse(value), expected)


def limits(value: bytes, expected: dict[str, Any]) -> None:
    found = parse_answer(value)
    assert isinstance(found, GlucoseLimits)
    assert found.type == expected["type"]
    assert [[exact(each) for each in block] for block in found.blocks] == [
        [exact(each) for each in block] for block in expected["blocks"]
    ]


def history(value: bytes, expected: dict[str, Any]) -> None:
    found = parse_event(value)
    said = dict(found.values) | {"event": found.name, "seq": found.sequence, "offset_s": found.offset_s}
    assert {name: exact(said[name]) for name in expected} == {name: exact(each) for name, each in expected.items()}


CHECKS: dict[str, Callable[[bytes, dict[str, Any]], None]] = {
    "idd-features": features,
    "idd-status": status,
    "idd-srcp-036a": basal,
    "idd-srcp-0402": time_in_range,
    "idd-racp": racp,
    "idd-command-data": limits,
    "idd-history": history,
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["id"]))
def test_rows(row: dict[str, Any]) -> None:
    CHECKS[row["kind"]](bytes.fromhex(row["value_hex"]), row["expect"])
