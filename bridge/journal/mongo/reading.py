"""Records as others read them: by time, around others, and their further names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from bridge.journal.links import LINKED_KINDS
from bridge.journal.mongo.connection import Doc
from bridge.journal.mongo.schema import BY_TIME
from bridge.journal.mongo.visiting import Ask, Visit
from bridge.journal.surroundings import KINDS, lines, windows
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


async def context(visit: Visit, given: Sequence[Record], lines_known: dict[str, frozenset[str]]) -> list[Record]:
    """The given records and all that their mapping may look at, in order of first sight.

    `lines_known`: the devices with a basal line by profile, as last seen; kept up here. They save a round trip.
    """
    if not given:
        return []
    ids, times = {record.id for record in given}, [to_ms(record.time) for record in given]
    guessed = _beside(times, lines_known.get(visit.profile, frozenset()))
    guessed = guessed if len(guessed) <= _UNIONS else []
    around, own, *beside = await visit.several(_around(visit, times), Ask("profiles", {}, ("devices",)), *guessed)
    devices = frozenset(each["device"] for row in own for each in row.get("devices", ()))
    found = _by_id(around)
    if missed := ids - found.keys():
        kept = await _as_kept(visit, missed)
        ids, times = ids | kept.keys(), [*times, *kept.values()]
        found = _by_id((await visit.several(_around(visit, times)))[0])
    linked = [row for row in found.values() if row["id"] in ids and row["kind"] in LINKED_KINDS]
    wanted = _beside(times, devices)
    if wanted != guessed:
        parts = [wanted[start : start + _UNIONS] for start in range(0, len(wanted), _UNIONS)]
        beside = [rows for part in parts for rows in await visit.several(*part)]
    lines_known[visit.profile] = devices
    for rows in beside:
        found.update(_by_id(rows))
    found.update(await _linked(visit, linked))
    in_order = sorted(found.values(), key=lambda row: row["n"])
    return await visit.parsed(row["body"] for row in in_order)


def _around(visit: Visit, times: Iterable[int]) -> Ask:
    by_span: dict[tuple[int, int], list[str]] = {}
    for kind, start, end in windows(times):
        by_span.setdefault((start, end), []).append(kind)
    branches = [
        {"profile": visit.profile, "kind": {"$in": kinds}, "time_ms": {"$gte": start, "$lte": end}}
        for (start, end), kinds in by_span.items()
    ]
    return Ask("records", {"$or": branches}, _FIELDS)


async def _as_kept(visit: Visit, missed: Iterable[str]) -> dict[str, int]:
    """Id and time that the journal keeps for records given under an alias or another time."""
    owners = set((await visit.resolved(missed)).values())
    found = await visit.found("records", {"id": {"$in": list(owners)}}, ("id", "time_ms"))
    return {row["id"]: row["time_ms"] for row in found}


def _beside(times: Iterable[int], devices: Collection[str]) -> list[Ask]:
    """The previous, next and newest basal of each device, and the newest record of all."""
    wanted = [_first({"kind": {"$in": list(KINDS)}}, -1)]
    for device in sorted(devices):
        basal = {"kind": "basal", "device": device}
        wanted.append(_first(basal, -1))
        for before, after in lines(times):
            wanted += [
                _first({**basal, "time_ms": {"$lt": before}}, -1), _first({**basal, "time_ms": {"$gt": after}}, 1)
            ]  # fmt: skip
    return wanted


def _first(query: Doc, order: int) -> Ask:
    return Ask("records", query, _FIELDS, {"time_ms": order}, limit=1)


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
