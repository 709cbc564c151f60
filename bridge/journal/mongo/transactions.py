"""A transaction, tried until it is committed or its time is over, and never left open.

An open transaction keeps its profile from everybody else until the server ends it (a minute by default): one that
ran out of time is aborted in a time of its own, a dead worker's are ended by whoever takes over, and one that a
killed program left behind by whoever has waited long enough for it.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import pymongo
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from bridge.journal.mongo.connection import APP, Doc

_T = TypeVar("_T")

_SNAPSHOT = ReadConcern("snapshot")
_ABORT_S = 2.0
_PAUSE_S, _PAUSES = 0.005, 6
_STUCK_S = 4.0
_LEFT_BEHIND = {
    "appName": re.compile(f"^{APP} "),
    "type": "idleSession",
    "transaction.timeInactiveMicros": {"$gt": _STUCK_S * 1e6},
}
_AGAIN, _UNKNOWN = "TransientTransactionError", "UnknownTransactionCommitResult"


async def transact(
    client: AsyncMongoClient[Doc], work: Callable[[AsyncClientSession], Awaitable[_T]], within_s: float
) -> _T:
    """What `work` gives, once it is committed by a majority. It may run several times: only the last one counts."""
    begun, attempt, waited = time.monotonic(), 0, False
    async with client.start_session() as session:
        while True:
            try:
                return await _once(session, work, begun + within_s)
            except PyMongoError as error:
                if not error.has_error_label(_AGAIN) or time.monotonic() > begun + within_s:
                    raise
            if not waited and time.monotonic() > begun + _STUCK_S:
                waited = True
                await end_transactions(client, _LEFT_BEHIND)
            await asyncio.sleep(random.random() * _PAUSE_S * 2 ** min(attempt, _PAUSES))  # noqa: S311
            attempt += 1


async def _once(
    session: AsyncClientSession, work: Callable[[AsyncClientSession], Awaitable[_T]], give_up: float
) -> _T:
    await session.start_transaction(read_concern=_SNAPSHOT)
    try:
        with pymongo.timeout(_left(give_up)):
            result = await work(session)
    except BaseException:
        with pymongo.timeout(_ABORT_S):
            await session.abort_transaction()
        raise
    await _commit(session, give_up)
    return result


async def _commit(session: AsyncClientSession, give_up: float) -> None:
    """Commit; again where the answer was lost, and a last time when the time is over already."""
    while True:
        over = time.monotonic() > give_up
        try:
            with pymongo.timeout(_ABORT_S if over else _left(give_up)):
                return await session.commit_transaction()
        except PyMongoError as error:
            if over or not error.has_error_label(_UNKNOWN):
                raise


def _left(give_up: float) -> float:
    return max(give_up - time.monotonic(), 0.001)


async def end_transactions(client: AsyncMongoClient[Doc], whose: Mapping[str, Any]) -> None:
    """End the open transactions that `whose` fits. Their clients, if they live, are told to begin again.

    Servers that refuse this to the user end them by themselves, later.
    """
    steps: list[dict[str, Any]] = [
        {"$currentOp": {"idleSessions": True}},
        {"$match": {**whose, "transaction": {"$exists": True}}},
    ]
    admin = client.get_database("admin", read_concern=ReadConcern("local"))
    with suppress(OperationFailure), pymongo.timeout(_ABORT_S):
        rows = await (await admin.aggregate(steps)).to_list()
        if left := [{"id": row["lsid"]["id"]} for row in rows]:
            await admin.command("killSessions", left)
