"""What every reader of plugged-in devices promises, against its virtual device through pyusb's seam."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from pydantic import BaseModel, ValidationError

from bridge.contracts import Batch, Decoded, Memory, Reader, Setup
from bridge.engine.captures import redacted
from bridge.engine.registry import device_plugins, reader_class
from bridge.errors import Malformed
from bridge.journal import open_journal
from bridge.model import Capture
from bridge.model.health import State
from bridge.simulators.patient import VirtualPatient
from bridge.simulators.usb import VirtualBackend
from bridge.simulators.usb.catalogue import Built, made
from bridge.usb import PyUsbBus
from tests.contracts.test_readers import FOREIGN
from tests.support.clock import FakeClock

DEVICES = ("contour-next", "contour-next-one-usb", "640g", "522", "523")
READERS = [plugin.name for plugin in device_plugins()]
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


class Bench:
    """One virtual device on a virtual bus, and a reader of one person over it."""

    def __init__(self, name: str, seed: int = 1) -> None:
        self.clock = FakeClock(NOON)
        self.built: Built = made(name, VirtualPatient(seed), self.clock.now)
        self.backend = VirtualBackend([self.built.device])
        self.bus = PyUsbBus(self.backend)
        self.memory = Memory()

    def reader(self, devices: list[str] | None = None, elsewhere: frozenset[str] = frozenset()) -> Reader:
        own = {"devices": [self.built.serial] if devices is None else devices}
        setup = Setup("p1", own, self.clock, Random(1), timezone="Europe/Berlin", usb=self.bus)
        return reader_class(self.built.reader)(replace(setup, bound_elsewhere=elsewhere))

    async def read(self, reader: Reader | None = None) -> list[Batch]:
        """One pass, remembered as the journal does."""
        batches: list[Batch] = []
        async for batch in _pass(reader or self.reader(), self.memory):
            batches.append(batch)
            if batch.decoded is not None:
                self.memory = _grown(self.memory, batch.decoded)
        assert self.backend.opened == 0
        return batches

    async def read_all(self) -> list[Batch]:
        """Passes until the reader has what it wants for now."""
        batches = []
        for _ in range(8):
            batches += await self.read()
            if batches[-1].health.state is State.OK:
                return batches
            wait_s = (batches[-1].next_due - self.clock.now()).total_seconds()
            self.clock.advance(max(1.0, wait_s))
        raise AssertionError(batches[-1].health)


def _pass(reader: Reader, memory: Memory) -> AsyncIterator[Batch]:
    return reader.read(memory, None)


def _grown(memory: Memory, decoded: Decoded) -> Memory:
    return Memory({**memory.sightings, **decoded.sightings}, json.loads(json.dumps(dict(decoded.state))))


@pytest.mark.parametrize("name", READERS)
def test_its_class_has_what_the_engine_needs(name: str) -> None:
    plugin = reader_class(name)
    assert plugin.name == name
    assert plugin.linking is None
    assert issubclass(plugin.Settings, BaseModel)
    assert plugin.Settings.model_validate({"devices": ["000000"]})
    with pytest.raises(ValidationError):
        plugin.Settings.model_validate({"devices": [], "nonsense": 1})


@pytest.mark.parametrize("name", DEVICES)
async def test_a_plugged_in_device_says_who_it_is(name: str) -> None:
    bench = Bench(name)
    (device,) = await bench.bus.devices()
    (plugin,) = [each for each in device_plugins() if each.name == bench.built.reader]
    (kind,) = [kind for kind in plugin.plugs if kind.fits(device)]
    async with bench.bus.open(device, kind.interface_class) as port:
        who = await plugin.recognise(port, device)
    assert who.model
    assert who.serial in {None, bench.built.serial}
    assert who.health.state is State.OK
    assert (await bench.read_all())[-1].health.state is State.OK


@pytest.mark.parametrize("name", DEVICES)
async def test_a_read_is_its_capture_decoded(name: str) -> None:
    bench = Bench(name)
    before = bench.memory
    for batch in await bench.read_all():
        assert batch.profile == "p1"
        if batch.capture is None or batch.decoded is None:
            assert batch.health.state is State.PUMP_BUSY
            continue
        again = bench.reader().decode(batch.capture, before)
        assert [each.model_dump_json() for each in again.records] == [
            each.model_dump_json() for each in batch.decoded.records
        ]
        before = _grown(before, batch.decoded)


@pytest.mark.parametrize("name", DEVICES)
async def test_reading_again_brings_nothing_new(name: str, tmp_path: Path) -> None:
    bench = Bench(name)
    journal = await open_journal(tmp_path / "journal.db", clock=bench.clock)
    try:
        new = sum([len((await journal.append(batch)).new) for batch in await bench.read_all()])
        assert new > 5
        known = {record.id async for record in journal.records("p1")}
        bench.memory = replace(bench.memory, state={})  # a reader that forgot everything reads everything
        again = [await journal.append(batch) for batch in await bench.read_all()]
        assert sum(each.known for each in again) > 5
        added = [record async for record in journal.records("p1") if record.id not in known]
        assert {record.kind for record in added} <= {"pump_status"}  # what it is in now
    finally:
        await journal.close()


@pytest.mark.parametrize("name", DEVICES)
async def test_nothing_is_read_from_a_device_that_is_not_mine(name: str) -> None:
    bench = Bench(name)
    for batch in await bench.read(bench.reader(["000000"])):
        assert batch.decoded is None
        assert batch.capture is None
        assert batch.health.state in {State.DEVICE_UNBOUND, State.OUT_OF_RANGE, State.WRONG_DEVICE}
    for batch in await bench.read(bench.reader([])):
        assert batch.decoded is None
        assert batch.health.state in {State.DEVICE_UNBOUND, State.NO_DEVICE}


@pytest.mark.parametrize("name", [name for name in DEVICES if not name.isdigit()])
async def test_another_persons_device_is_not_announced(name: str) -> None:
    bench = Bench(name)
    (batch,) = await bench.read(bench.reader([], frozenset({bench.built.serial})))
    assert batch.health.state is State.NO_DEVICE


@pytest.mark.parametrize("name", DEVICES)
async def test_without_a_device_there_is_a_named_state(name: str) -> None:
    bench = Bench(name)
    bench.backend.pull(bench.built.device)
    (batch,) = await bench.read()
    assert (batch.health.state, batch.decoded) == (State.NO_DEVICE, None)
    assert batch.health.text


@pytest.mark.parametrize("name", DEVICES)
async def test_a_device_that_may_not_be_opened_says_so(name: str) -> None:
    bench = Bench(name)
    bench.backend.forbidden = True
    (batch,) = await bench.read()
    assert batch.health.state is State.USB_PERMISSION
    assert "doctor usb" in batch.health.text


@pytest.mark.parametrize("name", DEVICES)
async def test_a_read_passed_on_holds_no_serial_and_the_same_readings(name: str) -> None:
    bench = Bench(name)
    for batch in await bench.read_all():
        if batch.capture is None:
            continue
        shown = redacted(batch.capture)
        assert bench.built.serial not in f"{shown.body!r} {shown.feed} {shown.context}"
        again = bench.reader().decode(shown, Memory())
        first = bench.reader().decode(batch.capture, Memory())
        assert sorted((r.kind, r.time) for r in again.records) == sorted((r.kind, r.time) for r in first.records)


@pytest.mark.parametrize("body", FOREIGN)
@pytest.mark.parametrize("name", READERS)
def test_what_is_not_of_this_family_is_refused_in_one_way(name: str, body: bytes) -> None:
    reader = reader_class(name)(Setup("p1", {}, FakeClock(NOON), Random(1)))
    with pytest.raises(Malformed) as caught:
        reader.decode(Capture("p1", name, reader.file_feed, NOON, body, {"timezone": "Europe/Berlin"}), Memory())
    assert str(caught.value)


async def test_the_page_of_supported_devices_says_what_they_really_give() -> None:
    from tests.contracts import supported

    assert supported.PAGE.read_text("utf-8") == supported.page(await supported.rows())
