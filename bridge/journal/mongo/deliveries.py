"""The delivery ledger: where every record stands at every destination.

A delivery that may be leased has `ready_ms`; a lease moves it to its end, settling takes it away.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase

from bridge.contracts import (
    DeliveryState,
    Destination,
    Due,
    Grace,
    Interval,
    Quarantined,
    Settled,
    Settlement,
    Standing,
)
from bridge.errors import ContractViolation
from bridge.journal.mongo import documents
from bridge.journal.mongo.connection import Doc
from bridge.journal.mongo.visiting import Ask, Visit
from bridge.model import Record, from_ms, to_ms

FRESH = timedelta(minutes=15)
"""Records younger than this go first, newest first."""

_NEVER_MS = 1 << 62
_REVISABLE = ("accepted", "not_applicable", "superseded", "quarantined")
_REQUEUED = (*_REVISABLE, "withheld")


def first(record: str, time_ms: int, destination: str, now_ms: int, grace: Grace | None = None) -> Doc:
    """A delivery that was never tried: pending, or held until its grace is over."""
    state, ready_ms = "pending", 0
    if grace is not None:
        state = "withheld"
        ready_ms = to_ms(grace.fresh_until if time_ms > to_ms(grace.fresh_since) else grace.until)
    return {
        "record": record, "destination": destination, "time_ms": time_ms, "state": state, "ready_ms": ready_ms,
        "attempts": 0, "since_ms": now_ms,
    }  # fmt: skip


async def fan_out(visit: Visit, records: Sequence[Record], grace: Grace | None) -> None:
    """Pending or held deliveries of new records to every active destination."""
    active = visit.standing.get("active", ())
    rows = [first(each.id, to_ms(each.time), name, visit.now_ms, grace) for each in records for name in active]
    await visit.insert("deliveries", rows)
    if rows:
        counts = {"$inc": {f"counts.{rows[0]['state']}": len(records)}}
        await visit.update("destinations", {"name": {"$in": active}}, counts)


async def unhold(visit: Visit, window: Interval) -> int:
    """Held becomes pending at once, at every destination; how many."""
    ledgers, span = visit.standing.get("ledgers", ()), {"$gte": to_ms(window.start), "$lt": to_ms(window.end)}
    query = {
        "destination": {"$in": ledgers}, "state": "withheld", "ready_ms": {"$exists": True}, "time_ms": span
    }  # fmt: skip
    change = {"$set": {"state": "pending", "ready_ms": 0, "since_ms": visit.now_ms}}
    return await _change(visit, query, "pending", change)


# --- the round of a deliverer ----------------------------------------------------------------------


async def any_ready(visit: Visit, destination: str, now_ms: int) -> bool:
    """Whether there is anything to lease."""
    query = {"destination": destination, "ready_ms": {"$lte": now_ms}}
    return bool(await visit.found("deliveries", query, ("state",), limit=1))


async def next_due(visit: Visit, destination: str) -> datetime | None:
    """When the first open delivery may be leased."""
    steps: list[Doc] = [
        {"$match": {"profile": visit.profile, "destination": destination, "ready_ms": {"$lt": _NEVER_MS}}},
        {"$group": {"_id": None, "first": {"$min": "$ready_ms"}}},
    ]
    rows = await (await visit.db["deliveries"].aggregate(steps, session=visit.session, hint="open")).to_list()
    return from_ms(rows[0]["first"]) if rows else None


async def due(visit: Visit, destination: str, now: datetime, limit: int, lease_s: float) -> list[Due]:
    """Lease what is ready."""
    rows = await _ready(visit, destination, now, limit)
    if not rows:
        return []
    ids = [row["record"] for row in rows]
    lease = {"state": "leased", "ready_ms": to_ms(now) + round(lease_s * 1000)}
    query = {"destination": destination, "record": {"$in": ids}}
    await visit.update("deliveries", query, {"$set": lease, "$inc": {"attempts": 1}})
    await visit.tally(destination, Counter(row["state"] for row in rows), Counter(leased=len(rows)))
    bodies = await visit.bodies(ids)
    records = await visit.parsed(bodies[each] for each in ids)
    return [Due(record, row["attempts"]) for record, row in zip(records, rows, strict=True)]


async def _ready(visit: Visit, destination: str, now: datetime, limit: int) -> list[Doc]:
    fields = ("record", "state", "attempts")
    query = {"destination": destination, "ready_ms": {"$lte": to_ms(now)}}
    rows, fresh_ms = list[Doc](), to_ms(now - FRESH)
    for side, order in (("$gt", -1), ("$lte", 1)):
        if left := limit - len(rows):
            of_age = {**query, "time_ms": {side: fresh_ms}}
            rows += await visit.found(
                "deliveries", of_age, fields, sort=[("time_ms", order)], limit=left, hint="open"
            )
    return rows


def before_settling(name: str, settlement: Settlement) -> tuple[Ask | None, ...]:
    """What `settle` must know: the records, where they stand, and which documents it replaces."""
    asked = settlement.deliveries.keys() | {document.record_id for document in settlement.documents}
    keys = [*settlement.removed, *(document.key for document in settlement.documents)]
    return (
        Ask("records", {"id": {"$in": sorted(asked)}}, ("id", "kind", "revision", "time_ms")) if asked else None,
        _standing_of(name, settlement.deliveries) if settlement.deliveries else None,
        Ask("documents", {"destination": name, "key": {"$in": keys}}, ("key",)) if keys else None,
    )


async def settle(
    visit: Visit, destination: Destination, settlement: Settlement, asks: tuple[Ask | None, ...]
) -> None:
    """Book one round: deliveries, then the documents that went and came. `asks`: of `before_settling`."""
    name = visit.registered(destination)
    rows, states_, held = await visit.several(*asks)
    before = {each["record"]: each["state"] for each in states_}
    await _settle_deliveries(visit, name, settlement.deliveries, rows, before)
    kinds = {row["id"]: row["kind"] for row in rows}
    await documents.book(visit, name, settlement.documents, [row["key"] for row in held], kinds)


def _standing_of(name: str, ids: Iterable[str]) -> Ask:
    return Ask("deliveries", {"record": {"$in": list(ids)}, "destination": name}, ("record", "state"))


async def _settle_deliveries(
    visit: Visit, name: str, settled: Mapping[str, Settled], rows: Iterable[Doc], before: Mapping[str, str]
) -> None:
    if not settled:
        return
    moves, left, newest = defaultdict[tuple[Any, ...], list[str]](list), Counter[str](), -1
    for row in rows:
        each = settled.get(record := row["id"])
        if each is None or before.get(record) in (None, "removed_there"):
            continue
        move = (*_standing(each, row["revision"]), each.revision, each.reason)
        moves[move].append(record)
        left[before[record]] += 1
        if move[0] is DeliveryState.ACCEPTED:
            newest = max(newest, row["time_ms"])
    operations = [
        visit.all({"record": {"$in": records}, "destination": name}, _moved(move, visit.now_ms))
        for move, records in moves.items()
    ]
    await visit.run("deliveries", operations)
    latest = {"last_accepted_ms": newest} if newest >= 0 else {}
    await visit.tally(name, left, _reached(moves), max=latest)


def _moved(move: tuple[Any, ...], now_ms: int) -> Doc:
    state, ready_ms, counts_on, revision, reason = move
    fields = {"state": state, "revision": revision, "reason": reason, "since_ms": now_ms}
    if not counts_on:
        fields["attempts"] = 0
    if ready_ms is None:
        return {"$set": fields, "$unset": {"ready_ms": ""}}
    return {"$set": {**fields, "ready_ms": ready_ms}}


def _reached(moves: Mapping[tuple[Any, ...], Collection[str]]) -> Counter[str]:
    reached = Counter[str]()
    for (state, *_), records in moves.items():
        reached[state] += len(records)
    return reached


def _standing(settled: Settled, revision: int) -> tuple[DeliveryState, int | None, bool]:
    """State, ready_ms and whether attempts count on. A newer revision than the settled one is still to be sent."""
    state = settled.state
    if state is DeliveryState.LEASED:
        raise ContractViolation("A delivery cannot be settled as leased.")
    if state in (DeliveryState.PENDING, DeliveryState.WITHHELD):
        at_best = 0 if state is DeliveryState.PENDING else _NEVER_MS
        return state, at_best if settled.not_before is None else to_ms(settled.not_before), True
    if settled.revision < revision and state is not DeliveryState.REMOVED_THERE:
        return DeliveryState.PENDING, 0, False
    return state, None, True


# --- states ----------------------------------------------------------------------------------------


async def _change(visit: Visit, query: Mapping[str, Any], reached: str, change: Any) -> int:
    """Move all deliveries that fit into one state; how many. Counts follow."""
    rows = await visit.found("deliveries", query, ("destination", "record", "state"))
    left = defaultdict[str, Counter[str]](Counter)
    for row in rows:
        left[row["destination"]][row["state"]] += 1
    if rows:
        await visit.update("deliveries", query, change)
    for name, counts in left.items():
        await visit.tally(name, counts, Counter({reached: counts.total()}))
    return len(rows)


async def _reopened(visit: Visit, query: Mapping[str, Any]) -> int:
    again = {"state": "pending", "ready_ms": 0, "attempts": 0, "reason": "", "since_ms": visit.now_ms}
    return await _change(visit, query, "pending", {"$set": again})


async def reopen(visit: Visit, ids: Collection[str]) -> None:
    """What was settled of revised records is pending again; what a person removed there stays removed."""
    if ids:
        await _reopened(visit, {"record": {"$in": list(ids)}, "state": {"$in": _REVISABLE}})


async def forget(visit: Visit, record: str) -> None:
    """Drop the deliveries of a record that is another one's further name from now on."""
    for row in await visit.found("deliveries", {"record": record}, ("destination", "state")):
        await visit.tally(row["destination"], Counter({row["state"]: 1}), Counter())
    await visit.remove("deliveries", {"record": record})


