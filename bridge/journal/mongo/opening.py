"""Opens a MongoDB journal; the driver is loaded here and not before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bridge.contracts import Clock, Sealer
from bridge.errors import JournalUnusable
from bridge.journal.retention import Retention

if TYPE_CHECKING:
    from bridge.journal.mongo.journal import MongoJournal
    from bridge.journal.mongo.vault import MongoCredentials

_KEEP = Retention()


async def open_mongo_journal(
    uri: str,
    database: str,
    *,
    clock: Clock,
    sealer: Sealer | None = None,
    read_only: bool = False,
    keep: Retention = _KEEP,
    worker: str | None = None,
) -> MongoJournal:
    """Open or make the journal in `database`, brought to this version beside whoever uses it already.

    With the name of a `worker` the journal has `leases`, and only a profile they hold may be written by the engine.
    Raises JournalUnusable with the next step, or Transient while no primary answers.
    """
    try:
        from bridge.journal.mongo.journal import MongoJournal
    except ModuleNotFoundError as error:
        raise _no_driver(error) from error
    return await MongoJournal.opened(
        uri, database, clock=clock, sealer=sealer, read_only=read_only, keep=keep, worker=worker
    )


@asynccontextmanager
async def opened_credentials(uri: str, database: str) -> AsyncIterator[MongoCredentials]:
    """The credentials beside the journal in `database`. Raises as opening the journal does."""
    try:
        from bridge.journal.mongo import vault
    except ModuleNotFoundError as error:
        raise _no_driver(error) from error
    async with vault.opened_credentials(uri, database) as store:
        yield store


def _no_driver(error: ModuleNotFoundError) -> JournalUnusable:
    if error.name not in ("pymongo", "bson", "gridfs"):
        raise error
    return JournalUnusable(
        "The driver for MongoDB is not installed.", next_step="Install glucobridge with its extra `mongo`."
    )
