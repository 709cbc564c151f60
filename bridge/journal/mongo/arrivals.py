"""What comes with a read beside records: sightings, state, health, coverage."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase

from bridge.contracts import Batch, Interval, Memory, ReaderStatus, Sighting
from bridge.journal import spans
from bridge.journal.mongo.connection import Doc
from bridge.journal.mongo.visiting import Ask, Visit
from bridge.journal.retention import SIGHTINGS
from bridge.model import from_ms, to_ms
from bridge.model.health import Health, State


def instant(epoch_ms: int | None) -> datetime | None:
    """UTC of a field that may be absent."""
    return None if epoch_ms is None else from_ms(epoch_ms)


# --- readers ---------------------------------------------------------------------------------------


def before_read(batch: Batch) -> tuple[Ask | None, Ask | None]:
    """What `note_read` must know: which sightings stand, and what the covered stretch touches."""
    seen = batch.decoded.sightings if batch.decoded is not None else {}
    known = Ask("sightings", {"reader": batch.reader, "key": {"$in": list(seen)}}, ("key",)) if seen else None
    if batch.covered is None:
        return known, None
    start_ms, end_ms = to_ms(batch.covered.start), to_ms(batch.covered.end)
    query = {"reader": batch.reader, "start_ms": {"$lte": end_ms}, "end_ms": {"$gte": start_ms}}
    return known, Ask("coverage", query, ("start_ms", "end_ms"))


async def note_read(visit: Visit, batch: Batch, known: Sequence[Doc], touched: Sequence[Doc]) -> None:
    """Health and next read; sightings and state where the source was understood; what the read covered.

    `known` and `touched`: answers to `before_read`.
    """
    await visit.put("readers", {"name": batch.reader}, _noted(batch, visit.now_ms))
    if batch.decoded is not None and batch.decoded.sightings:
        await _sight(visit, batch.reader, batch.decoded.sightings, {row["key"] for row in known})
    if batch.covered is not None:
        touching = [(row["start_ms"], row["end_ms"]) for row in touched]
        await _cover(visit, batch.reader, (to_ms(batch.covered.start), to_ms(batch.covered.end)), touching)


def _noted(batch: Batch, now_ms: int) -> Doc:
    decoded, first = batch.decoded, {"state": "{}"}
    fields: Doc = {
        "health": batch.health.state, "health_text": batch.health.text, "next_due_ms": to_ms(batch.next_due)
    }  # fmt: skip
    if decoded is not None:
        fields["state"] = json.dumps(dict(decoded.state))
        fields["last_read_ms"] = now_ms
        first = {}
    if batch.capture is not None:
        fields["last_read_ms"] = to_ms(batch.capture.taken_at)
    change: Doc = {"$set": fields, "$setOnInsert": first}
    if decoded is not None and decoded.records:
        change["$max"] = {"last_record_ms": max(to_ms(record.time) for record in decoded.records)}
    return change


async def _sight(visit: Visit, reader: str, seen: Mapping[str, Sighting], known: Collection[str]) -> None:
    """Rows as first seen: what stands is kept."""
    rows = [
        {
            "reader": reader, "key": key, "time_ms": to_ms(each.time), "source_key": each.source_key,
            "seen_ms": visit.now_ms, "expires": each.time + SIGHTINGS,
        }
        for key, each in seen.items() if key not in known
    ]  # fmt: skip
    await visit.insert("sightings", rows)


async def memory(visit: Visit, reader: str, now: datetime) -> Memory:
    """Rows of the last 36 h as first seen, and the reader's state."""
    query = {"reader": reader, "time_ms": {"$gte": to_ms(now - SIGHTINGS)}}
    rows = await visit.found("sightings", query, ("key", "time_ms", "source_key"))
    seen = {row["key"]: Sighting(from_ms(row["time_ms"]), row["source_key"]) for row in rows}
    state = await visit.found("readers", {"name": reader}, ("state",))
    return Memory(seen, json.loads(state[0]["state"]) if state else {})


async def hasten(visit: Visit, reader: str, now: datetime) -> None:
    """Its next read is due now; a reader that was never seen is due anyway."""
    await visit.update("readers", {"name": reader}, {"$set": {"next_due_ms": to_ms(now)}})


async def readers(db: AsyncDatabase[Doc], session: AsyncClientSession, profile: str | None) -> list[ReaderStatus]:
    """Every reader seen, by profile and name, with the holes between what it covered."""
    whose = {} if profile is None else {"profile": profile}
    gaps = await _gaps(db, session, whose)
    rows = db["readers"].find(whose, session=session, sort=[("profile", 1), ("name", 1)])
    return [_status(row, gaps[row["profile"], row["name"]]) async for row in rows]


def _status(row: Doc, gaps: list[Interval]) -> ReaderStatus:
    read, record, due = (instant(row.get(field)) for field in ("last_read_ms", "last_record_ms", "next_due_ms"))
    health = Health(State(row["health"]), row["health_text"])
    return ReaderStatus(row["profile"], row["name"], health, read, record, due, gaps)


# --- coverage --------------------------------------------------------------------------------------


async def _cover(visit: Visit, reader: str, span: spans.Span, touching: Sequence[spans.Span]) -> None:
    if span[0] >= span[1] or touching == [span]:
        return
    ((start, end),) = spans.merged([span, *touching])
    gone = [begun for begun, _ in touching if begun != start]
    if gone:
        await visit.remove("coverage", {"reader": reader, "start_ms": {"$in": gone}})
    await visit.put("coverage", {"reader": reader, "start_ms": start}, {"$set": {"end_ms": end}})


async def missing(visit: Visit, reader: str, window: Interval) -> list[Interval]:
    """What of a window the reader never covered."""
    asked = to_ms(window.start), to_ms(window.end)
    query = {"reader": reader, "start_ms": {"$lt": asked[1]}, "end_ms": {"$gt": asked[0]}}
    rows = await visit.found("coverage", query, ("start_ms", "end_ms"))
    return _intervals(spans.holes([(row["start_ms"], row["end_ms"]) for row in rows], asked))


async def _gaps(
    db: AsyncDatabase[Doc], session: AsyncClientSession, whose: Mapping[str, str]
) -> defaultdict[tuple[str, str], list[Interval]]:
    covered = defaultdict[tuple[str, str], list[spans.Span]](list)
    async for row in db["coverage"].find(
        whose, session=session, sort=[("profile", 1), ("reader", 1), ("start_ms", 1)]
    ):
        covered[row["profile"], row["reader"]].append((row["start_ms"], row["end_ms"]))
    gaps = defaultdict[tuple[str, str], list[Interval]](list)
    for key, stretches in covered.items():
        gaps[key] = _intervals(spans.holes(stretches, (stretches[0][0], stretches[-1][1])))
    return gaps


def _intervals(found: Iterable[spans.Span]) -> list[Interval]:
    return [Interval(from_ms(start), from_ms(end)) for start, end in found]
