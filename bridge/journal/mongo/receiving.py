"""Takes another journal's documents in, and tells what is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from bridge.errors import JournalUnusable
from bridge.journal.mongo.captures import LARGE_BYTES, file_block, stored
from bridge.journal.mongo.connection import Doc, deadline, plain_errors
from bridge.journal.mongo.copying import Digest

_MARK = {"_id": "migration"}


async def begin(db: AsyncDatabase[Doc]) -> Doc | None:
    """What a finished copy left behind; None when this one has work to do.

    Raises JournalUnusable when the database holds data of its own.
    """
    with deadline(db.name):
        mark = await db["meta"].find_one(_MARK)
        foreign = mark is None and await db["profiles"].find_one({}) is not None
    if foreign:
        sentence = f"The MongoDB journal {db.name} holds data already."
        raise JournalUnusable(sentence, next_step="Name a new database.")
    if mark is not None and mark["done"]:
        return mark
    await note(db, {"done": False})
    return None


async def note(db: AsyncDatabase[Doc], fields: Mapping[str, Any]) -> None:
    """How far the copy is."""
    with deadline(db.name):
        await db["meta"].update_one(_MARK, {"$set": fields}, upsert=True)


async def clear(db: AsyncDatabase[Doc], name: str) -> None:
    """Begin a collection again."""
    with deadline(db.name):
        await db[name].delete_many({})


async def receive(db: AsyncDatabase[Doc], name: str, docs: Sequence[Doc]) -> None:
    """Store documents as they are; a capture's block is a file where it is too large for one document."""
    with deadline(db.name):
        filed = [await _filed(db, doc) for doc in docs]
        await db[name].insert_many(filed, ordered=False)


async def _filed(db: AsyncDatabase[Doc], doc: Doc) -> Doc:
    if len(doc.get("block", b"")) <= LARGE_BYTES:
        return dict(doc)
    rest = {field: value for field, value in doc.items() if field != "block"}
    return {**rest, **await stored(db, doc["profile"], doc["block"])}


async def digest(db: AsyncDatabase[Doc], name: str) -> Digest:
    """Of all that a collection holds, with the blocks of large captures in place of their files."""
    found = Digest()
    shown = None if name == "profiles" else {"_id": 0}
    with plain_errors(db.name):
        async for doc in db[name].find({}, shown):
            if (key := doc.pop("file", None)) is not None:
                doc["block"] = await file_block(db, key)
            found.add(doc)
    return found
