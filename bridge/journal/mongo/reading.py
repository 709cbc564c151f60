"""Records as others read them: by time, around others, and their further names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bridge.journal.links import LINKED_KINDS
from bridge.journal.mongo.connection import Doc
from bridge.journal.mongo.schema import BY_TIME
from bridge.journal.mongo.visiting import Visit
from bridge.journal.surroundings import KINDS, days, windows
from bridge.model import Record, to_ms

PAGE = 500
"""Records read at one time."""
EVER = 1 << 62

_FIELDS = ("id", "kind", "n", "body", "links")
_UNIONS = 100


class Place(NamedTuple):
    """Where a walk over the records stands: everything at or before it was read."""

    time_ms: int
    n: int


START = Place(-EVER, -1)


async def rows(
    visit: Visit, kinds: Sequence[str], after: Place, end_ms: int, fields: Sequence[str], limit: int = PAGE
) -> list[Doc]:
    """The next documents by time, before `end_ms`; fewer than `limit` at the end."""
    query = {
        "kind": {"$in": list(kinds)},
        "time_ms": {"$gte": after.time_ms, "$lt": end_ms},
        "$or": [{"time_ms": {"$gt": after.time_ms}}, {"n": {"$gt": after.n}}],
    }
    return await visit.found("records", query, fields, sort=[("time_ms", 1), ("n", 1)], limit=limit, hint=BY_TIME)


async def page(visit: Visit, kinds: Sequence[str], after: Place, end_ms: int) -> tuple[list[Record], Place]:
    """The next records by time, before `end_ms`; fewer than a page at the end."""
    found = await rows(visit, kinds, after, end_ms, ("time_ms", "n", "body"))
    if not found:
        return [], after
    place = Place(found[-1]["time_ms"], found[-1]["n"])
    return await visit.parsed(row["body"] for row in found), place


async def aliases(visit: Visit) -> dict[str, str]:
    """Record id by alias."""
    found = await visit.found("aliases", {}, ("alias", "record"))
    return {row["alias"]: row["record"] for row in found if row["alias"] != row["record"]}


# --- context ---------------------------------------------------------------------------------------


async def context(visit: Visit, given: Sequence[Record]) -> list[Record]:
    """The given records and all that their mapping may look at, in order of first sight."""
    if not given:
        return []
    ids, times = {record.id for record in given}, [to_ms(record.time) for record in given]
    found = await _around(visit, times)
    if missed := ids - found.keys():
        kept = await _as_kept(visit, missed)
        ids, times = ids | kept.keys(), [*times, *kept.values()]
        found = await _around(visit, times)
    linked = [row for row in found.values() if row["id"] in ids and row["kind"] in LINKED_KINDS]
    found.update(await _beside(visit, times))
    found.update(await _linked(visit, linked))
    in_order = sorted(found.values(), key=lambda row: row["n"])
    return await visit.parsed(row["body"] for row in in_order)


async def _around(visit: Visit, times: Iterable[int]) -> dict[str, Doc]:
    by_span: dict[tuple[int, int], list[str]] = {}
    for kind, start, end in windows(times):
        by_span.setdefault((start, end), []).append(kind)
    branches = [
        {"profile": visit.profile, "kind": {"$in": kinds}, "time_ms": {"$gte": start, "$lte": end}}
        for (start, end), kinds in by_span.items()
    ]
    return _by_id(await visit.found("records", {"$or": branches}, _FIELDS))


async def _as_kept(visit: Visit, missed: Iterable[str]) -> dict[str, int]:
    """Id and time that the journal keeps for records given under an alias or another time."""
    owners = set((await visit.resolved(missed)).values())
    found = await visit.found("records", {"id": {"$in": list(owners)}}, ("id", "time_ms"))
    return {row["id"]: row["time_ms"] for row in found}


async def _beside(visit: Visit, times: Iterable[int]) -> dict[str, Doc]:
    """The previous, next and newest basal of each device, and the newest record of all."""
    wanted = [_first({"kind": {"$in": list(KINDS)}}, -1)]
    for device in {each["device"] for each in (await visit.own()).get("devices", ())}:
        basal = {"kind": "basal", "device": device}
        wanted.append(_first(basal, -1))
        for before, after in days(times):
            wanted += [
                _first({**basal, "time_ms": {"$lt": before}}, -1), _first({**basal, "time_ms": {"$gt": after}}, 1)
            ]  # fmt: skip
    found: dict[str, Doc] = {}
    for start in range(0, len(wanted), _UNIONS):
        found.update(await _union(visit, wanted[start : start + _UNIONS]))
    return found


def _first(query: Doc, order: int) -> list[Doc]:
    return [{"$match": query}, {"$sort": {"time_ms": order}}, {"$limit": 1}]


async def _union(visit: Visit, wanted: Iterable[list[Doc]]) -> dict[str, Doc]:
    """The first documents of several queries in one round trip."""
    shown = {"$project": {"_id": 0, **dict.fromkeys(_FIELDS, 1)}}
    one, *further = [
        [{"$match": {"profile": visit.profile, **match["$match"]}}, *rest, shown] for match, *rest in wanted
    ]
    steps = [*one, *({"$unionWith": {"coll": "records", "pipeline": steps}} for steps in further)]
    return _by_id(await (await visit.db["records"].aggregate(steps, session=visit.session)).to_list())


async def _linked(visit: Visit, rows: Iterable[Doc]) -> dict[str, Doc]:
    """Records joined to these by links in either direction, over any number of steps."""
    found, edge = dict[str, Doc](), _by_id(rows)
    while edge:
        found.update(edge)
        named = {name for row in edge.values() for name in row.get("links", ())}
        either = [{"alias": {"$in": list(named)}}, {"record": {"$in": list(edge)}}]
        branches = [{"profile": visit.profile, **query} for query in either]
        names = await visit.found("aliases", {"$or": branches}, ("alias", "record"))
        targets = named | {row["record"] for row in names}
        sources = edge.keys() | {row["alias"] for row in names if row["record"] in edge}
        edge = _by_id(await _joined(visit, targets, sources))
        edge = {name: row for name, row in edge.items() if name not in found}
    return found


async def _joined(visit: Visit, targets: Iterable[str], sources: Iterable[str]) -> list[Doc]:
    """Records of these ids, and records that name one of those."""
    branches: list[Doc] = [{"id": {"$in": list(targets)}}, {"links": {"$in": list(sources)}}]
    either = [{"profile": visit.profile, **query} for query in branches]
    return await visit.found("records", {"$or": either}, _FIELDS)


def _by_id(rows: Iterable[Doc]) -> dict[str, Doc]:
    return {row["id"]: row for row in rows}
