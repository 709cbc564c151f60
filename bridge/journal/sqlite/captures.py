"""Raw captures: packed, kept for a reason, let go in time."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from hashlib import blake2b

from bridge.contracts import Batch, Sealer
from bridge.journal.retention import ADOPTED, SIGHTINGS, Retention, Worth, lifetime, worth
from bridge.journal.sealing import pack, unpack
from bridge.journal.sqlite.rows import instant, profile_n
from bridge.model import Capture, from_ms, to_ms


class Packed:
    """A capture ready to be written; packing and sealing happen outside the transaction."""

    def __init__(self, batch: Batch, capture: Capture, sealer: Sealer | None) -> None:
        self.reader, self.taken_at = capture.reader, capture.taken_at
        self.understood = batch.decoded is not None and batch.decoded.understood
        self.sealed, self.block = sealer is not None, pack(capture, sealer)
        self.digest = blake2b(capture.body, digest_size=16, person=b"capture").digest()


def keep_capture(db: sqlite3.Connection, profile: int, packed: Packed, keep: Retention) -> None:
    """Store a capture and let go of the answers it pushes out of the last ones."""
    taken_ms = to_ms(packed.taken_at)
    newest = db.execute(
        "SELECT max(taken_ms) FROM captures WHERE profile = ? AND reader = ? AND worth = 'anchor' AND taken_ms <= ?",
        (profile, packed.reader, taken_ms),
    ).fetchone()[0]
    why = worth(packed.reader, packed.taken_at, packed.understood, instant(newest), keep)
    db.execute(
        "INSERT OR IGNORE INTO captures (profile, reader, taken_ms, worth, sealed, digest, block)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (profile, packed.reader, taken_ms, why, packed.sealed, packed.digest, packed.block),
    )
    db.execute(
        "DELETE FROM captures WHERE profile = ?1 AND reader = ?2 AND worth = 'recent' AND taken_ms <="
        " (SELECT taken_ms FROM captures WHERE profile = ?1 AND reader = ?2"
        " ORDER BY taken_ms DESC LIMIT 1 OFFSET ?3)",
        (profile, packed.reader, keep.answer_last),
    )


def captures(db: sqlite3.Connection, profile: str, reader: str | None, sealer: Sealer | None) -> list[Capture]:
    """Kept captures, newest first. Raises VaultLocked when they are sealed and the key does not fit."""
    rows = db.execute(
        "SELECT block, sealed, reader, taken_ms FROM captures WHERE profile = ?1 AND (?2 IS NULL OR reader = ?2)"
        " ORDER BY taken_ms DESC, n DESC",
        (profile_n(db, profile), reader),
    )
    return [
        unpack(block, bool(sealed), profile, by, from_ms(taken_ms), sealer) for block, sealed, by, taken_ms in rows
    ]


def compact(db: sqlite3.Connection, now: datetime, keep: Retention) -> int:
    """Drop what has outlived its time; how many rows."""
    gone = 0
    for why in Worth:
        before = to_ms(now - lifetime(why, keep))
        gone += db.execute("DELETE FROM captures WHERE worth = ? AND taken_ms < ?", (why, before)).rowcount
    gone += db.execute("DELETE FROM sightings WHERE time_ms < ?", (to_ms(now - SIGHTINGS),)).rowcount
    return gone + db.execute("DELETE FROM adopted WHERE seen_ms < ?", (to_ms(now - ADOPTED),)).rowcount
