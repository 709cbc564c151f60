"""Hot-plug: what is plugged in is recognised, announced, and read only for the person it is bound to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

import bridge.engine.bindings
from bridge.contracts import Recognised, UsbDevice, UsbKind, UsbPort
from bridge.engine.bindings import Bindings
from bridge.engine.plugging import BETWEEN_READS_S, Plugging, recognised
from bridge.errors import SettingsInvalid, Transient
from bridge.model.health import Health, State
from bridge.readers.contour_usb.reader import ContourUsbSettings
from bridge.settings import Settings
from bridge.simulators.usb import VirtualBackend
from bridge.usb import PyUsbBus
from tests.support.clock import FakeClock
from tests.usb.devices import HID, Echo


class Meter:
    """A family that says who it is when written to."""

    name = "meter-usb"
    Settings = ContourUsbSettings
    plugs: ClassVar[Sequence[UsbKind]] = (UsbKind(0x1A79, 0x7410, HID),)
    serial: ClassVar[str | None] = "7410-0000001"

    @classmethod
    async def recognise(cls, port: UsbPort, device: UsbDevice) -> Recognised:
        await port.write(b"X".ljust(64, b"\0"), 1)
        if not await port.read(64, 1):
            raise Transient("The meter says nothing.", state="unreachable")
        return Recognised(cls.name, "Test Meter", cls.serial, Health())


def settings(**devices: list[str]) -> Settings:
    people = {p: {"readers": {"meter-usb": {"devices": serials}}} for p, serials in devices.items()}
    return Settings.model_validate({"profiles": people})


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge.engine.bindings, "reader_class", lambda name: Meter)
    monkeypatch.setattr(Meter, "serial", "7410-0000001")


def test_a_serial_belongs_to_one_person() -> None:
    bindings = Bindings(settings(child=["7410-0000001"], father=["7410-0000002"]))
    assert bindings.owner("7410-0000001") == "child"
    assert bindings.of_others("child") == {"7410-0000002"}
    assert bindings.wakes("meter-usb", "7410-0000002") == {"father"}
    assert bindings.wakes("meter-usb", "7410-0000009") == set()
    assert bindings.wakes("meter-usb", None) == {"child", "father"}
    assert bindings.wakes("other", "7410-0000001") == set()


def test_the_same_serial_under_two_people_is_refused() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        Bindings(settings(child=["7410-0000001"], father=["7410-0000001"]))
    assert "7410-0000001" not in str(caught.value)
    assert "child" in str(caught.value)
    assert "father" in str(caught.value)


class Run:
    """A plugging that follows a virtual bus until the test ends it."""

    def __init__(self, bound: Settings, *devices: Echo) -> None:
        self.clock = FakeClock()
        self.backend = VirtualBackend(devices)
        self.woken: list[tuple[str, str]] = []
        self.plugging = Plugging(
            PyUsbBus(self.backend), lambda: [Meter], Bindings(bound), self.clock, lambda *who: self.woken.append(who)
        )

    async def until(self, done: Any) -> None:
        for _ in range(400):
            if done():
                return
            await asyncio.sleep(0.005)
        raise AssertionError("nothing happened")

    async def __aenter__(self) -> Run:
        self._task = asyncio.ensure_future(self.plugging.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})


@pytest.fixture(autouse=True)
def no_kernel_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.usb.watch._monitor", lambda: None)


async def test_a_bound_device_plugged_in_later_wakes_its_reader() -> None:
    meter = Echo()
    async with Run(settings(child=["7410-0000001"], father=["7410-0000002"])) as run:
        await asyncio.sleep(0.02)
        run.backend.plug(meter)
        await run.until(lambda: run.woken)
        assert run.woken == [("child", "meter-usb")]
        assert run.plugging.present[0].who.model == "Test Meter"


async def test_what_is_there_at_the_start_wakes_nobody() -> None:
    async with Run(settings(child=["7410-0000001"]), Echo()) as run:
        await run.until(lambda: run.plugging.present)
        assert run.woken == []


async def test_an_unbound_device_is_announced_and_wakes_nobody() -> None:
    async with Run(settings(child=["7410-0000009"])) as run:
        await asyncio.sleep(0.02)
        run.backend.plug(Echo())
        await run.until(lambda: run.plugging.present)
        assert run.woken == []


async def test_a_device_without_serial_wakes_everybody_who_reads_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Meter, "serial", None)
    async with Run(settings(child=["111111"], father=["222222"])) as run:
        await asyncio.sleep(0.02)
        run.backend.plug(Echo())
        await run.until(lambda: len(run.woken) == 2)
        assert set(run.woken) == {("child", "meter-usb"), ("father", "meter-usb")}


async def test_a_loose_plug_starts_one_read_in_a_quarter_of_an_hour() -> None:
    run = Run(settings(child=["7410-0000001"]))
    (found,) = await PyUsbBus(VirtualBackend([Echo()])).devices()
    for _ in range(3):
        await run.plugging._came(found, at_start=False)  # the bus lost it meanwhile: nothing answers
    assert run.woken == []
    meter = Echo()
    run.backend.plug(meter)
    (there,) = await PyUsbBus(run.backend).devices()
    await run.plugging._came(there, at_start=False)
    await run.plugging._came(there, at_start=False)
    run.clock.advance(BETWEEN_READS_S + 1)
    await run.plugging._came(there, at_start=False)
    assert run.woken == [("child", "meter-usb")] * 2


async def test_a_device_that_says_nothing_is_shown_with_what_it_needs() -> None:
    silent = Echo()
    silent.read = lambda endpoint, size, timeout_s: None  # type: ignore[method-assign]
    bus = PyUsbBus(VirtualBackend([silent]))
    (found,) = await bus.devices()
    (plugged,) = await recognised(bus, [Meter], found)
    assert plugged.who.health.state is State.UNREACHABLE
    assert plugged.who.serial is None


async def test_another_product_is_not_asked() -> None:
    bus = PyUsbBus(VirtualBackend([Echo(0x6210)]))
    (found,) = await bus.devices()
    assert await recognised(bus, [Meter], found) == []
