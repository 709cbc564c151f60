"""A pump, its meter on a virtual bus, and a reader beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from bridge.contracts import Batch, Decoded, Memory, Setup
from bridge.model.capture import Capture
from bridge.readers.medtronic_600 import Medtronic600Reader
from bridge.simulators.next_link import NextLink, Pump
from bridge.simulators.patient import VirtualPatient
from bridge.simulators.usb import VirtualBackend
from bridge.usb import PyUsbBus
from tests.support.clock import FakeClock

PUMP, METER, MODEL_SERIAL = "NG1234567H", "BG1234567B", "6213-1234567"


PATIENT = VirtualPatient(3)
"""One for all: a life is the same each time, and making it takes long."""


class Listener(Medtronic600Reader):
    """The reader with a decoder that only remembers: what is read is the matter here, not what it means."""

    def decode(self, capture: Capture, memory: Memory) -> Decoded:
        return Decoded((), state=memory.state)


@dataclass
class World:
    """`pass_` runs one pass and remembers as the engine would."""

    link: NextLink
    clock: FakeClock
    backend: VirtualBackend
    reader: Medtronic600Reader
    memory: Memory = field(default_factory=Memory)

    async def pass_(self) -> list[Batch]:
        found = []
        async for batch in self.reader.read(self.memory, None):
            found.append(batch)
            if batch.decoded is not None:
                sightings = {**self.memory.sightings, **batch.decoded.sightings}
                self.memory = Memory(sightings, batch.decoded.state)
        return found

    async def one(self) -> Batch:
        (batch,) = await self.pass_()
        return batch

    def until_due(self, batch: Batch) -> None:
        self.clock.advance((batch.next_due - self.clock.now()).total_seconds())

    @property
    def pump(self) -> Pump:
        assert self.link.pump is not None
        return self.link.pump

    @property
    def faults(self) -> Any:
        return self.link.faults

    @property
    def kept(self) -> dict[str, Any]:
        kept: dict[str, Any] = dict(self.memory.state["io"]["pumps"][PUMP])
        return kept


def reader_of(
    bus: PyUsbBus, clock: FakeClock, devices: Sequence[str], cls: type[Medtronic600Reader] = Listener, **settings: Any
) -> Medtronic600Reader:
    table = {"devices": list(devices), **settings}
    return cls(Setup("p1", table, clock, Random(1), timezone="Europe/Berlin", usb=bus))


def world(
    *,
    devices: Sequence[str] = (PUMP,),
    cls: type[Medtronic600Reader] = Listener,
    patient: VirtualPatient | None = None,
    settings: dict[str, Any] | None = None,
    **pump: Any,
) -> World:
    clock = FakeClock()
    link = NextLink(Pump(clock.now, patient, **pump))
    backend = VirtualBackend([link])
    bus = PyUsbBus(backend=backend)
    return World(link, clock, backend, reader_of(bus, clock, devices, cls, **(settings or {})))
