"""How many deliveries of a ledger are in each state, kept with every change instead of counted."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict

from bridge.contracts import DeliveryState


def shift(db: sqlite3.Connection, destination: int, left: Counter[str], reached: Counter[str]) -> None:
    """Deliveries of one ledger that left states and reached others, by state."""
    change = reached.copy()
    change.subtract(left)
    db.executemany(
        "INSERT INTO tallies (destination, state, count) VALUES (?, ?, ?)"
        " ON CONFLICT (destination, state) DO UPDATE SET count = count + excluded.count",
        [(destination, state, number) for state, number in change.items() if number],
    )


def add(db: sqlite3.Connection, profile: int, state: str, number: int) -> None:
    """So many new deliveries of a state in every active ledger of a profile."""
    db.execute(
        "INSERT INTO tallies (destination, state, count)"
        " SELECT n, ?, ? FROM destinations WHERE profile = ? AND active"
        " ON CONFLICT (destination, state) DO UPDATE SET count = count + excluded.count",
        (state, number, profile),
    )


def counts(db: sqlite3.Connection) -> defaultdict[int, dict[DeliveryState, int]]:
    """Every state of every ledger, also with 0."""
    found = defaultdict[int, dict[DeliveryState, int]](lambda: dict.fromkeys(DeliveryState, 0))
    for destination, state, count in db.execute("SELECT destination, state, count FROM tallies"):
        found[destination][DeliveryState(state)] = count
    return found
