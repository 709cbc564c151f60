"""One claimed interface: transfers in a thread of its own, errors as named states."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

from bridge.errors import BridgeError, DeviceUnreachable, Forbidden, Transient

T = TypeVar("T")

_REPLUG = "Unplug the device, wait five seconds and plug it in again."


class PyUsbPort:
    """An IN and an OUT endpoint of one interface. Calls of one port never overlap."""

    def __init__(self, device: Any, out_address: int, in_address: int, thread: Executor) -> None:
        self._device = device
        self._out, self._in = out_address, in_address
        self._thread = thread

    async def write(self, data: bytes, timeout_s: float) -> None:
        """One OUT transfer."""
        await self._call(lambda: self._write(data, timeout_s))

    async def read(self, size: int, timeout_s: float) -> bytes:
        """One IN transfer; empty when nothing came in time."""
        return await self._call(lambda: self._read(size, timeout_s))

    def _write(self, data: bytes, timeout_s: float) -> None:
        self._mended(lambda: self._device.write(self._out, data, _ms(timeout_s)))

    def _read(self, size: int, timeout_s: float) -> bytes:
        from usb.core import USBTimeoutError

        try:
            return bytes(self._mended(lambda: self._device.read(self._in, size, _ms(timeout_s))))
        except USBTimeoutError:
            return b""

    def _mended(self, transfer: Callable[[], T]) -> T:
        """The transfer; a halted endpoint is cleared and tried once more."""
        from usb.core import USBError

        try:
            return transfer()
        except USBError as error:
            if error.errno != errno.EPIPE:
                raise
        for address in (self._out, self._in):
            self._device.clear_halt(address)
        return transfer()

    async def _call(self, transfer: Callable[[], T]) -> T:
        from usb.core import USBError

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, transfer)
        except USBError as error:
            raise named(error) from None


def named(error: Any) -> BridgeError:
    """What pyusb raised as one of our errors, by errno."""
    match error.errno:
        case errno.ENODEV | errno.ENOENT | errno.EIO:
            return DeviceUnreachable("The device was unplugged.", state="unplugged", next_step="Plug it in again.")
        case errno.EACCES | errno.EPERM:
            return Forbidden(
                "This user may not open the USB device.",
                state="usb_permission",
                next_step="Run `glucobridge doctor usb`: it prints the rule that allows it.",
            )
        case errno.EBUSY:
            return Transient(
                "Another program holds the USB device.",
                state="usb_busy",
                next_step="Close the vendor's uploader, a virtual machine or another bridge that uses it.",
            )
        case errno.ETIMEDOUT:
            return Transient("The USB device did not take the data in time.", state="usb_stalled", next_step=_REPLUG)
    return Transient(f"The USB device failed ({error.strerror}).", state="usb_stalled", next_step=_REPLUG)


def _ms(seconds: float) -> int:
    """0 means for ever to libusb: a transfer always has a deadline."""
    return max(1, round(seconds * 1000))
