"""The conversation, against recorded sessions and against a meter that misbehaves."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from bridge.errors import BridgeError, DeviceUnreachable, NotAllowed, Transient
from bridge.readers.contour_usb import log, permitted
from bridge.readers.contour_usb.link import Conversation
from bridge.simulators.contour import CONTOUR_NEXT_ONE, KINDS, Kind, VirtualMeter
from bridge.wire.abc import payload, reports
from bridge.wire.astm import ACK, ENQ, EOT, NAK, Frame, build, parse
from tests.readers.contour_usb.bench import NOON, Bench, meter
from tests.support.clock import FakeClock
from tests.support.vectors import rows

SESSIONS = {row["id"]: row["events"] for row in rows("ble-and-contour", "contour_hid_sessions.jsonl")}


class Script:
    """A port that plays a recorded session: what the host sends must be what it sent then."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self._events = deque(events)

    @property
    def over(self) -> bool:
        return not self._events

    async def write(self, data: bytes, timeout_s: float) -> None:
        event = self._events.popleft()
        assert (event["dir"], event["report_hex"]) == ("out", data.hex())

    async def read(self, size: int, timeout_s: float) -> bytes:
        assert timeout_s > 0
        if self.over or self._events[0]["dir"] != "in":
            return b""
        return bytes.fromhex(self._events.popleft()["report_hex"])


class Parrot:
    """A port that answers each message of the host with the next answer; `idle` counts reads in vain."""

    def __init__(self, *answers: bytes | tuple[bytes, ...] | None, for_ever: bytes | None = None) -> None:
        self._answers, self._for_ever = deque(answers), for_ever
        self._out: deque[bytes] = deque()
        self.heard: list[bytes] = []
        self.idle = 0

    async def write(self, data: bytes, timeout_s: float) -> None:
        self.heard.append(payload(data))
        answer = self._answers.popleft() if self._answers else self._for_ever
        for message in answer if isinstance(answer, tuple) else (answer,):
            self._out.extend(reports(message) if message is not None else ())

    async def read(self, size: int, timeout_s: float) -> bytes:
        self.idle += not self._out
        return self._out.popleft() if self._out else b""


def _talk(port: Any) -> Conversation:
    return Conversation(port, lambda: NOON)


@pytest.mark.parametrize("name", ["read-all", "read-all-nak-once", "empty-meter"])
async def test_recorded_transfers_byte_for_byte(name: str) -> None:
    script = Script(SESSIONS[name])
    talk = _talk(script)
    header = await talk.greet()
    assert header == await talk.take()
    assert script.over
    wanted = {"read-all": 6, "read-all-nak-once": 6, "empty-meter": 3}[name]
    assert [parse(frame).number for frame in talk.transfer.frames] == list(range(1, wanted + 1))
    assert talk.transfer.header_at == NOON


async def test_the_recorded_reading_of_the_clock() -> None:
    script = Script(SESSIONS["clock-read"])
    talk = _talk(script)
    await talk.greet()
    clock = await talk.read_clock()
    assert clock is not None
    assert clock.isoformat() == "2024-05-01T08:30:00"
    assert script.over


def test_the_recorded_setting_of_the_clock_cannot_be_sent() -> None:
    refused = []
    for event in SESSIONS["clock-write"]:
        if event["dir"] == "out":
            message = payload(bytes.fromhex(event["report_hex"]))
            try:
                permitted(message)
            except NotAllowed:
                refused.append(message)
    assert refused == [b"W|", b"240502|\r", b"W|", b"0915|\r"]


def test_every_recorded_session_is_asserted_on() -> None:
    assert set(SESSIONS) == {"read-all", "read-all-nak-once", "empty-meter", "clock-read", "clock-write"}


# --- with a virtual meter ---


@asynccontextmanager
async def _opened(device: VirtualMeter) -> AsyncIterator[Conversation]:
    bench = Bench([device], FakeClock(NOON))
    (found,) = await bench.bus.devices()
    async with bench.bus.open(found, 3) as port:
        yield Conversation(port, lambda: NOON)


