"""The delivery ledger: where every record stands at every destination."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

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
from bridge.journal.sqlite import documents, tallies
from bridge.journal.sqlite.rows import (
    ensured_profile,
    found_ledger,
    instant,
    ledger_of,
    listed,
    parsed,
    profile_n,
    resolved,
)
from bridge.model import from_ms, to_ms

FRESH = timedelta(minutes=15)
"""Records younger than this go first, newest first."""

_NEVER_MS = 1 << 62
_REVISABLE = ("accepted", "not_applicable", "superseded", "quarantined")
_REQUEUED = (*_REVISABLE, "withheld")


# --- which ledgers ---------------------------------------------------------------------------------


def register(db: sqlite3.Connection, wanted: Iterable[Destination], now_ms: int) -> None:
    """Records fan out to exactly these from now on; what a newly active one has not seen becomes pending."""
    active = {(profile, name): n for n, profile, name in db.execute(
        "SELECT d.n, p.name, d.name FROM destinations d JOIN profiles p ON p.n = d.profile WHERE d.active"
    )}  # fmt: skip
    asked = {(each.profile, each.name) for each in wanted}
    gone = [(active[key],) for key in active.keys() - asked]
    db.executemany("UPDATE destinations SET active = 0 WHERE n = ?", gone)
    for profile, name in sorted(asked - active.keys()):
        _activate(db, ensured_profile(db, profile), name, now_ms)


def _activate(db: sqlite3.Connection, profile: int, name: str, now_ms: int) -> None:
    ((n,),) = db.execute(
        "INSERT INTO destinations (profile, name, active, health) VALUES (?, ?, 1, 'starting')"
        " ON CONFLICT (profile, name) DO UPDATE SET active = 1 RETURNING n",
        (profile, name),
    ).fetchall()
    made = db.execute(_CATCH_UP, (n, now_ms, profile)).rowcount
    tallies.shift(db, n, Counter(), Counter(pending=made))


_CATCH_UP = """
INSERT OR IGNORE INTO deliveries (destination, record, time_ms, state, ready_ms, since_ms)
SELECT ?, r.n, r.time_ms, 'pending', 0, ? FROM records r WHERE r.profile = ?
"""
_FAN_OUT = """
INSERT INTO deliveries (destination, record, time_ms, state, ready_ms, since_ms)
SELECT d.n, r.n, r.time_ms, ?1, CASE WHEN r.time_ms > ?2 THEN ?3 ELSE ?4 END, ?5
FROM destinations d CROSS JOIN records r WHERE d.profile = ?6 AND d.active AND r.n >= ?7
"""


def fan_out(
    db: sqlite3.Connection, profile: int, first: int, number: int, now_ms: int, grace: Grace | None = None
) -> None:
    """Pending or held deliveries of the `number` records numbered from `first` on, which are all the profile's."""
    state, when = "pending", (0, 0, 0)
    if grace is not None:
        state, when = "withheld", (to_ms(grace.fresh_since), to_ms(grace.fresh_until), to_ms(grace.until))
    db.execute(_FAN_OUT, (state, *when, now_ms, profile, first))
    tallies.add(db, profile, state, number)


_HELD = """
SELECT d.destination, d.record FROM deliveries d JOIN destinations t ON t.n = d.destination
WHERE t.profile = ? AND d.state = 'withheld' AND d.ready_ms IS NOT NULL AND d.time_ms BETWEEN ? AND ?
"""


def unhold(db: sqlite3.Connection, profile: str, window: Interval, now_ms: int) -> int:
    """Held becomes pending at once; how many."""
    rows = db.execute(_HELD, (profile_n(db, profile), to_ms(window.start), to_ms(window.end) - 1)).fetchall()
    db.executemany(
        "UPDATE deliveries SET state = 'pending', ready_ms = 0, since_ms = ? WHERE destination = ? AND record = ?",
        [(now_ms, *row) for row in rows],
    )
    for destination, number in Counter(destination for destination, _ in rows).items():
        tallies.shift(db, destination, Counter(withheld=number), Counter(pending=number))
    return len(rows)


# --- the round of a deliverer ----------------------------------------------------------------------

_READY_FRESH = """
SELECT d.record, d.state, d.attempts, r.body FROM deliveries d CROSS JOIN records r ON r.n = d.record
WHERE d.destination = ?1 AND d.ready_ms IS NOT NULL AND d.ready_ms <= ?2 AND d.leased_ms <= ?2 AND d.time_ms > ?3
ORDER BY d.time_ms DESC LIMIT ?4
"""
_READY_OLD = """
SELECT d.record, d.state, d.attempts, r.body FROM deliveries d CROSS JOIN records r ON r.n = d.record
WHERE d.destination = ?1 AND d.ready_ms IS NOT NULL AND d.ready_ms <= ?2 AND d.leased_ms <= ?2 AND d.time_ms <= ?3
ORDER BY d.time_ms LIMIT ?4
"""


