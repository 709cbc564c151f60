"""Collections, keys and migrations."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from bridge.errors import JournalUnusable
from bridge.journal.mongo import open_mongo_journal, schema
from bridge.journal.mongo.journal import MongoJournal
from tests.contracts.journal_records import batch, glucose
from tests.journal.mongo.conftest import Opener
from tests.support.clock import FakeClock
from tests.support.mongod import ReplicaSet


async def test_every_key_leads_with_the_profile(journal: MongoJournal) -> None:
    """So that each collection can be sharded on it: none is partial alone, every unique one holds it."""
    for name in schema.INDEXES:
        keys = [key for key in await (await journal.db[name].list_indexes()).to_list() if key["name"] != "_id_"]
        if name == "profiles":
            continue
        led = [key for key in keys if next(iter(key["key"])) == "profile"]
        assert [key["name"] for key in keys if key not in led] in ([], ["expiry"])
        assert [key for key in led if "partialFilterExpression" not in key]
        assert all(key in led for key in keys if key.get("unique"))


async def test_opening_together_and_again_makes_one_database(mongo: ReplicaSet, clock: FakeClock) -> None:
    async with AsyncMongoClient[dict[str, Any]](mongo.uri) as client:
        await client.drop_database("together")
        journals = await asyncio.gather(*(open_mongo_journal(mongo.uri, "together", clock=clock) for _ in range(3)))
        keys = await client["together"]["records"].index_information()
        assert keys.keys() == {"_id_", *(key.document["name"] for key in schema.INDEXES["records"])}
        for each in journals:
            await each.close()
        await client.drop_database("together")


async def test_a_step_forward_while_another_works(
    opened: Opener, journal: MongoJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer worker adds a key; the older one goes on, and may be started again."""

    async def third(db: Any) -> None:
        await db["records"].create_index([("profile", 1), ("revision", 1)], name="added")

    with monkeypatch.context() as newer:
        newer.setattr(schema, "MIGRATIONS", {**schema.MIGRATIONS, 3: third})
        await (await opened()).append(batch(glucose()))
    await journal.append(batch(glucose(5)))
    assert "added" in await journal.db["records"].index_information()
    again = await opened()
    assert len([each async for each in again.records("p1")]) == 2
    await journal.db["records"].drop_index("added")
    await journal.db["meta"].update_one({"_id": "schema"}, {"$set": {"version": schema.program()}})


async def test_a_database_that_needs_a_newer_program_is_left_alone(opened: Opener, journal: MongoJournal) -> None:
    await journal.db["meta"].update_one({"_id": "schema"}, {"$set": {"oldest": 99}})
    try:
        with pytest.raises(JournalUnusable, match="newer version") as caught:
            await opened()
        assert caught.value.state == "program_too_old"
        assert (await opened(read_only=True)).db.name == journal.db.name
    finally:
        await journal.db["meta"].update_one({"_id": "schema"}, {"$set": {"oldest": 1}})


async def test_an_empty_database_may_be_asked_for_a_number_before_it_is_made(
    mongo: ReplicaSet, clock: FakeClock
) -> None:
    async with AsyncMongoClient[dict[str, Any]](mongo.uri, w="majority") as client:
        await client.drop_database("asked_first")
        await schema.ask_for(client["asked_first"], schema.program())
        journal = await open_mongo_journal(mongo.uri, "asked_first", clock=clock)
        assert await schema.version(journal.db, schema.program()) == schema.program()
        await journal.close()
        await client.drop_database("asked_first")


async def test_who_only_reads_may_be_refused_by_a_number_of_its_own(opened: Opener, journal: MongoJournal) -> None:
    await journal.db["meta"].update_one({"_id": "schema"}, {"$set": {"oldest_reader": 99}})
    try:
        await opened()
        with pytest.raises(JournalUnusable, match="newer version"):
            await opened(read_only=True)
    finally:
        await journal.db["meta"].update_one({"_id": "schema"}, {"$set": {"oldest_reader": 1}})


async def test_a_reader_needs_a_database_of_this_version(mongo: ReplicaSet, clock: FakeClock) -> None:
    with pytest.raises(JournalUnusable, match="empty"):
        await open_mongo_journal(mongo.uri, "never_made", clock=clock, read_only=True)


def test_the_driver_is_loaded_when_a_journal_is_opened_and_not_before() -> None:
    code = (
        "import sys, bridge.journal, bridge.journal.mongo, bridge.journal.migrate;"
        "print([name for name in ('pymongo', 'bson', 'gridfs') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


async def test_without_the_driver_one_sentence_says_what_to_install(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("bridge.journal.mongo.")]:
        if not name.endswith(".opening"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pymongo", None)
    with pytest.raises(JournalUnusable, match="extra `mongo`"):
        await open_mongo_journal("mongodb://127.0.0.1", "x", clock=clock)
