"""A session between a reader and a virtual device, with every transfer noted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bridge.simulators.patient import VirtualPatient
from bridge.simulators.usb import Descriptor, VirtualBackend, VirtualDevice
from bridge.simulators.usb.catalogue import made
from bridge.usb import PyUsbBus
from tests.support.clock import FakeClock
from tests.usb.replayed import START, passed

IN = 0x80


@dataclass(frozen=True, slots=True)
class Transfer:
    """`size`: the host's buffer. `data`: what moved; None when nothing came before the host gave up."""

    endpoint: int
    size: int
    data: bytes | None


class Recorder:
    """Stands before a virtual device and notes what moves."""

    def __init__(self, device: VirtualDevice) -> None:
        self._device = device
        self.descriptor = device.descriptor
        self.transfers: list[Transfer] = []

    def write(self, endpoint: int, data: bytes) -> None:
        self.transfers.append(Transfer(endpoint, len(data), data))
        self._device.write(endpoint, data)

    def read(self, endpoint: int, size: int, timeout_s: float) -> bytes | None:
        data = self._device.read(endpoint, size, timeout_s)
        self.transfers.append(Transfer(endpoint, size, data))
        return data

    def released(self) -> None:
        self._device.released()


@dataclass(frozen=True, slots=True)
class Recording:
    """What went over the wire, and what the reader made of it."""

    descriptor: Descriptor
    reader: str
    settings: dict[str, Any]
    transfers: list[Transfer]
    batches: list[dict[str, Any]]


async def recorded(name: str, settings: Mapping[str, Any] = MappingProxyType({})) -> Recording:
    """One pass over the virtual device of that name; `settings` of the reader beside the device's serial."""
    clock = FakeClock(START)
    built = made(name, VirtualPatient(1), clock.now)
    recorder = Recorder(built.device)
    bound = {"devices": [built.serial], **settings}
    batches = await passed(PyUsbBus(VirtualBackend([recorder])), built.reader, bound, clock)
    return Recording(recorder.descriptor, built.reader, bound, recorder.transfers, batches)
