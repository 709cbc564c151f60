"""Devices: decoding of their memory, its CPU time and peak memory, and what a record costs on the wire."""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from benchmarks.table import Row, absolute, median_s, peak_mb
from bridge.contracts import Memory, Setup
from bridge.engine.registry import reader_class
from bridge.model import Capture, Record
from bridge.model.health import State
from bridge.readers.medtronic_600.history import read_payload
from bridge.readers.medtronic_stick.decode import decode_page
from bridge.readers.medtronic_stick.model import pump_model
from bridge.readers.medtronic_stick.pages import read_page
from bridge.simulators import next_link, stick
from bridge.simulators.patient import VirtualPatient
from bridge.simulators.usb import VirtualBackend, VirtualDevice
from bridge.simulators.usb.catalogue import made
from bridge.usb import PyUsbBus

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
ZONE, MODEL = "Europe/Berlin", "523"
FULL_PAGES, FULL_DAYS = 36, 150
PAGE_MS = 0.7
FAMILIES = {
    "contour-next-one": "Contour Next One", "522": "Paradigm 522", "523": "Paradigm 523", "640g": "640G",
}  # fmt: skip
T = TypeVar("T")
_PAGES = ("history", "glucose", "isig")
_MOST_PASSES = 40
_GLANCES_S, _NOTHING_NEW = 600, 3
"""A pump that is looked at every five minutes has been read when a look brings but its state."""


class PlayedClock:
    """Stands still until somebody sleeps."""

    def __init__(self) -> None:
        self._slept = 0.0

    def now(self) -> datetime:
        """Aware UTC."""
        return NOON + timedelta(seconds=self._slept)

    def monotonic(self) -> float:
        """Seconds."""
        return self._slept

    async def sleep(self, seconds: float) -> None:
        """Time passes at once."""
        self._slept += seconds
        await asyncio.sleep(0)


class Counting(VirtualBackend):
    """A virtual bus that counts what moves."""

    def __init__(self, device: VirtualDevice) -> None:
        super().__init__([device])
        self.moved = 0

    def _write(self, dev: Any, endpoint: int, intf: int, data: array[int], *, interrupt: bool) -> int:
        self.moved += len(data)
        return super()._write(dev, endpoint, intf, data, interrupt=interrupt)

    def _read(self, dev: Any, endpoint: int, intf: int, buff: array[int], timeout: int, *, interrupt: bool) -> int:
        moved = super()._read(dev, endpoint, intf, buff, timeout, interrupt=interrupt)
        self.moved += moved
        return moved


@dataclass(frozen=True, slots=True)
class Reading:
    """Passes over a device until it had no more: captures, bytes on the wire, records."""

    captures: list[Capture]
    moved: int
    records: int


async def read_all(device: VirtualDevice, name: str, serial: str, clock: PlayedClock, **own: Any) -> Reading:
    """Everything that a device holds."""
    backend, memory = Counting(device), Memory()
    setup = Setup("p1", {"devices": [serial], **own}, clock, Random(1), timezone=ZONE, usb=PyUsbBus(backend))
    reader, captures, records = reader_class(name)(setup), list[Capture](), 0
    for _ in range(_MOST_PASSES):
        read, state = 0, State.OK
        async for batch in reader.read(memory, None):
            state = batch.health.state
            if batch.decoded is not None and batch.capture is not None:
                read += len(batch.decoded.records)
                captures.append(batch.capture)
                sightings = {**memory.sightings, **batch.decoded.sightings}
                memory = Memory(sightings, json.loads(json.dumps(dict(batch.decoded.state))))
            due = batch.next_due
        records += read
        wait_s = (due - clock.now()).total_seconds()
        if state is State.OK and (wait_s > _GLANCES_S or read <= _NOTHING_NEW):
            break
        await clock.sleep(max(1.0, wait_s))
    return Reading(captures, backend.moved, records)


def catalogued(name: str) -> Reading:
    """A week in a device of the catalogue."""
    clock = PlayedClock()
    built = made(name, VirtualPatient(1), clock.now)
    return asyncio.run(read_all(built.device, built.reader, built.serial, clock))


def full_stick() -> Capture:
    """A pump whose 36 pages are all written, read over the virtual bus."""
    clock, patient, serial = PlayedClock(), VirtualPatient(1), "123456"
    asleep = NOON - timedelta(hours=9)  # no bolus runs
    memory = stick.remember(patient, MODEL, asleep - timedelta(days=FULL_DAYS), asleep).memory
    pump = stick.VirtualPump(serial, MODEL, memory, lambda: patient.pump.wall(clock.now()))
    reading = asyncio.run(read_all(stick.VirtualStick([pump]), "medtronic-stick", serial, clock))
    body: dict[str, Any] = {}
    for capture in reversed(reading.captures):  # it reads some pages at a time
        told = json.loads(capture.body)
        body |= {name: {**body.get(name, {}), **told[name]} if name in _PAGES else told[name] for name in told}
    return replace(reading.captures[0], body=json.dumps(body).encode())


