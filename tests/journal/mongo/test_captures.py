"""Large captures, what a crash leaves of them, and what may go by itself."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest

from bridge.errors import VaultLocked
from bridge.journal.mongo import captures
from bridge.journal.mongo.journal import MongoJournal
from bridge.journal.mongo.schema import FILES, INDEXES
from tests.contracts.journal_backends import MaskingSealer
from tests.contracts.journal_records import NOW, USB, batch, capture
from tests.journal.mongo.conftest import Opener

SECRET = b"Invented Name"


async def files(journal: MongoJournal) -> list[Any]:
    return await journal.db[f"{FILES}.files"].find({}).to_list()


async def test_a_large_capture_comes_back_whole_and_goes_in_time(journal: MongoJournal) -> None:
    large = capture(0, random.Random(7).randbytes(captures.LARGE_BYTES + 100_000), USB)
    await journal.append(batch(reader=USB, raw=large))
    await journal.append(batch(reader=USB, raw=capture(1, b"small", USB)))
    assert await journal.captures("p1") == [capture(1, b"small", USB), large]
    assert [each["_id"]["profile"] for each in await files(journal)] == ["p1"]
    assert await journal.compact(NOW + timedelta(days=900)) == 2
    assert await files(journal) == await journal.captures("p1") == []


async def test_a_file_that_no_capture_names_is_swept(journal: MongoJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captures, "LARGE_BYTES", 10)
    kept = capture(0, b"kept " * 20, USB)
    await journal.append(batch(reader=USB, raw=kept))
    await captures.stored(journal.db, "p1", b"left behind by a crash")
    assert len(await files(journal)) == 2
    (named,) = await journal.db["captures"].find({}).to_list()
    later = NOW + timedelta(days=366)
    assert await journal.compact(later) == 0
    assert [each["_id"] for each in await files(journal)] == [named["file"]]
    assert await journal.captures("p1") == [kept]


async def test_no_word_of_a_capture_leaves_unsealed(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in (1 << 20, 10):
        monkeypatch.setattr(captures, "LARGE_BYTES", limit)
        journal = await opened(sealer=MaskingSealer())
        told = capture(limit, SECRET * 3, USB)
        await journal.append(batch(reader=USB, raw=told))
        assert told in await journal.captures("p1")
    stored = [
        str(row)
        for name in await journal.db.list_collection_names()
        for row in await journal.db[name].find({}).to_list()
    ]
    assert len(stored) > 3
    assert not [row for row in stored if SECRET.decode() in row]
    with pytest.raises(VaultLocked):
        await (await opened()).captures("p1")


async def test_only_what_may_go_expires_by_itself(journal: MongoJournal) -> None:
    going = set()
    for name in INDEXES:
        keys = await (await journal.db[name].list_indexes()).to_list()
        going |= {name for key in keys if "expireAfterSeconds" in key}
    assert going == {"captures", "sightings", "adopted"}
