"""What comes with a read beside records: sightings, state, health, coverage."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from bridge.contracts import Batch, Interval, Memory, ReaderStatus, Sighting
from bridge.journal import spans
from bridge.journal.retention import SIGHTINGS
from bridge.journal.sqlite.rows import instant, profile_n
from bridge.model import from_ms, to_ms
from bridge.model.health import Health, State

# --- readers ---------------------------------------------------------------------------------------

_NOTE = """
INSERT INTO readers (profile, name, state, health, health_text, last_read_ms, last_record_ms, next_due_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (profile, name) DO UPDATE SET
 state = coalesce(?9, state), health = ?4, health_text = ?5, next_due_ms = ?8,
 last_read_ms = coalesce(?6, last_read_ms),
 last_record_ms = max(coalesce(?7, last_record_ms), coalesce(last_record_ms, ?7))
"""


def note_read(db: sqlite3.Connection, profile: int, batch: Batch, now_ms: int) -> None:
    """Health and next read; sightings and state where the source was understood; what the read covered."""
    decoded = batch.decoded
    if batch.capture is not None:
        read_ms: int | None = to_ms(batch.capture.taken_at)
    else:
        read_ms = None if decoded is None else now_ms
    newest = max((to_ms(record.time) for record in decoded.records), default=None) if decoded else None
    state = None if decoded is None else json.dumps(dict(decoded.state))
    health = batch.health.state, batch.health.text
    due_ms = to_ms(batch.next_due)
    db.execute(_NOTE, (profile, batch.reader, state or "{}", *health, read_ms, newest, due_ms, state))
    if decoded is not None and decoded.sightings:
        rows = [(profile, batch.reader, *row, now_ms) for row in _sighting_rows(decoded.sightings)]
        db.executemany("INSERT OR IGNORE INTO sightings VALUES (?, ?, ?, ?, ?, ?)", rows)
    if batch.covered is not None:
        _cover(db, profile, batch.reader, (to_ms(batch.covered.start), to_ms(batch.covered.end)))


def _sighting_rows(seen: Mapping[str, Sighting]) -> Iterator[tuple[str, int, str]]:
    return ((key, to_ms(each.time), each.source_key) for key, each in seen.items())


def memory(db: sqlite3.Connection, profile: str, reader: str, now: datetime) -> Memory:
    """Rows of the last 36 h as first seen, and the reader's state."""
    n = profile_n(db, profile)
    rows = db.execute(
        "SELECT key, time_ms, source_key FROM sightings WHERE profile = ? AND reader = ? AND time_ms >= ?",
        (n, reader, to_ms(now - SIGHTINGS)),
    )
    seen = {key: Sighting(from_ms(time_ms), source_key) for key, time_ms, source_key in rows}
    state = db.execute("SELECT state FROM readers WHERE profile = ? AND name = ?", (n, reader)).fetchone()
    return Memory(seen, json.loads(state[0]) if state else {})


def hasten(db: sqlite3.Connection, profile: str, reader: str, now: datetime) -> None:
    """Its next read is due now; a reader that was never seen is due anyway."""
    due_ms, n = to_ms(now), profile_n(db, profile)
    db.execute("UPDATE readers SET next_due_ms = ? WHERE profile = ? AND name = ?", (due_ms, n, reader))


def readers(db: sqlite3.Connection, profile: str | None) -> list[ReaderStatus]:
    """Every reader seen, by profile and name, with the holes between what it covered."""
    gaps = _gaps(db, profile_n(db, profile) if profile is not None else None)
    rows = db.execute(
        "SELECT r.profile, p.name, r.name, r.health, r.health_text, r.last_read_ms, r.last_record_ms, r.next_due_ms"
        " FROM readers r JOIN profiles p ON p.n = r.profile WHERE ?1 IS NULL OR p.name = ?1 ORDER BY p.name, r.name",
        (profile,),
    )
    return [
        ReaderStatus(
            owner, name, Health(State(state), text), instant(read), instant(record), instant(due), gaps[n, name]
        )
        for n, owner, name, state, text, read, record, due in rows
    ]


# --- coverage --------------------------------------------------------------------------------------


def _cover(db: sqlite3.Connection, profile: int, reader: str, span: spans.Span) -> None:
    touching = db.execute(
        "SELECT start_ms, end_ms FROM coverage WHERE profile = ? AND reader = ? AND start_ms <= ? AND end_ms >= ?",
        (profile, reader, span[1], span[0]),
    ).fetchall()
    if span[0] >= span[1] or touching == [span]:
        return
    ((start, end),) = spans.merged([span, *touching])
    db.executemany(
        "DELETE FROM coverage WHERE profile = ? AND reader = ? AND start_ms = ?",
        [(profile, reader, begun) for begun, _ in touching],
    )
    db.execute("INSERT INTO coverage VALUES (?, ?, ?, ?)", (profile, reader, start, end))


def missing(db: sqlite3.Connection, profile: str, reader: str, window: Interval) -> list[Interval]:
    """What of a window the reader never covered."""
    asked = to_ms(window.start), to_ms(window.end)
    covered = db.execute(
        "SELECT start_ms, end_ms FROM coverage WHERE profile = ? AND reader = ? AND start_ms < ? AND end_ms > ?",
        (profile_n(db, profile), reader, asked[1], asked[0]),
    ).fetchall()
    return _intervals(spans.holes(covered, asked))


def _gaps(db: sqlite3.Connection, whose: int | None) -> defaultdict[tuple[int, str], list[Interval]]:
    covered = defaultdict[tuple[int, str], list[spans.Span]](list)
    rows = db.execute(
        "SELECT * FROM coverage WHERE ?1 IS NULL OR profile = ?1 ORDER BY profile, reader, start_ms", (whose,)
    )
    for profile, reader, start, end in rows:
        covered[profile, reader].append((start, end))
    gaps = defaultdict[tuple[int, str], list[Interval]](list)
    for key, stretches in covered.items():
        gaps[key] = _intervals(spans.holes(stretches, (stretches[0][0], stretches[-1][1])))
    return gaps


def _intervals(found: Iterable[spans.Span]) -> list[Interval]:
    return [Interval(from_ms(start), from_ms(end)) for start, end in found]
