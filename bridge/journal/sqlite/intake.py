"""Writes a batch: records, their pending deliveries, and all that came with them."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from bridge.contracts import Appended, Batch, Grace, StoredItem
from bridge.journal import intake
from bridge.journal.intake import Draft, Held, Nearby, New, Plan, Seen
from bridge.journal.links import targets
from bridge.journal.matching import TOLERANCES, Devices, wall_ms
from bridge.journal.sources import weight
from bridge.journal.spans import around
from bridge.journal.sqlite import deliveries
from bridge.journal.sqlite.rows import instant, listed
from bridge.model import Record, from_json, to_json, to_ms

_NAMED = """
SELECT r.id, r.n, r.hash FROM json_each(?) j CROSS JOIN records r ON r.profile = ? AND r.id = j.value
"""
_ALIASED = """
SELECT a.alias, a.record, a.hash FROM json_each(?) j CROSS JOIN aliases a ON a.profile = ? AND a.alias = j.value
"""
_NEAR = """
SELECT r.n FROM json_each(?1) w CROSS JOIN records r ON r.profile = ?2 AND r.kind = json_extract(w.value, '$[0]')
 AND r.time_ms BETWEEN json_extract(w.value, '$[1]') AND json_extract(w.value, '$[2]')
UNION ALL
SELECT r.n FROM json_each(?3) w CROSS JOIN records r ON r.profile = ?2 AND r.kind = json_extract(w.value, '$[0]')
 AND r.wall_ms BETWEEN json_extract(w.value, '$[1]') AND json_extract(w.value, '$[2]')
"""
_HELD = """
SELECT r.n, r.body, r.rank, r.reader, a.reader
FROM json_each(?) j CROSS JOIN records r ON r.n = j.value LEFT JOIN aliases a ON a.record = r.n
"""
_ITEMS = """
SELECT i.key, i.path, i.record_id, i.kind, i.time_ms, i.value FROM json_each(?1) j
 CROSS JOIN adopted i ON i.profile = ?3 AND i.record_id = j.value
UNION
SELECT i.key, i.path, i.record_id, i.kind, i.time_ms, i.value FROM json_each(?2) w
 CROSS JOIN adopted i ON i.profile = ?3 AND i.kind = json_extract(w.value, '$[0]')
 AND i.time_ms BETWEEN json_extract(w.value, '$[1]') AND json_extract(w.value, '$[2]')