def minimed() -> tuple[Capture, list[bytes]]:
    """90 days of a 640G as one reading, and payloads of one block each."""
    clock = PlayedClock()
    pump = next_link.Pump(clock.now, VirtualPatient(1), kind="640G")
    reading = asyncio.run(read_all(next_link.NextLink(pump), "medtronic-600", pump.serial, clock))
    newest = reading.captures[0]
    bodies = [json.loads(capture.body) for capture in reading.captures]
    body = bodies[0]
    body["history"] = {
        kind: list(dict.fromkeys(page for older in reversed(bodies) for page in older["history"].get(kind, ())))
        for kind in body["history"]
    }
    whole = replace(newest, body=json.dumps(body).encode())
    payloads = [bytes.fromhex(page) for pages in body["history"].values() for page in pages]
    return whole, payloads


def _pages(capture: Capture) -> list[Row]:
    """A page to its rows and to records; beside the latter what the records' model takes for them alone."""
    pages = [bytes.fromhex(page) for page in json.loads(capture.body)["history"].values()]
    assert len(pages) == FULL_PAGES
    model = pump_model(MODEL)

    def records(page: bytes) -> Sequence[Record]:
        return decode_page(page, MODEL, glucose=False, timezone=ZONE, now=NOON).records

    made = [records(page) for page in pages]
    checks = [[(type(record), dict(record)) for record in each] for each in made]
    raw_ms = _median_ms(pages, lambda page: read_page(page, model))
    whole_ms = _median_ms(pages, records)
    model_ms = _median_ms(checks, lambda each: [kind(**fields) for kind, fields in each])
    held = round(statistics.median(map(len, made)))
    return [
        absolute(f"history page of a Paradigm to its rows ({1e3 / raw_ms:,.0f}/s)", raw_ms, "ms CPU", PAGE_MS),
        replace(
            absolute(f"the same to {held} records ({1e3 / whole_ms:,.0f}/s)", whole_ms, "ms CPU", PAGE_MS),
            bound=f"{model_ms:.2f} ms the model",
        ),
    ]


def _median_ms(each: Sequence[T], work: Callable[[T], object]) -> float:
    return statistics.median(median_s(partial(work, one), 9, time.process_time) for one in each) * 1e3


def _blocks(payloads: Sequence[bytes]) -> Row:
    """There is no aim for blocks: the figure is told."""
    opened = [read_payload(payload) for payload in payloads]
    blocks = sum(len(payload.blocks) for payload in opened)
    seconds = median_s(lambda: [sum(1 for _ in read_payload(each).events()) for each in payloads], 5)
    return Row(
        "2,048-byte blocks of a 640G to events", f"{blocks / seconds:,.0f}/s", "-", f"{blocks} blocks", "-", True
    )


def _whole(what: str, capture: Capture) -> list[Row]:
    """CPU time and peak of a process of its own that decodes a capture."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "capture"
        file.write_bytes(capture.body)
        command = [sys.executable, "-m", "benchmarks.devices", capture.reader, str(file)]
        told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return [
        absolute(f"CPU time, {what} ({told[0]} records)", float(told[1]), "s", 3),
        absolute(f"peak memory, {what}", float(told[2]), "MB", 150),
    ]


def _wire(name: str, title: str) -> Row:
    reading = catalogued(name)
    each = reading.moved / reading.records
    return Row(f"bytes on the wire a record, {title}", f"{reading.moved:,} B", "-", f"{each:.0f} B", "-", True)


def rows() -> list[Row]:
    paradigm, (linked, payloads) = full_stick(), minimed()
    gc.freeze()  # the virtual pumps' lives are no part of what is measured
    return [
        *_pages(paradigm),
        _blocks(payloads),
        *_whole(f"a Paradigm with {FULL_PAGES} pages", paradigm),
        *_whole("90 days of a 640G", linked),
        *(_wire(name, title) for name, title in FAMILIES.items()),
    ]


def _decode_alone(name: str, file: Path) -> None:
    clock = PlayedClock()
    reader = reader_class(name)(Setup("p1", {}, clock, Random(1), timezone=ZONE))
    capture = Capture("p1", name, f"medtronic:{name}", NOON, file.read_bytes(), {"timezone": ZONE})
    began = time.process_time()
    decoded = reader.decode(capture, Memory())
    took = time.process_time() - began
    print(len(decoded.records), took, peak_mb())


if __name__ == "__main__":
    _decode_alone(sys.argv[1], Path(sys.argv[2]))