async def any_leased(visit: Visit, destination: str) -> bool:
    """Whether there is anything to hand back."""
    return bool(await visit.found("deliveries", _leased(destination), ("state",), limit=1))


def _leased(destination: str) -> Doc:
    return {"destination": destination, "ready_ms": {"$exists": True}, "state": "leased"}


async def release(visit: Visit, destination: str) -> int:
    """Leased becomes pending at once."""
    query = _leased(destination)
    return await _change(visit, query, "pending", {"$set": {"state": "pending", "ready_ms": 0}})


async def requeue(visit: Visit, destination: Destination, ids: Collection[str]) -> int:
    """Settled and withheld becomes pending at once."""
    name, owners = visit.registered(destination), await visit.resolved(ids)
    query = {"destination": name, "record": {"$in": [*set(owners.values())]}, "state": {"$in": _REQUEUED}}
    return await _reopened(visit, query)


async def drop(visit: Visit, destination: Destination, ids: Collection[str]) -> int:
    """Quarantined becomes not applicable; the reason is kept."""
    name, owners = visit.registered(destination), await visit.resolved(ids)
    query = {"destination": name, "record": {"$in": [*set(owners.values())]}, "state": "quarantined"}
    given_up = {
        "state": "not_applicable", "since_ms": visit.now_ms,
        "reason": {"$concat": ["given up: ", {"$ifNull": ["$reason", ""]}]},
    }  # fmt: skip
    return await _change(visit, query, "not_applicable", [{"$set": given_up}])