"""
_INSERT = """
INSERT INTO records (n, profile, id, kind, time_ms, wall_ms, device, reader, rank, revision, hash, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_LINK = "INSERT OR IGNORE INTO links (profile, target, record) VALUES (?, ?, ?)"
_ALIAS = """
INSERT INTO aliases (profile, alias, record, reader, hash, body) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (profile, alias) DO UPDATE
SET record = excluded.record, reader = excluded.reader, hash = excluded.hash, body = excluded.body
"""


def add_records(db: sqlite3.Connection, profile: int, batch: Batch, seen: dict[str, Seen], now_ms: int) -> Appended:
    """Write a batch's records and their deliveries; what was known stays untouched."""
    known = _known(db, profile, seen)
    changed = [each for name, each in seen.items() if name in known and known[name][1] != each.hash]
    unknown = [each for name, each in seen.items() if name not in known]
    if not changed and not unknown:
        return Appended((), (), len(seen))
    near = _nearby(db, profile, known, changed, unknown)
    plan = intake.plan(changed, unknown, near, intake.reread(batch, seen.values()))
    _write(db, profile, plan, now_ms, batch.grace)
    revised = [draft.record.id for draft in plan.revised]
    new = [each.record.id for each in plan.new]
    return Appended(new, revised, len(seen) - len(new) - len(revised))


def _known(db: sqlite3.Connection, profile: int, names: Collection[str]) -> dict[str, tuple[int, bytes]]:
    known = {name: (n, content) for name, n, content in db.execute(_NAMED, (listed(names), profile))}
    if len(known) < len(names):
        rest = listed(name for name in names if name not in known)
        known.update({name: (n, content) for name, n, content in db.execute(_ALIASED, (rest, profile))})
    return known


# --- what is near ----------------------------------------------------------------------------------


def _nearby(
    db: sqlite3.Connection,
    profile: int,
    known: dict[str, tuple[int, bytes]],
    changed: Sequence[Seen],
    unknown: Sequence[Seen],
) -> Nearby:
    by_number = {held.key: held for held in _held(db, {known[each.record.id][0] for each in changed})}
    by_name = {each.record.id: by_number[known[each.record.id][0]] for each in changed}
    records = [each.record for each in unknown] + [held.record for held in by_number.values()]
    times, walls = _windows(records)
    in_batch = {n for n, _ in known.values()}
    near = {n for (n,) in db.execute(_NEAR, (times, profile, walls))} - in_batch
    items = _items(db, profile, [each.record.id for each in unknown], times)
    return Nearby(by_name, _held(db, near), items, _devices(db, profile, unknown) if near else Devices(()))


def _devices(db: sqlite3.Connection, profile: int, unknown: Sequence[Seen]) -> Devices:
    known = db.execute("SELECT family, serial FROM devices WHERE profile = ?", (profile,)).fetchall()
    return Devices([*known, *((each.record.device.family, each.record.device.serial) for each in unknown)])


def _windows(records: Iterable[Record]) -> tuple[str, str]:
    """Where another sighting of these records can be, by time and by wall clock, as list parameters."""
    times, walls = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    for record in records:
        if record.kind in TOLERANCES:
            times[record.kind].append(to_ms(record.time))
            if (wall := wall_ms(record)) is not None:
                walls[record.kind].append(wall)
    return _listed_windows(times), _listed_windows(walls)


def _listed_windows(moments: Mapping[str, Iterable[int]]) -> str:
    return listed(
        (kind, *span) for kind, each in moments.items() for span in around(each, TOLERANCES[kind].within_ms)
    )


def _held(db: sqlite3.Connection, numbers: Collection[int]) -> list[Held]:
    if not numbers:
        return []
    rows = defaultdict[int, list[tuple[Any, ...]]](list)
    for n, *row in db.execute(_HELD, (listed(numbers),)):
        rows[n].append(tuple(row))
    return [_one_held(n, found) for n, found in rows.items()]


def _one_held(n: int, rows: list[tuple[Any, ...]]) -> Held:
    body, best, first, _ = rows[0]
    later = {reader for *_, reader in rows if reader is not None}
    return Held(n, from_json(body), best, frozenset({first, *later}))


def _items(db: sqlite3.Connection, profile: int, names: Iterable[str], windows: str) -> list[StoredItem]:
    if db.execute("SELECT 1 FROM adopted WHERE profile = ?", (profile,)).fetchone() is None:
        return []
    rows = db.execute(_ITEMS, (listed(names), windows, profile))
    return [
        StoredItem(key, path, record_id, kind, instant(time_ms), value)
        for key, path, record_id, kind, time_ms, value in rows
    ]


# --- what changes ----------------------------------------------------------------------------------


def _write(db: sqlite3.Connection, profile: int, plan: Plan, now_ms: int, grace: Grace | None) -> None:
    _add_devices(db, profile, [each.record for each in plan.new] + [draft.record for draft in plan.drafts])
    _insert(db, profile, plan.new, now_ms, grace)
    for draft in plan.drafts:
        _update(db, profile, draft, now_ms)
    deliveries.reopen(db, profile, [draft.held.key for draft in plan.revised], now_ms)
    if plan.used:
        db.execute(
            "DELETE FROM adopted WHERE profile = ? AND record_id IN (SELECT value FROM json_each(?))",
            (profile, listed(plan.used)),
        )


def _insert(db: sqlite3.Connection, profile: int, new: Sequence[New], now_ms: int, grace: Grace | None) -> None:
    if not new:
        return
    first = db.execute("SELECT coalesce(max(n), 0) + 1 FROM records").fetchone()[0]
    numbered = list(enumerate(new, first))
    db.executemany(_INSERT, [_row(n, profile, each) for n, each in numbered])
    deliveries.fan_out(db, profile, first, len(new), now_ms, grace)
    if named := [(profile, target, n) for n, each in numbered for target in targets(each.record)]:
        db.executemany(_LINK, named)
    if renamed := [
        _alias_row(profile, n, each.seen) for n, each in numbered if each.record.id != each.seen.record.id
    ]:
        db.executemany(_ALIAS, renamed)


def _row(n: int, profile: int, new: New) -> tuple[Any, ...]:
    record = new.record
    return (
        n, profile, record.id, record.kind, to_ms(record.time), wall_ms(record), device_key(record), record.reader,
        weight(record), record.revision, new.seen.hash, to_json(record).decode(),
    )  # fmt: skip


def device_key(record: Record) -> str:
    """What a basal line is drawn per: serial, else family."""
    return record.device.serial or record.device.family or ""


def _alias_row(profile: int, n: int, seen: Seen) -> tuple[Any, ...]:
    return profile, seen.record.id, n, seen.record.reader, seen.hash, to_json(seen.record).decode()


def _add_devices(db: sqlite3.Connection, profile: int, records: Iterable[Record]) -> None:
    found = {(device_key(each), each.device.family or "", each.device.serial or "") for each in records}
    db.executemany("INSERT OR IGNORE INTO devices VALUES (?, ?, ?, ?)", [(profile, *device) for device in found])


def _update(db: sqlite3.Connection, profile: int, draft: Draft, now_ms: int) -> None:
    n = draft.held.key
    for other in draft.absorbed:
        _absorb(db, profile, n, draft.held.record.id, other)
    for name, seen in draft.seen.items():
        if name == draft.held.record.id:
            db.execute("UPDATE records SET hash = ? WHERE n = ?", (seen.hash, n))
        if name != draft.held.record.id or weight(seen.record) < draft.rank:
            db.execute(_ALIAS, _alias_row(profile, n, seen))
    db.execute("UPDATE records SET rank = ? WHERE n = ?", (draft.rank, n))
    if draft.revised:
        _revise(db, profile, draft, now_ms)


def _revise(db: sqlite3.Connection, profile: int, draft: Draft, now_ms: int) -> None:
    n, before = draft.held.key, draft.held.record.revision
    body = draft.record.model_copy(update={"revision": before + 1})
    db.execute("INSERT INTO revisions SELECT n, revision, ?, body FROM records WHERE n = ?", (now_ms, n))
    db.execute(
        "UPDATE records SET revision = ?, device = ?, body = ? WHERE n = ?",
        (body.revision, device_key(body), to_json(body).decode(), n),
    )
    db.execute("DELETE FROM links WHERE record = ?", (n,))
    db.executemany(_LINK, [(profile, name, n) for name in targets(body)])


def _absorb(db: sqlite3.Connection, profile: int, n: int, name: str, other: Held) -> None:
    """The other record becomes a further name of this one; the documents it had are this one's to delete."""
    gone = other.key
    db.execute(
        "INSERT INTO aliases SELECT profile, id, ?, reader, hash, body FROM records WHERE n = ?"
        " ON CONFLICT (profile, alias) DO UPDATE SET hash = excluded.hash",
        (n, gone),
    )
    db.execute("UPDATE aliases SET record = ? WHERE record = ?", (n, gone))
    db.execute(
        "UPDATE documents SET record_id = ? WHERE record_id = ?"
        " AND destination IN (SELECT n FROM destinations WHERE profile = ?)",
        (name, other.record.id, profile),
    )
    deliveries.forget(db, profile, gone)
    db.execute("DELETE FROM links WHERE record = ?", (gone,))
    db.execute("DELETE FROM revisions WHERE record = ?", (gone,))
    db.execute("DELETE FROM records WHERE n = ?", (gone,))
