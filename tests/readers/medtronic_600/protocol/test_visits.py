"""What is asked in a pass, what of it is kept, and what the next pass does with that."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.contracts import Interval, Memory
from bridge.contracts.ports import UsbDevice
from bridge.model.time import parse_instant
from bridge.readers.medtronic_600 import Medtronic600Reader
from bridge.readers.medtronic_600.comd import Comd
from bridge.simulators.next_link import Canned, NextLink, Pump
from bridge.simulators.usb import Descriptor, Endpoint, Interface, VirtualBackend
from bridge.usb import PyUsbBus
from tests.readers.medtronic_600.protocol.world import METER, MODEL_SERIAL, PATIENT, PUMP, World, reader_of, world
from tests.support import vectors
from tests.support.clock import FakeClock

READ_ONLY = {
    0x0403, 0x0112, 0x0116, 0x012B, 0x012E, 0x0131, 0x0138, 0x013A, 0x0200, 0x030C, 0x0304, 0x0412, 0x00FE, 0xFF02,
}  # fmt: skip
SETTINGS = ["0201", *(f"0123:{number}" for number in range(1, 9)), "012c", "012f", "0132", "0139"]


def _body(batch: Any) -> Any:
    return json.loads(batch.capture.body)


async def test_first_pass_asks_for_everything_once() -> None:
    there = world(patient=PATIENT)
    batch = await there.one()
    said = _body(batch)
    assert (said["pump"], said["model"], said["meter"]) == (PUMP, "MMT-1780", METER)
    assert said["host_utc"] == "2026-03-10T06:00:05.000Z"
    assert list(said["answers"]) == ["0407", "013c", "013b", *SETTINGS]
    assert sorted(said["history"]) == ["02", "03"]
    assert all(page.startswith(f"030e{kind}") for kind, pages in said["history"].items() for page in pages)
    assert all(bytes.fromhex(answer)[1:3].hex() == name[:4] for name, answer in said["answers"].items())
    assert batch.capture is not None
    assert batch.capture.feed == f"medtronic:{PUMP}"
    assert batch.capture.context["timezone"] == "Europe/Berlin"
    now = parse_instant(said["host_utc"])
    assert batch.covered == Interval(now - timedelta(days=7), now)
    assert set(there.pump.heard) <= READ_ONLY
    assert not there.link.refused
    assert there.backend.opened == 0


async def test_answers_are_the_pumps_bytes() -> None:
    canned = {0x0132: bytes.fromhex("13740104b4017c0000"), 0x0123: b"\x01\x00"}
    there = world(canned={int(code): told for code, told in canned.items()})
    with pytest.raises(KeyError):
        _ = _body(await there.one())["answers"]["0123:2"]
    there = world(canned={0x0132: canned[0x0132]})
    answer = bytes.fromhex(_body(await there.one())["answers"]["0132"])
    assert answer[1:] == b"\x01\x32" + canned[0x0132]


async def test_history_payloads_come_back_equal() -> None:
    told = vectors.document("medtronic-600", "history_pump.json")["payloads_hex"]
    pump_pages = [bytes.fromhex(page) for page in told]
    sensor_page = bytes.fromhex(vectors.document("medtronic-600", "history_sensor.json")["payload_hex"])
    there = world(history=Canned({2: pump_pages, 3: [sensor_page]}), kind="640G")
    there.faults.lost_segments = {0, 7, 8, 30}
    there.faults.duplicate_segments = {3, 9}
    there.faults.swapped_segments = {4, 11}
    history = _body(await there.one())["history"]
    assert history == {"02": [page.hex() for page in pump_pages], "03": [sensor_page.hex()]}
    assert there.pump.heard.count(Comd.RESEND) >= 6


async def test_a_long_settings_answer_comes_in_segments() -> None:
    rates = b"".join((1000 + n).to_bytes(4, "big") + bytes((n,)) for n in range(48))
    there = world()
    there.pump._answers[0x0116] = (0x0123, lambda asked: asked + (b"\x30" + rates if asked == b"\x01" else b"\0"))
    answers = _body(await there.one())["answers"]
    assert bytes.fromhex(answers["0123:1"])[1:] == b"\x01\x23\x01\x30" + rates
    assert bytes.fromhex(answers["0123:2"])[1:] == b"\x01\x23\x02\x00"


async def test_later_passes_ask_for_news_only() -> None:
    there = world(settings={"history_days": 7})
    await there.one()
    there.pump.heard.clear()
    batch = await _next(there)
    assert there.pump.heard == [0x0412, 0x0403, 0x0112, 0x0412]
    assert list(_body(batch)["answers"]) == ["0407", "013c"]
    assert batch.covered is None


async def _next(there: World, seconds: float = 320) -> Any:
    there.clock.advance(seconds)
    return await there.one()


async def test_after_two_hours_the_history_is_read_again_from_a_day_before() -> None:
    there = world(settings={"history_days": 7})
    await there.one()
    last = there.kept["covered"]["02"][0][1]
    for _ in range(24):
        await _next(there)
    asked = _asked(there)
    assert {kind for kind, _, _ in asked} == {2, 3}
    assert all(start == last - 86_400 for _, start, _ in asked[-2:])
    assert len(asked) == 4


def _asked(there: World) -> list[tuple[int, int, int]]:
    found = []
    for kind, spans in there.pump.spans.items():
        found += [(kind, *span) for span in spans]
    return sorted(found, key=lambda each: each[2])


async def test_ninety_days_fill_over_passes_and_survive_a_restart() -> None:
    there = world(patient=PATIENT, history=Canned({}))
    batch = await there.one()
    passes = 1
    while len(there.kept["covered"]["03"]) > 1 or _days(there) < 89.5:
        assert passes < 40
        if passes == 5:
            there = _restarted(there)
        batch = await _at_due(there, batch)
        passes += 1
    spans = _asked(there)
    assert len(spans) >= 26
    now = there.pump.clock.rtc(there.clock.now())
    assert all(now - 90 * 86_400 + 3600 - 3 * 3600 <= low < high <= now for _, low, high in spans)
    assert all(high - low <= 7 * 86_400 for _, low, high in spans)
    assert there.kept["covered"]["02"][0][0] <= now - 89 * 86_400


def _days(there: World) -> float:
    return min(float(spans[-1][1] - spans[0][0]) for spans in there.kept["covered"].values()) / 86_400


def _restarted(there: World) -> World:
    """Another process with the journal's memory, which has been JSON in between."""
    there.memory = Memory(state=json.loads(json.dumps(there.memory.state)))
    there.reader = reader_of(PyUsbBus(backend=there.backend), there.clock, [PUMP])
    return there