async def _transfer(device: VirtualMeter) -> list[str]:
    async with _opened(device) as talk:
        await talk.greet()
        await talk.take()
        return [parse(frame).text for frame in talk.transfer.frames]


def _expected(device: VirtualMeter) -> list[str]:
    return [parse(frame).text.replace(device.challenge, "") for frame in device._transfer()]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("count", [0, 1, 6, 30])
async def test_every_meter_is_read_whole(kind: Kind, count: int) -> None:
    device = meter(FakeClock(NOON), kind, count)
    assert await _transfer(device) == _expected(device)
    assert device.sessions == 1
    assert device.writes == []
    assert device.heard[:2] == [b"X", ACK]
    assert device.heard[-1] == (ACK if kind.ends_itself else NAK)


def _corrupt(n: int, times: int = 1) -> Callable[[VirtualMeter], None]:
    def spoil(device: VirtualMeter) -> None:
        device.faults.corrupt_frame, device.faults.corrupt_times = n, times

    return spoil


def _set(**faults: Any) -> Callable[[VirtualMeter], None]:
    def spoil(device: VirtualMeter) -> None:
        for name, value in faults.items():
            assert hasattr(device.faults, name)
            setattr(device.faults, name, value)

    return spoil


HARMLESS = {
    "header damaged": _corrupt(1), "a frame damaged": _corrupt(4), "five times": _corrupt(4, 5),
    "end damaged": _corrupt(9),
    "a frame repeated": _set(repeat_frame=3), "header repeated": _set(repeat_frame=1),
    "end repeated": _set(repeat_frame=9),
    "an ACK lost": _set(lose_ack=5), "the header's ACK lost": _set(lose_ack=1), "the last ACK lost": _set(lose_ack=9),
    "only ENQ": _set(stale_session=ENQ), "only EOT ENQ": _set(stale_session=EOT + ENQ),
    "wake refused": _set(wake_naks=1),
    "wake refused five times": _set(wake_naks=5), "frame fills its reports": _set(fill_reports=0),
    "ENQ in its own report": _set(fill_reports=1), "greeting fills its reports": _set(fill_reports=2),
    "slow": _set(slow_answer_s=3.0),
}  # fmt: skip


@pytest.mark.parametrize("name", HARMLESS)
@pytest.mark.parametrize("kind", [KINDS[1], CONTOUR_NEXT_ONE], ids=lambda kind: kind.name)
async def test_what_a_meter_may_do_costs_nothing(kind: Kind, name: str) -> None:
    device = meter(FakeClock(NOON), kind, 6)
    HARMLESS[name](device)
    assert await _transfer(device) == _expected(device)


@pytest.mark.parametrize("length", range(50, 64))
async def test_a_message_of_any_length_is_taken(length: int) -> None:
    """Also the one of sixty bytes, which nothing shorter ends."""
    frame = build(Frame(3, "R|1|" + "x" * (length - 12)))
    assert len(frame) in range(length - 2, length + 2)
    head = build(Frame(1, r"H|\^&||x|Bayer7410^1^7428-1"))
    port = Parrot(EOT + head + ENQ, head, build(Frame(2, "P|1")), frame, build(Frame(4, "L|1||N", last=True)), EOT)
    talk = _talk(port)
    await talk.greet()
    await talk.take()
    assert talk.transfer.frames[2] == frame
    assert port.heard == [b"X", *[ACK] * 5]
    assert port.idle == 0


HEAD = build(Frame(1, r"H|\^&||x|Bayer7410^1^7428-1"))
PATIENT, END = build(Frame(2, "P|1")), build(Frame(3, "L|1||N", last=True))


@pytest.mark.parametrize("filled", [0, 1])
async def test_a_full_last_report_costs_no_waiting(filled: int) -> None:
    """A wait of seconds before the ACK is what ends in E86."""
    device = meter(FakeClock(NOON))
    device.faults.fill_reports = filled
    greeting = EOT + device._transfer()[0] + ENQ
    port = Parrot(greeting, greeting[1:-1], PATIENT, END, EOT)
    talk = _talk(port)
    assert await talk.greet() is not None
    await talk.take()
    assert port.idle == 0
    assert port.heard == [b"X", *[ACK] * 4]


