"""How the virtual meter behaves, spoken to directly."""

from __future__ import annotations

import pytest

from bridge.simulators.next_link import IN, OUT, Faults, NextLink, Pump
from bridge.simulators.next_link.frames import Envelope, radio_frame
from bridge.simulators.next_link.link import astm
from bridge.simulators.next_link.secrets import opening
from bridge.simulators.usb import Unplugged
from bridge.wire import abc
from tests.support.clock import FakeClock

EOT, ENQ, ACK, NAK = b"\x04", b"\x05", b"\x06", b"\x15"


def _link(**faults: object) -> NextLink:
    link = NextLink(Pump(FakeClock().now), records=(b"R|1|^^^Glucose|98|mg/dL^P||||||202603100555\r",))
    link.faults = Faults(**faults)  # type: ignore[arg-type]
    return link


def _send(link: NextLink, message: bytes) -> list[bytes]:
    """Send a message and take all that comes, a message a list item."""
    for report in abc.reports(message):
        link.write(OUT, report)
    found, whole = [], b""
    while (report := link.read(IN, 64, 0.1) or b"") != b"":
        piece = abc.payload(report)
        whole += piece
        if len(piece) < abc.PAYLOAD:
            found.append(whole)
            whole = b""
    return [*found, whole] if whole else found


def _through(link: NextLink) -> None:
    _send(link, b"X")
    assert [_send(link, word) for word in (NAK, ENQ, b"W|", b"Q|", b"1|")] == [[EOT], [ACK], [ACK], [ACK], [ACK]]


def test_the_way_to_the_radio_and_back() -> None:
    link = _link()
    header, ready = _send(link, b"X")
    assert header.startswith(EOT + b"\x021H|")
    assert ready == ENQ
    link = _link()
    _through(link)
    assert [_send(link, word) for word in (b"W|", b"Q|", b"0|", EOT)] == [[ACK], [ACK], [ACK], [ENQ]]
    assert link.resting


def test_out_of_turn_it_says_nothing() -> None:
    link = _link()
    assert [_send(link, word) for word in (NAK, ENQ, b"W|", b"1|")] == [[], [], [], []]
    _through(link)
    assert _send(link, b"X") == []
    link = _link()
    assert _send(link, Envelope(0x14, 1).encode()) == []
    assert link.refused == ["operation 14 out of turn"]


def test_read_as_a_meter_it_tells_its_records() -> None:
    link = _link()
    header, _ = _send(link, b"X")
    told = [header[1:]]
    while (answer := _send(link, ACK)) != [EOT]:
        told += answer
    assert [record[2:4] for record in told] == [b"H|", b"P|", b"R|", b"L|"]
    assert [record[1:2] for record in told] == [b"1", b"2", b"3", b"4"]
    for record in told:
        body, total = record[1:-4], record[-4:-2]
        assert int(total, 16) == sum(body) & 0xFF
    assert link.resting


def test_a_wrong_opening_is_not_answered() -> None:
    link = _link()
    _through(link)
    assert _send(link, Envelope(0x10, 1, bytes(32)).encode()) == []
    (answer,) = _send(link, Envelope(0x10, 2, opening(link.model_serial)).encode())
    assert Envelope.decode(answer).operation == 0x10


@pytest.mark.parametrize("operation", [0x17, 0x15, 0x00, 0xFF])
def test_what_would_write_is_noted(operation: int) -> None:
    link = _link()
    _through(link)
    assert _send(link, Envelope(operation, 1, bytes(55)).encode()) == []
    assert link.refused == [f"operation {operation:02x}"]


@pytest.mark.parametrize("command", [0x04, 0x0C, 0x0E, 0x14])
def test_radio_commands_that_set_something_are_noted(command: int) -> None:
    link = _link()
    _through(link)
    assert _send(link, Envelope(0x12, 1, radio_frame(b"\0", command)).encode()) == []
    assert link.refused == [f"radio command {command:02x}"]


def test_damaged_messages_make_it_fail_until_it_is_plugged_in_anew() -> None:
    link = _link()
    _through(link)
    broken = bytearray(Envelope(0x14, 1).encode())
    broken[0x20] ^= 1
    assert _send(link, bytes(broken)) == []
    assert _send(link, EOT) == []
    link.faults = Faults()
    link.power_cycle()
    assert len(_send(link, b"X")) == 2


def test_every_message_to_the_pump_is_answered_by_the_meter_first() -> None:
    link = _link(out_of_range=True)
    _through(link)
    assert link.pump is not None
    body = bytes((1, 20, 0, 0, 0, 7, 7, 0, 0, 2)) + link.address.to_bytes(8, "little")
    asked = Envelope(0x12, 1, radio_frame(body + link.pump.address.to_bytes(8, "little"), 0x03)).encode()
    own, air = (Envelope.decode(raw) for raw in _send(link, asked))
    assert (own.operation, len(own.payload) + 33) == (0x81, 0x27)
    assert (air.operation, air.payload[:5]) == (0x80, b"\x55\x0b\x00\x00\x20")
    link.faults.out_of_range = False
    own, air = (Envelope.decode(raw) for raw in _send(link, asked))
    assert (own.operation, air.operation, len(air.payload) + 33) == (0x81, 0x80, 0x4F)
    assert link.joins == [20, 20]


def test_the_plug() -> None:
    link = _link(unplug_after=3)
    _send(link, EOT)
    with pytest.raises(Unplugged):
        _send(link, EOT)
    assert link.transfers == 4


def test_a_record_frame() -> None:
    assert astm(9, b"L|1\r") == b"\x021L|1\r\x03" + b"%02X" % (sum(b"1L|1\r\x03") & 0xFF) + b"\r\n"
