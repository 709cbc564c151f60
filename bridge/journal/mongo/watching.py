"""What other processes write: every write marks its profile's document, and a change stream tells of the marks."""

from __future__ import annotations

import asyncio
import re
import time

from pymongo.asynchronous.change_stream import AsyncCollectionChangeStream
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from bridge.journal.mongo.connection import Doc

_TURN_S = 1.0
"""So long one question listens at most: in a large fleet there is never a pause between two changes."""


class Watch:
    """Profiles that anybody but the writer of marks `<own> ...` has written to, from the first question on."""

    def __init__(self, db: AsyncDatabase[Doc], own: str, patience_ms: int) -> None:
        self._db, self._patience_ms, self._lock = db, patience_ms, asyncio.Lock()
        mark = {"$not": re.compile(f"^{re.escape(own)} ")}
        changed = {"updateDescription.updatedFields.mark": {"$exists": True, **mark}}
        self._wanted = {"$or": [changed, {"operationType": "insert", "fullDocument.mark": mark}]}
        self._stream: AsyncCollectionChangeStream[Doc] | None = None
        self.count = 0
        """Goes up with every change told of, and whenever some may have been missed."""

    @property
    def listening(self) -> bool:
        """Whether the stream is open."""
        return self._stream is not None

    async def drain(self) -> set[str]:
        """Profiles told of since the last question; waits `patience_ms` at most when there are none."""
        async with self._lock:
            try:
                return await self._drained()
            except PyMongoError:
                await self.close()
                self.count += 1
                raise

    async def _drained(self) -> set[str]:
        if self._stream is not None and not self._stream.alive:
            await self.close()
            self.count += 1
        if self._stream is None:
            self._stream = await self._db["profiles"].watch(
                [{"$match": self._wanted}, {"$project": {"documentKey": 1}}], max_await_time_ms=self._patience_ms
            )
            return set()
        found, over = set[str](), time.monotonic() + _TURN_S
        while (told := await self._stream.try_next()) is not None:
            found.add(told["documentKey"]["_id"])
            self.count += 1
            if time.monotonic() > over:
                break
        return found

    async def close(self) -> None:
        """Stop listening."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()
