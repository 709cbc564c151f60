"""What every reader of Bluetooth devices promises, against its virtual device through bleak's seam."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from bridge.ble import nearby, pair, radio
from bridge.contracts import Batch, Memory, Reader, Setup
from bridge.contracts.ble import Introduced, Question
from bridge.demo.air import virtual_radio
from bridge.engine.registry import READERS, ble_plugin, names, reader_class
from bridge.model.health import State
from bridge.simulators.ble import Air, VirtualMeter, VirtualSensor
from tests.support.clock import FakeClock

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
ADDRESS = "C0:00:00:00:00:01"
Device = VirtualMeter | VirtualSensor


def _meter(air: Air, clock: FakeClock) -> Device:
    return VirtualMeter(air, ADDRESS, lambda: clock.now().replace(tzinfo=None))


def _sensor(air: Air, clock: FakeClock) -> Device:
    began = NOON - timedelta(hours=5)
    minutes = lambda: round((clock.now() - began).total_seconds() / 60)  # noqa: E731
    return VirtualSensor(air, ADDRESS, began.replace(tzinfo=None), minutes)


DEVICES: dict[str, Callable[[Air, FakeClock], Device]] = {"ble-glucose": _meter, "ble-cgm": _sensor}
PLUGINS = [name for name in names(READERS) if hasattr(reader_class(name), "advertises")]


@dataclass
class Bench:
    """One virtual device in the air, and a reader over the same radio."""

    name: str

    def __post_init__(self) -> None:
        self.clock, self.air, self.memory = FakeClock(NOON), Air(), Memory()
        self.device = DEVICES[self.name](self.air, self.clock)
        self.device.fill(12)
        self.air.computer.begins.append(self.device.switch_on)
        self.radio = virtual_radio(self.air)

    def reader(self, *devices: str) -> Reader:
        own = {"devices": list(devices), "scan_s": 0.3}
        return reader_class(self.name)(Setup("p1", own, self.clock, Random(1), timezone="UTC", ble=self.radio))

    async def read(self, reader: Reader) -> list[Batch]:
        return [batch async for batch in reader.read(self.memory, None)]


@pytest.fixture(params=PLUGINS)
async def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(radio, "SETTLE_S", 0.02)
    return Bench(request.param)


def test_every_one_has_a_virtual_device() -> None:
    assert set(PLUGINS) == DEVICES.keys()


async def test_it_is_found_by_what_it_advertises_and_introduced_by_what_is_read(bench: Bench) -> None:
    plugin = ble_plugin(bench.name)
    assert [each.address for each in await nearby(bench.radio, plugin, seconds=0.3)] == [ADDRESS]

    async def ask(question: Question) -> int | None:
        return None

    paired = await pair(bench.radio, plugin, ADDRESS, ask)
    assert paired.who.model
    assert paired.who.serial
    assert plugin.introduced([], "a name").serial is None
    assert isinstance(plugin.introduced([], ""), Introduced)


async def test_what_it_is_bound_by_is_read_and_nothing_else(bench: Bench) -> None:
    serial = (await _met(bench)).serial or ""
    for devices, state in (((), State.DEVICE_UNBOUND), (("9999999",), State.DEVICE_UNBOUND)):
        (batch,) = await bench.read(bench.reader(*devices))
        assert (batch.health.state, batch.capture) == (state, None)
    assert not bench.device.records.requests
    for devices in ((serial,), (ADDRESS,), (ADDRESS.lower(),)):
        (batch,) = await bench.read(bench.reader(*devices))
        assert batch.health.state is State.OK
        assert batch.decoded is not None
        assert len(batch.decoded.records) == 12
        bench.clock.advance(1200)


async def test_a_read_is_its_capture_decoded(bench: Bench) -> None:
    (batch,) = await bench.read(bench.reader(ADDRESS))
    assert batch.capture is not None
    assert batch.decoded is not None
    again = bench.reader().decode(batch.capture, Memory())
    assert list(again.records) == list(batch.decoded.records)
    assert again.state == batch.decoded.state


async def test_reading_again_asks_for_what_is_new_only(bench: Bench) -> None:
    reader = bench.reader(ADDRESS)
    (batch,) = await bench.read(reader)
    assert batch.decoded is not None
    bench.memory = Memory(batch.decoded.sightings, batch.decoded.state)
    bench.clock.advance(1200)
    sent = bench.device.records.notified
    (again,) = await bench.read(reader)
    assert again.health.state is State.OK
    assert again.decoded is not None
    assert not [each for each in again.decoded.records if each.id not in {one.id for one in batch.decoded.records}]
    assert bench.device.records.notified - sent <= 1


async def _met(bench: Bench) -> Introduced:
    async def ask(question: Question) -> int | None:
        return None

    return (await pair(bench.radio, ble_plugin(bench.name), ADDRESS, ask)).who
