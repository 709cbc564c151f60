"""One pass of a reader over a USB bus, as comparable JSON; as a program, over the libusb of this machine.

`python -m tests.usb.replayed READER SETTINGS-JSON` prints a `Told` object.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any, TypedDict

from bridge.contracts import Batch, Memory, Setup
from bridge.contracts.ports import UsbBus, UsbDevice, UsbPort
from bridge.engine.registry import reader_class
from bridge.usb import PyUsbBus
from tests.support.clock import FakeClock

START = datetime(2026, 3, 10, 12, 30, tzinfo=UTC)
"""When every pass begins: a moment at which the virtual patient gets no bolus, so that one pass is enough."""
Step = tuple[str, str]
"""A transfer that went well: `out` or `in`, and its bytes in hex (none: nothing came in time)."""


class Told(TypedDict):
    """What a pass brought, and what it moved over the bus."""

    batches: list[dict[str, Any]]
    steps: list[Step]


async def passed(bus: UsbBus, reader: str, settings: Mapping[str, Any], clock: FakeClock) -> list[dict[str, Any]]:
    """What one pass yields. All that a reader decides by (clock, randomness, memory) is the same each time."""
    setup = Setup("p1", settings, clock, Random(1), timezone="Europe/Berlin", usb=bus)
    return [_shown(batch) async for batch in reader_class(reader)(setup).read(Memory(), None)]


def _shown(batch: Batch) -> dict[str, Any]:
    return {
        "state": str(batch.health.state),
        "next_due": batch.next_due.isoformat(),
        "body": batch.capture.body.hex() if batch.capture else None,
        "records": [json.loads(each.model_dump_json()) for each in batch.decoded.records] if batch.decoded else [],
    }


class _NotingBus(PyUsbBus):
    """The genuine bus; `steps` are the transfers that went well, also those whose failure a reader forgives."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []

    @asynccontextmanager
    async def open(self, device: UsbDevice, interface_class: int) -> AsyncIterator[UsbPort]:
        async with super().open(device, interface_class) as port:
            yield _NotingPort(port, self.steps)


class _NotingPort:
    def __init__(self, port: UsbPort, steps: list[Step]) -> None:
        self._port, self._steps = port, steps

    async def write(self, data: bytes, timeout_s: float) -> None:
        await self._port.write(data, timeout_s)
        self._steps.append(("out", data.hex()))

    async def read(self, size: int, timeout_s: float) -> bytes:
        data = await self._port.read(size, timeout_s)
        self._steps.append(("in", data.hex()))
        return data


async def _told(reader: str, settings: Mapping[str, Any]) -> Told:
    bus = _NotingBus()
    batches = await passed(bus, reader, settings, FakeClock(START))
    return {"batches": batches, "steps": bus.steps}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_told(sys.argv[1], json.loads(sys.argv[2])))))
