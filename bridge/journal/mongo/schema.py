"""The collections, their keys, and the numbered migrations that add to them while other workers run.

Every key leads with `profile` (of `profiles` it is the `_id`), so that each collection can be sharded on it.

A migration only adds: collections, indexes, fields that an older program does not look at; so programs of two
versions work side by side. What a program cannot work beside is asked for by number (`oldest` for who writes,
`oldest_reader` for who only reads): an older one is refused when it opens the database, and at its next beat while
it runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pymongo import IndexModel, ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from bridge.errors import JournalUnusable
from bridge.journal.mongo.connection import Doc, deadline, single_server

BY_TIME = "by_time"
FILES = "captures"
"""The GridFS bucket of large captures; its keys are documents that lead with the profile."""

_IS_THERE = 48
_SLACK_S = 86_400
"""The server's clock is the backstop of `compact`, not its rival: it lets go a day later."""


def _key(name: str, *fields: str, where: Mapping[str, Any] | None = None, unique: bool = False) -> IndexModel:
    more: dict[str, Any] = {"unique": True} if unique else {}
    if where is not None:
        more["partialFilterExpression"] = dict(where)
    return IndexModel([(field, 1) for field in ("profile", *fields)], name=name, **more)


def _there(field: str) -> dict[str, Any]:
    return {field: {"$exists": True}}


_EXPIRY = IndexModel([("expires", 1)], name="expiry", expireAfterSeconds=_SLACK_S)

INDEXES: Mapping[str, list[IndexModel]] = {
    "profiles": [IndexModel([("owner", 1), ("token", 1)], name="by_owner")],
    "records": [
        _key("identity", "id", unique=True),
        _key(BY_TIME, "kind", "time_ms", "n"),
        _key("by_wall", "kind", "wall_ms", where=_there("wall_ms")),
        _key("basal_line", "device", "time_ms", where={"kind": "basal"}),
        _key("links", "links", where=_there("links")),
    ],
    "revisions": [_key("identity", "record", "revision", unique=True)],
    "aliases": [_key("identity", "alias", unique=True), _key("of_record", "record")],
    "deliveries": [
        _key("identity", "record", "destination", unique=True),
        _key("open", "destination", "time_ms", "ready_ms", where=_there("ready_ms")),
        _key("quarantined", "destination", where={"state": "quarantined"}),
    ],
    "documents": [
        _key("identity", "destination", "key", unique=True),
        _key("slots", "destination", "slot", where=_there("slot"), unique=True),
        _key("of_record", "record", "destination"),
        _key(BY_TIME, "destination", "kind", "instant_ms"),
    ],
    "destinations": [_key("identity", "name", unique=True)],
    "readers": [_key("identity", "name", unique=True)],
    "coverage": [_key("identity", "reader", "start_ms", unique=True)],
    "sightings": [_key("identity", "reader", "key", unique=True), _key(BY_TIME, "reader", "time_ms"), _EXPIRY],
    "captures": [
        _key("identity", "reader", "taken_ms", "digest", unique=True),
        _key(BY_TIME, "taken_ms"),
        _key("by_worth", "reader", "worth", "taken_ms"),
        _EXPIRY,
    ],
    "uploads": [_key("identity", "id", unique=True), _key(BY_TIME, "asked_ms")],
    "adopted": [_key("identity", "record_id", unique=True), _key(BY_TIME, "kind", "time_ms"), _EXPIRY],
}
"""Collections and their keys at version 1."""


async def _first(db: AsyncDatabase[Doc]) -> None:
    await asyncio.gather(*(db[name].create_indexes(keys) for name, keys in INDEXES.items()))


async def _second(db: AsyncDatabase[Doc]) -> None:
    try:
        await db.create_collection("vault", check_exists=False)
    except OperationFailure as error:
        if error.code != _IS_THERE:
            raise


MIGRATIONS: Mapping[int, Callable[[AsyncDatabase[Doc]], Awaitable[None]]] = {1: _first, 2: _second}
"""What brings a database to each version. Each may run several times, in several processes at once."""
OLDEST, OLDEST_READER = 1, 1
"""The oldest version of this program that may work beside this one, and the oldest that may read beside it."""
SHARED_VAULT = 2
"""From this version on a program finds the credentials in the database."""

_SCHEMA = {"_id": "schema"}


async def check_cluster(db: AsyncDatabase[Doc]) -> None:
    """Raise JournalUnusable for a single server: it has no transactions."""
    told = await db.client.admin.command("hello")
    if "setName" not in told and told.get("msg") != "isdbgrid":
        raise single_server(db.name)


def program() -> int:
    """The version of this program's layout."""
    return max(MIGRATIONS)


async def version(db: AsyncDatabase[Doc], own: int, *, writing: bool = True) -> int:
    """The schema version of a database, 0 for an empty one. Raises JournalUnusable (`program_too_old`) when a program
    whose layout is `own` may not use it."""
    found: dict[str, int] = await db["meta"].find_one(_SCHEMA) or {"version": 0, "oldest": 0}
    oldest = found["oldest"] if writing else found.get("oldest_reader", found["oldest"])
    if oldest > own:
        raise JournalUnusable(
            f"The MongoDB journal {db.name} is for a newer version of this program.",
            next_step="Install that version here too.",
            state="program_too_old",
        )
    return int(found.get("version", 0))  # credentials may have moved in before any journal


async def ask_for(db: AsyncDatabase[Doc], oldest: int) -> None:
    """From now on no program older than that may write, also in a database that is still empty."""
    asked = {"$max": {"oldest": oldest}, "$setOnInsert": {"version": 0}}
    with deadline(db.name):
        await db["meta"].update_one(_SCHEMA, asked, upsert=True)


async def migrate(db: AsyncDatabase[Doc]) -> None:
    """Run what is missing; each step is booked once it is done, so that a crash repeats it."""
    known = await version(db, program())
    for number, step in sorted(MIGRATIONS.items()):
        if number > known:
            await step(db)
            await db["meta"].find_one_and_update(
                _SCHEMA,
                {"$max": {"version": number, "oldest": OLDEST, "oldest_reader": OLDEST_READER}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )


async def check_current(db: AsyncDatabase[Doc]) -> None:
    """Raise JournalUnusable unless the database is of this version: a reader changes nothing."""
    if await version(db, program(), writing=False) < program():
        sentence = f"The MongoDB journal {db.name} is empty or of an older version of this program."
        raise JournalUnusable(sentence, next_step="Start the service once: it brings the journal up to date.")
