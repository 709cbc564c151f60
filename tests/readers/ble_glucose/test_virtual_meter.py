"""Through the virtual radio: real packets, real ATT, the ways of meters."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from bridge.contracts import Memory
from bridge.errors import ContractViolation, NotAllowed, Transient
from bridge.model.health import State
from bridge.readers.ble_glucose import BleGlucoseReader, clocks, talk
from bridge.readers.ble_glucose.allowed import permitted
from bridge.readers.ble_glucose.making import UNCERTAIN
from bridge.simulators.ble import Stick, VirtualMeter, values
from bridge.wire import racp
from tests.readers.ble_glucose.room import ADDRESS, OTHER, SERIAL, Room, records


def numbers(found: list[Any]) -> list[int]:
    return [int(record.source_key.partition(":")[0]) for record in found]


async def notified(meter: VirtualMeter, times: int) -> None:
    while meter.records.notified < times:  # noqa: ASYNC110 - a simulator has no event for it
        await asyncio.sleep(0.005)


async def test_fetch_all(room: Room) -> None:
    meter = room.meter()
    meter.fill(100)
    await meter.switch_on()
    batch = (await room.read(room.reader()))[0]
    assert batch.health.state is State.OK
    assert batch.decoded
    assert numbers(list(batch.decoded.records)) == list(range(1, 101))
    assert batch.capture
    assert batch.capture.feed == f"ble:{SERIAL}"
    assert room.progress[-1] == ("results", 100, 100)
    assert room.memory.state["cursors"] == {f"ble:{SERIAL}": 100}
    assert meter.set_to is None


async def test_the_capture_decodes_to_the_same_records(room: Room) -> None:
    meter = room.meter(wrong=timedelta(minutes=-7))
    meter.fill(5)
    meter.take(99, meal=2)
    await meter.switch_on()
    reader = room.reader()
    batch = (await room.read(reader))[0]
    assert batch.decoded
    assert batch.capture
    again = reader.decode(batch.capture, Memory())
    assert list(again.records) == list(batch.decoded.records)


async def test_delta(room: Room) -> None:
    meter, reader = room.meter(), room.reader()
    meter.fill(30)
    await meter.switch_on()
    await room.read(reader)
    room.later()
    meter.take(111)
    meter.records.requests.clear()
    found = await room.records(reader)
    assert numbers(found) == [31]
    assert racp.report_since(31) in meter.records.requests
    assert racp.REPORT_ALL not in meter.records.requests


async def test_nothing_new_is_one_small_question(room: Room) -> None:
    meter, reader = room.meter(), room.reader()
    meter.fill(30)
    await meter.switch_on()
    await room.read(reader)
    room.later()
    meter.records.requests.clear()
    found = await room.read(reader)
    assert meter.records.requests == [racp.REPORT_LAST]
    assert found[0].health.state is State.OK


async def test_an_empty_meter(room: Room) -> None:
    meter = room.meter()
    await meter.switch_on()
    batch = (await room.read(room.reader()))[0]
    assert batch.decoded
    assert not batch.decoded.records
    assert batch.health.state is State.OK


async def test_a_link_that_drops_after_37_of_100(room: Room) -> None:
    meter, reader = room.meter(), room.reader()
    meter.fill(100)
    meter.records.drop_after = 1 + 37  # the newest comes first, by itself
    await meter.switch_on()
    broken = await room.read(reader)
    assert broken[0].health.state is State.INCOMPLETE
    first = records(broken)
    assert numbers(first) == [*range(1, 38), 100]
    assert "cursors" not in room.memory.state
    room.clock.advance(6)
    whole = await room.records(reader)
    assert numbers(whole) == list(range(1, 101))
    assert {record.id: record.time for record in first}.items() <= {r.id: r.time for r in whole}.items()
    assert room.memory.state["cursors"] == {f"ble:{SERIAL}": 100}


@pytest.mark.parametrize("after", [0, 1, 2, 50, 99, 100])
async def test_a_link_that_drops_anywhere_loses_nothing(room: Room, after: int) -> None:
    meter, reader = room.meter(), room.reader()
    meter.fill(100)
    meter.records.drop_after = after
    await meter.switch_on()
    found = await room.records(reader)
    room.clock.advance(6)
    found += await room.records(reader)
    assert set(numbers(found)) == set(range(1, 101))


async def test_a_delta_survives_a_drop(room: Room) -> None:
    meter, reader = room.meter(), room.reader()
    meter.fill(20)
    await meter.switch_on()
    await room.read(reader)
    for mgdl in range(100, 110):
        room.later(30)
        meter.take(mgdl)
    meter.records.drop_after = meter.records.notified + 1 + 4
    assert numbers(await room.records(reader)) == [21, 22, 23, 24, 30]
    room.clock.advance(6)
    assert numbers(await room.records(reader)) == list(range(21, 31))


@pytest.mark.parametrize("arrival", ["before", "after", "late", "missing"])
async def test_notes_come_when_they_like(room: Room, arrival: Any) -> None:
    meter = room.meter()
    meter.fill(3)
    meter.take(120, meal=1, arrival=arrival)
    await meter.switch_on()
    found: list[Any] = await room.records(room.reader())
    assert [record.mgdl for record in found][-1] == 120
    assert found[-1].meal == (None if arrival == "missing" else "before")
    assert len(found) == 4


async def test_the_number_wraps(room: Room) -> None:
    meter, reader = room.meter(), room.reader()
    meter.fill(6, first=65528)
    await meter.switch_on()
    assert numbers(await room.records(reader)) == list(range(65528, 65534))
    taken = {}
    for mgdl in (101, 102, 103, 104):
        room.later(30)
        taken[meter.take(mgdl).sequence] = mgdl
    assert sorted(taken) == [0, 1, 65534, 65535]
    found: list[Any] = await room.records(reader)
    assert {record.raw["sequence"]: record.mgdl for record in found}.items() >= taken.items()
    assert room.memory.state["cursors"] == {f"ble:{SERIAL}": 1}
    room.later()
    meter.take(140)
    assert 140 in [record.mgdl for record in await room.records(reader)]  # type: ignore[union-attr]


async def test_a_meter_that_began_anew_is_read_whole(room: Room) -> None:
    meter, reader = room.meter(), room.reader()
    meter.fill(50)
    await meter.switch_on()
    await room.read(reader)
    room.later()
    meter.sticks.clear()
    meter.take(100)
    assert numbers(await room.records(reader)) == [1]


@pytest.mark.parametrize("hours", [3, -3])
async def test_a_clock_three_hours_wrong(room: Room, hours: int) -> None:
    meter = room.meter(wrong=timedelta(hours=hours))
    meter.take(120)
    taken = room.clock.now()
    room.later(120)
    await meter.switch_on()
    batch = (await room.read(room.reader()))[0]
    assert batch.health.state is State.CLOCK_MISMATCH
    record = records([batch])[0]
    assert record.time == taken
    assert record.device_time == (taken + timedelta(hours=hours)).replace(tzinfo=None)
    assert record.annotation(UNCERTAIN)


@pytest.mark.parametrize("clock", ["current_time", "date_time", "contour", "isens"])
async def test_every_kind_of_clock_is_read_and_none_is_set(room: Room, clock: Any) -> None:
    maker = {"isens": "i-SENS"}.get(clock, "Ascensia")
    meter = room.meter(clock=clock, manufacturer=maker, wrong=timedelta(hours=2), utc_offset_min=120)
    meter.take(120)
    taken = room.clock.now()
    await meter.switch_on()
    batch = (await room.read(room.reader()))[0]
    assert records([batch])[0].time == taken
    assert batch.health.state is State.CLOCK_MISMATCH
    assert meter.set_to is None


async def test_a_meter_without_a_clock_is_believed(room: Room) -> None:
    meter = room.meter(clock="none")
    meter.take(120)
    await meter.switch_on()
    batch = (await room.read(room.reader()))[0]
    assert len(records([batch])) == 1
    assert batch.decoded
    assert "clock_unchecked" in {each.code for each in batch.decoded.diagnostics}


async def test_a_silent_contour_clock_costs_no_result(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    short = tuple(clocks.ClockKind(k.uuid, k.way, k.shows, k.ask, 0.02, k.maker) for k in clocks.CLOCKS)
    monkeypatch.setattr(talk, "CLOCKS", short)
    meter = room.meter(clock="contour")
    meter.mute_clock = True
    meter.take(120)
    await meter.switch_on()
    assert len(await room.records(room.reader())) == 1


async def test_taidoc_counts_back_from_the_newest(room: Room) -> None:
    meter = room.meter(manufacturer="TaiDoc Technology", newest_first=True, clock="none")
    reader = room.reader()
    meter.fill(10)
    await meter.switch_on()
    first = await room.records(reader)
    assert len(first) == 10
    room.later()
    meter.take(155)
    again: list[Any] = await room.records(reader)
    assert [record.mgdl for record in again][-1] == 155
    assert {record.id for record in first} < {record.id for record in again}
    assert len(again) == 11
    assert "cursors" not in room.memory.state


async def test_a_bogus_result_of_a_full_memory(room: Room) -> None:
    meter = room.meter(manufacturer="TaiDoc Technology", newest_first=True, clock="none")
    meter.fill(3)
    far = room.shows().replace(year=2037)
    meter.sticks.append(Stick(9, far, values.glucose(9, far, 600, status=1 << 5)))
    await meter.switch_on()
    assert len(await room.records(room.reader())) == 3


async def test_repeats_are_dropped(room: Room) -> None:
    meter = room.meter()
    meter.fill(5)
    meter.records.twice = True
    await meter.switch_on()
    assert numbers(await room.records(room.reader())) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("without", [{6}, {3}, {3, 6}])
async def test_a_meter_that_knows_few_operators(room: Room, without: set[int]) -> None:
    meter, reader = room.meter(), room.reader()
    meter.fill(5)
    meter.records.without_operators = without
    await meter.switch_on()
    await room.read(reader)
    room.later()
    meter.take(101)
    assert 6 in numbers(await room.records(reader))


async def test_a_meter_that_cannot_count(room: Room) -> None:
    meter = room.meter()
    meter.fill(5)
    meter.records.without_operations = {4}
    await meter.switch_on()
    assert numbers(await room.records(room.reader())) == [1, 2, 3, 4, 5]


async def test_results_lost_on_the_way_are_asked_for_again(room: Room) -> None:
    meter = room.meter()
    meter.fill(8)
    meter.records.lost = {3: 1, 5: 2}
    await meter.switch_on()
    assert numbers(await room.records(room.reader())) == list(range(1, 9))


async def test_results_that_go_on_being_lost_move_no_cursor(room: Room) -> None:
    meter, reader = room.meter(), room.reader()
    meter.fill(8)
    meter.records.lost = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5}
    await meter.switch_on()
    batch = (await room.read(reader))[0]
    assert batch.health.state is State.INCOMPLETE
    assert "cursors" not in room.memory.state
    room.clock.advance(6)
    assert numbers(await room.records(reader)) == list(range(1, 9))


async def test_a_meter_that_counts_more_than_it_has_is_believed(room: Room) -> None:
    meter = room.meter()
    meter.fill(8)
    meter.records.lost = {3: 99}
    await meter.switch_on()
    batch = (await room.read(room.reader()))[0]
    assert batch.health.state is State.OK
    assert batch.decoded
    assert "count_differs" in {each.code for each in batch.decoded.diagnostics}
    assert room.memory.state["cursors"] == {f"ble:{SERIAL}": 8}


async def test_a_busy_meter_is_asked_again(room: Room) -> None:
    meter = room.meter()
    meter.fill(5)
    meter.records.busy = 2
    await meter.switch_on()
    assert numbers(await room.records(room.reader())) == [1, 2, 3, 4, 5]


async def test_a_request_that_nothing_answers_is_sent_once_more(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "FIRST_S", 0.05)
    meter = room.meter()
    meter.fill(5)
    meter.records.mute = 1
    await meter.switch_on()
    assert numbers(await room.records(room.reader())) == [1, 2, 3, 4, 5]


async def test_silence_ends_in_a_state_and_an_abort(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "FIRST_S", 0.05)
    monkeypatch.setattr(talk, "IDLE_S", 0.05)
    meter = room.meter()
    meter.fill(5)
    meter.records.mute = 99
    await meter.switch_on()
    batch = (await room.read(room.reader()))[0]
    assert batch.health.state is State.INCOMPLETE
    assert meter.records.requests[-1] == racp.ABORT


async def test_a_request_left_over_is_stopped_first(room: Room) -> None:
    meter = room.meter()
    meter.fill(5)
    meter.records.begin_endless()
    await meter.switch_on()
    assert numbers(await room.records(room.reader())) == [1, 2, 3, 4, 5]
    assert meter.records.requests[0] == racp.ABORT


async def test_a_cancelled_read_aborts_and_leaves(room: Room) -> None:
    meter = room.meter()
    meter.fill(100)
    meter.records.slow = 40
    await meter.switch_on()
    reading = asyncio.ensure_future(room.read(room.reader()))
    await notified(meter, 20)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert meter.records.requests[-1] == racp.ABORT
    assert not room.air.computer.device.connections
    meter.records.slow = 0
    assert numbers(await room.records(room.reader())) == list(range(1, 101))


async def test_two_meters_at_once(room: Room) -> None:
    one, two = room.meter(), room.meter(address=OTHER, serial="0000002", manufacturer="Roche", name="Accu")
    one.fill(10)
    two.fill(7)
    await one.switch_on()
    await two.switch_on()
    batches = await room.read(room.reader("0000001", "0000002"))
    if len(batches) == 1:
        batches += await room.read(room.reader("0000001", "0000002"))
    assert {batch.capture.feed: len(records([batch])) for batch in batches if batch.capture} == {
        "ble:0000001": 10,
        "ble:0000002": 7,
    }
    assert len({record.id for record in records(batches)}) == 17
    assert room.memory.state["cursors"] == {"ble:0000001": 10, "ble:0000002": 7}


async def test_a_drop_of_one_meter_harms_only_that_one(room: Room) -> None:
    one, two = room.meter(), room.meter(address=OTHER, serial="0000002")
    one.fill(10)
    two.fill(7)
    one.records.drop_after = 4
    await one.switch_on()
    await two.switch_on()
    reader, batches = room.reader("0000001", "0000002"), []
    for _ in range(3):
        batches += await room.read(reader)
        room.clock.advance(6)
    found = records(batches)
    assert len({record.id for record in found}) == 17


# --- whose, and when ------------------------------------------------------------------------------


async def test_nobody_is_switched_on(room: Room) -> None:
    batch = (await room.read(room.reader()))[0]
    assert batch.health.state is State.NO_DEVICE
    assert (batch.decoded, batch.capture) == (None, None)
    assert batch.next_due == room.clock.now() + timedelta(seconds=20)


async def test_a_meter_is_bound_by_its_address_too(room: Room) -> None:
    meter = room.meter()
    meter.fill(3)
    await meter.switch_on()
    assert len(await room.records(room.reader(ADDRESS.lower()))) == 3


async def test_a_meter_without_a_serial_goes_by_its_address(room: Room) -> None:
    meter = room.meter(serial="")
    meter.fill(3)
    await meter.switch_on()
    batch = (await room.read(room.reader(ADDRESS)))[0]
    assert batch.capture
    assert batch.capture.feed == f"ble:{ADDRESS}"
    assert records([batch])[0].device.serial == ADDRESS


async def test_a_stranger_is_asked_its_name_once_and_nothing_else(room: Room) -> None:
    meter, reader = room.meter(serial="9999999"), room.reader()
    meter.fill(3)
    await meter.switch_on()
    for _ in range(3):
        batch = (await room.read(reader))[0]
        assert batch.health.state is State.DEVICE_UNBOUND
        assert batch.capture is None
        room.later()
    assert meter.connections == 1
    assert not meter.records.requests


async def test_somebody_elses_meter_is_not_announced(room: Room) -> None:
    meter, reader = room.meter(serial="9999999"), room.reader(elsewhere=["9999999"])
    await meter.switch_on()
    assert (await room.read(reader))[0].health.state is State.NO_DEVICE


async def test_without_bindings_nothing_is_connected_to(room: Room) -> None:
    meter, reader = room.meter(), room.reader("C0:00:00:00:00:99")
    await meter.switch_on()
    assert (await room.read(reader))[0].health.state is State.DEVICE_UNBOUND
    assert meter.connections == 0


async def test_a_meter_that_may_be_somebody_elses_is_not_announced(room: Room) -> None:
    meter, reader = room.meter(), room.reader(OTHER, elsewhere=[SERIAL])
    await meter.switch_on()
    assert (await room.read(reader))[0].health.state is State.NO_DEVICE
    assert meter.connections == 0


async def test_one_connection_for_each_time_it_is_switched_on(room: Room) -> None:
    meter, reader = room.meter(), room.reader()
    meter.fill(3)
    await meter.switch_on()
    for _ in range(4):
        await room.read(reader)
        room.clock.advance(30)
    assert meter.connections == 1
    await meter.switch_off()
    for _ in range(3):
        await room.read(reader)
        room.clock.advance(30)
    meter.take(101)
    await meter.switch_on()
    assert numbers(await room.records(reader)) == [4]
    assert meter.connections == 2


async def test_failures_are_tried_again_ever_later(room: Room) -> None:
    meter, reader = room.meter(), room.reader()
    meter.fill(3)
    await meter.switch_on()
    tried_at: list[float] = []
    while room.clock.monotonic() < 1000 + 160:
        meter.records.drop_after = 0
        batch = (await room.read(reader))[0]
        if meter.connections > len(tried_at):
            tried_at.append(room.clock.monotonic() - 1000)
            assert batch.health.state is State.OUT_OF_RANGE
        room.clock.advance((batch.next_due - room.clock.now()).total_seconds())
    assert tried_at == [0, 5, 15, 35, 75, 155]


# --- the radio ------------------------------------------------------------------------------------


async def test_the_adapter_goes_and_comes_back(room: Room) -> None:
    meter, reader = room.meter(), room.reader()
    meter.fill(3)
    await meter.switch_on()
    room.air.computer.adapter = False
    batch = (await room.read(reader))[0]
    assert batch.health.state is State.named("ble_unavailable")
    assert "Bluetooth" in batch.health.text
    assert batch.next_due == room.clock.now() + timedelta(minutes=1)
    with pytest.raises(Transient) as caught:
        await room.radio.scan("1808", 0.1, lambda _: True)
    assert caught.value.state == "ble_unavailable"
    room.air.computer.plug_adapter()
    assert len(await room.records(reader)) == 3


async def test_the_adapter_goes_in_the_middle(room: Room) -> None:
    meter, reader = room.meter(), room.reader()
    meter.fill(100)
    meter.records.slow = 40
    await meter.switch_on()
    reading = asyncio.ensure_future(room.read(reader))
    await notified(meter, 20)
    await room.air.computer.pull_adapter()
    batch = (await reading)[0]
    assert batch.health.state is State.INCOMPLETE
    assert 0 < len(records([batch])) < 100
    assert (await room.read(reader))[0].health.state is State.named("ble_unavailable")
    room.air.computer.plug_adapter()
    meter.records.slow = 0
    room.later()
    assert numbers(await room.records(reader)) == list(range(1, 101))


async def test_what_is_not_allowed_does_not_leave(room: Room) -> None:
    meter = room.meter(clock="contour")
    meter.fill(1)
    await meter.switch_on()
    await room.radio.scan("1808", 0.3, lambda _: True)
    async with room.radio.connect(ADDRESS, "1808", permitted) as link:
        await link.listen("2a52")
        with pytest.raises(NotAllowed):
            await link.write("2a52", b"\x02\x01")
        with pytest.raises(NotAllowed):
            await link.write(clocks.CONTOUR_CLOCK, values.contour_time(room.shows(), 0))
    assert not meter.records.requests
    assert meter.set_to is None


async def test_reading_without_a_radio_is_a_bug(room: Room) -> None:
    from random import Random

    from bridge.contracts import Setup

    reader = BleGlucoseReader(Setup("p1", {}, room.clock, Random(1)))
    with pytest.raises(ContractViolation):
        await room.read(reader)
