"""Sealed credentials in the journal's database, and whose turn it is to refresh one. Only the vault's key opens them.

One document a credential: what it is worth, `rev` of the last write, and the `turn` of who refreshes it, which ends
by the database's own time.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

from pymongo import ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from bridge.contracts import Sealed, Turn
from bridge.errors import AlreadyRunning, BridgeError, Transient
from bridge.journal.mongo import schema
from bridge.journal.mongo.attendance import LIVING
from bridge.journal.mongo.calls import uncut
from bridge.journal.mongo.connection import APP, CALL_S, Doc, connect, deadline

TURN_S = 60.0
"""Longer than one holder needs: two requests of 20 s, the pause between them, the saving. Of a killed one the others
wait it out; tokens are refreshed long before they end."""
LAG_S = 5.0
"""So late may what another host did to a credential be seen; never under a turn."""
_ASK_S = 0.25


class MongoTurn:
    """A turn that ends by itself. Counted here from before it was asked for, so never longer than the database's."""

    def __init__(self, store: MongoCredentials, name: str, until: float) -> None:
        self.id = uuid4().hex
        self._store, self._name, self._until = store, name, until

    def check(self) -> None:
        """Raises Transient in the last third: a request might be answered when the turn is another's."""
        if time.monotonic() >= self._until:
            raise Transient(f"The turn to refresh {self._name} ran out.", next_step="It is asked for again.")

    async def release(self) -> None:
        """Give it back; where the database does not answer it ends by itself."""
        with suppress(BridgeError):
            await self._store.end(self._name, self.id)


class MongoCredentials:
    """A `CredentialStore` that hosts share: collection `vault` of the journal's database."""

    def __init__(self, db: AsyncDatabase[Doc], *, turn_s: float = TURN_S, lag_s: float = LAG_S) -> None:
        self._db, self._turn_s, self._lag_s = db, turn_s, lag_s
        self._seen: dict[str, tuple[float, str | None]] = {}

    @uncut
    async def names(self) -> list[str]:
        """Names of all credentials, sorted."""
        with deadline(self._db.name):
            found = await self._db["vault"].find({"_id": re.compile("^[^.]")}, {"_id": 1}).to_list()
        return sorted(row["_id"] for row in found)

    async def stamp(self, name: str) -> str | None:
        """Its `rev`, as it was at most LAG_S ago."""
        at, seen = self._seen.get(name, (-self._lag_s, None))
        if time.monotonic() < at + self._lag_s:
            return seen
        return self._noted(name, await self._one(name, {"rev": 1}))

    async def read(self, name: str) -> Sealed | None:
        """What is there now."""
        found = await self._one(name, {"rev": 1, "content": 1})
        self._noted(name, found)
        return None if found is None else Sealed(bytes(found["content"]), found["rev"])

    @uncut
    async def write(self, name: str, content: bytes, over: str | None, turn: Turn | None = None) -> bool:
        """Put `content` in place of the `rev` `over`, unless somebody has taken the turn over."""
        rev = uuid4().hex
        self._seen.pop(name, None)
        with deadline(self._db.name):
            if over is None:
                with suppress(DuplicateKeyError):
                    await self._db["vault"].insert_one({"_id": name, "rev": rev, "content": content})
                    return True
                return False
            standing = {"_id": name, "rev": over} | ({"turn.id": turn.id} if isinstance(turn, MongoTurn) else {})
            done = await self._db["vault"].update_one(standing, {"$set": {"rev": rev, "content": content}})
        return done.matched_count > 0

    @uncut
    async def delete(self, name: str) -> bool:
        """Remove the document, its turn with it."""
        self._seen.pop(name, None)
        with deadline(self._db.name):
            return (await self._db["vault"].delete_one({"_id": name})).deleted_count > 0

    async def turn(self, name: str, deadline_s: float) -> Turn:
        """Wait for it; where no such credential is there is nothing to wait for."""
        give_up = time.monotonic() + deadline_s
        while True:
            turn = MongoTurn(self, name, time.monotonic() + self._turn_s * 2 / 3)
            if await self._taken(name, turn.id):
                return turn
            if time.monotonic() >= give_up:
                sentence = f"Another process has been holding the credential {name} for more than {deadline_s:.0f} s."
                raise Transient(sentence)
            await asyncio.sleep(_ASK_S * (0.5 + random.random()))  # noqa: S311

    @uncut
    async def ask_for_programs_that_share(self) -> None:
        """From now on no program may write the journal that would look for credentials elsewhere."""
        await schema.ask_for(self._db, schema.SHARED_VAULT)

    @uncut
    async def require_quiet(self) -> None:
        """Raises AlreadyRunning while a worker of the fleet lives: what is done next would lock it out."""
        with deadline(self._db.name):
            worker = await self._db["workers"].find_one(LIVING)
        if worker is not None:
            sentence = f"A worker of the fleet runs: {worker['worker']}."
            raise AlreadyRunning(sentence, next_step="Stop all workers first, on all hosts.")

    @uncut
    async def end(self, name: str, holder: str) -> None:
        """Strike a turn off, if it is still that holder's."""
        with deadline(self._db.name):
            await self._db["vault"].update_one({"_id": name, "turn.id": holder}, {"$unset": {"turn": ""}})

    @uncut
    async def _taken(self, name: str, holder: str) -> bool:
        """Whether the turn is the holder's now: it was nobody's (a missing `until` precedes any time), or over."""
        over = {"_id": name, "$expr": {"$lte": ["$turn.until", "$$NOW"]}}
        until = {"$add": ["$$NOW", round(self._turn_s * 1000)]}
        take = [{"$set": {"turn": {"id": holder, "until": until}}}]
        with deadline(self._db.name):
            found = await self._db["vault"].find_one_and_update(
                over, take, projection={"_id": 1}, return_document=ReturnDocument.AFTER
            )
            return found is not None or await self._db["vault"].find_one({"_id": name}, {"_id": 1}) is None

    @uncut
    async def _one(self, name: str, fields: dict[str, Any]) -> Doc | None:
        with deadline(self._db.name):
            return await self._db["vault"].find_one({"_id": name}, fields)

    def _noted(self, name: str, found: Doc | None) -> str | None:
        stamp = None if found is None else str(found["rev"])
        self._seen[name] = (time.monotonic(), stamp)
        return stamp


@asynccontextmanager
async def opened_credentials(uri: str, database: str) -> AsyncIterator[MongoCredentials]:
    """The store in a database, over a client of its own. Raises as opening the journal does."""
    client = connect(uri, database, f"{APP} vault {uuid4().hex}")
    try:
        with deadline(database):
            await schema.check_cluster(client[database])
        yield MongoCredentials(client[database])
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(CALL_S):
                await client.close()
