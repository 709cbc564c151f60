"""The ledger's documents: what a destination has confirmed, and the places they take there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict

from pymongo.errors import BulkWriteError

from bridge.contracts import Interval, LedgerDocument
from bridge.errors import ContractViolation
from bridge.journal.mongo.connection import Doc, duplicate
from bridge.journal.mongo.visiting import Visit
from bridge.journal.surroundings import KINDS
from bridge.model import Record, to_ms


async def book(
    visit: Visit, name: str, came: Sequence[LedgerDocument], gone: Sequence[str], kinds: Mapping[str, str]
) -> None:
    """Take the keys out that are `gone` and put `came` in; what stood under one of their keys is gone too.

    `kinds`: kind by record id, of those that have one in the journal. Raises ContractViolation when two documents
    claim one slot.
    """
    if gone:
        await visit.remove("documents", {"destination": name, "key": {"$in": gone}})
    owners = await _owners(visit, {document.record_id for document in came}, kinds)
    try:
        await visit.insert("documents", [_row(name, each, *owners[each.record_id]) for each in came])
    except BulkWriteError as error:
        if duplicate(error):
            raise ContractViolation("Two documents claim one key or one slot of a destination.") from error
        raise


async def _owners(visit: Visit, names: Collection[str], kinds: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Record id and kind by the id a document names; a record that became another one's alias is that other one."""
    renamed = await visit.owners([name for name in names if name not in kinds])
    query = {"id": {"$in": list(renamed.values())}}
    rows = await visit.found("records", query, ("id", "kind")) if renamed else []
    known = {**kinds, **{row["id"]: row["kind"] for row in rows}}
    return {name: ((owner := renamed.get(name, name)), known.get(owner, "")) for name in names}


def _row(name: str, document: LedgerDocument, owner: str, kind: str) -> Doc:
    said = {field: value for field, value in asdict(document).items() if value is not None}
    del said["record_id"]
    return {"destination": name, "record": owner, "kind": kind, **said}


FIELDS = ("key", "record", "content_hash", "path", "instant_ms", "slot", "server_id")


def document(row: Doc) -> LedgerDocument:
    """A line of the ledger from its document."""
    return LedgerDocument(
        row["key"], row["record"], row["content_hash"], row["path"], row["instant_ms"], row.get("slot"),
        row.get("server_id"),
    )  # fmt: skip


async def of_records(visit: Visit, name: str, ids: Collection[str]) -> list[LedgerDocument]:
    """Documents of these records, also where an alias is named."""
    asked = set((await visit.resolved(ids)).values())
    rows = await visit.found("documents", {"destination": name, "record": {"$in": list(asked)}})
    return [document(row) for row in rows]


async def slots(visit: Visit, name: str, asked: Iterable[str]) -> dict[str, str]:
    """Document key by slot, for the taken ones."""
    query = {"destination": name, "slot": {"$in": list(asked), "$exists": True}}
    return {row["slot"]: row["key"] for row in await visit.found("documents", query, ("slot", "key"))}


async def newest_accepted(visit: Visit, name: str, kind: str) -> Record | None:
    """The record of the newest document of that kind."""
    query = {"destination": name, "kind": kind}
    rows = await visit.found("documents", query, ("record",), sort=[("instant_ms", -1)], limit=1)
    bodies = await visit.bodies(row["record"] for row in rows) if rows else {}
    records = await visit.parsed(bodies.values())
    return records[0] if records else None


async def inventory(visit: Visit, name: str, window: Interval) -> list[LedgerDocument]:
    """Documents in a window, by time."""
    span = {"$gte": to_ms(window.start), "$lt": to_ms(window.end)}
    query = {"destination": name, "kind": {"$in": [*KINDS, ""]}, "instant_ms": span}
    rows = await visit.found("documents", query)
    return [document(row) for row in sorted(rows, key=lambda row: (row["instant_ms"], row["key"]))]
