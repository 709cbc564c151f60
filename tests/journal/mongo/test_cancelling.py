"""Callers are cancelled at any moment; the driver, whose pool does not survive that, never notices."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from random import Random
from typing import Any

from bridge.journal.mongo import opened_credentials
from bridge.journal.mongo.journal import MongoJournal
from tests.contracts.journal_records import CLOUD, NIGHTSCOUT, NOW, batch, glucose
from tests.journal.mongo.conftest import Opener
from tests.support.mongod import ReplicaSet

CALLERS = 120
"""More than the driver makes connections for at once: most of them wait in its pool."""


async def test_callers_cancelled_again_and_again_leave_the_journal_usable(opened: Opener) -> None:
    random = Random(1)
    for _ in range(4):
        journal = await opened()
        await _cancelled([_ask(journal, number) for number in range(CALLERS)], random)
        async with asyncio.timeout(15):
            await journal.append(batch(glucose()))
            assert await journal.due(NIGHTSCOUT, NOW, 1, 60) == []
            await journal.close()


async def test_the_shared_vault_stays_usable_too(mongo: ReplicaSet, database: str) -> None:
    random = Random(2)
    for _ in range(4):
        async with opened_credentials(mongo.uri, database) as store:
            await _cancelled([store.read(f"name{number}") for number in range(CALLERS)], random)
            async with asyncio.timeout(15):
                assert await store.read("name1") is None


async def _cancelled(calls: Iterable[Coroutine[Any, Any, object]], random: Random) -> None:
    """All at one moment, and again before they have ended."""
    callers = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(random.uniform(0, 0.05))
    for _ in range(6):
        for caller in callers:
            caller.cancel()
        await asyncio.sleep(random.uniform(0, 0.01))
    await asyncio.wait_for(asyncio.wait(callers), 5)


async def _ask(journal: MongoJournal, number: int) -> None:
    profile = f"p{number % 7}"
    if number % 3 == 0:
        await journal.memory(profile, CLOUD)
    elif number % 3 == 1:
        await journal.readers()
    else:
        await journal.hasten(profile, CLOUD, NOW)
