"""Nothing but requests to read leaves for the pump. Every forbidden one by name."""

from __future__ import annotations

import itertools

import pytest

from bridge.errors import NotAllowed
from bridge.readers.minimed_ble import history_requests, uuids
from bridge.readers.minimed_ble.allowed import Ask, permitted
from bridge.readers.minimed_ble.history_requests import FIRST, LAST, Op, Operator, report

COMMANDS = {"set bolus": 0x114B, "cancel bolus": 0x1178, "get maximum bolus": 0x147D, "get limits": 0x148E}
STATUS_REQUESTS = {"reset status": 0x030C, "active bolus": 0x0356, "warm-up": 0x0403, "a command": 0x114B}
SESSION_REQUESTS = {
    "communication interval": 0x01, "calibrate": 0x04, "start session": 0x1A, "stop session": 0x1B,
    "reset alert": 0x19, "high alert": 0x07, "details": 0x90,
}  # fmt: skip
EVERYWHERE = (uuids.STATUS, uuids.FEATURES, uuids.HISTORY, uuids.SENSOR_BATTERY, uuids.own(0x0106), uuids.own(0x0107))


def refused(service: str, uuid: str, value: bytes) -> None:
    with pytest.raises(NotAllowed):
        permitted(service, uuid, value)


@pytest.mark.parametrize("ask", [Ask.ACTIVE_BASAL, Ask.INSULIN_ON_BOARD, Ask.ALGORITHM])
def test_status_requests_that_read(ask: Ask) -> None:
    assert permitted(uuids.INSULIN, uuids.STATUS_READER, ask.request) == ask.request
    refused(uuids.INSULIN, uuids.STATUS_READER, ask.request + b"\0")


def test_history_requests_that_read() -> None:
    for request in (FIRST, LAST, report(0, 2**32 - 1)):
        assert permitted(uuids.INSULIN, uuids.RACP, request) == request


@pytest.mark.parametrize("operand", [b"", b"\0", bytes(range(8))])
@pytest.mark.parametrize("opcode", COMMANDS.values(), ids=COMMANDS)
def test_no_command_whatever_its_place(opcode: int, operand: bytes) -> None:
    value = opcode.to_bytes(2, "little") + operand
    for uuid in (*EVERYWHERE, uuids.STATUS_READER, uuids.RACP, uuids.SESSION_CONTROL, uuids.PORT):
        for service in (uuids.INSULIN, uuids.CGM, uuids.PORT_SERVICE):
            refused(service, uuid, value)


@pytest.mark.parametrize("opcode", STATUS_REQUESTS.values(), ids=STATUS_REQUESTS)
def test_status_requests_that_are_not_sent(opcode: int) -> None:
    refused(uuids.INSULIN, uuids.STATUS_READER, opcode.to_bytes(2, "little"))
    assert STATUS_REQUESTS["reset status"].to_bytes(2, "little") == Ask.RESET_STATUS.request


@pytest.mark.parametrize("opcode", SESSION_REQUESTS.values(), ids=SESSION_REQUESTS)
def test_the_sensor_session_is_never_touched(opcode: int) -> None:
    for value in (bytes([opcode]), bytes([opcode]) + bytes(11)):
        refused(uuids.CGM, uuids.SESSION_CONTROL, value)


@pytest.mark.parametrize("operator", list(Operator))
def test_records_are_never_deleted(operator: Operator) -> None:
    for operand in (b"", b"\x0f", b"\x0f" + bytes(4), b"\x0f" + bytes(8)):
        refused(uuids.INSULIN, uuids.RACP, bytes([Op.DELETE, operator]) + operand)
        refused(uuids.CGM, uuids.RACP, bytes([2, operator]) + operand)


def test_nothing_else() -> None:
    for size in (1, 2):
        for value in itertools.product(range(256), repeat=size):
            with pytest.raises(NotAllowed):
                history_requests.permitted(bytes(value))
    for value in itertools.product(range(256), (0x0F, 0x33, 0x3C, 0x55, 0x5A, 0x66, 0x69), (0x0F, 0x33, 0x3C)):
        if bytes(value) not in (FIRST, LAST):
            with pytest.raises(NotAllowed):
                history_requests.permitted(bytes(value))
    asked = {ask.request for ask in Ask} - {Ask.RESET_STATUS.request}
    for number in range(65536):
        if number.to_bytes(2, "little") not in asked:
            refused(uuids.INSULIN, uuids.STATUS_READER, number.to_bytes(2, "little"))


def test_the_same_number_in_another_service_is_another_thing() -> None:
    refused(uuids.CGM, uuids.RACP, LAST)
    refused(uuids.own(0x0300), uuids.RACP, LAST)
