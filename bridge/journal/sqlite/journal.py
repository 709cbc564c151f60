"""The embedded journal: one SQLite file, one connection in a thread of its own, one short transaction a method."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from bridge.contracts import (
    Appended,
    Batch,
    Clock,
    DeliveryState,
    Destination,
    DestinationStatus,
    Due,
    Interval,
    LedgerDocument,
    Memory,
    Quarantined,
    ReaderStatus,
    Sealer,
    Settlement,
    Standing,
    StoredItem,
    UploadRecord,
    UploadState,
)
from bridge.errors import ContractViolation, JournalUnusable
from bridge.journal.intake import sightings
from bridge.journal.retention import Retention
from bridge.journal.sqlite import arrivals, captures, deliveries, destinations, documents, intake, reading, uploads
from bridge.journal.sqlite.connection import connect, plain_errors, transaction
from bridge.journal.sqlite.migration import check, check_integrity, migrate, schema_files, version
from bridge.journal.sqlite.rows import ensured_profile
from bridge.journal.surroundings import KINDS
from bridge.model import Capture, Record, to_ms
from bridge.model.health import Health

_P = ParamSpec("_P")
_T = TypeVar("_T")

_EVER = 1 << 62
_KEEP = Retention()


async def open_journal(
    path: Path, *, clock: Clock, sealer: Sealer | None = None, read_only: bool = False, keep: Retention = _KEEP
) -> SqliteJournal:
    """Open or make the journal at `path`, checked and brought to this version.

    Several processes may hold it open; `read_only` neither makes nor checks nor changes anything.
    Raises JournalUnusable with the next step, or Transient while another process keeps the file locked.
    """
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
    with ExitStack() as undo:
        undo.callback(thread.shutdown, wait=False)
        db = await asyncio.get_running_loop().run_in_executor(thread, partial(_opened, path, read_only=read_only))
        undo.pop_all()
    return SqliteJournal(path, db, thread, clock, sealer, keep)


def _opened(path: Path, *, read_only: bool) -> sqlite3.Connection:
    if read_only and not path.is_file():
        raise JournalUnusable(f"There is no journal at {path} yet.", next_step="Start the service once.")
    with plain_errors(path), ExitStack() as undo:
        db = connect(path, read_only=read_only)
        undo.callback(db.close)
        _prepare(db, path, read_only=read_only)
        undo.pop_all()
    return db


def _prepare(db: sqlite3.Connection, path: Path, *, read_only: bool) -> None:
    schemas = schema_files()
    check(db, path, max(schemas))
    if not read_only:
        check_integrity(db, path)
        migrate(db, path, schemas)
    elif version(db) < max(schemas):
        sentence = f"The journal {path} is of an older version of this program."
        raise JournalUnusable(sentence, next_step="Start the service once: it brings the journal up to date.")


class SqliteJournal:
    """`bridge.contracts.Journal` on one SQLite file.

    The connection lives in a thread of its own and every method is one visit there, so that a transaction is
    plain synchronous code and a cancelled caller never leaves half of one.
    """

    def __init__(
        self,
        path: Path,
        db: sqlite3.Connection,
        thread: ThreadPoolExecutor,
        clock: Clock,
        sealer: Sealer | None,
        keep: Retention,
    ) -> None:
        self.path = path
        self._db, self._thread, self._closed = db, thread, False
        self._clock, self._sealer, self._keep = clock, sealer, keep

    async def close(self) -> None:
        """Close; further calls fail. Closing twice is fine."""
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
            self._thread.shutdown(wait=False)

    async def _visit(self, work: Callable[[], _T]) -> _T:
        if self._closed:
            raise ContractViolation("The journal is closed.")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _read(
        self, work: Callable[Concatenate[sqlite3.Connection, _P], _T], *args: _P.args, **named: _P.kwargs
    ) -> _T:
        return await self._visit(lambda: self._transact(lambda: work(self._db, *args, **named), write=False))

    async def _write(
        self, work: Callable[Concatenate[sqlite3.Connection, _P], _T], *args: _P.args, **named: _P.kwargs
    ) -> _T:
        return await self._visit(lambda: self._transact(lambda: work(self._db, *args, **named), write=True))

    def _transact(self, work: Callable[[], _T], *, write: bool) -> _T:
        with plain_errors(self.path), transaction(self._db, write=write):
            return work()

    def _now_ms(self) -> int:
        return to_ms(self._clock.now())

    # --- readers ---

    async def memory(self, profile: str, reader: str) -> Memory:
        """What the reader recalls: sightings of the last 36 h and its state."""
        return await self._read(arrivals.memory, profile, reader, self._clock.now())

    async def append(self, batch: Batch) -> Appended:
        """Records, their pending deliveries, sightings, state, coverage, health and capture, in one transaction."""
        return await self._visit(partial(self._append, batch, self._now_ms()))

    def _append(self, batch: Batch, now_ms: int) -> Appended:
        records = batch.decoded.records if batch.decoded else ()
        if any(record.profile != batch.profile for record in records):
            raise ContractViolation(f"A batch of profile {batch.profile!r} holds a record of another profile.")
        seen = sightings(records)
        packed = None if batch.capture is None else captures.Packed(batch, batch.capture, self._sealer)
        with plain_errors(self.path), transaction(self._db, write=True):
            profile = ensured_profile(self._db, batch.profile)
            arrivals.note_read(self._db, profile, batch, now_ms)
            if packed is not None:
                captures.keep_capture(self._db, profile, packed, self._keep)
            return intake.add_records(self._db, profile, batch, seen, now_ms)

    async def missing(self, profile: str, reader: str, window: Interval) -> Sequence[Interval]:
        """Holes of the coverage ledger in a window."""
        return await self._read(arrivals.missing, profile, reader, window)

    async def captures(self, profile: str, reader: str | None = None) -> Sequence[Capture]:
        """Kept captures, newest first."""
        return await self._read(captures.captures, profile, reader, self._sealer)

    async def hasten(self, profile: str, reader: str, now: datetime) -> None:
        """Its next read is due now."""
        await self._write(arrivals.hasten, profile, reader, now)

    async def note_upload(self, upload: UploadRecord) -> None:
        """Store an upload as it stands."""
        await self._write(uploads.note, upload)

    async def uploads(
        self, profile: str | None = None, states: Iterable[UploadState] = (), limit: int = 100
    ) -> Sequence[UploadRecord]:
        """Uploads newest first."""
        return await self._read(uploads.uploads, profile, set(states), limit)

    async def readers(self, profile: str | None = None) -> Sequence[ReaderStatus]:
        """State of every reader seen, of one person or of everybody."""
        return await self._read(arrivals.readers, profile)

    # --- records ---

    async def context(self, profile: str, records: Sequence[Record]) -> Sequence[Record]:
        """The records that mapping these may need, the given ones among them."""
        return await self._read(reading.context, profile, records)

    async def records(
        self, profile: str, window: Interval | None = None, kinds: Iterable[str] = ()
    ) -> AsyncIterator[Record]:
        """Records by time, highest revision. Late ones that come in behind the walk are not seen by it."""
        wanted = [kind for kind in KINDS if kind in chosen] if (chosen := set(kinds)) else KINDS
        place = reading.Place(-_EVER if window is None else to_ms(window.start), -1)
        end_ms = _EVER if window is None else to_ms(window.end)
        while True:
            page, place = await self._read(reading.page, profile, wanted, place, end_ms)
            for record in page:
                yield record
            if len(page) < reading.PAGE:
                return

    async def aliases(self, profile: str) -> Mapping[str, str]:
        """Alias id -> record id."""
        return await self._read(reading.aliases, profile)

    # --- deliveries ---

    async def register(self, destinations: Iterable[Destination]) -> None:
        """Make exactly these the ledgers records fan out to. What a new one has not seen becomes pending."""
        await self._write(deliveries.register, list(destinations), self._now_ms())

    async def adopt(self, profile: str, items: Sequence[StoredItem]) -> None:
        """Identifiers found at a destination: a new record that matches one takes its record id and time."""
        await self._write(destinations.adopt, profile, items, self._now_ms())

    async def due(self, destination: Destination, now: datetime, limit: int, lease_s: float) -> Sequence[Due]:
        """Lease what is ready: records of the last 15 min newest first, then oldest first."""
        return await self._write(deliveries.due, destination, now, limit, lease_s)

    async def next_due(self, destination: Destination) -> datetime | None:
        """From when on `due` may give something; None when nothing is open."""
        return await self._read(deliveries.next_due, destination)

    async def standing(self, destination: Destination, record_ids: Iterable[str], slots: Iterable[str]) -> Standing:
        """Documents, states and taken slots of one moment."""
        return await self._read(deliveries.standing, destination, set(record_ids), list(slots))

    async def ledger(self, destination: Destination, record_ids: Iterable[str]) -> Sequence[LedgerDocument]:
        """Ledger documents of these records."""
        return await self._read(documents.of_records, destination, set(record_ids))

    async def states(self, destination: Destination, record_ids: Iterable[str]) -> Mapping[str, DeliveryState]:
        """Where these records stand; unknown ids are left out."""
        return await self._read(deliveries.states, destination, set(record_ids))

    async def slots(self, destination: Destination, slots: Iterable[str]) -> Mapping[str, str]:
        """Which of these slots are taken, by which document key."""
        return await self._read(documents.slots, destination, list(slots))

    async def newest_accepted(self, destination: Destination, kind: str) -> Record | None:
        """The newest record of a kind that has a document in this ledger."""
        return await self._read(documents.newest_accepted, destination, kind)

    async def settle(self, destination: Destination, settlement: Settlement) -> None:
        """Book one round. A delivery whose record has a higher revision than settled stays pending."""
        await self._write(deliveries.settle, destination, settlement, self._now_ms())

    async def release(self, destination: Destination) -> int:
        """Hand back all leases; how many."""
        return await self._write(deliveries.release, destination)

    async def quarantine(self, profile: str | None = None) -> Sequence[Quarantined]:
        """What is in quarantine, oldest first."""
        return await self._read(deliveries.quarantine, profile)

    async def requeue(self, destination: Destination, record_ids: Iterable[str]) -> int:
        """Make settled and withheld deliveries pending again, but never what a person removed there; how many."""
        return await self._write(deliveries.requeue, destination, set(record_ids), self._now_ms())

    async def unhold(self, profile: str, window: Interval) -> int:
        """What waits for a verified upload in this window is mirrored now; how many deliveries."""
        return await self._write(deliveries.unhold, profile, window, self._now_ms())

    async def drop(self, destination: Destination, record_ids: Iterable[str]) -> int:
        """Give quarantined deliveries up: settled as not applicable; how many."""
        return await self._write(deliveries.drop, destination, set(record_ids), self._now_ms())

    async def inventory(self, destination: Destination, window: Interval) -> Sequence[LedgerDocument]:
        """The ledger's documents in a window."""
        return await self._read(documents.inventory, destination, window)

    # --- destinations and the file ---

    async def report(self, destination: Destination, health: Health, state: Mapping[str, Any] | None = None) -> None:
        """Keep a destination's health, and its adapter's state unless None."""
        await self._write(destinations.report, destination, health, state)

    async def recall(self, destination: Destination) -> Mapping[str, Any]:
        """The adapter's state as last reported; empty at first."""
        return await self._read(destinations.recall, destination)

    async def destinations(self) -> Sequence[DestinationStatus]:
        """State and counts of every registered ledger."""
        return await self._read(destinations.statuses)

    async def version(self) -> int:
        """Changes whenever another connection has written."""
        return await self._visit(self._version)

    def _version(self) -> int:
        with plain_errors(self.path):
            return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    async def compact(self, now: datetime) -> int:
        """Expire captures, old sightings and unmet adopted identifiers; how many rows went."""
        return await self._write(captures.compact, now, self._keep)
