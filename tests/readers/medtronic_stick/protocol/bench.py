"""A virtual stick with one pump on pyusb's seam, and the reader over it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from bridge.contracts import Batch, Decoded, Memory, Setup
from bridge.model.capture import Capture
from bridge.readers.medtronic_stick import MedtronicStickReader
from bridge.readers.medtronic_stick.frames import sound_isig_page, sound_page
from bridge.readers.medtronic_stick.pump import Pump
from bridge.readers.medtronic_stick.stick import Stick
from bridge.simulators.stick import PumpMemory, VirtualPump, VirtualStick
from bridge.simulators.usb import VirtualBackend
from bridge.usb import PyUsbBus
from bridge.wire.crc import crc16
from tests.support.clock import FakeClock

SERIAL = "123456"
_STATUS = bytes([3, 0, 0])
SINGLES = (0x72, 0x73, 0x74, 0x75, 0x79, 0x87, 0x88, 0x89, 0x8A, 0x8B, 0x98, 0x9C, 0x9F, 0xC0)


def page(number: int, size: int = 1024) -> bytes:
    """A sound page whose bytes tell its number; ISIG pages have 2048 bytes."""
    filler = Random(f"{size}-{number}").randbytes(size)
    if size == 1024:
        return filler[:1022] + crc16(filler[:1022]).to_bytes(2, "big")
    check = crc16(filler[:2044])
    return filler[:2044] + bytes([check >> 8, 0, check & 0xFF, 0])


def filled(pages: int = 3, glucose: int = 2, newest: int = 40) -> PumpMemory:
    """A memory of so many pages. History pages are named by their running number."""
    answers = {opcode: bytes([opcode]) * 20 for opcode in SINGLES} | {0xCE: _STATUS}
    answers |= {opcode: bytes([opcode]) * 192 for opcode in (0x92, 0x93, 0x94)}
    numbers = range(newest - glucose + 1, newest + 1)
    return PumpMemory(
        answers,
        [page(number) for number in reversed(range(pages))],
        glucose={number: page(number + 1000) for number in numbers},
        isig={number: page(number, 2048) for number in numbers},
    )


class Bare(MedtronicStickReader):
    """The reader with a decoder that only looks whether all pages are sound."""

    def decode(self, capture: Capture, memory: Memory) -> Decoded:
        told = json.loads(capture.body)
        for kind, sound in (("history", sound_page), ("glucose", sound_page), ("isig", sound_isig_page)):
            assert all(sound(bytes.fromhex(each)) for each in told[kind].values())
        return Decoded([], state={"decoder": len(told["history"])})


class SlowStick(VirtualStick):
    """Takes time: 25 ms a transfer (a page needs 1.6 s, as a real one does), its time-out for a read in vain."""

    def __init__(self, pump: VirtualPump, clock: FakeClock) -> None:
        super().__init__([pump])
        self._clock = clock

    def write(self, endpoint: int, data: bytes) -> None:
        self._clock.advance(0.025)
        super().write(endpoint, data)

    def read(self, endpoint: int, size: int, timeout_s: float) -> bytes | None:
        reply = super().read(endpoint, size, timeout_s)
        self._clock.advance(0.025 if reply is not None else timeout_s)
        return reply


@dataclass
class Bench:
    """`memory` is what the journal would give back at the next pass."""

    pump: VirtualPump
    clock: FakeClock
    settings: dict[str, Any] = field(default_factory=lambda: {"devices": [SERIAL]})
    memory: Memory = field(default_factory=Memory)
    slow: bool = False

    def __post_init__(self) -> None:
        self.stick = SlowStick(self.pump, self.clock) if self.slow else VirtualStick([self.pump])
        self.backend = VirtualBackend([self.stick])
        self.bus = PyUsbBus(backend=self.backend)
        self.reader = self.restarted()

    def restarted(self) -> Bare:
        """The reader of a new process."""
        self.reader = Bare(Setup("p1", self.settings, self.clock, Random(1), timezone="Europe/Berlin", usb=self.bus))
        return self.reader

    async def sync(self) -> list[Batch]:
        """One pass; what it decoded is remembered."""
        batches = [batch async for batch in self.reader.read(self.memory, None)]
        for batch in batches:
            if batch.decoded is not None:
                self.memory = Memory({}, batch.decoded.state)
        assert self.backend.opened == 0, "the port was not given back"
        return batches

    async def next_sync(self, minutes: float = 30) -> list[Batch]:
        """The pass after so many minutes."""
        self.clock.advance(minutes * 60)
        return await self.sync()

    def replug(self) -> None:
        """Put the stick back into its socket."""
        self.stick.unplug_after = None
        self.backend.pull(self.stick)
        self.backend.plug(self.stick)

    async def with_stick(self, doing: Callable[[Stick], Awaitable[object]]) -> None:
        """A conversation below the reader."""
        device = (await self.bus.devices())[0]
        async with self.bus.open(device, 0xFF) as port:
            await doing(Stick(port, self.clock))

    async def with_pump(self, doing: Callable[[Pump], Awaitable[object]], serial: str = SERIAL) -> None:
        """A conversation with the pump, the stick being open."""

        async def opened(stick: Stick) -> None:
            await stick.open()
            await doing(Pump(stick, serial, self.clock, self.clock.monotonic() + 10_000))

        await self.with_stick(opened)


def bench(memory: PumpMemory | None = None, model: str = "523", *, slow: bool = False, **settings: Any) -> Bench:
    """A bench whose pump's clock is an hour ahead of UTC."""
    clock = FakeClock()

    def wall() -> datetime:
        return (clock.now() + timedelta(hours=1)).replace(tzinfo=None)

    pump = VirtualPump(SERIAL, model, memory if memory is not None else filled(), wall)
    return Bench(pump, clock, {"devices": [SERIAL], **settings}, slow=slow)


def told(batch: Batch) -> dict[str, Any]:
    """The body of a batch's capture."""
    assert batch.capture is not None
    said: dict[str, Any] = json.loads(batch.capture.body)
    return said


def pages_of(batch: Batch, kind: str) -> dict[int, bytes]:
    """Its pages of one kind by number."""
    return {int(number): bytes.fromhex(text) for number, text in told(batch)[kind].items()}
