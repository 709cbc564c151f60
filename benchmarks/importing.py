"""Exports: CPU time of decode, and of decode with journal, against `csv.reader` over the file; memory of years."""

from __future__ import annotations

import asyncio
import csv
import io
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from benchmarks.exports import first, second
from benchmarks.table import Row, absolute, at_most, median_s, peak_mb
from bridge.contracts import Destination, Memory, Setup
from bridge.engine.clock import SystemClock
from bridge.engine.importing import Importer
from bridge.journal import open_journal
from bridge.model import Capture
from bridge.readers.carelink_csv import CareLinkCsvReader

BEGIN = datetime(2025, 1, 1)  # noqa: DTZ001 - a wall clock has no zone
QUARTER, YEAR = 90, 365
CONTEXT = {"timezone": "Europe/Berlin"}
DESTINATIONS = [Destination("p1", "nightscout"), Destination("p1", "tidepool")]
RUNS = 3


def reader() -> CareLinkCsvReader:
    return CareLinkCsvReader(Setup("p1", {}, SystemClock(), Random(0)))


async def imported(folder: Path, files: list[Path]) -> int:
    """How many records files bring into a new journal."""
    clock = SystemClock()
    journal = await open_journal(folder / "journal.db", clock=clock)
    await journal.register(DESTINATIONS)
    importer, new = Importer(journal, reader(), "p1", clock), 0
    for file in files:
        done = await importer.take(file.read_bytes(), CONTEXT)
        new += done.added.new if done.added is not None else 0
    await journal.close()
    return new


def _with_journal(file: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(imported(Path(name), [file]))


def _against_csv(name: str, body: bytes) -> list[Row]:
    capture = Capture("p1", "carelink-csv", "carelink-csv", datetime.now(UTC), body, CONTEXT)
    parse = median_s(lambda: sum(1 for _ in csv.reader(io.StringIO(body.decode()))), RUNS, time.process_time)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "export.csv"
        file.write_bytes(body)
        decode = median_s(lambda: reader().decode(capture, Memory()), RUNS, time.process_time)
        both = median_s(lambda: _with_journal(file), RUNS, time.process_time)
    return [
        at_most(f"decode of 90 days, {name}, against csv.reader (CPU)", decode, parse, 15),
        at_most("the same with journal (CPU)", both, parse, 40),
    ]


def _memory(name: str, bodies: list[bytes]) -> Row:
    """Peak of a process of its own that imports these files."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.csv" for number in range(len(bodies))]
        for file, body in zip(files, bodies, strict=True):
            file.write_bytes(body)
        began = time.perf_counter()
        command = [sys.executable, "-m", "benchmarks.importing", folder, *map(str, files)]
        told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
        took = time.perf_counter() - began
    size = sum(map(len, bodies)) / 1e6
    return absolute(
        f"peak memory, {name} ({size:.0f} MB, {told[0]} records, {took:.0f} s)", float(told[1]), "MB", 200
    )


def rows() -> list[Row]:
    decade = second(BEGIN.replace(year=2015), 10 * YEAR, sensor=False)
    return [
        *_against_csv("first generation", first(BEGIN, QUARTER)),
        *_against_csv("second generation", second(BEGIN, QUARTER)),
        _memory("ten years of a pump without sensor", [decade]),
        _memory("a year with sensor, second generation", [second(BEGIN, YEAR)]),
        _memory("a year with sensor, first generation", [first(BEGIN, YEAR)]),
    ]


if __name__ == "__main__":
    count = asyncio.run(imported(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]))
    print(count, peak_mb())
