"""The conversation with the stick: captured ones replayed, and each thing that goes wrong with it."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from bridge.contracts import UsbDevice
from bridge.errors import DeviceUnreachable, NotAllowed, Transient
from bridge.readers.medtronic_stick import MedtronicStickReader
from bridge.readers.medtronic_stick.allowed import COMMANDS, packet
from bridge.readers.medtronic_stick.frames import SIGNAL, sound_page
from bridge.readers.medtronic_stick.stick import DEADLINES_S, Outcome, Step, Stick, identify
from bridge.simulators.stick import VirtualPump
from tests.readers.medtronic_stick.protocol.bench import SERIAL, Bench, bench, filled
from tests.support import vectors
from tests.support.clock import FakeClock

EXCHANGES = vectors.rows("medtronic-stick", "stick_exchanges.jsonl")
MODEL = packet(SERIAL, 0x8D)
PAGE = packet(SERIAL, 0x80, b"\0")


class Script:
    """A port that knows one captured conversation and takes no other request."""

    def __init__(self, row: dict[str, Any], skip: int = 0) -> None:
        self.left = deque((each["tx"], each["rx"][0]) for each in row["exchanges"][skip:])
        self.reply = b""

    async def write(self, data: bytes, timeout_s: float) -> None:
        sent, reply = self.left.popleft()
        assert data.hex() == sent
        self.reply = bytes.fromhex(reply)

    async def read(self, size: int, timeout_s: float) -> bytes:
        reply, self.reply = self.reply, b""
        assert len(reply) <= size
        return reply


def _commands() -> list[dict[str, Any]]:
    return [row for row in EXCHANGES if row["exchanges"][0]["tx"].startswith("0100a7")]


@pytest.mark.parametrize("row", _commands(), ids=lambda row: row["id"])
async def test_captured_exchange(row: dict[str, Any]) -> None:
    port, request = Script(row), bytes.fromhex(row["exchanges"][0]["tx"])
    exchange = Stick(port, FakeClock()).exchange(request)
    if request[13] not in COMMANDS:  # the display's contrast: captured, but nothing that a sync needs
        with pytest.raises(NotAllowed):
            await exchange
        return
    reply, expected = await exchange, row["expected"]
    if "nak_code" in expected:
        assert (reply.outcome, reply.code) == (Outcome.REFUSED, expected["nak_code"])
        return
    assert reply.outcome is Outcome.ANSWERED
    assert reply.data.hex() == expected.get("data", reply.data.hex())
    assert len(reply.data) == expected.get("page_len", len(reply.data))
    assert not expected.get("page_len") or sound_page(reply.data)
    assert "model" not in expected or reply.data[1:4].decode() == expected["model"]


async def test_captured_opening() -> None:
    assert (await identify(Script(EXCHANGES[0]))).description == "ComLink II"


async def test_captured_late_replies_after_a_crash() -> None:
    port = Script(EXCHANGES[17])
    assert (await identify(port)).serial == "aabbcc"
    assert len(port.left) == 3


async def test_captured_refusal_by_the_stick_is_asked_again() -> None:
    port = Script({"exchanges": [*EXCHANGES[18]["exchanges"], EXCHANGES[0]["exchanges"][2]]})
    assert await Stick(port, FakeClock()).signal() == 188


# --- with the virtual stick ------------------------------------------------------------------------------


async def _opened(b: Bench, request: bytes, *, outcome: Outcome) -> None:
    async def doing(stick: Stick) -> None:
        await stick.open()
        reply = await stick.exchange(request)
        assert reply.outcome is outcome
        assert stick.step is Step.IDLE

    await b.with_stick(doing)


async def test_replies_left_over_by_a_dead_program_are_drained() -> None:
    b = bench()
    for _ in range(3):
        b.stick.write(0x01, SIGNAL)
    await _opened(b, MODEL, outcome=Outcome.ANSWERED)


async def _model_is_told(stick: Stick) -> None:
    reply = await stick.exchange(MODEL)
    assert (reply.outcome, reply.data) == (Outcome.ANSWERED, b"\x03523".ljust(64, b"\0"))


async def test_an_answer_left_in_the_radio_is_thrown_away() -> None:
    b = bench()
    b.stick.write(0x01, PAGE)
    for _ in range(3):
        b.stick.write(0x01, b"\x03\0\0")

    async def doing(stick: Stick) -> None:
        await stick.open()
        await _model_is_told(stick)

    await b.with_stick(doing)


async def test_the_rest_of_a_page_that_came_too_late_is_thrown_away() -> None:
    b = bench()
    polls = int(DEADLINES_S[Step.RECEIVING] / 0.05) + 10

    async def doing(stick: Stick) -> None:
        await stick.open()
        b.stick.pause = (5, polls)
        assert (await stick.exchange(PAGE)).outcome is Outcome.LOST
        await _model_is_told(stick)

    await b.with_stick(doing)


async def test_what_another_pump_says_is_not_this_ones_answer() -> None:
    b = bench()
    b.stick.pumps["222222"] = VirtualPump("222222", "554", filled(1), b.pump.wall)

    async def doing(stick: Stick) -> None:
        await stick.open()
        b.stick.write(0x01, packet("222222", 0x8D))
        b.stick.read(0x82, 64, 0.1)
        await _model_is_told(stick)

    await b.with_stick(doing)


async def test_late_replies_while_opening() -> None:
    b = bench()
    b.stick.stale_reply = 3
    await _opened(b, MODEL, outcome=Outcome.ANSWERED)


@pytest.mark.parametrize("knob", ["stale_reply", "hang", "stall"])
async def test_trouble_within_an_exchange_is_mended_and_the_next_one_works(knob: str) -> None:
    b = bench()

    async def doing(stick: Stick) -> None:
        await stick.open()
        setattr(b.stick, knob, 2)
        assert (await stick.exchange(PAGE)).outcome is Outcome.LOST
        assert (await stick.exchange(PAGE)).outcome is Outcome.ANSWERED

    await b.with_stick(doing)


async def test_a_stick_that_refuses_twice_is_asked_a_third_time() -> None:
    b = bench()

    async def doing(stick: Stick) -> None:
        await stick.open()
        b.stick.stick_nak = 2
        assert (await stick.exchange(MODEL)).outcome is Outcome.ANSWERED

    await b.with_stick(doing)


@pytest.mark.parametrize("knob", ["hang", "stick_nak", "stale_reply", "stall"])
async def test_a_stick_beyond_mending_is_stalled(knob: str) -> None:
    b = bench()
    setattr(b.stick, knob, 1000)
    with pytest.raises(Transient) as raised:
        await b.with_stick(Stick.open)
    assert raised.value.state == "usb_stalled"
    assert b.backend.opened == 0


async def test_unplugged_is_not_mended() -> None:
    b = bench()
    b.stick.unplug_after = 9
    with pytest.raises(DeviceUnreachable) as raised:
        await _opened(b, PAGE, outcome=Outcome.ANSWERED)
    assert raised.value.state == "unplugged"


async def test_a_buffer_that_lost_a_fragment_is_no_answer_and_the_radio_is_emptied() -> None:
    b = bench()
    b.stick.lost_fragment = 1

    async def doing(stick: Stick) -> None:
        await stick.open()
        assert (await stick.exchange(PAGE)).outcome is Outcome.LOST
        reply = await stick.exchange(PAGE)
        assert reply.data == b.pump.memory.history[0]

    await b.with_stick(doing)


async def test_a_page_that_breaks_off_is_lost_after_its_deadline() -> None:
    b = bench()
    b.stick.half_page = 1

    async def doing(stick: Stick) -> None:
        await stick.open()
        begun = b.clock.monotonic()
        assert (await stick.exchange(PAGE)).outcome is Outcome.LOST
        took = b.clock.monotonic() - begun
        assert DEADLINES_S[Step.RECEIVING] <= took < DEADLINES_S[Step.RECEIVING] + 2

    await b.with_stick(doing)


async def test_a_pump_that_is_not_there_is_silent_after_its_deadline() -> None:
    b = bench()
    b.pump.out_of_range = True
    begun = b.clock.monotonic()
    await _opened(b, MODEL, outcome=Outcome.SILENT)
    assert DEADLINES_S[Step.WAITING] <= b.clock.monotonic() - begun < DEADLINES_S[Step.WAITING] + 1


async def test_fragments_are_fetched_before_the_buffer_grows_beyond_what_it_delivers_whole() -> None:
    b = bench()
    await _opened(b, PAGE, outcome=Outcome.ANSWERED)
    sizes = [int.from_bytes(each[2:4], "big") for each in b.stick.received if each[0] == 0x0C]
    assert sizes
    assert max(sizes) <= 142


async def test_recognised_as_a_relay_without_a_serial() -> None:
    b = bench()
    b.stick.stale_reply = 2
    device: UsbDevice = (await b.bus.devices())[0]
    assert any(kind.fits(device) for kind in MedtronicStickReader.plugs)
    async with b.bus.open(device, 0xFF) as port:
        who = await MedtronicStickReader.recognise(port, device)
    assert (who.model, who.serial, who.family) == ("CareLink USB", None, "medtronic-stick")
    assert not b.pump.asked
