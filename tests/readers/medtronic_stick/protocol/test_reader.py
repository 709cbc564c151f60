"""Passes of the reader: named states, what is asked for, and that nothing is lost on the way."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import timedelta
from random import Random
from typing import Any, cast

import pytest
from pydantic import ValidationError

from bridge.contracts import Batch, Decoded, Memory, Setup
from bridge.errors import ContractViolation, Malformed
from bridge.model.capture import Capture
from bridge.model.health import State
from bridge.readers.medtronic_stick import MedtronicStickReader
from bridge.readers.medtronic_stick.settings import StickSettings
from bridge.simulators.stick import VirtualPump, VirtualStick
from tests.readers.medtronic_stick.protocol.bench import SERIAL, Bare, Bench, bench, filled, page, pages_of, told
from tests.support.clock import FakeClock

FORBIDDEN = {0x28, 0x30, 0x31, *range(0x40, 0x5C), 0x69, 0x6E, 0x6F, 0xA8, 0xA9}


def states(batches: list[Batch]) -> list[State]:
    return [batch.health.state for batch in batches]


def history(b: Bench, *batches: Batch) -> None:
    """The last batch holds exactly what the pump has."""
    assert pages_of(batches[-1], "history") == dict(enumerate(b.pump.memory.history))


def everything(b: Bench, batches: list[Batch]) -> None:
    last = batches[-1]
    history(b, last)
    assert pages_of(last, "glucose") == b.pump.memory.glucose
    assert pages_of(last, "isig") == b.pump.memory.isig


# --- a good pass -----------------------------------------------------------------------------------------


async def test_first_pass_reads_everything() -> None:
    b = bench()
    batches = await b.sync()
    assert states(batches) == [State.OK]
    everything(b, batches)
    capture = batches[0].capture
    assert capture is not None
    assert (capture.profile, capture.reader, capture.feed) == ("p1", "medtronic-stick", f"medtronic:{SERIAL}")
    assert capture.context == {
        "timezone": "Europe/Berlin",
        "model": "523",
        "pump_clock": "2026-03-10T07:00:00",
        "host_clock": told(batches[0])["host_utc"],
    }
    assert batches[0].next_due == b.clock.now() + timedelta(minutes=60)


async def test_body() -> None:
    said = told((await bench().sync())[0])
    assert (said["model"], said["serial"]) == ("523", SERIAL)
    assert said["clock"].startswith("07000007ea030a")
    assert set(said["answers"]) >= {
        "72",
        "73",
        "79",
        "8a",
        "8b",
        "92",
        "93",
        "94",
        "98",
        "9d",
        "9f",
        "c0",
        "cd",
        "ce",
    }
    assert "8c" not in said["answers"]
    assert said["answers"]["92"] == "92" * 192
    assert list(said["history"]) == ["0", "1", "2"]


async def test_nothing_but_reads_reached_the_pump() -> None:
    for model in ("522", "523", "554"):
        b = bench(model=model)
        await b.sync()
        assert not FORBIDDEN & set(b.pump.asked)


@pytest.mark.parametrize(("model", "isig", "pages"), [("522", True, 0), ("523", True, 2), ("523", False, 0)])
async def test_isig_pages_of_new_pumps_only(model: str, isig: bool, pages: int) -> None:
    batches = await bench(model=model, isig=isig).sync()
    assert len(pages_of(batches[-1], "isig")) == pages
    assert len(pages_of(batches[-1], "glucose")) == 2


async def test_a_pump_without_a_sensor_has_no_glucose() -> None:
    batches = await bench(filled(glucose=0)).sync()
    assert states(batches) == [State.OK]
    assert told(batches[0])["glucose"] == {}


async def test_next_pass_reads_what_is_new() -> None:
    b = bench(filled(pages=6))
    await b.sync()
    b.pump.memory.history[:1] = [page(7), page(6), page(5)]
    batches = await b.next_sync()
    assert pages_of(batches[-1], "history") == {0: page(7), 1: page(6), 2: page(5)}
    assert list(pages_of(batches[-1], "glucose")) == [40]
    assert states(batches) == [State.OK]


async def test_state_survives_the_process_and_is_by_pump() -> None:
    b = bench()
    await b.sync()
    b.restarted()
    assert list(pages_of((await b.next_sync())[-1], "history")) == [0]
    b.memory = Memory({}, {"io": {"654321": b.memory.state["io"][SERIAL]}})
    batches = await b.next_sync()
    everything(b, batches)
    assert set(batches[-1].decoded.state["io"]) == {"654321", SERIAL}  # type: ignore[union-attr]


async def test_decoders_state_and_ours_stand_side_by_side() -> None:
    b = bench()
    await b.sync()
    assert set(b.memory.state) == {"decoder", "io"}


# --- big gaps --------------------------------------------------------------------------------------------


async def test_a_full_memory_is_read_in_pieces_below_150_s_newest_first() -> None:
    b = bench(filled(36, 32, 100), slow=True)
    seen: dict[str, set[int]] = {"history": set(), "glucose": set(), "isig": set()}
    passes = 0
    while passes < 6:
        begun = b.clock.monotonic()
        batches = await b.next_sync() if passes else await b.sync()
        passes += 1
        assert b.clock.monotonic() - begun - (1800 if passes > 1 else 0) < 150
        for batch in batches:
            for kind, numbers in seen.items():
                numbers |= set(pages_of(batch, kind))
        assert len(batches) > 1 or batches[-1].health.state is State.OK
        assert 0 in pages_of(batches[0], "history")
        assert 100 in pages_of(batches[0], "glucose")
        if batches[-1].health.state is State.OK:
            break
        assert batches[-1].health.state is State.INCOMPLETE
        assert batches[-1].next_due - b.clock.now() <= timedelta(minutes=30)
    assert seen == {"history": set(range(36)), "glucose": set(range(69, 101)), "isig": set(range(69, 101))}
    assert passes == 3


async def test_each_piece_holds_the_newer_ones_too() -> None:
    batches = await bench(filled(20, 0)).sync()
    assert [len(pages_of(batch, "history")) for batch in batches] == [8, 16, 20]
    assert states(batches) == [State.INCOMPLETE, State.INCOMPLETE, State.OK]
    assert batches[0].covered is None


async def test_a_pass_that_dies_between_pieces_goes_on_where_it_was() -> None:
    b = bench(filled(20, 0))
    async with aclosing(cast("Any", b.reader.read(b.memory, None))) as passing:
        first: Batch = await anext(passing)
    assert b.backend.opened == 0
    assert first.decoded is not None
    b.memory = Memory({}, first.decoded.state)
    b.restarted()
    last = (await b.next_sync())[-1]
    assert set(pages_of(last, "history")) == {0, *range(7 + 1, 20)} | {7}
    assert last.health.state is State.OK


# --- the radio's budget ----------------------------------------------------------------------------------


async def test_the_radio_is_left_alone_for_half_an_hour() -> None:
    b = bench()
    await b.sync()
    asked = len(b.pump.asked)
    for process in (b.reader, b.restarted()):
        b.reader = process
        waiting = await b.next_sync(9)
        assert len(b.pump.asked) == asked
        assert waiting[0].capture is None
        assert waiting[0].health.state is State.OK
        assert timedelta() < waiting[0].next_due - b.clock.now() < timedelta(minutes=22)
    assert (await b.next_sync(15))[0].capture is not None


async def test_a_failed_use_of_the_radio_counts() -> None:
    b = bench()
    b.pump.out_of_range = True
    assert states(await b.sync()) == [State.OUT_OF_RANGE]
    b.pump.out_of_range = False
    waiting = await b.next_sync(20)
    assert states(waiting) == [State.OUT_OF_RANGE]
    everything(b, await b.next_sync(10))


async def test_a_wall_clock_that_jumps_back_silences_nobody() -> None:
    b = bench()
    await b.sync()
    b.clock.jump(-86_400)
    b.restarted()
    assert (await b.sync())[0].capture is not None


@pytest.mark.parametrize(("minutes", "effective", "said"), [(10, 30, True), (30, 30, False), (90, 90, False)])
async def test_interval(minutes: int, effective: int, said: bool) -> None:
    b = bench(interval_min=minutes)
    batches = await b.sync()
    assert batches[-1].next_due == b.clock.now() + timedelta(minutes=effective)
    assert ("every 30 min instead of 10" in batches[-1].health.text) is said


async def test_an_interval_above_the_hour_is_kept() -> None:
    b = bench(interval_min=120)
    await b.sync()
    assert (await b.next_sync(60))[0].capture is None
    assert (await b.next_sync(60))[0].capture is not None


@pytest.mark.parametrize(
    "settings", [{"devices": ["12345"]}, {"devices": ["12345a"]}, {"interval_min": 0}, {"other": 1}, {"isig": "x"}]
)
def test_settings_that_are_none(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        StickSettings.model_validate(settings)


# --- what is plugged in ----------------------------------------------------------------------------------


async def test_no_stick() -> None:
    b = bench()
    b.backend.pull(b.stick)
    batches = await b.sync()
    assert states(batches) == [State.NO_DEVICE]
    assert (batches[0].capture, batches[0].decoded) == (None, None)


async def test_no_pump_named() -> None:
    assert states(await bench(devices=[]).sync()) == [State.DEVICE_UNBOUND]


async def test_no_permission() -> None:
    b = bench()
    b.backend.forbidden = True
    assert states(await b.sync()) == [State.USB_PERMISSION]


async def test_another_program_holds_the_stick() -> None:
    b = bench()
    plugged = next(b.backend.enumerate_devices())
    plugged.drivers.clear()
    plugged.claimed.add(0)
    assert states(await b.sync()) == [State.USB_BUSY]
    plugged.claimed.clear()
    everything(b, await b.next_sync(1))


async def test_without_usb_is_a_bug() -> None:
    reader = MedtronicStickReader(Setup("p1", {"devices": [SERIAL]}, FakeClock(), Random(1)))
    with pytest.raises(ContractViolation):
        await anext(reader.read(Memory(), None))


async def test_two_pumps_one_after_the_other() -> None:
    b = bench(devices=[SERIAL, "222222"])
    other = VirtualPump("222222", "554", filled(2, 0), b.pump.wall)
    b.stick.pumps["222222"] = other
    batches = await b.sync()
    assert [told(batch)["serial"] for batch in batches] == [SERIAL, "222222"]
    assert set(b.memory.state["io"]) == {SERIAL, "222222"}
    other.out_of_range = True
    batches = await b.next_sync(60)
    assert states(batches) == [State.OK, State.OUT_OF_RANGE]
    assert batches[-1].next_due - b.clock.now() <= timedelta(minutes=30)


async def test_a_pump_that_one_stick_does_not_reach_is_tried_by_the_other() -> None:
    b = bench()
    far = VirtualStick()
    b.backend.pull(b.stick)
    b.backend.plug(far)
    b.backend.plug(b.stick)
    batches = await b.sync()
    assert states(batches) == [State.OUT_OF_RANGE, State.OK]


# --- faults: the named state, and the next pass completes -----------------------------------------------


def _nak(b: Bench, opcode: int, code: int) -> None:
    b.pump.naks[opcode] = code


def _bolusing(b: Bench) -> None:
    b.pump.memory.answers[0xCE] = bytes([3, 1, 0])


FAULTS: dict[str, tuple[State, Any, Any]] = {
    "asleep": (State.OK, lambda b: setattr(b.pump, "asleep", True), None),
    "out_of_range": (
        State.OUT_OF_RANGE,
        lambda b: setattr(b.pump, "out_of_range", True),
        lambda b: setattr(b.pump, "out_of_range", False),
    ),
    "crc_error once": (State.OK, lambda b: setattr(b.stick, "crc_error", 1), None),
    "crc_error": (State.INCOMPLETE, lambda b: setattr(b.stick, "crc_error", 3), None),
    "lost_fragment once": (State.OK, lambda b: setattr(b.stick, "lost_fragment", 1), None),
    "lost_fragment": (State.INCOMPLETE, lambda b: setattr(b.stick, "lost_fragment", 3), None),
    "half_page once": (State.OK, lambda b: setattr(b.stick, "half_page", 1), None),
    "half_page": (State.INCOMPLETE, lambda b: setattr(b.stick, "half_page", 3), None),
    "stale_reply": (State.OK, lambda b: setattr(b.stick, "stale_reply", 2), None),
    "stick_nak once": (State.OK, lambda b: setattr(b.stick, "stick_nak", 1), None),
    "stick_nak": (
        State.USB_STALLED,
        lambda b: setattr(b.stick, "stick_nak", 10_000),
        lambda b: setattr(b.stick, "stick_nak", 0),
    ),
    "hang": (State.USB_STALLED, lambda b: setattr(b.stick, "hang", 10_000), lambda b: setattr(b.stick, "hang", 0)),
    "stall once": (State.OK, lambda b: setattr(b.stick, "stall", 1), None),
    "stall": (State.USB_STALLED, lambda b: setattr(b.stick, "stall", 10_000), lambda b: setattr(b.stick, "stall", 0)),
    "unplug_after 3": (State.UNPLUGGED, lambda b: setattr(b.stick, "unplug_after", 3), Bench.replug),
    "unplug_after 300": (State.UNPLUGGED, lambda b: setattr(b.stick, "unplug_after", 300), Bench.replug),
    "pump_nak bolus": (State.PUMP_BUSY, lambda b: _nak(b, 0x80, 0x0C), lambda b: b.pump.naks.clear()),
    "bolusing": (
        State.PUMP_BUSY,
        _bolusing,
        lambda b: b.pump.memory.answers.update({0xCE: bytes([3, 0, 0])}),
    ),
    "pump_nak alarm": (State.PUMP_ALARM, lambda b: _nak(b, 0x72, 0x07), lambda b: b.pump.naks.clear()),
    "pump_nak page": (State.INCOMPLETE, lambda b: _nak(b, 0x80, 0x09), lambda b: b.pump.naks.clear()),
    "pump_nak unknown command": (State.OK, lambda b: _nak(b, 0x9C, 0x08), lambda b: b.pump.naks.clear()),
    "pump_nak counter": (State.OK, lambda b: _nak(b, 0x9D, 0x08), lambda b: b.pump.naks.clear()),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_fault(name: str) -> None:
    state, arise, mend = FAULTS[name]
    b = bench(filled(5, 3))
    arise(b)
    batches = await b.sync()
    assert states(batches)[-1] is state
    assert batches[-1].next_due > b.clock.now()
    assert state is State.OK or batches[-1].health.text
    assert SERIAL not in batches[-1].health.text
    if mend is not None:
        mend(b)
    got = {kind: {**pages_of(batches[-1], kind)} if batches[-1].capture else {} for kind in ("history", "glucose")}
    after = await b.next_sync()
    assert states(after)[-1] is State.OK
    for kind in got:
        got[kind] |= pages_of(after[-1], kind)
    assert got == {"history": dict(enumerate(b.pump.memory.history)), "glucose": b.pump.memory.glucose}


@pytest.mark.parametrize("knob", ["crc_error", "lost_fragment", "half_page"])
async def test_a_page_that_never_comes_whole_is_named_and_given_up_after_three_passes(knob: str) -> None:
    b = bench(filled(4, 0))
    asked: list[int] = []
    for _ in range(5):
        setattr(b.stick, knob, 0)
        b.pump.asked.clear()
        batches = await _with_bad_page(b, knob)
        asked.append(b.pump.asked.count(0x80))
        last = batches[-1]
    assert last.health.state is State.OK
    assert asked[3:] == [1, 1]


async def _with_bad_page(b: Bench, knob: str) -> list[Batch]:
    """A pass in which page 2 is damaged whenever it is asked for."""
    real = b.pump.ask

    def ask(opcode: int, params: bytes) -> Any:
        if opcode == 0x80 and params == b"\x02":
            setattr(b.stick, knob, 1)
        return real(opcode, params)

    b.pump.ask = ask  # type: ignore[method-assign]
    try:
        batches = await b.next_sync()
    finally:
        b.pump.ask = real  # type: ignore[method-assign]
    assert all(2 not in pages_of(batch, "history") for batch in batches)
    codes = {each.code for each in batches[-1].decoded.diagnostics}  # type: ignore[union-attr]
    assert ("page_lost" in codes) <= ("radio" in codes)
    return batches


async def test_a_glucose_page_waits_for_its_isig_page_and_comes_without_it_in_the_end() -> None:
    b = bench(filled(1, 3))
    b.pump.naks[0x9B] = 0x09
    for expected in (set(), set(), {38, 39, 40}):
        last = (await b.next_sync())[-1]
        assert set(pages_of(last, "glucose")) == expected
        assert last.health.state is (State.OK if expected else State.INCOMPLETE)


async def test_a_glucose_page_once_read_with_its_isig_never_comes_without() -> None:
    b = bench(filled(1, 1))
    await b.sync()
    b.pump.naks[0x9B] = 0x09
    for _ in range(4):
        assert pages_of((await b.next_sync())[-1], "glucose") == {}
    b.pump.naks.clear()
    assert pages_of((await b.next_sync())[-1], "isig") == b.pump.memory.isig


# --- the pump goes on while it is read -------------------------------------------------------------------


def _when(b: Bench, opcode: int, params: bytes, then: Any) -> None:
    """Do that once, after the pump was asked this."""
    real = b.pump.ask

    wanted = (opcode, params)

    def ask(opcode: int, params: bytes) -> Any:
        answer = real(opcode, params)
        if (opcode, params) == wanted:
            b.pump.ask = real  # type: ignore[method-assign]
            then()
        return answer

    b.pump.ask = ask  # type: ignore[method-assign]


@pytest.mark.parametrize("at", [0, 1, 3])
async def test_a_page_fills_up_meanwhile(at: int) -> None:
    b = bench(filled(5, 0))
    _when(b, 0x80, bytes([at]), lambda: b.pump.memory.history.insert(0, page(99)))
    first = (await b.sync())[-1]
    assert pages_of(first, "history") == {0: page(99), 1: page(4)}
    assert first.health.state is State.INCOMPLETE
    last = (await b.next_sync())[-1]
    assert {**pages_of(first, "history"), **pages_of(last, "history")} == dict(enumerate(b.pump.memory.history))
    assert last.health.state is State.OK


async def test_somebody_sets_the_pumps_clock_meanwhile() -> None:
    b = bench(filled(2, 0))
    wall = b.pump.wall

    def later() -> None:
        b.pump.wall = lambda: wall() + timedelta(hours=1)
        b.pump.memory.history[0] = page(77)

    _when(b, 0x80, b"\1", later)
    batch = (await b.sync())[-1]
    assert told(batch)["clock"].startswith("08")
    assert pages_of(batch, "history") == {0: page(77), 1: page(0)}
    assert batch.health.state is State.OK


async def test_a_memory_that_never_rests_is_incomplete() -> None:
    b = bench(filled(2, 0))
    real = b.pump.ask

    def ask(opcode: int, params: bytes) -> Any:
        if opcode == 0x9D:
            b.pump.memory.history.insert(0, page(len(b.pump.memory.history)))
        return real(opcode, params)

    b.pump.ask = ask  # type: ignore[method-assign]
    assert states(await b.sync()) == [State.INCOMPLETE]
    b.pump.ask = real  # type: ignore[method-assign]
    everything_or_more = (await b.next_sync())[-1]
    assert everything_or_more.health.state is State.OK
    history(b, everything_or_more)


async def test_pumps_without_a_counter_are_read_down_to_the_page_known() -> None:
    b = bench(filled(6, 0), model="512")
    b.pump.memory.answers[0x91] = bytes(18)
    first = (await b.sync())[-1]
    history(b, first)
    assert first.health.state is State.OK
    assert set(told(first)["answers"]) >= {"91"}
    b.pump.memory.history[:1] = [page(7), page(6), page(5)]
    last = (await b.next_sync())[-1]
    assert pages_of(last, "history") == dict(enumerate(b.pump.memory.history[:4]))


# --- the decoder's word ----------------------------------------------------------------------------------


async def test_a_capture_that_cannot_be_decoded_is_kept_and_read_again() -> None:
    class Refusing(Bare):
        def decode(self, capture: Capture, memory: Memory) -> Decoded:
            raise Malformed("The pump's clock shows no valid time.")

    b = bench()
    b.reader = Refusing(Setup("p1", b.settings, b.clock, Random(1), usb=b.bus))
    batches = await b.sync()
    assert states(batches) == [State.MALFORMED]
    assert (batches[0].decoded, batches[0].capture is None) == (None, False)
    b.restarted()
    everything(b, await b.next_sync())


@pytest.mark.parametrize("turns", [1, 5, 20])
async def test_cancelled_the_port_is_given_back(turns: int) -> None:
    b = bench()
    task = asyncio.ensure_future(b.sync())
    for _ in range(turns):
        await asyncio.sleep(0.0005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert b.backend.opened == 0
    everything(b, await b.next_sync())


async def test_progress() -> None:
    b = bench(filled(10, 0))
    told_: list[tuple[str, int, int]] = []
    setup = Setup("p1", b.settings, b.clock, Random(1), usb=b.bus, progress=lambda *each: told_.append(each))
    b.reader = Bare(setup)
    await b.sync()
    assert told_ == [("pages", 8, 10), ("pages", 10, 10)]
