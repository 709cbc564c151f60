"""Messages in reports, the greeting, and a meter that hangs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import pytest

from bridge.errors import DeviceUnreachable, Malformed
from bridge.readers.medtronic_600 import envelope, info
from bridge.readers.medtronic_600.meter import ENQ, EOT, Meter
from bridge.simulators.next_link import NextLink, Pump
from bridge.wire import abc
from tests.readers.medtronic_600.protocol.world import METER, MODEL_SERIAL
from tests.support.clock import FakeClock


class Tape:
    """A port that plays reports; an empty one is silence."""

    def __init__(self, reports: Iterable[bytes]) -> None:
        self.reports, self.written, self.waits = deque(reports), list[bytes](), list[float]()

    async def write(self, data: bytes, timeout_s: float) -> None:
        self.written.append(data)

    async def read(self, size: int, timeout_s: float) -> bytes:
        self.waits.append(timeout_s)
        return self.reports.popleft() if self.reports else b""


class DirectPort:
    """A virtual meter without a bus between."""

    def __init__(self, link: NextLink) -> None:
        self.link = link

    async def write(self, data: bytes, timeout_s: float) -> None:
        self.link.write(0x04, data)

    async def read(self, size: int, timeout_s: float) -> bytes:
        return self.link.read(0x83, size, timeout_s) or b""


def _link() -> NextLink:
    return NextLink(Pump(FakeClock().now))


@pytest.mark.parametrize("size", [27, 87, 147, 26, 28, 0, 1, 60])
async def test_an_envelope_that_ends_with_a_full_report_needs_no_further_read(size: int) -> None:
    whole = envelope.pack(0x80, 5, bytes(size))
    tape = Tape([*abc.reports(whole), *abc.reports(ENQ)])
    meter = Meter(tape)
    assert await meter.receive(1) == whole
    assert await meter.receive(1) == ENQ


@pytest.mark.parametrize("size", [59, 60, 61, 119, 120, 121])
async def test_a_record_of_any_length(size: int) -> None:
    record = b"\x04\x02" + b"H" * (size - 2)
    tape = Tape([*abc.reports(record), b""])
    assert await Meter(tape).receive(2) == record
    assert len(tape.waits) == -(-size // 60) + (size % 60 == 0)


async def test_a_cut_message_is_damaged_not_waited_for() -> None:
    whole = envelope.pack(0x80, 5, bytes(60))
    tape = Tape([*list(abc.reports(whole))[:1], b""])
    with pytest.raises(Malformed):
        envelope.unpack(await Meter(tape).receive(1))


async def test_a_report_of_another_form_is_refused() -> None:
    with pytest.raises(Malformed):
        await Meter(Tape([b"\0\0\0\x01\x05" + bytes(59)])).receive(1)


async def test_an_endless_stream_ends() -> None:
    tape = Tape(list(abc.reports(b"H" * 6000)))
    assert len(await Meter(tape).receive(1)) < 1100
    with pytest.raises(DeviceUnreachable) as caught:
        await Meter(Tape([abc.REPORT * b"A"] * 5000)).drain()
    assert caught.value.state == "meter_error"


@pytest.mark.parametrize("enq_first", [False, True])
async def test_greeting_in_either_order(enq_first: bool) -> None:
    link = _link()
    link.faults.enq_first = enq_first
    meter = Meter(DirectPort(link))
    found = await meter.wake()
    assert found == info.MeterInfo("Bayer6210", MODEL_SERIAL, METER, True)
    await meter.take_control()
    await meter.way_through(opened=True)
    await meter.way_through(opened=False)
    await meter.leave()
    assert (await meter.wake()).intact
    assert not link.refused


@pytest.mark.parametrize("steps", range(5))
async def test_a_meter_that_was_left_anywhere_is_freed(steps: int) -> None:
    link = _link()
    first = Meter(DirectPort(link))
    if steps > 0:
        await first.wake()
    if steps > 1:
        await first.take_control()
    if steps > 2:
        await first.way_through(opened=True)
    if steps > 3:
        await first.send(envelope.pack(0x14, 1))
    link.released()
    second = Meter(DirectPort(link))
    assert (await second.wake()).model_serial == MODEL_SERIAL
    await second.take_control()
    await second.way_through(opened=True)


async def test_a_dead_meter_is_told_apart() -> None:
    link = _link()
    link.faults.e86 = True
    with pytest.raises(DeviceUnreachable) as caught:
        await Meter(DirectPort(link)).wake()
    assert caught.value.state == "meter_error"
    assert "plug it in again" in caught.value.next_step


async def test_a_damaged_record_is_asked_for_again_and_taken_in_the_end() -> None:
    record = EOT + b"\x02" + rf"1H|\^&||1|Bayer6210^1\2\3^{MODEL_SERIAL}^0000-^{METER}|A=1".encode() + b"\r\x0300\r\n"
    reports = [b"", *([*abc.reports(record), *abc.reports(ENQ), *abc.reports(ENQ)] * 3)]
    meter = Meter(Tape([*reports]))
    found = await meter.wake()
    assert (found.model_serial, found.serial, found.intact) == (MODEL_SERIAL, METER, False)


def test_record_from_the_description() -> None:
    sender = rb"H|\^&||0|Bayer6210^01.12\01.04\25.25\01.00.A^6213-1234567^0000-^BG1234567B|A=1"
    found = info.parse(sender)
    assert found is not None
    assert (found.model, found.model_serial, found.serial) == ("Bayer6210", "6213-1234567", "BG1234567B")
    assert not found.intact
    assert found.named("bg1234567b")
    assert found.named("6213-1234567")
    assert not found.named("BG7654321B")
    assert info.parse(b"H|\\^&||0|Bayer7390^1") is None
