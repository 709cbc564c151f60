"""A virtual meter in a virtual socket, and the reader before it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from bridge.contracts import Batch, Decoded, Memory, Setup
from bridge.model import Record
from bridge.model.capture import Capture
from bridge.readers.contour_usb import ContourUsbReader
from bridge.readers.contour_usb.log import written
from bridge.simulators.contour import CONTOUR_NEXT_USB, Kind, Stored, VirtualMeter, carbs, glucose, insulin
from bridge.simulators.usb import VirtualBackend
from bridge.usb import PyUsbBus
from bridge.wire.astm import Frame, build
from tests.support.clock import FakeClock

NOON = datetime(2026, 3, 10, 11, 0, tzinfo=UTC)
"""Noon in Berlin, in winter."""
ZONE = "Europe/Berlin"
SERIAL = "1000001"
H_7410 = r"H|\^&||AbCdEf|Bayer7410^01.10\01.05\10.03^7428-1000001^00000|U=0^V=20600|{count}|||||P|1|{clock}"


def results(count: int = 5) -> list[Stored]:
    """A morning on the meter: blood with marks, LO, HI, control solution, a logbook; then one an hour back."""
    day = datetime(2026, 3, 10)  # noqa: DTZ001 - a meter's wall clock
    morning = [
        glucose(day.replace(hour=7, minute=1), 102, "F"),
        glucose(day.replace(hour=8, minute=30), 700, "A", "Z4"),
        glucose(day.replace(hour=9), 12, "X"),
        glucose(day.replace(hour=9, minute=5), 118, "C"),
        carbs(day.replace(hour=9, minute=10), 45),
        insulin(day.replace(hour=9, minute=11), 8.5),
    ]
    more = [glucose(day - timedelta(hours=hour), 100 + hour % 200) for hour in range(max(0, count - len(morning)))]
    return [*more[::-1], *morning][-count:] if count else []


def meter(clock: FakeClock, kind: Kind = CONTOUR_NEXT_USB, count: int = 6, **settings: Any) -> VirtualMeter:
    """A meter with results."""
    return VirtualMeter(kind, SERIAL, clock.now, results(count), ZONE, **settings)


@dataclass
class Bench:
    """Meters in sockets and one person's reader."""

    meters: list[VirtualMeter]
    clock: FakeClock
    devices: Sequence[str] = (SERIAL,)
    timezone: str | None = ZONE
    bound_elsewhere: frozenset[str] = frozenset()
    memory: Memory = field(default_factory=Memory)
    told: list[tuple[str, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.backend = VirtualBackend(self.meters)
        self.bus = PyUsbBus(backend=self.backend)
        setup = Setup(
            "p1", {"devices": list(self.devices)}, self.clock, Random(1), timezone=self.timezone, usb=self.bus,
            bound_elsewhere=self.bound_elsewhere, progress=lambda *said: self.told.append(said),
        )  # fmt: skip
        self.reader = ContourUsbReader(setup)

    @property
    def meter(self) -> VirtualMeter:
        return self.meters[0]

    async def read(self) -> list[Batch]:
        """One pass, remembered as the journal would; the port is closed after it."""
        batches = [batch async for batch in self.reader.read(self.memory, None)]
        assert self.backend.opened == 0
        for batch in batches:
            if batch.decoded is not None:
                self.memory = grown(self.memory, batch.decoded)
        return batches

    async def one(self) -> Batch:
        """A pass over one meter."""
        (batch,) = await self.read()
        return batch

    def replug(self) -> None:
        """Out and in again."""
        self.backend.pull(self.meter)
        self.meter.replugged()
        self.backend.plug(self.meter)


def grown(memory: Memory, decoded: Decoded) -> Memory:
    """As the journal keeps it: through JSON, first sightings win."""
    return Memory({**decoded.sightings, **memory.sightings}, json.loads(json.dumps(dict(decoded.state))))


def shown(records: Sequence[Record]) -> list[str]:
    return [record.model_dump_json() for record in records]


def frames(*texts: str) -> list[bytes]:
    """A transfer's frames; the last one ends it."""
    return [
        build(Frame(number, text, last=number == len(texts))) for number, text in enumerate(texts, start=1)
    ]  # fmt: skip


def header(count: int | str = "", clock: str = "20260310120000") -> str:
    return H_7410.format(count=count, clock=clock)


def capture(*lines: str, host: datetime | None = NOON, timezone: str | None = ZONE, head: str = "") -> Capture:
    """A capture of a transfer with these result lines."""
    context = {"timezone": timezone, "host_clock": host.isoformat() if host else None}
    body = written(frames(head or header(), "P|1", *lines, "L|1||N"))
    said = {name: value for name, value in context.items() if value}
    return Capture("p1", "contour-usb", "contour:1000001", NOON, body, said)


def decoded(*lines: str, memory: Memory | None = None, **about: Any) -> Decoded:
    """Those lines decoded."""
    return ContourUsbReader(Setup("p1", {}, FakeClock(NOON), Random(1))).decode(
        capture(*lines, **about), memory or Memory()
    )
