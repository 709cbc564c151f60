"""One pump: waking, refusals, pages."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.errors import BridgeError
from bridge.readers.medtronic_stick.pump import Absent, Pump
from bridge.simulators.stick import Nak, PumpMemory, VirtualPump, VirtualStick
from tests.readers.medtronic_stick.protocol.bench import SERIAL, Bench, bench, filled
from tests.support import vectors

HISTORY = vectors.rows("medtronic-stick", "history_pages.jsonl")
GLUCOSE = [row for row in vectors.rows("medtronic-stick", "glucose_pages.jsonl") if "glucose_hex" in row]
TINY = [row for row in vectors.rows("medtronic-stick", "glucose_pages.jsonl") if "tail_hex" in row]
COMMANDS = vectors.rows("medtronic-stick", "commands.jsonl")


async def _connected(b: Bench) -> None:
    async def doing(pump: Pump) -> None:
        await pump.connect()
        assert pump.model == b.pump.model
        assert pump.family == b.pump.family

    await b.with_pump(doing)


@pytest.mark.parametrize("model", ["522", "523", "554", "715", "751"])
async def test_awake(model: str) -> None:
    b = bench(model=model)
    await _connected(b)
    assert 0x5D not in b.pump.asked


async def test_asleep_is_woken_once() -> None:
    b = bench()
    b.pump.asleep = True
    await _connected(b)
    assert b.pump.asked.count(0x5D) == 1


async def _state(b: Bench, serial: str = SERIAL) -> str:
    async def doing(pump: Pump) -> None:
        await pump.connect()

    with pytest.raises(BridgeError) as raised:
        await b.with_pump(doing, serial)
    assert raised.value.next_step or raised.value.state == "incompatible"
    assert SERIAL not in str(raised.value)
    return raised.value.state


async def test_out_of_range() -> None:
    b = bench()
    b.pump.out_of_range = True
    begun = b.clock.monotonic()
    assert await _state(b) == "out_of_range"
    assert b.clock.monotonic() - begun < 40


async def test_a_pump_with_another_serial_than_it_answers_to() -> None:
    b = bench()
    b.stick.pumps = {"654321": b.pump}
    assert await _state(b, "654321") == "wrong_device"


async def test_too_old() -> None:
    assert await _state(bench(model="511")) == "incompatible"


async def test_alarm() -> None:
    b = bench()
    b.pump.naks[0x71] = 0x07
    assert await _state(b) == "pump_alarm"


async def test_bolus_starts_meanwhile() -> None:
    b = bench()
    b.pump.naks[0x71] = Nak.BOLUS_RUNS
    assert await _state(b) == "pump_busy"


async def test_a_command_that_the_model_lacks_is_no_answer() -> None:
    b = bench()

    async def doing(pump: Pump) -> None:
        b.pump.naks[0x9C] = Nak.UNKNOWN_COMMAND
        assert await pump.answer(0x9C) is None
        assert await pump.answer(0x72) == bytes([0x72]) * 20 + bytes(44)

    await b.with_pump(doing)


async def test_profiles_come_in_three_records() -> None:
    b = bench()

    async def doing(pump: Pump) -> None:
        assert await pump.answer(0x92) == bytes([0x92]) * 192

    await b.with_pump(doing)


@pytest.mark.parametrize("knob", ["crc_error", "lost_fragment", "half_page"])
async def test_a_damaged_page_is_read_again_up_to_three_times(knob: str) -> None:
    b = bench()

    async def doing(pump: Pump) -> None:
        for bad, expected in ((2, b.pump.memory.history[1]), (3, Absent.UNREADABLE)):
            setattr(b.stick, knob, bad)
            asked = b.pump.asked.count(0x80)
            assert await pump.history_page(1) == expected
            assert b.pump.asked.count(0x80) - asked == 3

    await b.with_pump(doing)


async def test_pages_that_do_not_exist() -> None:
    b = bench()

    async def doing(pump: Pump) -> None:
        assert await pump.history_page(35) is Absent.NONE
        assert await pump.glucose_page(38) is Absent.NONE
        assert await pump.isig_page(41) is Absent.NONE

    await b.with_pump(doing)


async def test_a_pump_that_falls_asleep_is_woken_within_the_read() -> None:
    b = bench()

    async def doing(pump: Pump) -> None:
        await pump.connect()
        b.pump.asleep = True
        assert await pump.history_page(0) == b.pump.memory.history[0]

    await b.with_pump(doing)


async def test_two_pumps_are_told_apart() -> None:
    b = bench()
    other = VirtualPump("222222", "554", filled(1), b.pump.wall)
    b.stick.pumps = VirtualStick([b.pump, other]).pumps

    async def doing(pump: Pump) -> None:
        await pump.connect()
        assert pump.model == "554"

    await b.with_pump(doing, "222222")
    assert not b.pump.asked


# --- every captured page and payload ----------------------------------------------------------------------


@pytest.mark.parametrize("row", HISTORY, ids=lambda row: row["id"])
async def test_captured_history_page(row: dict[str, Any]) -> None:
    page = bytes.fromhex(row["page_hex"])
    b = bench(PumpMemory(history=[bytes(1024), page]), row["model"])

    async def doing(pump: Pump) -> None:
        assert await pump.history_page(1) == page

    await b.with_pump(doing)


def _tail(row: dict[str, Any]) -> bytes:
    return bytes.fromhex(row["tail_hex"]).rjust(row["left_pad_to"], b"\0")


@pytest.mark.parametrize("row", [*GLUCOSE, *TINY], ids=lambda row: row["id"])
async def test_captured_glucose_page(row: dict[str, Any]) -> None:
    page = bytes.fromhex(row["glucose_hex"]) if "glucose_hex" in row else _tail(row)
    isig = {row["page"]: bytes.fromhex(row["isig_hex"])} if "isig_hex" in row else {}
    number = row.get("page", 3)
    b = bench(PumpMemory(glucose={number: page}, isig=isig), row.get("model", "523"))

    async def doing(pump: Pump) -> None:
        assert await pump.glucose_page(number) == page
        assert await pump.isig_page(number) == isig.get(number, Absent.NONE)

    await b.with_pump(doing)


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row["id"])
async def test_captured_payload(row: dict[str, Any]) -> None:
    payload, opcode = bytes.fromhex(row["payload_hex"]), int(row["op"], 16)
    b = bench(PumpMemory(answers={opcode: payload}), row["model"])

    async def doing(pump: Pump) -> None:
        answer = await pump.answer(opcode)
        assert answer is not None
        assert answer[: len(payload)] == payload
        assert not any(answer[len(payload) :])

    await b.with_pump(doing)
