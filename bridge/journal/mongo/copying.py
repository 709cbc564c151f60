"""An embedded journal's rows as the documents of this one, and a digest that tells whether two sets are the same."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

from bridge.contracts import Sealer
from bridge.journal.mongo.connection import Doc
from bridge.journal.retention import ADOPTED, SIGHTINGS, Retention, Worth, lifetime
from bridge.journal.sealing import pack, unpack
from bridge.model import from_ms

ROWS: Mapping[str, str] = {
    "profiles": """
        SELECT p.name AS _id, (SELECT coalesce(max(r.n), 0) FROM records r WHERE r.profile = p.n) AS n,
         (SELECT json_group_array(json_object('device', v.device, 'family', v.family, 'serial', v.serial))
          FROM devices v WHERE v.profile = p.n) AS "devices:json",
         (SELECT json_group_array(d.name) FROM destinations d WHERE d.profile = p.n AND d.active) AS "active:json",
         (SELECT json_group_array(d.name) FROM destinations d WHERE d.profile = p.n) AS "ledgers:json",
         (SELECT 'true' FROM adopted a WHERE a.profile = p.n LIMIT 1) AS "adopted:json"
        FROM profiles p""",
    "records": """
        SELECT p.name AS profile, x.id, x.n, x.kind, x.time_ms, x.wall_ms, x.device, x.rank, x.revision,
         x.hash, x.body,
         json_array(x.reader) AS "readers:json",
         (SELECT json_group_array(DISTINCT a.reader) FROM aliases a WHERE a.record = x.n) AS "others:json",
         (SELECT nullif(json_group_array(l.target), '[]') FROM links l WHERE l.record = x.n) AS "links:json"
        FROM records x JOIN profiles p ON p.n = x.profile""",
    "revisions": """
        SELECT p.name AS profile, r.id AS record, x.revision, x.replaced_ms, x.body
        FROM revisions x JOIN records r ON r.n = x.record JOIN profiles p ON p.n = r.profile""",
    "aliases": """
        SELECT p.name AS profile, x.alias, r.id AS record, x.reader, x.hash, x.body
        FROM aliases x JOIN records r ON r.n = x.record JOIN profiles p ON p.n = x.profile""",
    "deliveries": """
        SELECT p.name AS profile, r.id AS record, d.name AS destination, x.time_ms, x.state,
         max(x.ready_ms, x.leased_ms) AS ready_ms, x.attempts, x.revision, x.since_ms, x.reason
        FROM deliveries x JOIN records r ON r.n = x.record
         JOIN destinations d ON d.n = x.destination JOIN profiles p ON p.n = d.profile""",
    "documents": """
        SELECT p.name AS profile, d.name AS destination, x.key, x.record_id AS record, x.kind,
         x.content_hash, x.path, x.instant_ms, x.slot, x.server_id
        FROM documents x
         JOIN destinations d ON d.n = x.destination JOIN profiles p ON p.n = d.profile""",
    "destinations": """
        SELECT p.name AS profile, x.name, CASE WHEN x.active THEN 'true' ELSE 'false' END AS "active:json",
         CASE WHEN x.active THEN 'true' ELSE 'false' END AS "caught_up:json", x.health, x.health_text, x.state,
         x.last_accepted_ms,
         (SELECT json_group_object(t.state, t.count) FROM tallies t WHERE t.destination = x.n) AS "counts:json"
        FROM destinations x JOIN profiles p ON p.n = x.profile""",
    "readers": """
        SELECT p.name AS profile, x.name, x.state, x.health, x.health_text, x.last_read_ms, x.last_record_ms,
         x.next_due_ms
        FROM readers x JOIN profiles p ON p.n = x.profile""",
    "coverage": """
        SELECT p.name AS profile, x.reader, x.start_ms, x.end_ms
        FROM coverage x JOIN profiles p ON p.n = x.profile""",
    "sightings": """
        SELECT p.name AS profile, x.reader, x.key, x.time_ms, x.source_key, x.seen_ms
        FROM sightings x JOIN profiles p ON p.n = x.profile""",
    "captures": """
        SELECT p.name AS profile, x.reader, x.taken_ms, x.worth,
         CASE WHEN x.sealed THEN 'true' ELSE 'false' END AS "sealed:json",
         x.digest, x.block
        FROM captures x JOIN profiles p ON p.n = x.profile ORDER BY x.n""",
    "uploads": """
        SELECT p.name AS profile, x.id, x.state, x.asked_ms, x.body
        FROM uploads x JOIN profiles p ON p.n = x.profile""",
    "adopted": """
        SELECT p.name AS profile, x.record_id, x.key, x.path, x.kind, x.time_ms, x.value, x.seen_ms
        FROM adopted x JOIN profiles p ON p.n = x.profile""",
}
"""What each collection is filled with. A column `name:json` holds JSON text; what is null has no field."""


class Shaping:
    """Makes rows into documents; what was kept unsealed is sealed where there is a vault."""

    def __init__(self, sealer: Sealer | None, keep: Retention) -> None:
        self._sealer, self._keep = sealer, keep
        self._more: Mapping[str, Callable[[Doc], Doc]] = {
            "records": _reread,
            "captures": self._captured,
            "sightings": lambda doc: {**doc, "expires": from_ms(doc["time_ms"]) + SIGHTINGS},
            "adopted": lambda doc: {**doc, "expires": from_ms(doc["seen_ms"]) + ADOPTED},
        }

    def documents(self, name: str, cursor: sqlite3.Cursor, rows: list[tuple[Any, ...]]) -> list[Doc]:
        """Some rows of the query of that collection as its documents."""
        columns = [column for column, *_ in cursor.description]
        more = self._more.get(name, _same)
        return [more(dict(_fields(columns, row))) for row in rows]

    def _captured(self, doc: Doc) -> Doc:
        stays: timedelta = lifetime(Worth(doc["worth"]), self._keep)
        doc["expires"] = from_ms(doc["taken_ms"]) + stays
        if self._sealer is not None and not doc["sealed"]:
            taken_at = from_ms(doc["taken_ms"])
            plain = unpack(doc["block"], False, doc["profile"], doc["reader"], taken_at, None)
            doc.update(block=pack(plain, self._sealer), sealed=True)
        return doc


def _fields(columns: list[str], row: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    for column, value in zip(columns, row, strict=True):
        name, _, form = column.partition(":")
        if value is not None:
            yield name, json.loads(value) if form else value


def _reread(doc: Doc) -> Doc:
    others = doc.pop("others")
    return {**doc, "readers": [*doc["readers"], *sorted(set(others) - set(doc["readers"]))]}


def _same(doc: Doc) -> Doc:
    return doc


class Digest:
    """Of a set of documents, whatever their order."""

    def __init__(self) -> None:
        self.count, self._sum = 0, 0

    def add(self, doc: Mapping[str, Any]) -> None:
        """One more; the storage's own `_id` does not count where it is one."""
        line = json.dumps(dict(doc), sort_keys=True, default=_plain).encode()
        self._sum = (self._sum + int.from_bytes(blake2b(line, digest_size=16).digest(), "big")) % (1 << 128)
        self.count += 1

    @property
    def text(self) -> str:
        """32 hex digits."""
        return f"{self._sum:032x}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digest) and (self.count, self.text) == (other.count, other.text)

    __hash__ = None  # type: ignore[assignment]


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return blake2b(value, digest_size=16).hexdigest()
