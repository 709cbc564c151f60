"""Nothing but reading leaves, on any layer."""

from __future__ import annotations

import pytest

from bridge.errors import NotAllowed
from bridge.readers.medtronic_600 import allowed, comd, crypto, envelope, ngp
from bridge.readers.medtronic_600.comd import Comd, Said
from bridge.readers.medtronic_600.envelope import Operation
from bridge.readers.medtronic_600.meter import Meter
from bridge.readers.medtronic_600.ngp import Ngp

CIPHER = crypto.PumpCipher(bytes(16), 20)
FORBIDDEN_RADIO = {
    "INITIALIZE": 0x01, "SCAN_NETWORK": 0x02, "LEAVE_NETWORK": 0x04, "READ_DATA": 0x06, "READ_STATUS": 0x07,
    "READ_NETWORK_STATUS": 0x08, "SET_SECURITY_MODE": 0x0C, "READ_STATISTICS": 0x0D, "SET_RF_MODE": 0x0E,
    "CLEAR_STATUS": 0x10, "SET_LINK_KEY": 0x14,
}  # fmt: skip
FORBIDDEN_PUMP = {
    "REMOTE_BOLUS": 0x0100, "SUSPEND_OR_RESUME": 0x0107, "UNKNOWN_0124": 0x0124, "FORCE_TIME": 0x0404,
    "TIME_SYNC_DONE": 0x0405, "UNKNOWN_0409": 0x0409, "ADHOC_FAILED": 0x040A, "END_NODE_INIT": 0x040D,
    "COMPATIBILITY": 0x0411, "UNKNOWN_0415": 0x0415, "ASSOCIATION_CONFIRM": 0x0422, "SET_LINK_KEY": 0x0425,
    "PRESET_BOLUSES": 0x0114, "PRESET_TEMP_BASALS": 0x0115, "TIMED_NOTIFICATIONS": 0x0134,
    "SENSOR_SETTINGS": 0x020B, "LOW_SENSOR_SETTINGS": 0x0211, "HIGH_SENSOR_SETTINGS": 0x0215,
    "TRACE_HISTORY": 0x0302, "NAK": 0x00FF, "TRANSFER_BEGINS": 0xFF00, "SEGMENT": 0xFF01,
}  # fmt: skip
ALLOWED_PUMP = {
    0x0403, 0x0112, 0x0116, 0x012B, 0x012E, 0x0131, 0x0138, 0x013A, 0x0200, 0x030C, 0x0304, 0x0412, 0x00FE, 0xFF02,
}  # fmt: skip


def _to_pump(command: int) -> bytes:
    sealed = CIPHER.encrypt(comd.pack(Said(1, command)))
    return envelope.pack(Operation.SEND, 1, ngp.pack(Ngp.TRANSMIT_PACKET, ngp.transmit_body(1, 1, sealed)))


@pytest.mark.parametrize("name", FORBIDDEN_PUMP)
def test_forbidden_pump_command(name: str) -> None:
    with pytest.raises(NotAllowed):
        allowed.require(_to_pump(FORBIDDEN_PUMP[name]), CIPHER.decrypt)


def test_no_other_pump_command_of_all_65536() -> None:
    for command in ALLOWED_PUMP:
        allowed.require(_to_pump(command), CIPHER.decrypt)
    assert ALLOWED_PUMP == allowed.PUMP
    for command in set(range(0x10000)) - ALLOWED_PUMP:
        with pytest.raises(NotAllowed):
            allowed._listed("pump command", command, allowed.PUMP)


@pytest.mark.parametrize("name", FORBIDDEN_RADIO)
def test_forbidden_radio_command(name: str) -> None:
    assert Ngp[name] == FORBIDDEN_RADIO[name]
    message = envelope.pack(Operation.SEND, 1, ngp.pack(FORBIDDEN_RADIO[name], bytes(26)))
    with pytest.raises(NotAllowed):
        allowed.require(message, CIPHER.decrypt)


def test_no_other_radio_command() -> None:
    for command in set(range(256)) - {0x03, 0x05}:
        with pytest.raises(NotAllowed):
            allowed.require(envelope.pack(Operation.SEND, 1, ngp.pack(command, bytes(26))), CIPHER.decrypt)


def test_send_link_key_is_forbidden() -> None:
    with pytest.raises(NotAllowed, match="0x17"):
        allowed.require(envelope.pack(Operation.SEND_LINK_KEY, 1, bytes(55)), CIPHER.decrypt)


def test_no_other_meter_operation() -> None:
    for operation in set(range(256)) - {0x10, 0x11, 0x12, 0x14, 0x16}:
        with pytest.raises(NotAllowed):
            allowed.require(envelope.pack(operation, 1), CIPHER.decrypt)


@pytest.mark.parametrize("word", [b"", b"\x06", b"W", b"D|", b"2|", b"A|", b"QX", b"XX", b"\x15\x15", b"Q" * 80])
def test_no_other_word_to_the_meter(word: bytes) -> None:
    with pytest.raises(NotAllowed):
        allowed.require(word, CIPHER.decrypt)


def test_a_packet_that_cannot_be_read_does_not_leave() -> None:
    with pytest.raises(NotAllowed):
        allowed.require(_to_pump(Comd.READ_TIME), None)
    with pytest.raises(NotAllowed):
        allowed.require(_to_pump(Comd.READ_TIME), crypto.PumpCipher(bytes(16), 17).decrypt)


class _NoPort:
    async def write(self, data: bytes, timeout_s: float) -> None:
        raise AssertionError("a byte left")

    async def read(self, size: int, timeout_s: float) -> bytes:
        raise AssertionError("nobody asked")


@pytest.mark.parametrize("message", [_to_pump(0x0100), envelope.pack(0x17, 1, bytes(55)), b"W|W|"])
async def test_the_meter_sends_nothing_forbidden(message: bytes) -> None:
    meter = Meter(_NoPort())
    meter.reveal = CIPHER.decrypt
    with pytest.raises(NotAllowed):
        await meter.send(message)
