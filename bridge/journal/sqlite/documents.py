"""The ledger's documents: what a destination has confirmed, and the places they take there."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from bridge.contracts import Destination, Interval, LedgerDocument
from bridge.errors import ContractViolation
from bridge.journal.sqlite.rows import Ledger, found_ledger, listed, names_for, parsed
from bridge.journal.surroundings import KINDS
from bridge.model import Record, to_ms

_ALIASED = """
SELECT a.alias, r.id, r.kind FROM json_each(?) j
CROSS JOIN aliases a ON a.profile = ? AND a.alias = j.value CROSS JOIN records r ON r.n = a.record
"""
_BOOK = """
INSERT INTO documents (destination, key, record_id, kind, content_hash, path, instant_ms, slot, server_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


def book(
    db: sqlite3.Connection,
    ledger: Ledger,
    came: Sequence[LedgerDocument],
    removed: Iterable[str],
    kinds: Mapping[str, str],
) -> None:
    """Take `removed` keys out and put `came` in, each in place of what stood under its key.

    `kinds`: kind by record id, of those that have one in the journal. Raises ContractViolation when two documents
    claim one slot.
    """
    keys = listed([*removed, *(document.key for document in came)])
    db.execute(
        "DELETE FROM documents WHERE destination = ? AND key IN (SELECT value FROM json_each(?))",
        (ledger.destination, keys),
    )
    owners = _owners(db, ledger.profile, {document.record_id for document in came}, kinds)
    rows = [_row(ledger, document, *owners[document.record_id]) for document in came]
    try:
        db.executemany(_BOOK, rows)
    except sqlite3.IntegrityError as error:
        raise ContractViolation("Two documents claim one key or one slot of a destination.") from error


def _owners(
    db: sqlite3.Connection, profile: int, names: Collection[str], kinds: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    """Record id and kind by the id a document names; a record that became another one's alias is that other one."""
    rows = db.execute(_ALIASED, (listed(name for name in names if name not in kinds), profile))
    renamed = {alias: (name, kind) for alias, name, kind in rows}
    return {name: renamed.get(name, (name, kinds.get(name, ""))) for name in names}


def _row(ledger: Ledger, document: LedgerDocument, owner: str, kind: str) -> tuple[Any, ...]:
    return (
        ledger.destination, document.key, owner, kind, document.content_hash, document.path,
        document.instant_ms, document.slot, document.server_id,
    )  # fmt: skip


def of_records(db: sqlite3.Connection, destination: Destination, ids: Collection[str]) -> list[LedgerDocument]:
    """Documents of these records, also where an alias is named."""
    ledger = found_ledger(db, destination)
    if ledger is None:
        return []
    owners = names_for(db, ledger.profile, ids)
    asked = {owners.get(name, name) for name in ids}
    rows = db.execute(
        "SELECT d.key, d.record_id, d.content_hash, d.path, d.instant_ms, d.slot, d.server_id FROM json_each(?) j"
        " CROSS JOIN documents d ON d.destination = ? AND d.record_id = j.value",
        (listed(asked), ledger.destination),
    )
    return [LedgerDocument(*row) for row in rows]


def slots(db: sqlite3.Connection, destination: Destination, asked: Iterable[str]) -> dict[str, str]:
    """Document key by slot, for the taken ones."""
    ledger = found_ledger(db, destination)
    if ledger is None:
        return {}
    return dict(
        db.execute(
            "SELECT d.slot, d.key FROM json_each(?) j"
            " CROSS JOIN documents d ON d.destination = ? AND d.slot = j.value AND d.slot IS NOT NULL",
            (listed(asked), ledger.destination),
        ).fetchall()
    )


def newest_accepted(db: sqlite3.Connection, destination: Destination, kind: str) -> Record | None:
    """The record of the newest document of that kind."""
    ledger = found_ledger(db, destination)
    if ledger is None:
        return None
    row = db.execute(
        "SELECT r.body FROM documents d JOIN records r ON r.profile = ? AND r.id = d.record_id"
        " WHERE d.destination = ? AND d.kind = ? ORDER BY d.instant_ms DESC LIMIT 1",
        (ledger.profile, ledger.destination, kind),
    ).fetchone()
    return None if row is None else parsed(db, ledger.profile, row)[0]


def inventory(db: sqlite3.Connection, destination: Destination, window: Interval) -> list[LedgerDocument]:
    """Documents in a window, by time."""
    ledger = found_ledger(db, destination)
    if ledger is None:
        return []
    rows = db.execute(
        "SELECT d.key, d.record_id, d.content_hash, d.path, d.instant_ms, d.slot, d.server_id"
        " FROM json_each(?) k CROSS JOIN documents d"
        " ON d.destination = ? AND d.kind = k.value AND d.instant_ms >= ? AND d.instant_ms < ?"
        " ORDER BY d.instant_ms, d.key",
        (listed((*KINDS, "")), ledger.destination, to_ms(window.start), to_ms(window.end)),
    )
    return [LedgerDocument(*row) for row in rows]
