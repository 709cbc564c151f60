"""Destinations: which there are, their health, the adapter's state, counts; and identifiers found there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase

from bridge.contracts import DeliveryState, Destination, DestinationStatus, StoredItem
from bridge.journal.mongo import deliveries, reading
from bridge.journal.mongo.arrivals import instant
from bridge.journal.mongo.connection import Doc
from bridge.journal.mongo.visiting import Visit
from bridge.journal.retention import ADOPTED
from bridge.journal.surroundings import KINDS
from bridge.model import from_ms, to_ms
from bridge.model.health import Health, State

_UNSEEN: Mapping[str, Any] = {"health": "starting", "health_text": "", "state": "{}", "counts": {}}


async def activate(visit: Visit, names: Collection[str]) -> None:
    """Records of a profile fan out to exactly these from now on; one that has records to catch up with is marked."""
    before = await visit.found("destinations", {"active": True}, ("name",))
    gone = [row["name"] for row in before if row["name"] not in names]
    await visit.update("destinations", {"name": {"$in": gone}}, {"$set": {"active": False, "caught_up": False}})
    caught_up = not visit.standing.get("n")
    for name in sorted(set(names) - {row["name"] for row in before}):
        change = {"$set": {"active": True, "caught_up": caught_up}, "$setOnInsert": dict(_UNSEEN)}
        await visit.put("destinations", {"name": name}, change)
    await visit.note({"$set": {"active": sorted(names)}, "$addToSet": {"ledgers": {"$each": sorted(names)}}})


async def catch_up(visit: Visit, name: str, place: reading.Place) -> reading.Place | None:
    """Make a page of the records that a destination has not seen pending; where to go on, None at the end."""
    rows = await reading.rows(visit, KINDS, place, reading.EVER, ("id", "time_ms", "n"))
    query = {"destination": name, "record": {"$in": [row["id"] for row in rows]}}
    seen = {row["record"] for row in await visit.found("deliveries", query, ("record",))}
    fresh = [row for row in rows if row["id"] not in seen]
    made = [deliveries.first(row["id"], row["time_ms"], name, visit.now_ms) for row in fresh]
    await visit.insert("deliveries", made)
    done = len(rows) < reading.PAGE
    await visit.tally(name, Counter(), Counter(pending=len(made)), set={"caught_up": True} if done else {})
    return None if done else reading.Place(rows[-1]["time_ms"], rows[-1]["n"])


async def report(visit: Visit, destination: Destination, health: Health, state: Mapping[str, Any] | None) -> None:
    """Keep health, and the adapter's state unless None."""
    fields = {"health": health.state, "health_text": health.text}
    if state is not None:
        fields["state"] = json.dumps(dict(state))
    await visit.update("destinations", {"name": visit.registered(destination)}, {"$set": fields})


async def recall(visit: Visit, name: str) -> dict[str, Any]:
    """The adapter's state, empty at first."""
    rows = await visit.found("destinations", {"name": name}, ("state",))
    return dict(json.loads(rows[0]["state"])) if rows else {}


async def statuses(db: AsyncDatabase[Doc], session: AsyncClientSession) -> list[DestinationStatus]:
    """Every active ledger, by profile and name. Every state is counted, also with 0."""
    oldest = {(row["_id"]["p"], row["_id"]["d"]): row["oldest"] for row in await _oldest(db, session)}
    rows = db["destinations"].find({"active": True}, session=session, sort=[("profile", 1), ("name", 1)])
    return [_status(row, oldest.get((row["profile"], row["name"]))) async for row in rows]


async def _oldest(db: AsyncDatabase[Doc], session: AsyncClientSession) -> list[Doc]:
    key = {"p": "$profile", "d": "$destination"}
    steps: list[Doc] = [
        {"$match": {"ready_ms": {"$exists": True}}},
        {"$group": {"_id": key, "oldest": {"$min": "$time_ms"}}},
    ]
    return await (await db["deliveries"].aggregate(steps, session=session, hint="open")).to_list()


def _status(row: Doc, oldest_ms: int | None) -> DestinationStatus:
    counts = {state: row["counts"].get(state, 0) for state in DeliveryState}
    health = Health(State(row["health"]), row["health_text"])
    destination = Destination(row["profile"], row["name"])
    return DestinationStatus(destination, counts, health, instant(row.get("last_accepted_ms")), instant(oldest_ms))


# --- adoption --------------------------------------------------------------------------------------


async def adopt(visit: Visit, items: Sequence[StoredItem]) -> None:
    """Keep identifiers that no record of the journal has; of several documents of one record the first that shows
    enough to be recognised counts."""
    named = [item.record_id for item in items if item.record_id is not None]
    known = {row["id"] for row in await visit.found("records", {"id": {"$in": named}}, ("id",))}
    known |= {row["alias"] for row in await visit.found("aliases", {"alias": {"$in": named}}, ("alias",))}
    wanted = [item for item in items if item.record_id is not None and item.record_id not in known]
    if wanted:
        await visit.run("adopted", [visit.one(*_kept(item, visit.now_ms), upsert=True) for item in wanted])
        await visit.note({"$set": {"adopted": True}})


def _kept(item: StoredItem, now_ms: int) -> tuple[Doc, Any]:
    shown = {
        "kind": item.kind, "value": item.value, "time_ms": None if item.time is None else to_ms(item.time),
        "key": item.key, "path": item.path,
    }  # fmt: skip
    first = {field: {"$ifNull": [f"${field}", {"$literal": value}]} for field, value in shown.items()}
    expires = from_ms(now_ms) + ADOPTED
    return {"record_id": item.record_id}, [{"$set": {**first, "seen_ms": now_ms, "expires": expires}}]
