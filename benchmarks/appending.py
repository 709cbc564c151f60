"""Journal append at FULL, two pending deliveries a record, against a bare executemany of the same rows."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.table import Row, at_least
from bridge.contracts import Batch, Decoded, Destination
from bridge.engine.clock import SystemClock
from bridge.journal import open_journal
from bridge.model import Device, Record, SensorGlucose, record_id, to_json
from bridge.model.health import Health

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
DEVICE = Device(manufacturer="Medtronic", model="MMT-1884", serial="NG1", family="NGP")
DESTINATIONS = [Destination("p1", "nightscout"), Destination("p1", "tidepool")]


def readings(count: int, start: datetime = NOON - timedelta(days=100)) -> list[SensorGlucose]:
    made = []
    for number in range(count):
        time_ = start + timedelta(minutes=5 * number)
        key = f"SG:{time_:%Y-%m-%dT%H:%M:%S}"
        made.append(
            SensorGlucose(
                id=record_id("p1", "carelink", "sensor_glucose", key), time=time_, device_time=time_.replace(tzinfo=None),
                utc_offset_min=0, profile="p1", device=DEVICE, reader="carelink-cloud", source_key=key,
                mgdl=100 + number % 90, trend=None, quality="ok",
            )
        )  # fmt: skip
    return made


def batch(records: Sequence[Record]) -> Batch:
    return Batch("p1", "carelink-cloud", NOON, Health(), Decoded(records))


async def _ours(folder: Path, records: Sequence[Record], size: int) -> float:
    journal = await open_journal(folder / f"ours{size}.db", clock=SystemClock())
    await journal.register(DESTINATIONS)
    began = time.perf_counter()
    for start in range(0, len(records), size):
        await journal.append(batch(records[start : start + size]))
    took = time.perf_counter() - began
    await journal.close()
    return len(records) / took


def _bare(folder: Path, records: Sequence[Record], size: int) -> float:
    """The same bytes into two tables, one statement kind each, nothing decided."""
    connection = sqlite3.connect(folder / f"bare{size}.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE records (id TEXT PRIMARY KEY, time_ms INTEGER, kind TEXT, body BLOB)")
    connection.execute(
        "CREATE TABLE deliveries (destination INTEGER, id TEXT, state TEXT, PRIMARY KEY (destination, id))"
    )
    bodies = [(r.id, int(r.time.timestamp() * 1000), r.kind, to_json(r)) for r in records]
    began = time.perf_counter()
    for start in range(0, len(bodies), size):
        part = bodies[start : start + size]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO records VALUES (?,?,?,?)", part)
        connection.executemany(
            "INSERT INTO deliveries VALUES (?,?,'pending')", [(d, row[0]) for row in part for d in (1, 2)]
        )
        connection.execute("COMMIT")
    took = time.perf_counter() - began
    connection.close()
    return len(records) / took


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder, many, few = Path(name), readings(10_000), readings(500)
        bulk = asyncio.run(_ours(folder, many, 500)), _bare(folder, many, 500)
        single = asyncio.run(_ours(folder, few, 1)), _bare(folder, few, 1)
    return [
        at_least("journal append, 500 a transaction", *bulk, 0.5),
        at_least("journal append, one by one", *single, 0.5),
    ]