def due(db: sqlite3.Connection, destination: Destination, now: datetime, limit: int, lease_s: float) -> list[Due]:
    """Lease what is ready."""
    ledger = found_ledger(db, destination)
    if ledger is None:
        return []
    n, now_ms, fresh_ms = ledger.destination, to_ms(now), to_ms(now - FRESH)
    fresh = db.execute(_READY_FRESH, (n, now_ms, fresh_ms, limit)).fetchall()
    rows = fresh + db.execute(_READY_OLD, (n, now_ms, fresh_ms, limit - len(fresh))).fetchall()
    db.execute(
        "UPDATE deliveries SET state = 'leased', leased_ms = ?, attempts = attempts + 1"
        " WHERE destination = ? AND record IN (SELECT value FROM json_each(?))",
        (now_ms + round(lease_s * 1000), n, listed(record for record, *_ in rows)),
    )
    tallies.shift(db, n, Counter(state for _, state, *_ in rows), Counter(leased=len(rows)))
    records = parsed(db, ledger.profile, [body for *_, body in rows])
    return [Due(record, attempts) for record, (_, _, attempts, _) in zip(records, rows, strict=True)]


def next_due(db: sqlite3.Connection, destination: Destination) -> datetime | None:
    """When the first open delivery may be leased."""
    ledger = found_ledger(db, destination)
    row = (None,) if ledger is None else db.execute(_FIRST_READY, (ledger.destination, _NEVER_MS)).fetchone()
    return instant(row[0])


_FIRST_READY = """
SELECT min(max(ready_ms, leased_ms)) FROM deliveries
WHERE destination = ? AND ready_ms IS NOT NULL AND ready_ms < ?
"""


def settle(db: sqlite3.Connection, destination: Destination, settlement: Settlement, now_ms: int) -> None:
    """Book one round: deliveries, then the documents that went and came."""
    ledger = ledger_of(db, destination)
    asked = settlement.deliveries.keys() | {document.record_id for document in settlement.documents}
    rows = db.execute(_STANDING, (listed(asked), ledger.profile, ledger.destination)).fetchall()
    _settle_deliveries(db, ledger.destination, settlement.deliveries, rows, now_ms)
    kinds = {name: kind for name, kind, *_ in rows}
    documents.book(db, ledger, settlement.documents, settlement.removed, kinds)


_STANDING = """
SELECT r.id, r.kind, r.n, r.revision, r.time_ms, d.state
FROM json_each(?) j CROSS JOIN records r ON r.profile = ? AND r.id = j.value
LEFT JOIN deliveries d ON d.destination = ? AND d.record = r.n
"""
_MOVE = """
UPDATE deliveries SET state = ?, ready_ms = ?, leased_ms = 0, attempts = attempts * ?, revision = ?, reason = ?,
 since_ms = ? WHERE destination = ? AND record IN (SELECT value FROM json_each(?))
"""


def _settle_deliveries(
    db: sqlite3.Connection, n: int, settled: Mapping[str, Settled], rows: Iterable[tuple[Any, ...]], now_ms: int
) -> None:
    moves, left, newest = defaultdict[tuple[Any, ...], list[int]](list), Counter[str](), -1
    for name, _, record, revision, time_ms, before in rows:
        each = settled.get(name)
        if each is None or before in (None, "removed_there"):
            continue
        move = (*_standing(each, revision), each.revision, each.reason)
        moves[move].append(record)
        left[before] += 1
        if move[0] is DeliveryState.ACCEPTED:
            newest = max(newest, time_ms)
    for move, records in moves.items():
        db.execute(_MOVE, (*move, now_ms, n, listed(records)))
    tallies.shift(db, n, left, _reached(moves))
    db.execute(
        "UPDATE destinations SET last_accepted_ms = ?1 WHERE n = ?2 AND coalesce(last_accepted_ms, 0) < ?1",
        (newest, n),
    )


def _reached(moves: Mapping[tuple[Any, ...], Collection[int]]) -> Counter[str]:
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

_REOPEN = """
UPDATE deliveries SET state = 'pending', ready_ms = 0, attempts = 0, reason = '', since_ms = ?
WHERE destination = ? AND record = ?
"""


def _standings(
    db: sqlite3.Connection, destinations: Iterable[int], records: Iterable[int], states: Collection[str]
) -> list[tuple[int, int, str]]:
    """Destination, record and state of the deliveries in one of these states."""
    rows = db.execute(
        "SELECT d.destination, d.record, d.state FROM json_each(?) p CROSS JOIN json_each(?) j"
        " CROSS JOIN deliveries d ON d.destination = p.value AND d.record = j.value",
        (listed(destinations), listed(records)),
    )
    return [row for row in rows if row[2] in states]


