"""An emptied database of the session's replica set, and journals on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Protocol

import pytest

from bridge.journal.mongo import open_mongo_journal
from bridge.journal.mongo.journal import MongoJournal
from tests.contracts.journal_records import NOW
from tests.support.clock import FakeClock
from tests.support.mongod import ReplicaSet


class Opener(Protocol):
    """Opens a journal on the test's database; closed at the end."""

    async def __call__(self, worker: str | None = None, **more: Any) -> MongoJournal: ...


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def database(mongo: ReplicaSet) -> str:
    return mongo.emptied("journal")


@pytest.fixture
async def opened(mongo: ReplicaSet, database: str, clock: FakeClock) -> AsyncIterator[Opener]:
    async with AsyncExitStack() as undo:

        async def opener(worker: str | None = None, **more: Any) -> MongoJournal:
            journal = await open_mongo_journal(mongo.uri, database, clock=clock, worker=worker, **more)
            undo.push_async_callback(journal.close)
            return journal

        yield opener


@pytest.fixture
async def journal(opened: Opener) -> MongoJournal:
    return await opened()
