"""Writes a batch: records, their pending deliveries, and all that came with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from bridge.contracts import Appended, Batch, Grace, StoredItem
from bridge.journal import intake
from bridge.journal.intake import Draft, Held, Nearby, New, Plan, Seen
from bridge.journal.links import targets
from bridge.journal.matching import TOLERANCES, Devices, wall_ms
from bridge.journal.mongo import deliveries
from bridge.journal.mongo.connection import Doc
from bridge.journal.mongo.visiting import Ask, Visit
from bridge.journal.sources import weight
from bridge.journal.spans import around
from bridge.model import Record, from_json, from_ms, to_json, to_ms

_HELD = ("n", "body", "rank", "readers")


class _Known(NamedTuple):
    """The record that a name stands for, and the content last seen under the name."""

    record: str
    hash: bytes


def before_adding(seen: Collection[str]) -> tuple[Ask | None, Ask | None]:
    """What `add_records` must know: which of these ids are records, and which are further names of one."""
    if not seen:
        return None, None
    names = {"$in": list(seen)}
    return Ask("records", {"id": names}, ("id", "hash")), Ask(
        "aliases", {"alias": names}, ("alias", "record", "hash")
    )


async def add_records(
    visit: Visit, batch: Batch, seen: dict[str, Seen], records: Sequence[Doc], aliases: Sequence[Doc]
) -> Appended:
    """Write a batch's records and their deliveries; what was known stays untouched.

    `records` and `aliases`: answers to `before_adding`.
    """
    known = {row["alias"]: _Known(row["record"], row["hash"]) for row in aliases}
    known |= {row["id"]: _Known(row["id"], row["hash"]) for row in records}
    changed = [each for name, each in seen.items() if name in known and known[name].hash != each.hash]
    unknown = [each for name, each in seen.items() if name not in known]
    if not changed and not unknown:
        return Appended((), (), len(seen))
    near = await _nearby(visit, known, changed, unknown)
    plan = intake.plan(changed, unknown, near, intake.reread(batch, seen.values()))
    await _write(visit, plan, batch.grace)
    revised = [draft.record.id for draft in plan.revised]
    new = [each.record.id for each in plan.new]
    return Appended(new, revised, len(seen) - len(new) - len(revised))


# --- what is near ----------------------------------------------------------------------------------


async def _nearby(
    visit: Visit, known: Mapping[str, _Known], changed: Sequence[Seen], unknown: Sequence[Seen]
) -> Nearby:
    ids = {known[each.record.id].record for each in changed}
    held = {each.record.id: each for each in await _held(visit, [{"id": {"$in": list(ids)}}] if ids else [])}
    by_name = {each.record.id: held[known[each.record.id].record] for each in changed}
    records = [each.record for each in unknown] + [each.record for each in held.values()]
    times, walls = _windows(records)
    in_batch = {each.record for each in known.values()}
    near = [each for each in await _held(visit, [*times, *walls]) if each.record.id not in in_batch]
    items = await _items(visit, [each.record.id for each in unknown], times)
    return Nearby(by_name, near, items, _devices(visit, unknown))


def _devices(visit: Visit, unknown: Iterable[Seen]) -> Devices:
    known = [(each["family"], each["serial"]) for each in visit.standing.get("devices", ())]
    return Devices([*known, *((each.record.device.family, each.record.device.serial) for each in unknown)])


def _windows(records: Iterable[Record]) -> tuple[list[Doc], list[Doc]]:
    """Where another sighting of these records can be, by time and by wall clock, as queries."""
    times, walls = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    for record in records:
        if record.kind in TOLERANCES:
            times[record.kind].append(to_ms(record.time))
            if (wall := wall_ms(record)) is not None:
                walls[record.kind].append(wall)
    return _within("time_ms", times), _within("wall_ms", walls)


def _within(field: str, moments: Mapping[str, Iterable[int]]) -> list[Doc]:
    return [
        {"kind": kind, field: {"$gte": start, "$lte": end}}
        for kind, each in moments.items()
        for start, end in around(each, TOLERANCES[kind].within_ms)
    ]


async def _held(visit: Visit, queries: Sequence[Doc]) -> list[Held]:
    if not queries:
        return []
    branches = [{"profile": visit.profile, **query} for query in queries]
    rows = await visit.found("records", {"$or": branches}, _HELD)
    return [Held(row["n"], from_json(row["body"]), row["rank"], frozenset(row["readers"])) for row in rows]


async def _items(visit: Visit, names: Sequence[str], windows: Sequence[Doc]) -> list[StoredItem]:
    if not visit.standing.get("adopted"):
        return []
    asked = [{"profile": visit.profile, **query} for query in ({"record_id": {"$in": names}}, *windows)]
    return [_item(row) for row in await visit.found("adopted", {"$or": asked})]


def _item(row: Doc) -> StoredItem:
    time_ms = row.get("time_ms")
    moment: datetime | None = None if time_ms is None else from_ms(time_ms)
    return StoredItem(row["key"], row["path"], row["record_id"], row.get("kind"), moment, row.get("value"))


# --- what changes ----------------------------------------------------------------------------------


async def _write(visit: Visit, plan: Plan, grace: Grace | None) -> None:
    await _note(visit, plan)
    await _insert(visit, plan.new, grace)
    await _update(visit, plan.drafts)
    await deliveries.reopen(visit, [draft.held.record.id for draft in plan.revised])
    if plan.used:
        await visit.remove("adopted", {"record_id": {"$in": list(plan.used)}})


async def _note(visit: Visit, plan: Plan) -> None:
    """The profile's count of records and its devices."""
    records = [each.record for each in plan.new] + [draft.record for draft in plan.drafts]
    here = {(each["device"], each["family"], each["serial"]) for each in visit.standing.get("devices", ())}
    came = {(device_key(each), each.device.family or "", each.device.serial or "") for each in records} - here
    change: dict[str, Any] = {"$inc": {"n": len(plan.new)}} if plan.new else {}
    if came:
        rows = [{"device": device, "family": family, "serial": serial} for device, family, serial in sorted(came)]
        change["$push"] = {"devices": {"$each": rows}}
    if change:
        await visit.note(change)


