"""Who serves whom, as the database says: for metrics."""

from __future__ import annotations

from collections.abc import Collection

from bridge.contracts import Attendance
from bridge.journal.mongo.calls import uncut
from bridge.journal.mongo.connection import deadline
from bridge.journal.mongo.journal import MongoJournal

LIVING = {"$expr": {"$gt": ["$until_ms", {"$toLong": "$$NOW"}]}}
"""Workers whose lease stands."""


@uncut
async def attendance(journal: MongoJournal, profiles: Collection[str]) -> Attendance:
    """Of these people, by the database's time. Raises Transient while no primary answers."""
    with deadline(journal.db.name):
        living = [row["_id"] async for row in journal.db["workers"].find(LIVING, {"_id": 1})]
        served = {"_id": {"$in": list(profiles)}, "owner": {"$in": living}}
        count = await journal.db["profiles"].count_documents(served) if living else 0
    lost = 0 if journal.leases is None else journal.leases.lost_times
    return Attendance(len(profiles), len(profiles) - count, len(living), lost)
