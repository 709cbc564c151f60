"""Other processes' writes are told of, by profile."""

from __future__ import annotations

import asyncio

import pytest

from bridge.journal.mongo import watching
from bridge.journal.mongo.journal import MongoJournal
from tests.contracts.journal_records import CLOUD, NIGHTSCOUT, NOW, batch, glucose
from tests.journal.mongo.conftest import Opener


async def test_a_waiter_is_told_which_profiles_another_wrote_to(opened: Opener, journal: MongoJournal) -> None:
    other = await opened()
    assert await journal.changed() == frozenset()
    waiting = asyncio.ensure_future(journal.changed())
    await journal.append(batch(glucose()))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await other.append(batch(glucose(5)))
    assert await asyncio.wait_for(waiting, 5) == {"p1"}
    await other.hasten("p2", CLOUD, NOW)
    await other.register([NIGHTSCOUT])
    found = await asyncio.wait_for(journal.changed(), 5)
    while len(found) < 2:
        found |= await asyncio.wait_for(journal.changed(), 5)
    assert found == {"p1", "p2"}


async def test_what_changed_between_two_questions_is_not_missed(opened: Opener, journal: MongoJournal) -> None:
    other = await opened()
    before = await journal.version()
    for minutes in range(3):
        await other.append(batch(glucose(minutes)))
        now = await journal.version()
        assert now != before
        before = now
    assert await journal.version() == before


async def test_looking_for_work_where_there_is_none_wakes_nobody(opened: Opener, journal: MongoJournal) -> None:
    other = await opened()
    await other.register([NIGHTSCOUT])
    before = await journal.version()
    assert await other.due(NIGHTSCOUT, NOW, 10, 60) == []
    assert await journal.version() == before


async def test_an_answer_comes_though_others_write_without_a_pause(
    opened: Opener, journal: MongoJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_TURN_S", 0.3)
    other = await opened()
    await journal.changed()

    async def write() -> None:
        while True:
            await other.hasten("p2", CLOUD, NOW)

    writing = asyncio.ensure_future(write())
    try:
        assert await asyncio.wait_for(journal.changed(), 3) == {"p2"}
    finally:
        writing.cancel()
        await asyncio.wait({writing})
