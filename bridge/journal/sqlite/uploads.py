"""The upload queue and its history."""

from __future__ import annotations

import sqlite3

from bridge.contracts import UploadRecord, UploadState
from bridge.journal.sqlite.rows import ensured_profile, listed
from bridge.journal.uploads import from_text, to_text
from bridge.model import to_ms


def note(db: sqlite3.Connection, upload: UploadRecord) -> None:
    """Store an upload as it stands now, in place of what was known of the same request."""
    request = upload.request
    db.execute(
        "INSERT OR REPLACE INTO uploads (profile, id, state, asked_ms, body) VALUES (?, ?, ?, ?, ?)",
        (ensured_profile(db, request.profile), request.id, upload.state, to_ms(request.asked_at), to_text(upload)),
    )


def uploads(db: sqlite3.Connection, profile: str | None, states: set[UploadState], limit: int) -> list[UploadRecord]:
    """Newest first; all profiles and states where none is named."""
    rows = db.execute(
        "SELECT u.body FROM uploads u JOIN profiles p ON p.n = u.profile WHERE (?1 IS NULL OR p.name = ?1)"
        " AND (?2 = '[]' OR u.state IN (SELECT value FROM json_each(?2))) ORDER BY u.asked_ms DESC, u.id LIMIT ?3",
        (profile, listed(states), limit),
    )
    return [from_text(body) for (body,) in rows]
