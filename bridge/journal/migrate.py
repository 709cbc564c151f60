"""An embedded journal becomes a MongoDB one: everything is copied, then compared by digest."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bridge.errors import JournalUnusable
from bridge.journal.sqlite.connection import connect, plain_errors, transaction

if TYPE_CHECKING:
    from bridge.journal.mongo.copying import Digest, Shaping
    from bridge.journal.mongo.journal import MongoJournal

_PAGE, _PAGE_OF_BLOCKS = 500, 20


class Embedded(Protocol):
    """What is copied: a journal in one SQLite file."""

    @property
    def path(self) -> Path:
        """The file."""
        ...


@dataclass(frozen=True, slots=True)
class Migrated:
    """What was copied: documents by collection, and the digest that both sides have, 32 hex digits."""

    counts: Mapping[str, int]
    digest: str


async def migrate(source: Embedded, target: MongoJournal) -> Migrated:
    """Copy all of `source` into the empty journal `target`; nothing may write to either meanwhile.

    What an interrupted run copied whole is kept by the next one; once done, a further call changes nothing and says
    what was copied. Captures that were not sealed are sealed if `target` has a vault. Raises JournalUnusable when
    `target` holds anything else or the copy came out different.
    """
    from bridge.journal.mongo import receiving
    from bridge.journal.mongo.copying import ROWS, Shaping

    if done := await receiving.begin(target.db):
        return Migrated(done["counts"], done["digest"])
    with plain_errors(source.path), closing(connect(source.path, read_only=True)) as db, transaction(db, write=False):
        shaping = Shaping(target.sealer, target.keep)
        digests = {name: await _copied(db, shaping, target, name) for name in ROWS}
    counts = {name: each.count for name, each in digests.items()}
    whole = blake2b("".join(each.text for each in digests.values()).encode(), digest_size=16).hexdigest()
    await receiving.note(target.db, {"done": True, "counts": counts, "digest": whole})
    return Migrated(counts, whole)


async def _copied(db: sqlite3.Connection, shaping: Shaping, target: MongoJournal, name: str) -> Digest:
    """One collection, copied unless it is there already; the digest of both sides."""
    from bridge.journal.mongo import receiving

    before = await receiving.digest(target.db, name)
    if before == (here := await _told(db, shaping, name, None)):
        return here
    await receiving.clear(target.db, name)
    told = await _told(db, shaping, name, target)
    if await receiving.digest(target.db, name) != told:
        sentence = f"What MongoDB holds of {name} is not what was copied."
        raise JournalUnusable(sentence, next_step="Stop whatever else writes to it, then run this again.")
    return told


async def _told(db: sqlite3.Connection, shaping: Shaping, name: str, target: MongoJournal | None) -> Digest:
    """The digest of what the source says, which `target` is told at the same time."""
    from bridge.journal.mongo import receiving
    from bridge.journal.mongo.copying import Digest

    told = Digest()
    async for page in _pages(db, shaping, name):
        for doc in page:
            told.add(doc)
        if target is not None:
            await receiving.receive(target.db, name, page)
    return told


async def _pages(db: sqlite3.Connection, shaping: Shaping, name: str) -> AsyncIterator[list[dict[str, Any]]]:
    from bridge.journal.mongo.copying import ROWS

    cursor = await asyncio.to_thread(db.execute, ROWS[name])
    size = _PAGE_OF_BLOCKS if name == "captures" else _PAGE
    while rows := await asyncio.to_thread(cursor.fetchmany, size):
        yield shaping.documents(name, cursor, rows)
