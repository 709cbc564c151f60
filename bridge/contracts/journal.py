"""The `Journal` seam: the durable middle."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from bridge.contracts.adapter import LedgerDocument, StoredItem
from bridge.contracts.reader import Batch, Interval, Memory
from bridge.contracts.transport import UploadRecord, UploadState
from bridge.model.capture import Capture
from bridge.model.health import Health
from bridge.model.records import Record


class Sealer(Protocol):
    """Encrypts what the journal keeps at rest, with the vault's key. `purpose` is bound to the bytes."""

    def seal(self, plain: bytes, purpose: str) -> bytes:
        """Ciphertext with its own nonce."""
        ...

    def unseal(self, sealed: bytes, purpose: str) -> bytes:
        """The plain bytes. Raises VaultLocked when key or purpose do not fit."""
        ...


class DeliveryState(StrEnum):
    """Where one record stands at one destination."""

    PENDING = "pending"
    LEASED = "leased"
    WITHHELD = "withheld"
    ACCEPTED = "accepted"
    QUARANTINED = "quarantined"
    SUPERSEDED = "superseded"
    NOT_APPLICABLE = "not_applicable"
    REMOVED_THERE = "removed_there"


@dataclass(frozen=True, slots=True)
class Destination:
    """One ledger: a profile's destination, by the name in the settings."""

    profile: str
    name: str


@dataclass(frozen=True, slots=True)
class Due:
    """A leased delivery. `attempts` counts earlier ones."""

    record: Record
    attempts: int


@dataclass(frozen=True, slots=True)
class Settled:
    """New state of one delivery. `PENDING` hands it back, not before `not_before`."""

    state: DeliveryState
    reason: str = ""
    not_before: datetime | None = None
    revision: int = 0
    """The revision that was delivered; a newer one in the journal stays pending."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """All that one delivery round changes, in one transaction."""

    deliveries: Mapping[str, Settled] = field(default_factory=dict)
    documents: Sequence[LedgerDocument] = ()
    removed: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append changed: ids of new and revised records; the rest was known."""

    new: Sequence[str]
    revised: Sequence[str]
    known: int


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A delivery a person must look at."""

    destination: Destination
    record: Record
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class ReaderStatus:
    """Last known state of a profile's reader."""

    profile: str
    reader: str
    health: Health
    last_read: datetime | None
    last_record: datetime | None
    next_due: datetime | None
    gaps: Sequence[Interval] = ()


@dataclass(frozen=True, slots=True)
class DestinationStatus:
    """Counts of one ledger. `last_accepted` is the newest record time settled there."""

    destination: Destination
    counts: Mapping[DeliveryState, int]
    health: Health
    last_accepted: datetime | None
    oldest_pending: datetime | None


