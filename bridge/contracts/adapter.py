"""The `Adapter` seam: records become documents, documents are delivered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, Protocol

from bridge.contracts.reader import Interval
from bridge.model.health import Health
from bridge.model.records import Record
from bridge.model.time import from_ms, iso_ms, parse_instant, to_ms


@dataclass(frozen=True)
class Document:
    """One desired document at a destination.

    `slot_group`: documents of one group may not share an instant; a later one moves on by 1 ms through
    the body fields named in `moves` (epoch ms or ISO text). `books`: further keys stored with it
    (an embedded bolus). `rank` orders collections.
    """

    key: str
    record_id: str
    op: str
    path: str
    body: Mapping[str, Any]
    instant_ms: int
    rank: int = 0
    slot_group: str | None = None
    moves: tuple[str, ...] = ()
    books: tuple[str, ...] = ()

    @cached_property
    def encoded(self) -> bytes:
        """The JSON as sent."""
        return json.dumps(self.body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()

    @cached_property
    def content_hash(self) -> str:
        """Hash of the document as sent, 32 hex digits, independent of field order."""
        text = json.dumps(self.body, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def slot(self, step_ms: int = 0) -> str | None:
        """The place this document takes at the destination, moved by `step_ms`; None when any place is fine."""
        return None if self.slot_group is None else f"{self.slot_group}|{self.instant_ms + step_ms}"

    def moved(self, step_ms: int) -> Document:
        """The same document `step_ms` later."""
        if not step_ms:
            return self
        shifted = {name: _later(self.body[name], step_ms) for name in self.moves}
        return replace(self, body={**self.body, **shifted}, instant_ms=self.instant_ms + step_ms)


def _later(value: Any, step_ms: int) -> Any:
    if isinstance(value, int):
        return value + step_ms
    return iso_ms(from_ms(to_ms(parse_instant(value)) + step_ms))


@dataclass(frozen=True, slots=True)
class Fate:
    """How one record ends at one destination: exactly one of the three is set."""

    documents: int = 0
    carried_by: str | None = None
    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class Desired:
    """What a set of records becomes: unstepped documents by key, and the fate of every record."""

    documents: Mapping[str, Document]
    fates: Mapping[str, Fate]


class Verdict(StrEnum):
    """What came of one post or delete."""

    ACCEPTED = "accepted"
    QUARANTINED = "quarantined"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Verdict with the destination's own words; `RETRY` means nothing is known to be stored."""

    verdict: Verdict
    reason: str = ""
    server_id: str | None = None


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One document found at a destination. `record_id` when its key names one; `kind` and `value`
    (mg/dL, U, g) when the document shows them; enough to recognise a record after a lost journal."""

    key: str
    path: str
    record_id: str | None = None
    kind: str | None = None
    time: datetime | None = None
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a destination holds of ours in a window; `foreign` counts documents of others."""

    items: Sequence[StoredItem]
    foreign: int = 0


@dataclass(frozen=True, slots=True)
class LedgerDocument:
    """A document as confirmed by a destination. `slot` is the place it took, with its step."""

    key: str
    record_id: str
    content_hash: str
    path: str
    instant_ms: int
    slot: str | None = None
    server_id: str | None = None


class Adapter(Protocol):
    """A destination. `desired` is pure; the rest is I/O through the session it was handed."""

    name: str
    batch: int
    """How many documents `deliver` wants at once; may change as the site's speed is learnt."""
    state: dict[str, Any]
    """Small JSON remembered across restarts (data set id, chosen route). The engine sets it before the first
    `prepare` and stores it after every call that changed it. A crash may lose the newest change: it is a cache."""

    def desired(self, records: Iterable[Record]) -> Desired:
        """Documents of a set of records by this adapter's settings; same set in any order, same bytes."""
        ...

    async def prepare(self) -> Health:
        """Probe and remember what the destination is (version, rights, data set); cheap when fresh."""
        ...

    async def deliver(self, posts: Sequence[Document], deletes: Sequence[LedgerDocument]) -> Sequence[Outcome]:
        """Send in the destination's own order. Outcomes: posts first, then deletes, same length and order.

        Raises (Transient, Throttled, Unauthorised, Forbidden, Incompatible, Refused, Moved) only when no
        outcome is known for any of them; otherwise what was not confirmed is `RETRY`.
        """
        ...

    async def stored(self, window: Interval) -> Inventory:
        """Read back what the destination holds of ours."""
        ...