async def _at_due(there: World, batch: Any) -> Any:
    there.until_due(batch)
    return await there.one()


async def test_a_batch_that_was_not_stored_is_read_again() -> None:
    there = world()
    await there.one()
    first = dict(there.pump.spans)
    there.memory = Memory()
    await _next(there)
    assert [len(spans) for spans in there.pump.spans.values()] == [2, 2]
    assert first.keys() == there.pump.spans.keys()


async def test_the_good_channel_is_tried_first() -> None:
    there = world(channel=0x1A)
    await there.one()
    assert there.link.joins == [0x14, 0x11, 0x0E, 0x17, 0x1A]
    there.link.joins.clear()
    await _next(there)
    assert there.link.joins == [0x1A]
    there.pump.channel = 0x0E
    there.link.joins.clear()
    await _next(there)
    assert there.link.joins == [0x1A, 0x14, 0x11, 0x0E]


async def test_visits_keep_distance() -> None:
    there = world()
    await there.one()
    there.clock.slept.clear()
    there.clock.advance(20)
    await there.one()
    assert 60 < there.clock.slept[0] <= 70


async def test_a_visit_waits_until_the_sensors_packet_has_passed() -> None:
    there = world(patient=PATIENT, settings={"history_days": 1})
    await there.one()
    at = there.pump.clock.instant(there.kept["glance"]["sensor_rtc"])
    there.clock.advance((at + timedelta(seconds=605) - there.clock.now()).total_seconds())
    there.clock.slept.clear()
    await there.one()
    assert 20 <= there.clock.slept[0] <= 30


@pytest.mark.parametrize("name", [PUMP, PUMP.lower(), METER, MODEL_SERIAL])
async def test_bound_by_pump_or_meter(name: str) -> None:
    assert (await world(devices=[name]).one()).health.state.value == "ok"


async def test_a_device_of_somebody_else_is_not_read() -> None:
    there = world(devices=["NG7654321H"])
    batch = await there.one()
    assert batch.capture is None
    assert "belongs to nobody" in batch.health.text
    assert not there.pump.heard
    assert not there.link.joins
    assert there.backend.opened == 0