def _reopened(db: sqlite3.Connection, standings: list[tuple[int, int, str]], now_ms: int) -> int:
    db.executemany(_REOPEN, [(now_ms, destination, record) for destination, record, _ in standings])
    for n, left in _by_ledger(standings).items():
        tallies.shift(db, n, left, Counter(pending=left.total()))
    return len(standings)


def _by_ledger(standings: Iterable[tuple[int, int, str]]) -> dict[int, Counter[str]]:
    left = defaultdict[int, Counter[str]](Counter)
    for destination, _, state in standings:
        left[destination][state] += 1
    return left


def reopen(db: sqlite3.Connection, profile: int, numbers: Collection[int], now_ms: int) -> None:
    """What was settled of revised records is pending again; what a person removed there stays removed."""
    if numbers:
        _reopened(db, _standings(db, _ledgers(db, profile), numbers, _REVISABLE), now_ms)


def forget(db: sqlite3.Connection, profile: int, number: int) -> None:
    """Drop the deliveries of a record that is another one's further name from now on."""
    gone = _standings(db, _ledgers(db, profile), [number], tuple(DeliveryState))
    db.executemany(
        "DELETE FROM deliveries WHERE destination = ? AND record = ?",
        [(destination, n) for destination, n, _ in gone],
    )
    for n, left in _by_ledger(gone).items():
        tallies.shift(db, n, left, Counter())


def _ledgers(db: sqlite3.Connection, profile: int) -> list[int]:
    return [n for (n,) in db.execute("SELECT n FROM destinations WHERE profile = ?", (profile,))]


def release(db: sqlite3.Connection, destination: Destination) -> int:
    """Leased becomes pending at once."""
    ledger = found_ledger(db, destination)
    if ledger is None:
        return 0
    n = ledger.destination
    freed = db.execute(
        "UPDATE deliveries SET state = 'pending', ready_ms = 0, leased_ms = 0"
        " WHERE destination = ? AND ready_ms IS NOT NULL AND state = 'leased'",
        (n,),
    ).rowcount
    tallies.shift(db, n, Counter(leased=freed), Counter(pending=freed))
    return freed


def requeue(db: sqlite3.Connection, destination: Destination, ids: Collection[str], now_ms: int) -> int:
    """Settled and withheld becomes pending at once."""
    ledger = ledger_of(db, destination)
    numbers = resolved(db, ledger.profile, ids).values()
    return _reopened(db, _standings(db, [ledger.destination], set(numbers), _REQUEUED), now_ms)


def drop(db: sqlite3.Connection, destination: Destination, ids: Collection[str], now_ms: int) -> int:
    """Quarantined becomes not applicable; the reason is kept."""
    ledger = ledger_of(db, destination)
    n, numbers = ledger.destination, resolved(db, ledger.profile, ids).values()
    dropped = db.execute(
        "UPDATE deliveries SET state = 'not_applicable', since_ms = ?, reason = 'given up: ' || reason"
        " WHERE destination = ? AND record IN (SELECT value FROM json_each(?)) AND state = 'quarantined'",
        (now_ms, n, listed(numbers)),
    ).rowcount
    tallies.shift(db, n, Counter(quarantined=dropped), Counter(not_applicable=dropped))
    return dropped


def states(db: sqlite3.Connection, destination: Destination, ids: Collection[str]) -> dict[str, DeliveryState]:
    """State by the id that was asked for."""
    ledger = found_ledger(db, destination)
    if ledger is None:
        return {}
    numbers = resolved(db, ledger.profile, ids)
    rows = db.execute(
        "SELECT record, state FROM deliveries WHERE destination = ? AND record IN (SELECT value FROM json_each(?))",
        (ledger.destination, listed(numbers.values())),
    )
    found = dict(rows.fetchall())
    return {name: DeliveryState(found[n]) for name, n in numbers.items() if n in found}


def standing(
    db: sqlite3.Connection, destination: Destination, ids: Collection[str], slots: Collection[str]
) -> Standing:
    """Documents and states of these records, and which of the slots are taken."""
    return Standing(
        documents.of_records(db, destination, ids),
        states(db, destination, ids),
        documents.slots(db, destination, slots),
    )


def quarantine(db: sqlite3.Connection, profile: str | None) -> list[Quarantined]:
    """Quarantined deliveries of active ledgers, oldest first."""
    rows = db.execute(
        "SELECT p.name, d.name, q.reason, q.since_ms, r.body, p.n FROM deliveries q"
        " JOIN destinations d ON d.n = q.destination JOIN profiles p ON p.n = d.profile"
        " JOIN records r ON r.n = q.record"
        " WHERE q.state = 'quarantined' AND d.active AND (?1 IS NULL OR p.name = ?1) ORDER BY q.since_ms, r.n",
        (profile,),
    ).fetchall()
    found = []
    for owner, name, reason, since_ms, body, n in rows:
        (record,) = parsed(db, n, [body])
        found.append(Quarantined(Destination(owner, name), record, reason, from_ms(since_ms)))
    return found
