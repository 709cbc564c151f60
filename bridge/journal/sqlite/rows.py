"""Names to row numbers, and row numbers to records."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, NamedTuple

from pydantic_core import to_json

from bridge.contracts import Destination
from bridge.errors import ContractViolation
from bridge.journal.links import LINKED_KINDS, relinked, targets
from bridge.model import Record, from_json, from_ms


def listed(values: Iterable[Any]) -> str:
    """A list as one parameter for `json_each`."""
    return to_json(list(values)).decode()


def instant(epoch_ms: int | None) -> datetime | None:
    """UTC of a column that may be null."""
    return None if epoch_ms is None else from_ms(epoch_ms)


def profile_n(db: sqlite3.Connection, name: str) -> int | None:
    """Row number of a profile, None when the journal has never heard of it."""
    row = db.execute("SELECT n FROM profiles WHERE name = ?", (name,)).fetchone()
    return None if row is None else int(row[0])


def ensured_profile(db: sqlite3.Connection, name: str) -> int:
    """Row number of a profile, made when new."""
    known = profile_n(db, name)
    if known is not None:
        return known
    return int(db.execute("INSERT INTO profiles (name) VALUES (?) RETURNING n", (name,)).fetchone()[0])


class Ledger(NamedTuple):
    """Row numbers of a destination and its profile."""

    destination: int
    profile: int


def found_ledger(db: sqlite3.Connection, destination: Destination) -> Ledger | None:
    """The ledger of a destination, None when it was never registered."""
    row = db.execute(
        "SELECT d.n, d.profile FROM profiles p JOIN destinations d ON d.profile = p.n"
        " WHERE p.name = ? AND d.name = ?",
        (destination.profile, destination.name),
    ).fetchone()
    return None if row is None else Ledger(*row)


def ledger_of(db: sqlite3.Connection, destination: Destination) -> Ledger:
    """The ledger of a destination. Raises ContractViolation when it was never registered."""
    found = found_ledger(db, destination)
    if found is None:
        raise ContractViolation(
            f"Destination {destination.name!r} of profile {destination.profile!r} is not registered."
        )
    return found


def resolved(db: sqlite3.Connection, profile: int, ids: Collection[str]) -> dict[str, int]:
    """Record number by id, through aliases; unknown ids are left out."""
    own = "SELECT r.id, r.n FROM json_each(?) j CROSS JOIN records r ON r.profile = ? AND r.id = j.value"
    found = dict(db.execute(own, (listed(ids), profile)).fetchall())
    if len(found) < len(ids):
        rest = listed(name for name in ids if name not in found)
        other = (
            "SELECT a.alias, a.record FROM json_each(?) j CROSS JOIN aliases a ON a.profile = ? AND a.alias = j.value"
        )
        found.update(db.execute(other, (rest, profile)).fetchall())
    return found


def names_for(db: sqlite3.Connection, profile: int, names: Collection[str]) -> dict[str, str]:
    """Record id by alias, for those of `names` that are aliases."""
    if not names:
        return {}
    return dict(
        db.execute(
            "SELECT a.alias, r.id FROM json_each(?) j CROSS JOIN aliases a ON a.profile = ? AND a.alias = j.value"
            " JOIN records r ON r.n = a.record WHERE a.alias <> r.id",
            (listed(names), profile),
        ).fetchall()
    )


def parsed(db: sqlite3.Connection, profile: int, bodies: Iterable[str]) -> list[Record]:
    """Records of one profile from their bodies, with links through aliases."""
    records = [from_json(body) for body in bodies]
    named = {name for record in records if record.kind in LINKED_KINDS for name in targets(record)}
    renamed = names_for(db, profile, named)
    return [relinked(record, renamed) for record in records] if renamed else records


def bodies_of(db: sqlite3.Connection, numbers: Collection[int]) -> dict[int, str]:
    """Highest bodies by record number."""
    if not numbers:
        return {}
    asked = "SELECT r.n, r.body FROM json_each(?) j CROSS JOIN records r ON r.n = j.value"
    return dict(db.execute(asked, (listed(numbers),)).fetchall())