async def test_nothing_plugged_in() -> None:
    there = world()
    there.backend.pull(there.link)
    batch = await there.one()
    assert (batch.capture, batch.decoded) == (None, None)
    assert batch.health.state.value == "no_device"
    assert batch.next_due - there.clock.now() == timedelta(seconds=60)


async def test_two_pumps_and_a_plain_meter_on_one_bus() -> None:
    clock = FakeClock()
    links = [
        NextLink(Pump(clock.now)),
        NextLink(Pump(clock.now, serial="NG7654321H", kind="640G"), model_serial="6213-7654321", serial="BG7654321B"),
    ]
    backend = VirtualBackend([_PlainMeter(), *links])
    reader = reader_of(PyUsbBus(backend=backend), clock, [PUMP, "NG7654321H"])
    there = World(links[0], clock, backend, reader)
    batches = await there.pass_()
    assert [_body(batch)["pump"] for batch in batches] == [PUMP, "NG7654321H"]
    assert [_body(batch)["model"] for batch in batches] == ["MMT-1780", "MMT-1712"]
    assert set(there.memory.state["io"]["pumps"]) == {PUMP, "NG7654321H"}


class _PlainMeter:
    descriptor = Descriptor(0x1A79, 0x7410, (Interface(3, (Endpoint(0x04, True), Endpoint(0x83, True))),))

    def write(self, endpoint: int, data: bytes) -> None:
        raise AssertionError("another family's device was spoken to")

    def read(self, endpoint: int, size: int, timeout_s: float) -> bytes | None:
        raise AssertionError("another family's device was spoken to")

    def released(self) -> None:
        """Nothing to do."""


async def _recognised(link: NextLink) -> Any:
    bus = PyUsbBus(backend=VirtualBackend([link]))
    (device,) = await bus.devices()
    async with bus.open(device, 3) as port:
        return await Medtronic600Reader.recognise(port, device)


async def test_recognise_names_the_pump_without_the_radio() -> None:
    link = NextLink(Pump(FakeClock().now))
    found = await _recognised(link)
    assert (found.family, found.serial, found.health.state.value) == ("MiniMed 600 series", PUMP, "ok")
    assert not link.joins
    found = await _recognised(link)
    assert found.serial == PUMP
    assert not link.refused


async def test_recognise_an_unlinked_and_a_dead_meter() -> None:
    found = await _recognised(NextLink(None))
    assert (found.serial, found.health.state.value) == (METER, "not_linked")
    dead = NextLink(None)
    dead.faults.e86 = True
    found = await _recognised(dead)
    assert found.serial is None
    assert "plug it in again" in found.health.text


def test_plugs_fit_the_bridge_and_no_other_meter() -> None:
    (kind,) = Medtronic600Reader.plugs
    assert kind.fits(UsbDevice("1-1", 0x1A79, 0x6210, (3,)))
    assert not any(kind.fits(UsbDevice("1-1", 0x1A79, product, (3,))) for product in (0x6200, 0x6300, 0x7410, 0x6002))


async def test_a_history_that_comes_damaged_is_read_again_but_not_for_ever() -> None:
    told = vectors.document("medtronic-600", "history_pump.json")["payloads_hex"]
    good = bytes.fromhex(told[0])
    broken = good[:500] + bytes([good[500] ^ 0xFF]) + good[501:]
    there = world(history=Canned({2: [broken], 3: []}), kind="640G")
    booked = []
    for _ in range(4):
        batch = await there.one()
        assert batch.capture is not None
        booked.append(bool(there.kept["covered"].get("02")))
        assert there.kept["covered"]["03"]
        there.clock.advance(2 * 3600 + 60)
    assert booked == [False, False, False, True]


async def test_a_history_tells_how_far_it_is() -> None:
    there = world(patient=PATIENT)
    told: list[tuple[str, int, int]] = []
    there.reader._setup = replace(there.reader._setup, progress=lambda *step: told.append(step))
    await there.one()
    for what in ("pump history", "sensor history"):
        steps = [(done, total) for name, done, total in told if name == what]
        assert steps[-1][0] == steps[-1][1] > 0
        assert [done for done, _ in steps] == sorted(done for done, _ in steps)
