"""Two versions of the program over one database: nothing lost, nothing twice, and the older one ends by itself.

A clone has no earlier release: the older program is this one with a shorter list of migrations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from bridge.contracts import DeliveryState
from bridge.errors import JournalUnusable
from bridge.journal.mongo import schema
from bridge.journal.mongo.journal import MongoJournal
from tests.engine.test_fleet import PEOPLE, Crew, serves, until
from tests.support.mongod import ReplicaSet

NEWER = schema.program() + 1


async def _added(db: Any) -> None:
    await db["records"].create_index([("profile", 1), ("revision", 1)], name="added")


@pytest.fixture
async def crew(mongo: ReplicaSet) -> AsyncIterator[Crew]:
    """On a database of its own, which no other test finds changed."""
    async with AsyncExitStack() as undo:
        crew = Crew(mongo, mongo.emptied("upgrade"), undo)
        journal = await crew.journal()
        undo.push_async_callback(journal.db.client.drop_database, "upgrade")
        yield crew


async def _counts(journal: MongoJournal) -> Counter[DeliveryState]:
    return sum((Counter(each.counts) for each in await journal.destinations()), Counter[DeliveryState]())


async def test_two_versions_side_by_side_lose_nothing(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    older, ending, _ = await crew.worker("older", share=2)
    await until(lambda: len(older.served) == 2)
    with monkeypatch.context() as newer:
        newer.setattr(schema, "MIGRATIONS", {**schema.MIGRATIONS, NEWER: _added})
        fleet, _, journal = await crew.worker("newer")
    assert "added" in await journal.db["records"].index_information()
    await until(lambda: len(fleet.served) == 2)
    seen = len(crew.sent)
    await until(lambda: len(crew.sent) > seen + 6)
    assert len(older.served) == 2

    await schema.ask_for(journal.db, NEWER)
    await until(ending.done)
    refused = ending.exception()
    assert isinstance(refused, JournalUnusable)
    assert refused.state == "program_too_old"
    await until(serves(fleet, *PEOPLE))
    with pytest.raises(JournalUnusable, match="newer version"):
        await crew.journal("older")

    seen = len(crew.sent)
    await until(lambda: len(crew.sent) > seen + 4)
    crew.gate.clear()
    await fleet._stop()
    crew.gate.set()
    counts = await _counts(journal)
    records = [record for profile in PEOPLE async for record in journal.records(profile)]
    assert counts[DeliveryState.ACCEPTED] + counts[DeliveryState.PENDING] + counts[DeliveryState.LEASED] == len(
        records
    )
    assert len(crew.sent) == len(set(crew.sent))
