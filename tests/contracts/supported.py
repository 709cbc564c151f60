"""Writes docs/supported-devices.md from what virtual devices gave: `python -m tests.contracts.supported`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

from bridge.contracts import Memory, Setup
from bridge.demo.air import virtual_radio
from bridge.engine.registry import device_plugins, reader_class
from bridge.simulators.ble import Air, Security
from bridge.simulators.ble.catalogue import known_devices as in_the_air
from bridge.simulators.ble.catalogue import made
from bridge.simulators.patient import VirtualPatient
from bridge.simulators.usb.catalogue import known_devices
from tests.contracts.test_device_readers import NOON, Bench
from tests.support.clock import FakeClock

PAGE = Path(__file__).parents[2] / "docs" / "supported-devices.md"
_HEAD = """\
# Supported devices

Written by a program: each row is a virtual device that speaks the device's real bytes on a virtual USB bus, or on a
virtual radio, read by the same reader that reads the real one. What it gave is listed. No row was tried on real
hardware by the authors: `glucobridge capture` saves a read that helps to change that.

| virtual device | answers as | reader | records it gave |
|---|---|---|---|
"""


async def rows() -> list[str]:
    """One row a virtual device."""
    on_usb = [await _row(name) for name in known_devices()]
    return on_usb + [await _row_over_bluetooth(name) for name in in_the_air()]


async def _row(name: str) -> str:
    bench = Bench(name)
    (device,) = await bench.bus.devices()
    (plugin,) = [each for each in device_plugins() if each.name == bench.built.reader]
    kind = next(kind for kind in plugin.plugs if kind.fits(device))
    async with bench.bus.open(device, kind.interface_class) as port:
        who = await plugin.recognise(port, device)
    batches = await bench.read_all()
    kinds = {record.kind for batch in batches if batch.decoded for record in batch.decoded.records}
    return f"| {name} | {who.model} | `{bench.built.reader}` | {', '.join(sorted(kinds))} |"


async def _row_over_bluetooth(name: str) -> str:
    clock, air = FakeClock(NOON), Air()
    built = made(name, air, VirtualPatient(1), clock.now, security=Security.OPEN)
    air.computer.begins.append(built.device.switch_on)
    setup = Setup("p1", {"devices": [built.serial]}, clock, Random(1), timezone="UTC", ble=virtual_radio(air))
    reader = reader_class(built.reader)(setup)
    (batch,) = [each async for each in reader.read(Memory(), None)]
    records = batch.decoded.records if batch.decoded else ()
    kinds = ", ".join(sorted({record.kind for record in records}))
    return f"| {name} | {records[0].device.model}, over Bluetooth | `{built.reader}` | {kinds} |"


def page(found: list[str]) -> str:
    """The whole page."""
    return _HEAD + "\n".join(found) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(asyncio.run(rows())), "utf-8")