async def _insert(visit: Visit, new: Sequence[New], grace: Grace | None) -> None:
    if not new:
        return
    first = visit.standing.get("n", 0) + 1
    await visit.insert("records", [_row(n, each) for n, each in enumerate(new, first)])
    await deliveries.fan_out(visit, [each.record for each in new], grace)
    renamed = [each for each in new if each.record.id != each.seen.record.id]
    await visit.insert("aliases", [_alias_row(each.record.id, each.seen) for each in renamed])


def _row(n: int, new: New) -> Doc:
    record = new.record
    wall = wall_ms(record)
    return {
        "id": record.id, "n": n, "time_ms": to_ms(record.time), "readers": [record.reader],
        "rank": weight(record), "hash": new.seen.hash, **_body(record),
        **({} if wall is None else {"wall_ms": wall}),
    }  # fmt: skip


def _body(record: Record) -> Doc:
    """What a revision changes."""
    named = list(targets(record))
    return {
        "kind": record.kind, "device": device_key(record), "revision": record.revision,
        "body": to_json(record).decode(), **({"links": named} if named else {}),
    }  # fmt: skip


def device_key(record: Record) -> str:
    """What a basal line is drawn per: serial, else family."""
    return record.device.serial or record.device.family or ""


def _alias_row(owner: str, seen: Seen) -> Doc:
    record = seen.record
    return {
        "alias": record.id, "record": owner, "reader": record.reader, "hash": seen.hash,
        "body": to_json(record).decode(),
    }  # fmt: skip


async def _update(visit: Visit, drafts: Sequence[Draft]) -> None:
    for draft in drafts:
        for other in draft.absorbed:
            await _absorb(visit, draft.held.record.id, other)
    further = [
        visit.one({"alias": name}, {"$set": _alias_row(draft.held.record.id, seen)}, upsert=True)
        for draft in drafts
        for name, seen in draft.seen.items()
        if name != draft.held.record.id or weight(seen.record) < draft.rank
    ]
    await visit.run("aliases", further)
    await _keep_replaced(visit, [draft for draft in drafts if draft.revised])
    await visit.run("records", [visit.one({"id": draft.held.record.id}, _change(draft)) for draft in drafts])


async def _keep_replaced(visit: Visit, drafts: Iterable[Draft]) -> None:
    rows = [
        {
            "record": held.record.id, "revision": held.record.revision, "replaced_ms": visit.now_ms,
            "body": to_json(held.record).decode(),
        }
        for held in (draft.held for draft in drafts)
    ]  # fmt: skip
    await visit.insert("revisions", rows)


def _change(draft: Draft) -> Doc:
    """How a record's own document changes."""
    name, fields = draft.held.record.id, {"rank": draft.rank}
    readers = {seen.record.reader for seen in draft.seen.values()}
    readers.update(*(other.readers for other in draft.absorbed))
    change: Doc = {"$set": fields, "$addToSet": {"readers": {"$each": sorted(readers)}}}
    if name in draft.seen:
        change["$set"] = {**fields, "hash": draft.seen[name].hash}
    if draft.revised:
        body = _body(draft.record.model_copy(update={"revision": draft.held.record.revision + 1}))
        change["$set"] = {**change["$set"], **body}
        if "links" not in body:
            change["$unset"] = {"links": ""}
    return change


async def _absorb(visit: Visit, name: str, other: Held) -> None:
    """The other record becomes a further name of this one; the documents it had are this one's to delete."""
    gone = other.record.id
    (row,) = await visit.found("records", {"id": gone}, ("hash", "body", "readers"))
    made = {"record": name, "reader": row["readers"][0], "body": row["body"]}
    await visit.put("aliases", {"alias": gone}, {"$set": {"hash": row["hash"]}, "$setOnInsert": made})
    await visit.update("aliases", {"record": gone}, {"$set": {"record": name}})
    await visit.update("documents", {"record": gone}, {"$set": {"record": name}})
    await deliveries.forget(visit, gone)
    await visit.remove("revisions", {"record": gone})
    await visit.remove("records", {"id": gone})
