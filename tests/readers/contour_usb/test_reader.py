"""The reader over a virtual bus: passes, outages as states, identity, law 1 over many syncs."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from bridge.contracts import Memory, Recognised, Setup
from bridge.errors import ContractViolation
from bridge.model.health import Health, State
from bridge.model.records import Carbs, Injection, MeterGlucose
from bridge.readers.contour_usb import ContourUsbReader
from bridge.simulators.contour import CONTOUR_NEXT_USB, CONTOUR_USB, KINDS, NEXT_LINK_24, Kind, VirtualMeter, lived
from bridge.simulators.patient import Therapy, VirtualPatient
from bridge.wire.astm import ENQ
from tests.readers.contour_usb.bench import NOON, SERIAL, Bench, meter, shown
from tests.support.clock import FakeClock

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"


def _bench(kind: Kind = CONTOUR_NEXT_USB, count: int = 6, **about: Any) -> Bench:
    clock = FakeClock(NOON)
    return Bench([meter(clock, kind, count)], clock, **about)


def _spoil(bench: Bench, **faults: Any) -> None:
    for name, value in faults.items():
        setattr(bench.meter.faults, name, value)


async def test_a_read_is_one_batch_that_its_capture_explains() -> None:
    bench = _bench()
    batch = await bench.one()
    assert (batch.profile, batch.reader, batch.health) == ("p1", "contour-usb", Health())
    assert batch.next_due > bench.clock.now()
    assert batch.decoded is not None
    assert batch.capture is not None
    assert batch.capture.feed == f"contour:{SERIAL}"
    assert batch.capture.context == {
        "model": "Contour Next USB", "timezone": "Europe/Berlin", "host_clock": "2026-03-10T11:00:00.000Z",
        "meter_clock": "2026-03-10T12:00:00",
    }  # fmt: skip
    assert shown(bench.reader.decode(batch.capture, Memory()).records) == shown(batch.decoded.records)
    assert batch.covered is not None
    assert batch.covered.start == batch.decoded.records[0].time
    assert batch.covered.end <= bench.clock.now()
    assert b"AbCdEf" not in batch.capture.body


async def test_what_the_meter_stored_arrives() -> None:
    batch = await _bench().one()
    assert batch.decoded is not None
    first, high, low, control, carbs, insulin = batch.decoded.records
    assert isinstance(first, MeterGlucose)
    assert isinstance(control, MeterGlucose)
    assert isinstance(carbs, Carbs)
    assert isinstance(insulin, Injection)
    assert (first.mgdl, first.meal) == (102, "fasting")
    assert [record.annotations[0]["value"] for record in (high, low)] == ["high", "low"]
    assert (control.control_solution, carbs.grams, insulin.dose_u, insulin.action) == (True, 45, 8.5, "rapid")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_every_meter_is_read_and_named(kind: Kind) -> None:
    bench = _bench(kind)
    batch = await bench.one()
    assert batch.health.state is State.OK
    assert batch.decoded is not None
    assert len(batch.decoded.records) == 6
    assert {record.device.model for record in batch.decoded.records} == {kind.name}
    assert not batch.decoded.diagnostics
    assert bench.meter.writes == []


async def test_the_disk_of_a_composite_meter_is_left_to_its_driver() -> None:
    bench = _bench(CONTOUR_USB)
    plugged = bench.backend._plugged[0]
    assert plugged.drivers == {0, 1}
    seen: list[set[int]] = []
    bench.meter.now = lambda: seen.append(set(plugged.drivers)) or bench.clock.now()  # type: ignore[func-returns-value]
    await bench.one()
    assert {1} in seen
    assert all(1 in drivers for drivers in seen)
    assert plugged.drivers == {0, 1}
    assert not plugged.claimed


async def test_recognising_names_the_meter_and_leaves_it_ready() -> None:
    bench = _bench()
    (device,) = await bench.bus.devices()
    assert ContourUsbReader.plugs[0].fits(device)
    async with bench.bus.open(device, 3) as port:
        found = await ContourUsbReader.recognise(port, device)
    assert found == Recognised("CONTOUR", "Contour Next USB", SERIAL, Health())
    assert bench.meter.sessions == 0
    assert (await bench.one()).decoded is not None


async def test_progress_is_told() -> None:
    bench = _bench()
    await bench.one()
    assert bench.told[-1] == ("results", 6, 6)
    assert [done for _, done, _ in bench.told] == sorted(done for _, done, _ in bench.told)


async def test_an_acknowledgement_is_never_late() -> None:
    """A meter that waits two seconds for its ACK ends in E86: nothing slow stands between frame and ACK."""
    bench = _bench(count=100)
    begun = bench.clock.monotonic()
    assert bench.meter.kind.impatient
    assert (await bench.one()).health.state is State.OK
    assert (bench.clock.slept, bench.clock.monotonic()) == ([], begun)


async def test_a_late_acknowledgement_would_be_named() -> None:
    bench = _bench(count=100)
    bench.meter.now = lambda: NOON + timedelta(seconds=3 if bench.meter.transfers > 30 else 0)
    assert (await bench.one()).health.state is State.METER_ERROR


# --- whose meter ---


async def test_nothing_plugged_in() -> None:
    bench = _bench()
    bench.backend.pull(bench.meter)
    batch = await bench.one()
    assert (batch.health.state, batch.decoded, batch.capture) == (State.NO_DEVICE, None, None)


async def test_a_meter_that_is_not_bound_is_not_read() -> None:
    for stale in (None, ENQ):
        bench = _bench(devices=("2222222",))
        _spoil(bench, stale_session=stale)
        batch = await bench.one()
        assert (batch.health.state, batch.decoded, batch.capture) == (State.DEVICE_UNBOUND, None, None)
        assert SERIAL not in batch.health.text
        assert bench.meter.sessions == (stale is not None)


async def test_a_meter_of_somebody_else_here_is_not_announced() -> None:
    batch = await _bench(devices=("2222222",), bound_elsewhere=frozenset({SERIAL})).one()
    assert batch.health.state is State.NO_DEVICE


async def test_of_two_meters_each_keeps_its_own() -> None:
    clock = FakeClock(NOON)
    other = VirtualMeter(CONTOUR_USB, "2222222", clock.now, meter(clock).results[:3])
    bench = Bench([meter(clock), other, VirtualMeter(NEXT_LINK_24, "3333333", clock.now)], clock, (SERIAL, "2222222"))
    first, second = await bench.read()
    assert [batch.capture.feed for batch in (first, second) if batch.capture] == [
        "contour:1000001",
        "contour:2222222",
    ]
    assert set(bench.memory.state) == {SERIAL, "2222222"}
    again = await bench.read()
    for before, after in zip((first, second), again, strict=True):
        assert before.decoded is not None
        assert after.decoded is not None
        assert shown(before.decoded.records) == shown(after.decoded.records)
        assert not after.decoded.sightings


async def test_reading_without_a_bus_is_a_bug() -> None:
    reader = ContourUsbReader(Setup("p1", {}, FakeClock(NOON), Random(1)))
    with pytest.raises(ContractViolation):
        [batch async for batch in reader.read(Memory(), None)]


# --- outages ---

OUTAGES: dict[str, tuple[dict[str, Any], State]] = {
    "damaged for good": ({"corrupt_frame": 4, "corrupt_times": 99}, State.INCOMPLETE),
    "no end": ({"no_terminator": True}, State.INCOMPLETE),
    "rests": ({"needs_rest": True}, State.METER_RESTING),
    "E86": ({"e86_after": 3}, State.METER_ERROR),
    "unplugged": ({"unplug_after": 20}, State.UNPLUGGED),
    "mute": ({"mute": True}, State.UNREACHABLE),
}


@pytest.mark.parametrize("name", OUTAGES)
async def test_an_outage_appends_nothing_and_the_next_read_completes(name: str) -> None:
    faults, state = OUTAGES[name]
    bench, whole = _bench(), await _bench().one()
    _spoil(bench, **faults)
    batch = await bench.one()
    assert (batch.health.state, batch.decoded, batch.covered) == (state, None, None)
    assert batch.health.text
    assert bench.clock.now() < batch.next_due <= bench.clock.now() + timedelta(minutes=1)
    assert bench.memory == Memory()
    bench.meter.faults = type(bench.meter.faults)()
    bench.replug()
    again = await bench.one()
    assert again.health.state is State.OK
    assert again.decoded is not None
    assert whole.decoded is not None
    assert shown(again.decoded.records) == shown(whole.decoded.records)


async def test_a_device_that_may_not_be_opened_is_a_state() -> None:
    bench = _bench()
    bench.backend.forbidden = True
    batch = await bench.one()
    assert batch.health.state is State.USB_PERMISSION


async def test_a_meter_held_by_another_program_is_a_state() -> None:
    bench = _bench()
    bench.backend._plugged[0].claimed.add(0)
    assert (await bench.one()).health.state is State.USB_BUSY


async def test_a_cancelled_read_gives_the_meter_back() -> None:
    bench = _bench(count=400)
    task = asyncio.ensure_future(bench.read())
    while bench.meter.transfers < 50:  # noqa: ASYNC110 - the meter lives in another thread
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.backend.opened == 0
    assert not bench.backend._plugged[0].claimed
    assert (await bench.one()).health.state is State.OK


async def test_a_header_without_a_clock_is_asked_for_it() -> None:
    bench = _bench()
    _spoil(bench, clock_missing=True)
    batch = await bench.one()
    assert batch.health.state is State.OK
    assert batch.capture is not None
    assert batch.capture.context["meter_clock"] == "2026-03-10T12:00:00"
    assert batch.decoded is not None
    assert len(batch.decoded.records) == 6
    assert all(not record.annotation("clock/uncertain") for record in batch.decoded.records)
    assert bench.meter.writes == []


async def test_a_wrong_clock_is_told_and_taken_off() -> None:
    bench, right = _bench(), await _bench().one()
    bench.meter.clock_error_s = -3600
    bench.meter.results = [
        type(each)(each.wall - timedelta(hours=1), each.value, each.unit, each.analyte, each.method, each.markers)
        for each in bench.meter.results
    ]
    batch = await bench.one()
    assert batch.health.state is State.CLOCK_MISMATCH
    assert batch.decoded is not None
    assert right.decoded is not None
    assert [record.time for record in batch.decoded.records] == [record.time for record in right.decoded.records]
    assert all(record.annotation("clock/uncertain") for record in batch.decoded.records)


# --- a life with a meter ---


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_a_months_results_arrive_once_and_stay_where_they_were(kind: Kind) -> None:
    """Synced every few days, from a meter whose clock drifts and is set once."""
    random, clock = Random(5), FakeClock(NOON)
    patient = VirtualPatient(3, therapy=Therapy.PENS)
    bench = Bench([VirtualMeter(kind, SERIAL, clock.now)], clock)
    begun, since, first = clock.now(), clock.now(), dict[str, Any]()
    for sync in range(7):
        clock.advance(random.randint(2, 5) * 86_400 + random.randrange(86_400))
        if sync == 4:
            bench.meter.clock_error_s = 0
        bench.meter.results += lived(patient, since, clock.now(), kind, bench.meter.clock_error_s)
        since = clock.now()
        bench.meter.clock_error_s += 20
        batch = await bench.one()
        assert batch.decoded is not None
        for record in batch.decoded.records:
            known = first.setdefault(record.id, (record.time, record.annotations))
            assert (record.time, record.annotations) == known
    kinds = {"meter_glucose"} | ({"carbs", "injection"} if kind.logbook else set())
    facts = [fact for fact in patient.facts(begun, since) if fact.kind in kinds | {"calibration"}]
    facts = [fact for fact in facts if fact.kind != "carbs" or round(fact.value)]
    assert len(first) == len(facts)
    times = sorted(time for time, _ in first.values())
    worst_s = max(abs((a - b.time).total_seconds()) for a, b in zip(times, sorted(facts, key=_time), strict=True))
    assert worst_s <= 180


def _time(fact: Any) -> Any:
    return fact.time


@pytest.mark.proof
async def test_unplugged_anywhere_nothing_is_lost_or_doubled() -> None:
    seed = 20260313
    print(f"seed {seed}")
    random = Random(seed)
    whole = {kind.name: await _bench(kind).one() for kind in KINDS}
    for _ in range(200 if LONG else 20):
        bench = _bench(random.choice(KINDS))
        expected = whole[bench.meter.kind.name].decoded
        assert expected is not None
        appended: dict[str, str] = {}
        for _ in range(random.randint(1, 3)):
            _spoil(bench, unplug_after=bench.meter.transfers + random.randint(1, 60))
            batch = await bench.one()
            _append(appended, batch)
            bench.replug()
        last = await bench.one()
        assert last.health.state is State.OK
        _append(appended, last)
        assert sorted(appended.values()) == sorted(shown(expected.records))


def _append(appended: dict[str, str], batch: Any) -> None:
    if batch.decoded is None:
        assert batch.health.state in {State.UNPLUGGED, State.NO_DEVICE}
        return
    assert batch.health.state is State.OK
    for record in batch.decoded.records:
        said = record.model_dump_json()
        assert appended.setdefault(record.id, said) == said