async def test_a_frame_that_did_not_arrive_is_asked_for_again() -> None:
    port = Parrot(EOT + HEAD + ENQ, HEAD, None, PATIENT, END, EOT)
    talk = _talk(port)
    await talk.greet()
    await talk.take()
    assert port.heard == [b"X", ACK, ACK, NAK, ACK, ACK]


async def test_a_first_frame_that_did_not_arrive_is_not_refused() -> None:
    """A NAK after the greeting would lead away from the transfer."""
    port = Parrot(EOT + HEAD + ENQ, None, HEAD, PATIENT, END, EOT)
    talk = _talk(port)
    await talk.greet()
    await talk.take()
    assert port.heard == [b"X", ACK, ACK, ACK, ACK, ACK]


async def test_a_second_greeting_that_comes_late_is_no_frame() -> None:
    greeting = EOT + HEAD + ENQ
    port = Parrot(None, (greeting, greeting), HEAD, PATIENT, END, EOT)
    talk = _talk(port)
    await talk.greet()
    await talk.take()
    assert port.heard == [b"X", EOT, *[ACK] * 4]


@pytest.mark.parametrize(("greeting", "at"), [(EOT + HEAD + ENQ, 0), (ENQ, 1)])
async def test_the_hosts_clock_is_read_when_the_header_first_came(greeting: bytes, at: int) -> None:
    clock = FakeClock(NOON)

    def now() -> datetime:
        clock.advance(1)
        return clock.now() - timedelta(seconds=1)

    talk = Conversation(Parrot(greeting, HEAD, PATIENT, END, EOT), now)
    await talk.greet()
    await talk.take()
    assert talk.transfer.header_at == NOON + timedelta(seconds=at)


FATAL: dict[str, tuple[Callable[[VirtualMeter], None], str]] = {
    "a frame damaged for good": (_corrupt(4, 99), "incomplete"),
    "no end": (_set(no_terminator=True), "incomplete"),
    "needs rest": (_set(needs_rest=True), "meter_resting"),
    "E86": (_set(e86_after=3), "meter_error"),
    "mute": (_set(mute=True), "unreachable"),
    "refuses to wake": (_set(wake_naks=99), "unreachable"),
    "unplugged": (_set(unplug_after=12), "unplugged"),
    "too slow": (_set(slow_answer_s=60.0), "unreachable"),
}


@pytest.mark.parametrize("name", FATAL)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_what_ends_a_session_has_a_name(kind: Kind, name: str) -> None:
    spoil, state = FATAL[name]
    device = meter(FakeClock(NOON), kind, 6)
    spoil(device)
    with pytest.raises((Transient, DeviceUnreachable)) as caught:
        await _transfer(device)
    assert caught.value.state == state
    assert caught.value.next_step
    assert len(device.heard) < 40


async def test_six_wrong_frames_in_a_row_are_enough() -> None:
    device = meter(FakeClock(NOON))
    _corrupt(4, 99)(device)
    with pytest.raises(Transient):
        await _transfer(device)
    assert device.heard.count(NAK) == 5


async def test_a_frame_out_of_turn_is_refused() -> None:
    head, wrong = build(Frame(1, r"H|\^&||x|Bayer7410^1^7428-1")), build(Frame(5, "R|1|x"))
    port = Parrot(EOT + head + ENQ, head, wrong, build(Frame(2, "P|1")), build(Frame(3, "L|1||N", last=True)), EOT)
    talk = _talk(port)
    await talk.greet()
    await talk.take()
    assert port.heard == [b"X", ACK, ACK, NAK, ACK, ACK]


async def test_a_transfer_that_goes_on_where_it_was_cut_is_not_taken() -> None:
    port = Parrot(ENQ, build(Frame(1, "R|1|^^^Glucose|102|mg/dL^P||||202603100701")), for_ever=None)
    talk = _talk(port)
    assert await talk.greet() is None
    with pytest.raises(Transient) as caught:
        await talk.take()
    assert caught.value.state == "incomplete"


