"""Through the virtual radio: a sensor with the standard profile."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from bridge.ble import radio
from bridge.contracts import Batch, Memory, Setup
from bridge.demo.air import virtual_radio
from bridge.errors import ContractViolation
from bridge.model.health import State
from bridge.model.pseudonym import Pseudonyms
from bridge.model.records import Record
from bridge.readers.ble_cgm import BleCgmReader, talk
from bridge.simulators.ble import Air, Security, VirtualSensor
from bridge.wire import racp
from tests.support.clock import FakeClock

ADDRESS, SERIAL = "C0:00:00:00:00:11", "CGM0001"


class Room:
    """A sensor whose session began a day ago, and a reader."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.began = self.clock.now() - timedelta(days=1)
        self.air = Air()
        self.radio = virtual_radio(self.air)
        self.memory = Memory()

    def minutes(self) -> int:
        return round((self.clock.now() - self.began).total_seconds() / 60)

    def sensor(self, *, hours_wrong: int = 0, **more: Any) -> VirtualSensor:
        started = (self.began + timedelta(hours=hours_wrong)).replace(tzinfo=None)
        return VirtualSensor(self.air, ADDRESS, started, self.minutes, **more)

    def reader(self, *devices: str) -> BleCgmReader:
        settings = {"devices": list(devices or (SERIAL,)), "scan_s": 0.15}
        return BleCgmReader(Setup("p1", settings, self.clock, Random(1), timezone="UTC"), self.radio)

    async def read(self, reader: BleCgmReader) -> list[Batch]:
        batches = []
        async for batch in reader.read(self.memory, None):
            batches.append(batch)
            if batch.decoded is not None:
                self.memory = Memory(state=batch.decoded.state)
        return batches

    async def records(self, reader: BleCgmReader) -> Sequence[Record]:
        batch = (await self.read(reader))[0]
        return batch.decoded.records if batch.decoded else ()


@pytest.fixture
async def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    monkeypatch.setattr(radio, "SETTLE_S", 0.02)
    found = Room()
    await found.air.computer.start()
    return found


@pytest.mark.parametrize("checksums", [False, True])
async def test_all_readings_then_the_new_ones(room: Room, checksums: bool) -> None:
    sensor, reader = room.sensor(checksums=checksums), room.reader()
    sensor.fill(60)
    await sensor.switch_on()
    first = (await room.read(reader))[0]
    assert first.decoded
    assert len(first.decoded.records) == 60
    assert first.health.state is State.OK
    assert first.next_due == room.clock.now() + timedelta(minutes=5, seconds=20)
    assert first.decoded.records[-1].time == room.clock.now()
    room.clock.advance(320)
    sensor.measure(45, warning=1 << 6)
    again: Any = await room.records(reader)
    assert [record.mgdl for record in again] == [45]
    assert sensor.records.requests == [racp.REPORT_ALL, racp.report_since(24 * 60 + 1)]
    assert not sensor.controlled


async def test_the_capture_decodes_to_the_same_records(room: Room) -> None:
    sensor, reader = room.sensor(hours_wrong=3), room.reader()
    sensor.fill(5)
    await sensor.switch_on()
    batch = (await room.read(reader))[0]
    assert batch.decoded
    assert batch.capture
    assert batch.capture.feed == f"ble:{SERIAL}"
    assert list(reader.decode(batch.capture, Memory()).records) == list(batch.decoded.records)
    assert batch.decoded.records[-1].time == room.clock.now()


async def test_a_link_that_drops(room: Room) -> None:
    sensor, reader = room.sensor(), room.reader()
    sensor.fill(60)
    sensor.records.drop_after = 20
    await sensor.switch_on()
    broken = (await room.read(reader))[0]
    assert broken.health.state is State.INCOMPLETE
    assert broken.decoded
    assert len(broken.decoded.records) == 20
    assert len(await room.records(reader)) == 60


async def test_a_new_session_is_read_from_its_start(room: Room) -> None:
    sensor, reader = room.sensor(), room.reader()
    sensor.fill(10)
    await sensor.switch_on()
    await room.read(reader)
    room.clock.advance(3600)
    room.began = room.clock.now() - timedelta(minutes=10)
    sensor.restart(room.began.replace(tzinfo=None))
    sensor.fill(3)
    assert [record.source_key.rpartition(":")[2] for record in await room.records(reader)] == ["0", "5", "10"]


async def test_nothing_new(room: Room) -> None:
    sensor, reader = room.sensor(), room.reader()
    sensor.fill(3)
    await sensor.switch_on()
    await room.read(reader)
    batch = (await room.read(reader))[0]
    assert batch.health.state is State.OK
    assert batch.decoded
    assert not batch.decoded.records


async def test_an_operator_it_does_not_know(room: Room) -> None:
    sensor, reader = room.sensor(), room.reader()
    sensor.fill(3)
    sensor.records.without_operators = {3}
    await sensor.switch_on()
    await room.read(reader)
    assert len(await room.records(reader)) == 3


async def test_silence_is_aborted(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "IDLE_S", 0.05)
    sensor = room.sensor()
    sensor.records.mute = 9
    await sensor.switch_on()
    assert (await room.read(room.reader()))[0].health.state is State.INCOMPLETE
    assert sensor.records.requests[-1] == racp.ABORT


async def test_whose(room: Room) -> None:
    sensor = room.sensor()
    sensor.fill(3)
    assert (await room.read(room.reader()))[0].health.state is State.NO_DEVICE
    await sensor.switch_on()
    assert (await room.read(room.reader("CGM9999")))[0].health.state is State.DEVICE_UNBOUND
    assert not sensor.records.requests
    assert len(await room.records(room.reader(ADDRESS))) == 3


async def test_an_unpaired_sensor_and_no_radio(room: Room) -> None:
    sensor = room.sensor(security=Security.JUST_WORKS)
    await sensor.switch_on()
    assert (await room.read(room.reader()))[0].health.state is State.NOT_LINKED
    room.air.computer.adapter = False
    assert (await room.read(room.reader()))[0].health.state is State.named("ble_unavailable")


async def test_reading_without_a_radio_is_a_bug(room: Room) -> None:
    with pytest.raises(ContractViolation):
        await room.read(BleCgmReader(Setup("p1", {}, room.clock, Random(1))))


async def test_a_read_that_is_passed_on_names_no_sensor(room: Room) -> None:
    sensor, reader = room.sensor(serial="CGM76543"), room.reader(ADDRESS)
    sensor.fill(3)
    await sensor.switch_on()
    batch = (await room.read(reader))[0]
    assert batch.capture
    passed_on = reader.redacted(batch.capture, Pseudonyms())
    said = f"{passed_on.body!r} {passed_on.context}"
    for secret in ("76543", b"76543".hex(), ADDRESS):
        assert secret not in said
    assert len(reader.decode(passed_on, Memory()).records) == 3