@dataclass(frozen=True, slots=True)
class Attendance:
    """Who serves whom in a fleet: `people` there are, `unserved` of them are no living worker's. `lost` counts how
    often the asked worker's lease was given to others."""

    people: int
    unserved: int
    workers: int
    lost: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What one ledger holds of some records: their documents, where each stands, and who has the places asked for."""

    documents: Sequence[LedgerDocument]
    states: Mapping[str, DeliveryState]
    slots: Mapping[str, str]
    """Document key by slot, for the taken ones."""


class Journal(Protocol):
    """The durable middle. Every method is one short transaction; deadlines are the caller's.

    A record's id and time are given at first sight and never change; later sightings are matched
    (docs/model.md) and kept as aliases. Appending the same batch twice changes nothing.
    """

    async def close(self) -> None:
        """Close; further calls fail."""
        ...

    async def register(self, destinations: Iterable[Destination]) -> None:
        """Make these the ledgers records fan out to. New ones get all existing records of the profile as pending."""
        ...

    async def memory(self, profile: str, reader: str) -> Memory:
        """What the reader recalls: sightings of the last 36 h and its state."""
        ...

    async def append(self, batch: Batch) -> Appended:
        """Records, their pending deliveries, sightings, state, coverage, health and capture, in one transaction."""
        ...

    async def adopt(self, profile: str, items: Sequence[StoredItem]) -> None:
        """Identifiers found at a destination: a new record that matches one takes its record id and time."""
        ...

    async def due(self, destination: Destination, now: datetime, limit: int, lease_s: float) -> Sequence[Due]:
        """Lease pending deliveries: records of the last 15 min newest first, then oldest first."""
        ...

    async def context(self, profile: str, records: Sequence[Record]) -> Sequence[Record]:
        """The records that mapping these may need (docs/mapping.md): 26 h around them (of readings 380 min, of basals
        400 min, of statuses 10 min), links both ways, previous and next basal of each device, the newest record.
        Highest revisions, links rewritten through aliases."""
        ...

    async def next_due(self, destination: Destination) -> datetime | None:
        """From when on `due` may give something, as things stand; None when nothing is open."""
        ...

    async def standing(self, destination: Destination, record_ids: Iterable[str], slots: Iterable[str]) -> Standing:
        """`ledger`, `states` and `slots` of one moment, for ids that `context` gave."""
        ...

    async def ledger(self, destination: Destination, record_ids: Iterable[str]) -> Sequence[LedgerDocument]:
        """Ledger documents of these records."""
        ...

    async def states(self, destination: Destination, record_ids: Iterable[str]) -> Mapping[str, DeliveryState]:
        """Where these records stand at one destination; unknown ids are left out."""
        ...

    async def slots(self, destination: Destination, slots: Iterable[str]) -> Mapping[str, str]:
        """Which of these slots are taken, by which document key."""
        ...

    async def newest_accepted(self, destination: Destination, kind: str) -> Record | None:
        """The newest record of a kind that has a document in this ledger."""
        ...

    async def settle(self, destination: Destination, settlement: Settlement) -> None:
        """Book one round. A delivery whose record has a higher revision than settled stays pending."""
        ...

    async def release(self, destination: Destination) -> int:
        """Hand back all leases of a dead or stopping deliverer; how many."""
        ...

    async def report(self, destination: Destination, health: Health, state: Mapping[str, Any] | None = None) -> None:
        """Keep a destination's health for `status`, and its adapter's `state` unless None."""
        ...

    async def recall(self, destination: Destination) -> Mapping[str, Any]:
        """The adapter's `state` as last reported; empty at first."""
        ...

    async def version(self) -> int:
        """Changes whenever another process has written: the engine asks once a second and wakes what waits."""
        ...

    async def quarantine(self, profile: str | None = None) -> Sequence[Quarantined]:
        """What is in quarantine."""
        ...

    async def requeue(self, destination: Destination, record_ids: Iterable[str]) -> int:
        """Make settled deliveries pending again (quarantine retry, repair); how many."""
        ...

    async def unhold(self, profile: str, window: Interval) -> int:
        """What waits for a verified upload in this window (record times) is mirrored now; how many deliveries."""
        ...

    async def drop(self, destination: Destination, record_ids: Iterable[str]) -> int:
        """A person gives quarantined deliveries up: settled as not applicable; how many."""
        ...

    async def inventory(self, destination: Destination, window: Interval) -> Sequence[LedgerDocument]:
        """The ledger's documents in a window: the other half of a reconcile."""
        ...

    def records(
        self, profile: str, window: Interval | None = None, kinds: Iterable[str] = ()
    ) -> AsyncIterator[Record]:
        """Records by time, highest revision."""
        ...

    async def aliases(self, profile: str) -> Mapping[str, str]:
        """Alias id -> record id."""
        ...

    async def captures(self, profile: str, reader: str | None = None) -> Sequence[Capture]:
        """Kept captures, newest first."""
        ...

    async def missing(self, profile: str, reader: str, window: Interval) -> Sequence[Interval]:
        """Holes of the coverage ledger in a window."""
        ...

    async def hasten(self, profile: str, reader: str, now: datetime) -> None:
        """A person wants this source read: its next read is due now. A running engine notices within a second."""
        ...

    async def note_upload(self, upload: UploadRecord) -> None:
        """Store an upload as it stands; the same request again replaces it."""
        ...

    async def uploads(
        self, profile: str | None = None, states: Iterable[UploadState] = (), limit: int = 100
    ) -> Sequence[UploadRecord]:
        """Uploads newest first; of everybody and in every state where none is named."""
        ...

    async def readers(self, profile: str | None = None) -> Sequence[ReaderStatus]:
        """State of every reader seen, of one person or of everybody."""
        ...

    async def destinations(self) -> Sequence[DestinationStatus]:
        """State and counts of every ledger."""
        ...

    async def compact(self, now: datetime) -> int:
        """Expire captures and old sightings; how many rows went."""
        ...
