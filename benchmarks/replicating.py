"""Journal append to a MongoDB replica set, two pending deliveries a record, against a bare transaction of the same
documents under the same keys. Without a `mongod` there is no row."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.appending import DESTINATIONS, batch, readings
from benchmarks.table import Row, at_least
from bridge.engine.clock import SystemClock
from bridge.journal.mongo import open_mongo_journal
from bridge.journal.mongo.connection import connect
from bridge.journal.mongo.schema import INDEXES
from bridge.model import Record
from tests.support.mongod import find_mongod, replica_set

COUNT, SIZE, RUNS = 10_000, 500, 3
_Docs = dict[str, list[dict[str, Any]]]


async def _ours(uri: str, database: str, records: Sequence[Record]) -> float:
    """Records a second."""
    journal = await open_mongo_journal(uri, database, clock=SystemClock())
    try:
        await journal.register(DESTINATIONS)
        began = time.perf_counter()
        for start in range(0, len(records), SIZE):
            await journal.append(batch(records[start : start + SIZE]))
        return len(records) / (time.perf_counter() - began)
    finally:
        await journal.close()


async def _bare(client: AsyncMongoClient[Any], database: str, written: _Docs) -> float:
    """The same: 500 records and their deliveries a transaction, nothing looked up and nothing decided."""
    db, (records, deliveries) = client[database], (written["records"], written["deliveries"])
    for name in written:
        await db[name].create_indexes(INDEXES[name])
    began = time.perf_counter()
    for start in range(0, len(records), SIZE):
        async with client.start_session() as session, await session.start_transaction():
            await db["records"].insert_many(records[start : start + SIZE], session=session)
            ends = start * 2, (start + SIZE) * 2
            await db["deliveries"].insert_many(deliveries[slice(*ends)], session=session)
    return len(records) / (time.perf_counter() - began)


async def _written(db: AsyncDatabase[Any]) -> _Docs:
    return {name: await db[name].find({}, {"_id": 0}).to_list() for name in ("records", "deliveries")}


async def _figures(uri: str) -> tuple[float, float]:
    """Medians of runs in turn."""
    made, ours, bare = readings(COUNT), list[float](), list[float]()
    async with connect(uri, "bare", "bare") as client:
        for run in range(RUNS):
            ours.append(await _ours(uri, f"ours{run}", made))
            bare.append(await _bare(client, f"bare{run}", await _written(client[f"ours{run}"])))
    return statistics.median(ours), statistics.median(bare)


def rows() -> list[Row]:
    program = find_mongod()
    if program is None:
        return []
    with replica_set(program) as servers:
        ours, bare = asyncio.run(_figures(servers.uri))
    return [at_least("append to MongoDB (three nodes, majority), 500 a transaction", ours, bare, 0.5)]