async def states(visit: Visit, destination: str, ids: Collection[str]) -> dict[str, DeliveryState]:
    """State by the id that was asked for."""
    owners = await visit.resolved(ids)
    query = {"destination": destination, "record": {"$in": [*set(owners.values())]}}
    found = {row["record"]: row["state"] for row in await visit.found("deliveries", query, ("record", "state"))}
    return {name: DeliveryState(found[owner]) for name, owner in owners.items() if owner in found}


async def standing(visit: Visit, destination: str, ids: Collection[str], slots: Collection[str]) -> Standing:
    """Documents and states of these records, and which of the slots are taken."""
    here = {"destination": destination}
    states_, held, taken = await visit.several(
        _standing_of(destination, ids) if ids else None,
        Ask("documents", {"record": {"$in": list(ids)}, **here}, documents.FIELDS) if ids else None,
        Ask("documents", {**here, "slot": {"$in": list(slots), "$exists": True}}, ("slot", "key")) if slots else None,
    )
    return Standing(
        list(map(documents.document, held)),
        {row["record"]: DeliveryState(row["state"]) for row in states_},
        {row["slot"]: row["key"] for row in taken},
    )


async def quarantined_profiles(db: AsyncDatabase[Doc], session: AsyncClientSession) -> list[str]:
    """Profiles that have something in quarantine, sorted."""
    steps: list[Doc] = [{"$match": {"state": "quarantined"}}, {"$group": {"_id": "$profile"}}]
    rows = await (await db["deliveries"].aggregate(steps, session=session, hint="quarantined")).to_list()
    return sorted(row["_id"] for row in rows)


async def quarantine(visit: Visit) -> list[Quarantined]:
    """Quarantined deliveries of a profile's active ledgers, oldest first."""
    active = (await visit.own()).get("active", ())
    query = {"destination": {"$in": active}, "state": "quarantined"}
    rows = await visit.found("deliveries", query, ("record", "destination", "reason", "since_ms"))
    ids = list({row["record"] for row in rows})
    kept = await visit.found("records", {"id": {"$in": ids}}, ("id", "n", "body"))
    order = {row["id"]: row["n"] for row in kept}
    records = dict(zip(order, await visit.parsed(row["body"] for row in kept), strict=True))
    rows.sort(key=lambda row: (row["since_ms"], order[row["record"]]))
    return [
        Quarantined(
            Destination(visit.profile, row["destination"]), records[row["record"]], row.get("reason", ""),
            from_ms(row["since_ms"]),
        )
        for row in rows
    ]  # fmt: skip
