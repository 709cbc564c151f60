"""Nothing but reads leaves."""

from __future__ import annotations

import pytest

from bridge.errors import NotAllowed
from bridge.readers.medtronic_stick.allowed import COMMANDS, POWER_ON, packet, require_allowed
from bridge.readers.medtronic_stick.frames import LINK_STATUS, POWER, PRODUCT_INFO, read_radio, transmit
from bridge.readers.medtronic_stick.stick import Stick
from tests.support.clock import FakeClock

READS = {
    0x5D, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x79, 0x80, 0x87, 0x88, 0x89, 0x8A, 0x8B, 0x8C, 0x8D, 0x91, 0x92, 0x93,
    0x94, 0x98, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F, 0xC0, 0xCD, 0xCE,
}  # fmt: skip
FORBIDDEN = [0x28, 0x30, 0x31, *range(0x40, 0x5D), 0x5E, 0x69, 0x6E, 0x6F, 0xA8, 0xA9]
"""Writes and what changes the pump's state: 28 writes a time stamp, A8 and A9 set a filter, 5B presses a button."""


def test_the_list_is_what_it_is() -> None:
    assert set(COMMANDS) == READS
    assert not READS & set(FORBIDDEN)


@pytest.mark.parametrize("opcode", FORBIDDEN, ids=lambda opcode: f"{opcode:02X}")
def test_forbidden_by_name(opcode: int) -> None:
    for params in (b"", b"\x01", b"\x01\x0a", bytes(4), bytes(64)):
        with pytest.raises(NotAllowed):
            require_allowed(transmit("123456", opcode, params))
    with pytest.raises(NotAllowed):
        packet("123456", opcode)


def test_every_other_opcode_is_forbidden() -> None:
    for opcode in set(range(256)) - READS:
        for records in (0, 1, 2):
            with pytest.raises(NotAllowed):
                require_allowed(transmit("123456", opcode, records=records))


@pytest.mark.parametrize("opcode", sorted(READS), ids=lambda opcode: f"{opcode:02X}")
def test_a_read_may_leave_in_one_form_only(opcode: int) -> None:
    params = POWER_ON if opcode == POWER else bytes(COMMANDS[opcode].params)
    good = packet("123456", opcode, params)
    require_allowed(good)
    for at in (*range(4), *range(7, len(good))):
        with pytest.raises(NotAllowed):
            require_allowed(good[:at] + bytes([good[at] ^ 0x21]) + good[at + 1 :])
    for wrong in (params + b"\0", params[:-1] if params else b"\0\0"):
        with pytest.raises(NotAllowed):
            require_allowed(packet("123456", opcode, wrong))


@pytest.mark.parametrize("params", [b"\0\0", b"\x01\0", b"\x01\x1e", b"\x02\x0a"])
def test_power_only_on_and_for_ten_minutes(params: bytes) -> None:
    with pytest.raises(NotAllowed):
        require_allowed(packet("123456", POWER, params))


@pytest.mark.parametrize(
    "request_", [b"", b"\x02\0\0", b"\x07\0\0", b"\x05\x02\0", b"\x0c\0\0\x0f\0", b"\x01\0\xa7\x01", b"\x03\0\0\0"]
)
def test_other_requests_to_the_stick(request_: bytes) -> None:
    with pytest.raises(NotAllowed):
        require_allowed(request_)


def test_requests_to_the_stick_itself() -> None:
    for request in (LINK_STATUS, PRODUCT_INFO, read_radio(78)):
        require_allowed(request)


class _Deaf:
    """A port that must never be written to."""

    async def write(self, data: bytes, timeout_s: float) -> None:
        raise AssertionError(f"{data.hex()} left")

    async def read(self, size: int, timeout_s: float) -> bytes:
        return b""


@pytest.mark.parametrize("opcode", FORBIDDEN, ids=lambda opcode: f"{opcode:02X}")
async def test_checked_where_bytes_leave(opcode: int) -> None:
    with pytest.raises(NotAllowed):
        await Stick(_Deaf(), FakeClock()).exchange(transmit("123456", opcode))
