"""The finer points of a conversation, on a scripted radio."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import cast

import pytest

from bridge.errors import DeviceUnreachable, Malformed, Transient
from bridge.readers.medtronic_600 import envelope
from bridge.readers.medtronic_600.comd import Comd, Said
from bridge.readers.medtronic_600.envelope import Operation
from bridge.readers.medtronic_600.info import MeterInfo
from bridge.readers.medtronic_600.meter import Meter
from bridge.readers.medtronic_600.multipacket import Transfer
from bridge.readers.medtronic_600.radio import Radio
from bridge.readers.medtronic_600.talk import Talk
from bridge.wire import abc
from tests.support.clock import FakeClock

PAGE = b"\x03\x0e\x02" + bytes(9) + b"data"
INFO = Said(1, Comd.HISTORY_INFO, b"\x02\0\0\x08\0" + bytes(16))
END, SLOW, FAST = Said(8, Comd.END_OF_HISTORY), Said(9, Comd.HIGH_SPEED, b"\x01"), Said(2, Comd.HIGH_SPEED, b"\0")


class Script:
    """A radio that plays words (None: silence) and notes what it is told, with the moment."""

    busy, understood = False, True

    def __init__(self, clock: FakeClock, words: Iterable[Said | None]) -> None:
        self.words, self.told, self.waits = deque(words), list[tuple[int, bytes, float]](), list[float]()
        self._clock = clock

    async def tell(self, command: int, parameters: bytes = b"") -> None:
        self.told.append((command, parameters, self._clock.monotonic()))

    async def hear(self, timeout_s: float) -> Said | None:
        self.waits.append(timeout_s)
        return self.words.popleft() if self.words else None

    async def settle(self, quiet_s: float) -> None:
        self.waits.append(quiet_s)


def _begins(total: int, size: int = 4) -> Said:
    count = -(-total // size)
    sizes = total.to_bytes(4, "big") + size.to_bytes(2, "big") + (total - size * (count - 1)).to_bytes(2, "big")
    return Said(3, Comd.TRANSFER_BEGINS, sizes + count.to_bytes(2, "big"))


def _segments(data: bytes, *numbers: int) -> list[Said]:
    wanted = numbers or range(len(data) // 4)
    return [Said(4 + n, Comd.SEGMENT, n.to_bytes(2, "big") + data[4 * n : 4 * n + 4]) for n in wanted]


async def _history(words: Iterable[Said | None]) -> tuple[Script, list[bytes]]:
    clock, pages = FakeClock(), list[bytes]()
    script = Script(clock, words)
    await Talk(cast("Radio", script), clock).history(2, 100, 200, lambda page, _: pages.append(page))
    return script, pages


async def test_history_is_heard_to_the_pumps_last_word() -> None:
    script, pages = await _history([INFO, FAST, _begins(16), *_segments(PAGE), END, Said(7, 0x9999), SLOW])
    assert pages == [PAGE]
    assert not script.words
    assert script.waits[-1] == pytest.approx(0.1)


async def test_acknowledgements_wait_a_moment() -> None:
    script, _ = await _history([INFO, _begins(16), *_segments(PAGE), END, SLOW])
    (first, _, told_at), (second, parameters, acked_at) = script.told[1:3]
    assert (first, second, parameters) == (Comd.READ_HISTORY, Comd.ACK, b"\xff\x00")
    assert acked_at - told_at == pytest.approx(0.3)
    assert script.told[3][:2] == (Comd.ACK, b"\xff\x01")


async def test_the_first_segment_may_take_long_the_others_not() -> None:
    script, _ = await _history([INFO, _begins(16), *_segments(PAGE), END, SLOW])
    assert script.waits[2:6] == [25.0, 1.0, 1.0, 1.0]


async def test_gaps_are_asked_for_one_by_one_and_the_next_at_once() -> None:
    data = PAGE + bytes(24)
    words = [INFO, _begins(40), *_segments(data, 0, 2, 3, 6, 7, 9), None]
    words += [*_segments(data, 1), *_segments(data, 4, 5), *_segments(data, 8), END, SLOW]
    script, pages = await _history(words)
    assert pages == [data]
    asked = [parameters for command, parameters, _ in script.told if command == Comd.RESEND]
    assert asked == [b"\0\x01\0\x01", b"\0\x04\0\x02", b"\0\x08\0\x01"]
    assert script.waits.count(25.0) == 5


async def test_repeated_announcement_is_acknowledged_again() -> None:
    script, pages = await _history([INFO, _begins(16), _begins(16), *_segments(PAGE), END, SLOW])
    assert pages == [PAGE]
    assert [parameters for command, parameters, _ in script.told if command == Comd.ACK].count(b"\xff\x00") == 2


async def test_a_page_of_the_other_history_is_dropped() -> None:
    other = b"\x03\x0e\x03" + PAGE[3:]
    _, pages = await _history([INFO, _begins(16), *_segments(other), _begins(16), *_segments(PAGE), END, SLOW])
    assert pages == [PAGE]


async def test_endless_repeats_end() -> None:
    with pytest.raises(Transient) as caught:
        await _history([INFO, _begins(16), *(_segments(PAGE, 0) * 200)])
    assert caught.value.state == "incomplete"


@pytest.mark.parametrize(
    "parameters", [bytes(10), bytes(9), (17).to_bytes(4, "big") + b"\0\x04\0\x04\0\x04", b"\xff" * 10]
)
def test_an_impossible_announcement(parameters: bytes) -> None:
    with pytest.raises(Malformed):
        Transfer(parameters)


@pytest.mark.parametrize(
    "segment", [b"\0\x04data", b"\0\0dat", b"\0\0datas", b"\0\x03dat", b"\0\x03datas", b"", b"\0"]
)
def test_a_segment_that_does_not_belong(segment: bytes) -> None:
    transfer = Transfer(_begins(16).parameters)
    with pytest.raises(Malformed):
        transfer.add(segment)
    assert (transfer.filled, transfer.awaited) == (0, 4)


class Leftover:
    """A port with something unread in it; notes the order of reads and writes."""

    def __init__(self, *messages: bytes) -> None:
        self.reports = deque(report for message in messages for report in abc.reports(message))
        self.order: list[str] = []

    async def write(self, data: bytes, timeout_s: float) -> None:
        self.order.append("write")
        self.reports.extend(abc.reports(envelope.pack(Operation.READ_INFO, 1, b"\x01" * 19)))

    async def read(self, size: int, timeout_s: float) -> bytes:
        self.order.append("read" if self.reports else "nothing")
        return self.reports.popleft() if self.reports else b""


async def test_what_was_left_unread_is_read_before_anything_is_sent() -> None:
    port = Leftover(envelope.pack(Operation.READ_INFO, 7, b"\x02" * 19), envelope.pack(Operation.SENT, 8))
    radio = Radio(Meter(port), MeterInfo("", "6213-1234567", None, True), FakeClock().monotonic)
    assert (await radio.link()).pump_mac == 0x0101010101010101
    assert port.order[:4] == ["read", "read", "nothing", "write"]
    port.order.clear()
    port.reports.extend(abc.reports(envelope.pack(Operation.SENT, 9)))
    with pytest.raises(DeviceUnreachable) as caught:
        await radio._join(20)
    assert caught.value.state == "meter_error"
    assert port.order[:3] == ["read", "nothing", "write"]
