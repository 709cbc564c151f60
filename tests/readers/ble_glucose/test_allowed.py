"""A meter is only read: what may leave, and by name what may not."""

from __future__ import annotations

import pytest

from bridge.errors import NotAllowed
from bridge.readers.ble_glucose.allowed import permitted
from bridge.readers.ble_glucose.clocks import CONTOUR_CLOCK, CURRENT_TIME, ISENS_ASK, ISENS_CLOCK_1_4, ISENS_CLOCK_1_5
from bridge.wire import racp

READS = [
    racp.COUNT_ALL, racp.REPORT_ALL, racp.REPORT_LAST, racp.ABORT, racp.count_since(0), racp.count_since(65535),
    racp.report_since(0), racp.report_since(0x0A0D), racp.report_since(65535),
]  # fmt: skip


@pytest.mark.parametrize("request_", READS, ids=lambda value: value.hex())
def test_requests_to_read_pass(request_: bytes) -> None:
    assert permitted("2a52", request_) == request_


@pytest.mark.parametrize("operator", range(7))
@pytest.mark.parametrize(
    "operation",
    [racp.Op.DELETE, racp.Op.NUMBER, racp.Op.RESPONSE, racp.Op.COMBINED_REPORT, racp.Op.COMBINED_RESPONSE],
    ids=lambda op: op.name,
)
def test_every_other_operation_is_refused(operation: racp.Op, operator: int) -> None:
    for operand in (b"", b"\x01\x05\x00", b"\x01\x05\x00\x06\x00"):
        with pytest.raises(NotAllowed):
            permitted("2a52", bytes([operation, operator]) + operand)


@pytest.mark.parametrize("value", [b"", b"\x01", b"\x01\x01\x00", b"\x03\x01", b"\x01\x03\x02\x05\x00", bytes(20)])
def test_what_is_not_a_request_is_refused(value: bytes) -> None:
    with pytest.raises(NotAllowed):
        permitted("2a52", value)


@pytest.mark.parametrize("operation", range(256))
def test_no_operation_beyond_three_leaves(operation: int) -> None:
    if operation not in (racp.Op.REPORT, racp.Op.ABORT, racp.Op.COUNT):
        for rest in (b"\x00", b"\x01", b"\x06", b"\x03\x01\x00\x00"):
            with pytest.raises(NotAllowed):
                permitted("2a52", bytes([operation]) + rest)


def test_an_isens_clock_may_be_asked_and_not_set() -> None:
    set_it = bytes.fromhex("c0030100e8070501081e0f")
    for uuid in (ISENS_CLOCK_1_4, ISENS_CLOCK_1_5):
        assert permitted(uuid, ISENS_ASK) == ISENS_ASK
        with pytest.raises(NotAllowed):
            permitted(uuid, set_it)


@pytest.mark.parametrize("uuid", [CONTOUR_CLOCK, CURRENT_TIME, "2a08", "2a18", "2aac", "2902"])
def test_no_clock_is_ever_set(uuid: str) -> None:
    for value in (bytes.fromhex("01e8070501071e003c00"), bytes.fromhex("e8070501081e0f030000"), racp.REPORT_ALL):
        with pytest.raises(NotAllowed):
            permitted(uuid, value)
