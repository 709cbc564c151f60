"""The upload queue and its history."""

from __future__ import annotations

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase

from bridge.contracts import UploadRecord, UploadState
from bridge.journal.mongo.connection import Doc
from bridge.journal.mongo.visiting import Visit
from bridge.journal.uploads import from_text, to_text
from bridge.model import to_ms


async def note(visit: Visit, upload: UploadRecord) -> None:
    """Store an upload as it stands now, in place of what was known of the same request."""
    fields = {"state": upload.state, "asked_ms": to_ms(upload.request.asked_at), "body": to_text(upload)}
    await visit.put("uploads", {"id": upload.request.id}, {"$set": fields})


async def uploads(
    db: AsyncDatabase[Doc], session: AsyncClientSession, profile: str | None, states: set[UploadState], limit: int
) -> list[UploadRecord]:
    """Newest first; all profiles and states where none is named."""
    query: Doc = {} if profile is None else {"profile": profile}
    if states:
        query["state"] = {"$in": list(states)}
    newest = [("asked_ms", -1), ("id", 1)]
    rows = db["uploads"].find(query, {"body": 1}, session=session, sort=newest, limit=max(limit, 0))
    return [from_text(row["body"]) async for row in rows]
