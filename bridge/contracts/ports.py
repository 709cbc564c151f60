"""The USB seam: what is plugged in, and bytes in and out of one claimed interface."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from bridge.model.health import Health


@dataclass(frozen=True, slots=True)
class UsbKind:
    """What a family plugs in as. `product` None: any product of that vendor with such an interface.

    `interface_class` is the USB class code of the wanted interface (3 HID, 255 vendor).
    """

    vendor: int
    product: int | None
    interface_class: int

    def fits(self, device: UsbDevice) -> bool:
        """Whether the device is of this kind."""
        return (
            device.vendor == self.vendor
            and self.product in (None, device.product)
            and self.interface_class in device.interface_classes
        )


@dataclass(frozen=True, slots=True)
class UsbDevice:
    """A device on the bus. `place` (`bus-port.port`) stays the same while it stays in its socket.

    `attached` counts plug-ins at that place, so that a re-plugged device is another one.
    """

    place: str
    vendor: int
    product: int
    interface_classes: tuple[int, ...]
    attached: int = 0


class UsbPort(Protocol):
    """One claimed interface; opened and closed by `UsbBus.open`, which nothing else may share meanwhile.

    Errors: DeviceUnreachable (state `unplugged`) when the device went away, Transient (state `usb_stalled`)
    for an endpoint that stays halted.
    """

    async def write(self, data: bytes, timeout_s: float) -> None:
        """Send one transfer. Raises Transient when the device does not take it in time."""
        ...

    async def read(self, size: int, timeout_s: float) -> bytes:
        """At most `size` bytes of one transfer; empty when nothing came in time."""
        ...


class UsbBus(Protocol):
    """All that is plugged in."""

    async def devices(self) -> Sequence[UsbDevice]:
        """What is there now, in the order of `place`. Raises Incompatible (`usb_unavailable`) without USB."""
        ...

    def open(self, device: UsbDevice, interface_class: int) -> AbstractAsyncContextManager[UsbPort]:
        """The first interface of that class, claimed, released at the end whatever happened.

        Waits for another conversation with the same device to end. Raises Forbidden (`usb_permission`),
        Transient (`usb_busy`: another program holds it), DeviceUnreachable (`unplugged`).
        """
        ...

    def reserve(self) -> AbstractAsyncContextManager[None]:
        """Nothing of ours is opened meanwhile: the devices belong to another program (the vendor's uploader)."""
        ...


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a plugged-in device says it is: shown by name, bound by serial.

    `serial` is None for a device that only relays (the stick: the pump behind it has the serial).
    """

    family: str
    model: str
    serial: str | None
    health: Health


class DevicePlugIn(Protocol):
    """What the class of a reader of plugged-in devices has beside a plug-in's attributes."""

    name: str

    @property
    def plugs(self) -> Sequence[UsbKind]:
        """What it plugs in as."""
        ...

    async def recognise(self, port: UsbPort, device: UsbDevice) -> Recognised:
        """Ask the device who it is, read-only, within ten seconds; leaves it ready for a read."""
        ...
