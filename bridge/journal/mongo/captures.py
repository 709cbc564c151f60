"""Raw captures: packed and sealed before they leave the process, kept for a reason, let go in time.

A block too large for one document is a file of the bucket. Files know no transactions: one is stored before its
capture is booked and removed after, and what a crash leaves between is swept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

from bson import ObjectId
from gridfs import AsyncGridFSBucket
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase

from bridge.contracts import Batch, Sealer
from bridge.journal.mongo.arrivals import instant
from bridge.journal.mongo.connection import Doc
from bridge.journal.mongo.schema import FILES
from bridge.journal.mongo.visiting import Ask, Visit
from bridge.journal.retention import Retention, Worth, lifetime, worth
from bridge.journal.sealing import pack, unpack
from bridge.model import Capture, from_ms, to_ms

LARGE_BYTES = 12 * 1024 * 1024
"""A document may hold 16 MiB."""

_ORPHAN = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Packed:
    """A capture ready to be written: its block, or the key of the file that holds it."""

    reader: str
    taken_at: datetime
    understood: bool
    sealed: bool
    digest: bytes
    held: Doc


async def packed(db: AsyncDatabase[Doc], batch: Batch, capture: Capture, sealer: Sealer | None) -> Packed:
    """Pack and seal; a large block is stored at once."""
    held = await stored(db, batch.profile, pack(capture, sealer))
    understood = batch.decoded is not None and batch.decoded.understood
    digest = blake2b(capture.body, digest_size=16, person=b"capture").digest()
    return Packed(capture.reader, capture.taken_at, understood, sealer is not None, digest, held)


async def stored(db: AsyncDatabase[Doc], profile: str, block: bytes) -> Doc:
    """The part of a capture's document that holds or names its block."""
    if len(block) <= LARGE_BYTES:
        return {"block": block}
    key = {"profile": profile, "n": ObjectId()}
    await AsyncGridFSBucket(db, FILES).upload_from_stream_with_id(key, "capture", block)
    return {"file": key}


def before_keeping(packed: Packed | None, keep: Retention) -> tuple[Ask | None, Ask | None]:
    """What `keep_capture` must know: the last one kept for longer, and those around the last that stay."""
    if packed is None:
        return None, None
    of_reader, newest_first = {"reader": packed.reader}, {"taken_ms": -1}
    anchors = {**of_reader, "worth": "anchor", "taken_ms": {"$lte": to_ms(packed.taken_at)}}
    return (
        Ask("captures", anchors, ("taken_ms",), newest_first, limit=1),
        Ask("captures", of_reader, ("taken_ms", "digest"), newest_first, limit=keep.answer_last + 1),
    )


async def keep_capture(
    visit: Visit, packed: Packed, keep: Retention, anchors: Sequence[Doc], latest: Sequence[Doc]
) -> None:
    """Store a capture and let go of the answers it pushes out of the last ones. `anchors`, `latest`: answers to
    `before_keeping`."""
    reader, taken_ms = packed.reader, to_ms(packed.taken_at)
    anchor = instant(anchors[0]["taken_ms"]) if anchors else None
    why = worth(reader, packed.taken_at, packed.understood, anchor, keep)
    key = {"reader": reader, "taken_ms": taken_ms, "digest": packed.digest}
    expires = packed.taken_at + lifetime(why, keep)
    made = {"worth": why, "sealed": packed.sealed, "expires": expires, **packed.held}
    await visit.put("captures", key, {"$setOnInsert": made})
    there = {(row["taken_ms"], row["digest"]) for row in latest} | {(taken_ms, packed.digest)}
    times = sorted((taken for taken, _ in there), reverse=True)
    if times[keep.answer_last :]:
        old = {"$lte": times[keep.answer_last]}
        await visit.remove("captures", {"reader": reader, "worth": "recent", "taken_ms": old})


async def captures(visit: Visit, reader: str | None, sealer: Sealer | None) -> list[Capture]:
    """Kept captures, newest first. Raises VaultLocked when they are sealed and the key does not fit."""
    query: Doc = {"profile": visit.profile, **({} if reader is None else {"reader": reader})}
    rows = visit.db["captures"].find(query, session=visit.session, sort=[("taken_ms", -1), ("_id", -1)])
    return [await _opened(visit, row, sealer) async for row in rows]


async def _opened(visit: Visit, row: Doc, sealer: Sealer | None) -> Capture:
    block = row["block"] if "block" in row else await file_block(visit.db, row["file"], visit.session)
    return unpack(block, row["sealed"], visit.profile, row["reader"], from_ms(row["taken_ms"]), sealer)


async def file_block(db: AsyncDatabase[Doc], key: Any, session: AsyncClientSession | None = None) -> bytes:
    """A large block."""
    return await (await AsyncGridFSBucket(db, FILES).open_download_stream(key, session=session)).read()


async def compact(db: AsyncDatabase[Doc], now: datetime, keep: Retention) -> int:
    """Drop what has outlived its time, of all profiles; how many rows."""
    gone = 0
    for why in Worth:
        old = {"worth": why, "taken_ms": {"$lt": to_ms(now - lifetime(why, keep))}}
        gone += (await db["captures"].delete_many(old)).deleted_count
    for name in ("sightings", "adopted"):
        gone += (await db[name].delete_many({"expires": {"$lt": now}})).deleted_count
    await _sweep(db, now)
    return gone


async def _sweep(db: AsyncDatabase[Doc], now: datetime) -> None:
    """Remove the files that no capture names any more."""
    bucket = AsyncGridFSBucket(db, FILES)
    old = db[f"{FILES}.files"].find({"uploadDate": {"$lt": now - _ORPHAN}}, {"_id": 1})
    async for row in old:
        if await db["captures"].find_one({"profile": row["_id"]["profile"], "file": row["_id"]}, {"_id": 1}) is None:
            await bucket.delete(row["_id"])