BABBLE = [
    EOT, ENQ, ACK, NAK, b"\x18", b"x", b"", b"\x02", EOT + ENQ, b"x" * 60, b"x" * 600, build(Frame(1, "P|1")),
    build(Frame(1, r"H|\^&||x|Bayer7410^1^7428-1")), EOT + build(Frame(1, "P|1")) + ENQ, bytes(range(60)) * 3,
]  # fmt: skip


@pytest.mark.parametrize("answer", BABBLE, ids=lambda answer: repr(answer[:6]))
async def test_a_babbler_comes_to_an_end(answer: bytes) -> None:
    port = Parrot(for_ever=answer)
    talk = _talk(port)

    async def session() -> None:
        await talk.greet()
        await talk.take()

    with pytest.raises(BridgeError):
        await session()
    assert len(port.heard) < 60


@pytest.mark.parametrize("report", [b"\x00", b"XYZ\x01" + bytes(60), b"ABC\xff" + bytes(60), b"ABC\x3c\x02"])
async def test_reports_of_another_form_are_no_answer(report: bytes) -> None:
    class Odd(Parrot):
        async def read(self, size: int, timeout_s: float) -> bytes:
            return report

    with pytest.raises(DeviceUnreachable):
        await _talk(Odd()).greet()


async def test_what_an_earlier_session_left_is_passed_over() -> None:
    device = meter(FakeClock(NOON))
    device._out.extend(reports(build(Frame(4, "R|1|left over"))))
    assert await _transfer(device) == _expected(device)


async def test_a_session_cut_short_is_taken_up_again() -> None:
    """The Next One answers the next wake-up with ENQ alone."""
    device = meter(FakeClock(NOON), CONTOUR_NEXT_ONE)
    async with _opened(device) as talk:
        await talk.greet()
        await talk._send(ACK)
    assert device._lingers
    async with _opened(device) as talk:
        assert await talk.greet() is None
        await talk.take()
        assert len(talk.transfer.frames) == 9


async def test_identifying_takes_nothing_and_leaves_it_ready() -> None:
    for kind in KINDS:
        for stale in (None, ENQ):
            device = meter(FakeClock(NOON), kind)
            device.faults.stale_session = stale
            async with _opened(device) as talk:
                assert (await talk.identify()).serial == "1000001"
            assert device.sessions == 0
            assert await _transfer(device) == _expected(device)


@pytest.mark.parametrize(("answer", "state"), [(EOT, "meter_resting"), (None, "unreachable")])
async def test_identifying_a_stale_meter_that_says_no_more(answer: bytes | None, state: str) -> None:
    with pytest.raises((Transient, DeviceUnreachable)) as caught:
        await _talk(Parrot(ENQ, answer)).identify()
    assert caught.value.state == state


async def test_the_clock_is_asked_for_without_cr_where_cr_is_refused() -> None:
    port = Parrot(EOT, ACK, ACK, NAK, ACK, b"D|260310|\r\n", ACK, b"D|1200|\r\n\x06", ENQ)
    talk = _talk(port)
    clock = await talk.read_clock()
    assert clock is not None
    assert clock.isoformat() == "2026-03-10T12:00:00"
    assert port.heard == [NAK, ENQ, b"R|", b"D|\r", b"R|", b"D|", b"R|", b"T|\r", EOT]


@pytest.mark.parametrize("answers", [(), (EOT,), (EOT, ACK, NAK, NAK), (EOT, ACK, ACK, b"D|269999|\r\n\x06")])
async def test_a_meter_that_will_not_tell_its_clock(answers: tuple[bytes, ...]) -> None:
    assert await _talk(Parrot(*answers)).read_clock() is None


async def test_the_challenge_is_in_no_frame_that_is_kept() -> None:
    device = meter(FakeClock(NOON), challenge="SeCrEt")
    async with _opened(device) as talk:
        await talk.greet()
        await talk.take()
        assert b"SeCrEt" not in log.written(talk.transfer.frames)
