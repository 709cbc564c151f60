"""A reader, its radio, its memory, and meters around it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

from bridge.contracts import Batch, Memory, Setup
from bridge.demo.air import virtual_radio
from bridge.model.records import Record
from bridge.readers.ble_glucose import BleGlucoseReader
from bridge.simulators.ble import Air, Model, Security, VirtualMeter
from tests.support.clock import FakeClock

ADDRESS, OTHER = "C0:00:00:00:00:01", "C0:00:00:00:00:02"
SERIAL = "0000001"


class Room:
    """`memory` is what the journal would give back."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.air = Air()
        self.radio = virtual_radio(self.air)
        self.memory = Memory()
        self.progress: list[tuple[str, int, int]] = []

    def shows(self, wrong: timedelta = timedelta()) -> datetime:
        """Wall clock in UTC, and so many hours wrong."""
        return (self.clock.now() + wrong).replace(tzinfo=None)

    def meter(
        self,
        *,
        address: str = ADDRESS,
        wrong: timedelta = timedelta(),
        security: Security = Security.OPEN,
        passkey: int = 0,
        **model: Any,
    ) -> VirtualMeter:
        """A meter that is still off."""
        return VirtualMeter(
            self.air, address, lambda: self.shows(wrong), Model(**model), security=security, passkey=passkey
        )

    def reader(self, *devices: str, timezone: str | None = "UTC", elsewhere: Sequence[str] = ()) -> BleGlucoseReader:
        """A reader of these meters, by default the one."""
        settings = {"devices": list(devices or (SERIAL,)), "scan_s": 0.15}
        setup = Setup(
            "p1", settings, self.clock, Random(1), timezone=timezone, bound_elsewhere=frozenset(elsewhere),
            progress=lambda what, done, total: self.progress.append((what, done, total)),
        )  # fmt: skip
        return BleGlucoseReader(setup, self.radio)

    async def read(self, reader: BleGlucoseReader) -> list[Batch]:
        """One pass; what it learnt is remembered."""
        batches = []
        async for batch in reader.read(self.memory, None):
            batches.append(batch)
            if batch.decoded is not None:
                seen = {**self.memory.sightings, **batch.decoded.sightings}
                self.memory = Memory(seen, batch.decoded.state)
        return batches

    async def records(self, reader: BleGlucoseReader) -> list[Record]:
        """What one pass brought."""
        return records(await self.read(reader))

    def later(self, minutes: float = 20) -> None:
        """Time passes, more than a meter stays awake."""
        self.clock.advance(minutes * 60)


def records(batches: Sequence[Batch]) -> list[Record]:
    """All records of batches."""
    return [record for batch in batches if batch.decoded for record in batch.decoded.records]
