"""Records as others read them: by time, around others, and their further names."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from typing import NamedTuple

from bridge.journal.links import LINKED_KINDS
from bridge.journal.sqlite.rows import bodies_of, listed, parsed, profile_n, resolved
from bridge.journal.surroundings import KINDS, lines, windows
from bridge.model import Record, to_ms

PAGE = 500
"""Records read in one transaction."""


class Place(NamedTuple):
    """Where a walk over the records stands: everything at or before it was read."""

    time_ms: int
    n: int


def page(
    db: sqlite3.Connection, profile: str, kinds: Sequence[str], after: Place, end_ms: int
) -> tuple[list[Record], Place]:
    """The next records by time, before `end_ms`; fewer than a page at the end."""
    n = profile_n(db, profile)
    one_kind = (
        "SELECT * FROM (SELECT time_ms, n, body FROM records WHERE profile = ?1 AND kind = ?{}"
        " AND (time_ms, n) > (?2, ?3) AND time_ms < ?4 ORDER BY time_ms, n LIMIT ?5)"
    )
    union = " UNION ALL ".join(one_kind.format(number) for number, _ in enumerate(kinds, 6))
    rows = db.execute(f"{union} ORDER BY 1, 2 LIMIT ?5", (n, *after, end_ms, PAGE, *kinds)).fetchall()
    if n is None or not rows:
        return [], after
    return parsed(db, n, [body for _, _, body in rows]), Place(*rows[-1][:2])


def aliases(db: sqlite3.Connection, profile: str) -> dict[str, str]:
    """Record id by alias."""
    return dict(
        db.execute(
            "SELECT a.alias, r.id FROM aliases a JOIN records r ON r.n = a.record"
            " WHERE a.profile = ? AND a.alias <> r.id",
            (profile_n(db, profile),),
        ).fetchall()
    )


# --- context ---------------------------------------------------------------------------------------

_AROUND = """
SELECT r.id, r.kind, r.n, r.body FROM json_each(?) w
CROSS JOIN records r ON r.profile = ? AND r.kind = json_extract(w.value, '$[0]')
 AND r.time_ms BETWEEN json_extract(w.value, '$[1]') AND json_extract(w.value, '$[2]')
"""
_BESIDE = """
WITH line (device) AS (SELECT DISTINCT device FROM devices WHERE profile = ?1)
SELECT (SELECT r.n FROM records r WHERE r.profile = ?1 AND r.kind = 'basal' AND r.device = line.device
        AND r.time_ms < json_extract(w.value, '$[0]') ORDER BY r.time_ms DESC LIMIT 1) FROM line, json_each(?2) w
UNION
SELECT (SELECT r.n FROM records r WHERE r.profile = ?1 AND r.kind = 'basal' AND r.device = line.device
        AND r.time_ms > json_extract(w.value, '$[1]') ORDER BY r.time_ms LIMIT 1) FROM line, json_each(?2) w
UNION
SELECT (SELECT r.n FROM records r WHERE r.profile = ?1 AND r.kind = 'basal' AND r.device = line.device
        ORDER BY r.time_ms DESC LIMIT 1) FROM line
"""
_NEWEST = """
SELECT (SELECT r.n FROM records r WHERE r.profile = ?2 AND r.kind = k.value ORDER BY r.time_ms DESC LIMIT 1) AS n
FROM json_each(?1) k
"""
_PARTNERS = """
SELECT r.n FROM json_each(?1) j CROSS JOIN links l ON l.record = j.value
 JOIN records r ON r.profile = l.profile AND r.id = l.target
UNION
SELECT a.record FROM json_each(?1) j CROSS JOIN links l ON l.record = j.value
 JOIN aliases a ON a.profile = l.profile AND a.alias = l.target
UNION
SELECT l.record FROM json_each(?1) j CROSS JOIN records r ON r.n = j.value
 JOIN links l ON l.profile = r.profile AND l.target = r.id
UNION
SELECT l.record FROM json_each(?1) j CROSS JOIN aliases a ON a.record = j.value
 JOIN links l ON l.profile = a.profile AND l.target = a.alias
"""


def context(db: sqlite3.Connection, profile: str, given: Collection[Record]) -> list[Record]:
    """The given records and all that their mapping may look at, in order of first sight."""
    n = profile_n(db, profile)
    if n is None or not given:
        return []
    ids = {record.id for record in given}
    times = [to_ms(record.time) for record in given]
    around = db.execute(_AROUND, (listed(windows(times)), n)).fetchall()
    if missed := ids - {name for name, *_ in around}:
        ids, times = _as_kept(db, n, ids, missed, times)
        around = db.execute(_AROUND, (listed(windows(times)), n)).fetchall()
    bodies: dict[int, str] = {number: body for _, _, number, body in around}
    further = {number for (number,) in db.execute(_BESIDE, (n, listed(lines(times)))) if number is not None}
    linked = {number for name, kind, number, _ in around if kind in LINKED_KINDS and name in ids}
    further |= _linked(db, linked) | _newest(db, n)
    bodies.update(bodies_of(db, further - bodies.keys()))
    return parsed(db, n, [bodies[number] for number in sorted(bodies)])


def _as_kept(
    db: sqlite3.Connection, profile: int, ids: set[str], missed: set[str], times: list[int]
) -> tuple[set[str], list[int]]:
    """Ids and times with those added that the journal keeps for records given under an alias or another time."""
    numbers = resolved(db, profile, missed).values()
    rows = db.execute(
        "SELECT r.id, r.time_ms FROM json_each(?) j CROSS JOIN records r ON r.n = j.value", (listed(numbers),)
    )
    kept = dict(rows.fetchall())
    return ids | kept.keys(), [*times, *kept.values()]


def _linked(db: sqlite3.Connection, numbers: set[int]) -> set[int]:
    """Records joined to these by links in either direction, over any number of steps."""
    found, edge = set(numbers), numbers
    while edge:
        edge = {number for (number,) in db.execute(_PARTNERS, (listed(edge),))} - found
        found |= edge
    return found


def _newest(db: sqlite3.Connection, profile: int) -> set[int]:
    newest = f"SELECT r.n FROM ({_NEWEST}) k JOIN records r ON r.n = k.n ORDER BY r.time_ms DESC LIMIT 1"  # noqa: S608
    return {number for (number,) in db.execute(newest, (listed(KINDS), profile))}
