"""The USB bus by pyusb: what is plugged in, and one conversation at a time with each device."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from bridge.contracts.ports import UsbDevice, UsbPort
from bridge.errors import DeviceUnreachable, Incompatible
from bridge.usb.port import PyUsbPort, named

_GONE = DeviceUnreachable("The device was unplugged.", state="unplugged", next_step="Plug it in again.")


class PyUsbBus:
    """`backend` None: libusb of this machine. One lock per device keeps conversations apart."""

    def __init__(self, backend: Any = None) -> None:
        self._backend = backend
        self._locks: dict[str, asyncio.Lock] = {}
        self._addresses: dict[str, tuple[int, int]] = {}
        self._scanner = ThreadPoolExecutor(1, "usb-scan")

    async def devices(self) -> Sequence[UsbDevice]:
        """What is plugged in now, by place."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._scanner, self._scan)
        return [self._counted(device, address) for device, address in found]

    def _counted(self, device: UsbDevice, address: int) -> UsbDevice:
        """The address that the host gives changes with every plug-in: count those."""
        last, times = self._addresses.get(device.place, (address, 0))
        times += last != address
        self._addresses[device.place] = address, times
        return replace(device, attached=times)

    def _scan(self) -> list[tuple[UsbDevice, int]]:
        found = [(_described(device), int(device.address)) for device in self._find()]
        return sorted(found, key=lambda each: each[0].place)

    def _find(self) -> list[Any]:
        import usb.core

        try:
            return list(usb.core.find(find_all=True, backend=self._libusb()))
        except usb.core.USBError as error:
            raise named(error) from None

    def _libusb(self) -> Any:
        if self._backend is None:
            self._backend = _system_backend()
        return self._backend

    @asynccontextmanager
    async def open(self, device: UsbDevice, interface_class: int) -> AsyncIterator[UsbPort]:
        """The first interface of that class, claimed; released whatever happens inside."""
        lock = self._locks.setdefault(device.place, asyncio.Lock())
        async with lock:
            thread = ThreadPoolExecutor(1, "usb-port")
            loop = asyncio.get_running_loop()
            try:
                opened = await loop.run_in_executor(thread, self._claim, device, interface_class)
                try:
                    yield opened.port(thread)
                finally:
                    # Shielded: a cancelled read must still give the interface back.
                    await asyncio.shield(loop.run_in_executor(thread, opened.release))
            finally:
                thread.shutdown(wait=False)

    @asynccontextmanager
    async def reserve(self) -> AsyncIterator[None]:
        """Nothing of ours is opened meanwhile: the devices belong to another program."""
        async with AsyncExitStack() as stack:
            for device in await self.devices():
                await stack.enter_async_context(self._locks.setdefault(device.place, asyncio.Lock()))
            yield

    def _claim(self, wanted: UsbDevice, interface_class: int) -> _Opened:
        import usb.core

        device = next((each for each in self._find() if _described(each).place == wanted.place), None)
        if device is None or (device.idVendor, device.idProduct) != (wanted.vendor, wanted.product):
            raise _GONE
        try:
            return _Opened(device, interface_class)
        except usb.core.USBError as error:
            raise named(error) from None


class _Opened:
    """A device with one interface claimed; the kernel's driver is put back at the end."""

    def __init__(self, device: Any, interface_class: int) -> None:
        self._device = device
        interface = next(each for each in _interfaces(device) if each.bInterfaceClass == interface_class)
        self._number = int(interface.bInterfaceNumber)
        self._out, self._in = _endpoints(interface)
        self._detached = self._detach()
        try:
            self._take()
        except Exception:
            self.release()
            raise

    def _detach(self) -> bool:
        try:
            active = bool(self._device.is_kernel_driver_active(self._number))
            if active:
                self._device.detach_kernel_driver(self._number)
        except NotImplementedError:  # macOS and Windows have no such drivers to detach
            return False
        return active

    def _take(self) -> None:
        import usb.util

        usb.util.claim_interface(self._device, self._number)

    def port(self, thread: Executor) -> PyUsbPort:
        """The port of this interface."""
        return PyUsbPort(self._device, self._out, self._in, thread)

    def release(self) -> None:
        """Give the interface back; a device that is gone needs no goodbye."""
        import usb.core
        import usb.util

        try:
            usb.util.release_interface(self._device, self._number)
            if self._detached:
                self._device.attach_kernel_driver(self._number)
        except usb.core.USBError:
            pass
        finally:
            usb.util.dispose_resources(self._device)


def _described(device: Any) -> UsbDevice:
    ports = ".".join(str(number) for number in device.port_numbers or (device.address,))
    classes = tuple(dict.fromkeys(int(each.bInterfaceClass) for each in _interfaces(device)))
    return UsbDevice(f"{device.bus}-{ports}", int(device.idVendor), int(device.idProduct), classes)


def _interfaces(device: Any) -> list[Any]:
    """Interfaces of the first configuration; none when the descriptor cannot be read (hubs in trouble)."""
    import usb.core

    try:
        return [interface for interface in device[0] if interface.bAlternateSetting == 0]
    except (usb.core.USBError, IndexError):
        return []


def _endpoints(interface: Any) -> tuple[int, int]:
    """(OUT, IN) addresses, from the descriptor: they differ between devices of one family."""
    addresses = [int(endpoint.bEndpointAddress) for endpoint in interface]
    outs, ins = [each for each in addresses if not each & 0x80], [each for each in addresses if each & 0x80]
    if not outs or not ins:
        raise Incompatible("The USB device lacks the endpoints that its kind has.", state="incompatible")
    return outs[0], ins[0]


def _system_backend() -> Any:
    """libusb, the shipped one first. Raises Incompatible where there is none or the kernel has no USB."""
    import usb.backend.libusb1

    try:
        import libusb_package

        backend = libusb_package.get_libusb1_backend()
    except ImportError:
        backend = usb.backend.libusb1.get_backend()
    if backend is None:
        raise Incompatible(
            "This machine offers no USB to programs.",
            state="usb_unavailable",
            next_step="Install `glucobridge[usb]`; a container must be given the devices.",
        )
    return backend
