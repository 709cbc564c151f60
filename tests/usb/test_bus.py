"""The bus and its ports over pyusb's own seam."""

from __future__ import annotations

import asyncio
import errno
from typing import Any

import pytest
import usb.core

from bridge.contracts import UsbKind
from bridge.errors import BridgeError, DeviceUnreachable, Forbidden, Transient
from bridge.simulators.usb import VirtualBackend
from bridge.usb import PyUsbBus
from bridge.usb.port import named
from tests.usb.devices import HID, STORAGE, Echo


async def test_what_is_plugged_in_is_listed_with_its_interfaces() -> None:
    backend = VirtualBackend([Echo(0x7410), Echo(0x6210)])
    first, second = await PyUsbBus(backend).devices()
    assert (first.vendor, first.product, first.interface_classes) == (0x1A79, 0x7410, (HID, STORAGE))
    assert first.place != second.place
    assert UsbKind(0x1A79, None, HID).fits(first)
    assert UsbKind(0x1A79, 0x6210, HID).fits(second)
    assert not UsbKind(0x1A79, 0x6210, HID).fits(first)
    assert not UsbKind(0x0A21, None, HID).fits(first)
    assert not UsbKind(0x1A79, None, 255).fits(first)


async def test_bytes_go_out_and_come_in_and_silence_is_empty() -> None:
    device = Echo()
    backend = VirtualBackend([device])
    bus = PyUsbBus(backend)
    (found,) = await bus.devices()
    async with bus.open(found, HID) as port:
        await port.write(b"x" * 64, 1)
        assert await port.read(64, 1) == b"x" * 64
        assert await port.read(64, 0.01) == b""
    assert backend.opened == 0
    assert device.releases == 1


async def test_the_kernels_driver_is_put_back_and_others_are_left_alone() -> None:
    backend = VirtualBackend([Echo()])
    bus = PyUsbBus(backend)
    (found,) = await bus.devices()
    plugged = next(iter(backend.enumerate_devices()))
    async with bus.open(found, HID):
        assert plugged.drivers == {1}
        assert plugged.claimed == {0}
    assert plugged.drivers == {0, 1}
    assert plugged.claimed == set()


async def test_an_unplugged_device_is_named_and_the_port_released() -> None:
    backend = VirtualBackend([Echo(unplug_after=1)])
    bus = PyUsbBus(backend)
    (found,) = await bus.devices()
    async with bus.open(found, HID) as port:
        await port.write(b"x" * 64, 1)
        with pytest.raises(DeviceUnreachable) as caught:
            await port.read(64, 1)
    assert caught.value.state == "unplugged"
    assert backend.opened == 0
    assert await bus.devices() == []
    with pytest.raises(DeviceUnreachable):
        async with bus.open(found, HID):
            pass


async def test_a_device_that_may_not_be_opened_or_is_held_by_another_says_so() -> None:
    backend = VirtualBackend([Echo()])
    bus = PyUsbBus(backend)
    (found,) = await bus.devices()
    backend.forbidden = True
    with pytest.raises(Forbidden) as caught:
        async with bus.open(found, HID):
            pass
    assert caught.value.state == "usb_permission"
    backend.forbidden = False
    plugged = next(iter(backend.enumerate_devices()))
    plugged.claimed.add(0)
    with pytest.raises(Transient) as held:
        async with bus.open(found, HID):
            pass
    assert held.value.state == "usb_busy"
    assert backend.opened == 0


async def test_one_conversation_at_a_time() -> None:
    bus = PyUsbBus(VirtualBackend([Echo()]))
    (found,) = await bus.devices()
    open_now = most = 0

    async def talk() -> None:
        nonlocal open_now, most
        async with bus.open(found, HID) as port:
            open_now += 1
            most = max(most, open_now)
            await port.write(b"x" * 64, 1)
            await port.read(64, 1)
            open_now -= 1

    await asyncio.gather(*(talk() for _ in range(5)))
    assert most == 1


async def test_a_cancelled_conversation_releases_the_port() -> None:
    backend = VirtualBackend([Echo()])
    bus = PyUsbBus(backend)
    (found,) = await bus.devices()
    inside = asyncio.Event()

    async def talk() -> None:
        async with bus.open(found, HID):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(talk())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert backend.opened == 0


async def test_a_halted_endpoint_is_cleared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Echo()
    backend, cleared = VirtualBackend([device]), []
    bus = PyUsbBus(backend)
    (found,) = await bus.devices()
    halted = [True]
    write = backend.intr_write

    def once(*arguments: Any) -> int:
        if halted.pop() if halted else False:
            raise usb.core.USBError("Pipe error", -9, errno.EPIPE)
        return write(*arguments)

    monkeypatch.setattr(backend, "intr_write", once)
    monkeypatch.setattr(backend, "clear_halt", lambda dev, ep: cleared.append(ep))
    async with bus.open(found, HID) as port:
        await port.write(b"x" * 64, 1)
    assert cleared == [0x04, 0x83]
    assert device.waiting == [b"x" * 64]


async def test_a_device_plugged_in_again_is_another_one_at_the_same_place() -> None:
    device = Echo()
    backend = VirtualBackend([device])
    bus = PyUsbBus(backend)
    (before,) = await bus.devices()
    backend.pull(device)
    await bus.devices()
    backend.plug(device)
    (after,) = await bus.devices()
    assert after.place == before.place
    assert after != before


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (errno.ENODEV, "unplugged"), (errno.EIO, "unplugged"), (errno.EACCES, "usb_permission"),
        (errno.EBUSY, "usb_busy"), (errno.ETIMEDOUT, "usb_stalled"), (errno.EPIPE, "usb_stalled"),
        (None, "usb_stalled"),
    ],
)  # fmt: skip
def test_every_failure_has_a_name_and_a_next_step(number: int | None, state: str) -> None:
    error = named(usb.core.USBError("something", None, number))
    assert isinstance(error, BridgeError)
    assert error.state == state
    assert error.next_step
