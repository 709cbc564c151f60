"""pyusb's backend seam over virtual devices: enumerate, claim, transfer, pull the plug."""

from __future__ import annotations

import errno
import threading
from array import array
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import usb.backend
from usb.core import USBError, USBTimeoutError

from bridge.simulators.usb.device import Descriptor, Endpoint, Unplugged, VirtualDevice


class _Plugged:
    """One device in its socket: who holds which interface."""

    def __init__(self, device: VirtualDevice, address: int, socket: int) -> None:
        self.device = device
        self.address, self.socket = address, socket
        self.gone = False
        self.claimed: set[int] = set()
        self.drivers = {number for number, each in enumerate(device.descriptor.interfaces) if each.driver}

    @property
    def descriptor(self) -> Descriptor:
        return self.device.descriptor


class VirtualBackend(usb.backend.IBackend):  # type: ignore[misc]
    """A bus with these devices plugged in. `plug` and `pull` move them; `forbidden` denies opening (no udev rule)."""

    def __init__(self, devices: Iterable[VirtualDevice] = ()) -> None:
        self._lock = threading.RLock()
        self._plugged: list[_Plugged] = []
        self._next_address = 1
        self.forbidden = False
        self.opened = 0
        """Handles open now: 0 after every finished conversation."""
        for device in devices:
            self.plug(device)

    def plug(self, device: VirtualDevice) -> None:
        """Put a device into the next free socket."""
        with self._lock:
            taken = {each.socket for each in self._plugged}
            socket = next(number for number in range(1, 128) if number not in taken)
            self._plugged.append(_Plugged(device, self._next_address, socket))
            self._next_address += 1

    def pull(self, device: VirtualDevice) -> None:
        """Take it out, also in the middle of a transfer."""
        with self._lock:
            for each in self._plugged:
                each.gone = each.gone or each.device is device
            self._plugged = [each for each in self._plugged if not each.gone]

    # --- what pyusb asks -----------------------------------------------------------------------------

    def enumerate_devices(self) -> Iterator[_Plugged]:
        with self._lock:
            return iter(list(self._plugged))

    def get_device_descriptor(self, dev: _Plugged) -> Any:
        return SimpleNamespace(
            bLength=18, bDescriptorType=1, bcdUSB=0x0200, bDeviceClass=0, bDeviceSubClass=0, bDeviceProtocol=0,
            bMaxPacketSize0=64, idVendor=dev.descriptor.vendor, idProduct=dev.descriptor.product, bcdDevice=0x0100,
            iManufacturer=0, iProduct=2 if dev.descriptor.product_name else 0,
            iSerialNumber=3 if dev.descriptor.serial else 0, bNumConfigurations=1, address=dev.address, bus=1,
            port_number=dev.socket, port_numbers=(dev.socket,), speed=2,
        )  # fmt: skip

    def get_configuration_descriptor(self, dev: _Plugged, config: int) -> Any:
        if config:
            raise IndexError(config)
        return SimpleNamespace(
            bLength=9, bDescriptorType=2, wTotalLength=9, bNumInterfaces=len(dev.descriptor.interfaces),
            bConfigurationValue=1, iConfiguration=0, bmAttributes=0x80, bMaxPower=50, extra_descriptors=[],
        )  # fmt: skip

    def get_interface_descriptor(self, dev: _Plugged, intf: int, alt: int, config: int) -> Any:
        if alt or config:
            raise IndexError(alt)
        found = dev.descriptor.interfaces[intf]
        return SimpleNamespace(
            bLength=9, bDescriptorType=4, bInterfaceNumber=intf, bAlternateSetting=0,
            bNumEndpoints=len(found.endpoints), bInterfaceClass=found.usb_class, bInterfaceSubClass=0,
            bInterfaceProtocol=0, iInterface=0, extra_descriptors=[],
        )  # fmt: skip

    def get_endpoint_descriptor(self, dev: _Plugged, ep: int, intf: int, alt: int, config: int) -> Any:
        found = dev.descriptor.interfaces[intf].endpoints[ep]
        return SimpleNamespace(
            bLength=7, bDescriptorType=5, bEndpointAddress=found.address, bmAttributes=3 if found.interrupt else 2,
            wMaxPacketSize=found.packet, bInterval=1, bRefresh=0, bSynchAddress=0, extra_descriptors=[],
        )  # fmt: skip

    def open_device(self, dev: _Plugged) -> _Plugged:
        self._there(dev)
        if self.forbidden:
            raise USBError("Access denied (insufficient permissions)", -3, errno.EACCES)
        self.opened += 1
        return dev

    def close_device(self, dev_handle: _Plugged) -> None:
        self.opened -= 1
        dev_handle.device.released()

    def set_configuration(self, dev_handle: _Plugged, config_value: int) -> None:
        self._there(dev_handle)

    def get_configuration(self, dev_handle: _Plugged) -> int:
        self._there(dev_handle)
        return 1

    def claim_interface(self, dev_handle: _Plugged, intf: int) -> None:
        self._there(dev_handle)
        if intf in dev_handle.drivers or intf in dev_handle.claimed:
            raise USBError("Resource busy", -6, errno.EBUSY)
        dev_handle.claimed.add(intf)

    def release_interface(self, dev_handle: _Plugged, intf: int) -> None:
        dev_handle.claimed.discard(intf)

    def is_kernel_driver_active(self, dev_handle: _Plugged, intf: int) -> bool:
        self._there(dev_handle)
        return intf in dev_handle.drivers

    def detach_kernel_driver(self, dev_handle: _Plugged, intf: int) -> None:
        self._there(dev_handle)
        dev_handle.drivers.discard(intf)

    def attach_kernel_driver(self, dev_handle: _Plugged, intf: int) -> None:
        self._there(dev_handle)
        dev_handle.drivers.add(intf)

    def clear_halt(self, dev_handle: _Plugged, ep: int) -> None:
        self._there(dev_handle)

    def reset_device(self, dev_handle: _Plugged) -> None:
        self._there(dev_handle)

    def intr_write(self, dev_handle: _Plugged, ep: int, intf: int, data: array[int], timeout: int) -> int:
        return self._write(dev_handle, ep, intf, data, interrupt=True)

    def bulk_write(self, dev_handle: _Plugged, ep: int, intf: int, data: array[int], timeout: int) -> int:
        return self._write(dev_handle, ep, intf, data, interrupt=False)

    def intr_read(self, dev_handle: _Plugged, ep: int, intf: int, buff: array[int], timeout: int) -> int:
        return self._read(dev_handle, ep, intf, buff, timeout, interrupt=True)

    def bulk_read(self, dev_handle: _Plugged, ep: int, intf: int, buff: array[int], timeout: int) -> int:
        return self._read(dev_handle, ep, intf, buff, timeout, interrupt=False)

    def ctrl_transfer(
        self,
        dev_handle: _Plugged,
        bmRequestType: int,  # noqa: N803
        bRequest: int,  # noqa: N803
        wValue: int,  # noqa: N803
        wIndex: int,  # noqa: N803
        data: array[int],
        timeout: int,
    ) -> int:
        """String descriptors only, as a host reads them for a name."""
        self._there(dev_handle)
        if bRequest != 6 or wValue >> 8 != 3:
            raise USBError("Pipe error", -9, errno.EPIPE)
        text = {2: dev_handle.descriptor.product_name, 3: dev_handle.descriptor.serial}.get(wValue & 0xFF, "")
        body = (0x0409).to_bytes(2, "little") if wValue & 0xFF == 0 else text.encode("utf-16-le")
        answer = bytes([len(body) + 2, 3]) + body
        taken = answer[: len(data)]
        data[: len(taken)] = array("B", taken)
        return len(taken)

    def _write(self, dev: _Plugged, endpoint: int, intf: int, data: array[int], *, interrupt: bool) -> int:
        self._usable(dev, endpoint, intf, interrupt=interrupt)
        try:
            dev.device.write(endpoint, data.tobytes())
        except Unplugged:
            self.pull(dev.device)
            self._there(dev)
        return len(data)

    def _read(
        self, dev: _Plugged, endpoint: int, intf: int, buff: array[int], timeout: int, *, interrupt: bool
    ) -> int:
        self._usable(dev, endpoint, intf, interrupt=interrupt)
        try:
            data = dev.device.read(endpoint, len(buff), timeout / 1000)
        except Unplugged:
            self.pull(dev.device)
            self._there(dev)
            return 0
        if data is None:
            raise USBTimeoutError("Operation timed out", -7, errno.ETIMEDOUT)
        buff[: len(data)] = array("B", data)
        return len(data)

    def _usable(self, dev: _Plugged, endpoint: int, intf: int, *, interrupt: bool) -> None:
        self._there(dev)
        if intf not in dev.claimed:
            raise USBError("Resource busy", -6, errno.EBUSY)
        known: dict[int, Endpoint] = {each.address: each for each in dev.descriptor.interfaces[intf].endpoints}
        if endpoint not in known or known[endpoint].interrupt != interrupt:
            raise USBError("Entity not found", -5, errno.ENOENT)

    def _there(self, dev: _Plugged) -> None:
        if dev.gone:
            raise USBError("No such device (it may have been disconnected)", -4, errno.ENODEV)
