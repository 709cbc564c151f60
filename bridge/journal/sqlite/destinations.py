"""Destinations: health, the adapter's state, counts; and identifiers found there after a lost journal."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from bridge.contracts import Destination, DestinationStatus, StoredItem
from bridge.journal.sqlite import tallies
from bridge.journal.sqlite.rows import ensured_profile, found_ledger, instant, ledger_of, resolved
from bridge.model import to_ms
from bridge.model.health import Health, State


def report(db: sqlite3.Connection, destination: Destination, health: Health, state: Mapping[str, Any] | None) -> None:
    """Keep health, and the adapter's state unless None."""
    ledger = ledger_of(db, destination)
    db.execute(
        "UPDATE destinations SET health = ?, health_text = ?, state = coalesce(?, state) WHERE n = ?",
        (health.state, health.text, None if state is None else json.dumps(dict(state)), ledger.destination),
    )


def recall(db: sqlite3.Connection, destination: Destination) -> dict[str, Any]:
    """The adapter's state, empty at first."""
    ledger = found_ledger(db, destination)
    if ledger is None:
        return {}
    row = db.execute("SELECT state FROM destinations WHERE n = ?", (ledger.destination,)).fetchone()
    return dict(json.loads(row[0]))


def statuses(db: sqlite3.Connection) -> list[DestinationStatus]:
    """Every active ledger, by profile and name. Every state is counted, also with 0."""
    counts = tallies.counts(db)
    rows = db.execute(
        "SELECT d.n, p.name, d.name, d.health, d.health_text, d.last_accepted_ms,"
        " (SELECT min(o.time_ms) FROM deliveries o WHERE o.destination = d.n AND o.ready_ms IS NOT NULL)"
        " FROM destinations d JOIN profiles p ON p.n = d.profile WHERE d.active ORDER BY p.name, d.name"
    )
    return [
        DestinationStatus(
            Destination(profile, name), counts[n], Health(State(state), text), instant(accepted), instant(oldest)
        )
        for n, profile, name, state, text, accepted, oldest in rows
    ]


def adopt(db: sqlite3.Connection, profile: str, items: Sequence[StoredItem], now_ms: int) -> None:
    """Keep identifiers that no record of the journal has; of several documents of one record the first that shows
    enough to be recognised counts."""
    n = ensured_profile(db, profile)
    named = {item.record_id for item in items if item.record_id is not None}
    known = resolved(db, n, named)
    rows = [_row(n, item, now_ms) for item in items if item.record_id is not None and item.record_id not in known]
    db.executemany(
        "INSERT INTO adopted (profile, record_id, key, path, kind, time_ms, value, seen_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (profile, record_id) DO UPDATE SET seen_ms = excluded.seen_ms,"
        " kind = coalesce(kind, excluded.kind), time_ms = coalesce(time_ms, excluded.time_ms),"
        " value = coalesce(value, excluded.value)",
        rows,
    )


def _row(profile: int, item: StoredItem, now_ms: int) -> tuple[Any, ...]:
    time_ms = None if item.time is None else to_ms(item.time)
    return profile, item.record_id, item.key, item.path, item.kind, time_ms, item.value, now_ms
