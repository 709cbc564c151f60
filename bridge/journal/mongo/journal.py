"""The journal of many machines: each method is one transaction on one profile, or a read of one moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from itertools import count
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import uuid4
from weakref import WeakValueDictionary

from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession

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
from bridge.errors import ContractViolation
from bridge.journal.intake import sightings
from bridge.journal.mongo import (
    arrivals,
    captures,
    connection,
    deliveries,
    destinations,
    documents,
    intake,
    reading,
    schema,
    uploads,
)
from bridge.journal.mongo.calls import Calls
from bridge.journal.mongo.connection import Doc, connect, deadline, plain_errors, slow
from bridge.journal.mongo.leases import Leases
from bridge.journal.mongo.transactions import transact
from bridge.journal.mongo.visiting import Answers, Ask, Visit
from bridge.journal.mongo.watching import Watch
from bridge.journal.retention import Retention
from bridge.journal.surroundings import KINDS
from bridge.model import Capture, Record, to_ms
from bridge.model.health import Health

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Work = Callable[Concatenate[Visit, _P], Awaitable[_T]]

_AT_ONCE = 16
_OPENING_S = 60.0
"""A migration may build keys over all that is there."""
_CLOSING_S = 3 * connection.CALL_S
"""A write to its end, and the farewells to the servers."""
_TURN_S = 6 * connection.CALL_S
"""A large batch before it, and a few others."""
_RECORD_S = 0.002
"""A large batch may take longer: the server itself ends a transaction after a minute."""
_GLANCE_MS, _GAZE_MS = 1, 1000


class MongoJournal:
    """`bridge.contracts.Journal` on one database of a replica set or a sharded cluster.

    A write begins by marking its profile's document: two writers of one profile follow each other, an owner's
    token is checked, and other processes are told. Within this process a profile's writers queue.
    """

    def __init__(
        self,
        client: AsyncMongoClient[Doc],
        app: str,
        database: str,
        clock: Clock,
        sealer: Sealer | None,
        keep: Retention,
        worker: str | None = None,
        *,
        read_only: bool = False,
    ) -> None:
        self.db = client[database]
        self.sealer = sealer
        self.leases = None if worker is None else Leases(self.db, worker, app)
        self.keep = keep
        self._client, self._clock = client, clock
        self._read_only, self._closed = read_only, False
        self._name, self._numbers = uuid4().hex[:12], count()
        self._calls = Calls()
        self._lines: dict[str, frozenset[str]] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._glance, self._gaze = (Watch(self.db, self._name, ms) for ms in (_GLANCE_MS, _GAZE_MS))

    @classmethod
    async def opened(
        cls, uri: str, database: str, *, clock: Clock, sealer: Sealer | None, read_only: bool, keep: Retention,
        worker: str | None,
    ) -> MongoJournal:  # fmt: skip
        """As `open_mongo_journal` says."""
        async with AsyncExitStack() as undo:
            app = f"{connection.APP} {uuid4().hex}"
            client = connect(uri, database, app)
            undo.push_async_callback(client.close)
            with deadline(database):
                await schema.check_cluster(client[database])
            with deadline(database, _OPENING_S):
                await (schema.check_current if read_only else schema.migrate)(client[database])
            undo.pop_all()
        return cls(client, app, database, clock, sealer, keep, worker, read_only=read_only)

    async def close(self) -> None:
        """Close once what is being written is written; further calls fail. Closing twice is fine."""
        if not self._closed:
            self._closed = True
            with suppress(TimeoutError):  # what hangs then goes with the process
                async with asyncio.timeout(_CLOSING_S):
                    await self._calls.over()
                    await self._glance.close()
                    await self._gaze.close()
                    await self._client.close()

    # --- transactions ---

    async def _read(self, profile: str, work: _Work[_P, _T], *args: _P.args, **named: _P.kwargs) -> _T:
        async def look(session: AsyncClientSession) -> _T:
            return await work(Visit(self.db, session, profile), *args, **named)

        return await self._look(look)

    async def _read_all(self, work: Callable[..., Awaitable[_T]], *args: Any) -> _T:
        """A read over profiles."""

        async def look(session: AsyncClientSession) -> _T:
            return await work(self.db, session, *args)

        return await self._look(look)

    async def _look(self, work: Callable[[AsyncClientSession], Awaitable[_T]]) -> _T:
        async def in_session() -> _T:
            async with self._client.start_session(snapshot=True) as session:
                return await work(session)

        return await self._call(in_session())

    async def _call(self, call: Coroutine[Any, Any, _T]) -> _T:
        """In time and to its end."""

        async def in_time() -> _T:
            with deadline(self.db.name):
                return await call

        if self._closed:
            call.close()
        self._check_open()
        return await self._calls.run(in_time())

    async def _own(self, profile: str, work: _Work[_P, _T], *args: _P.args, **named: _P.kwargs) -> _T:
        """A write of the engine: where there are leases it needs one."""
        return await self._transact(profile, lambda visit: work(visit, *args, **named), fenced=True)

    async def _order(self, profile: str, work: _Work[_P, _T], *args: _P.args, **named: _P.kwargs) -> _T:
        """A write that a person asked for, from wherever."""
        return await self._transact(profile, lambda visit: work(visit, *args, **named), fenced=False)

    async def _transact(
        self,
        profile: str,
        work: Callable[[Visit], Awaitable[_T]],
        *,
        fenced: bool,
        more_s: float = 0,
        asks: tuple[Ask | None, ...] = (),
    ) -> _T:
        self._check_writable()

        async def visit(session: AsyncClientSession) -> _T:
            mark, answers = await self._ahead(profile, asks) if asks else (None, [])
            standing = await self._mark(session, profile, self.leases if fenced else None)
            holds = (asks, answers) if asks and standing.get("mark") == mark else None
            return await work(Visit(self.db, session, profile, to_ms(self._clock.now()), standing, holds))

        async def in_turn() -> _T:
            async with self._turn(profile):
                with plain_errors(self.db.name):
                    return await transact(self._client, visit, connection.CALL_S + more_s)

        return await self._calls.run(in_turn())

    @asynccontextmanager
    async def _turn(self, profile: str) -> AsyncIterator[None]:
        """The next write of a profile by this process. Raises Transient when those before it take too long."""
        turn = self._turns.setdefault(profile, asyncio.Lock())
        try:
            async with asyncio.timeout(_TURN_S):
                await turn.acquire()
        except TimeoutError:
            raise slow(self.db.name) from None
        try:
            yield
        finally:
            turn.release()

    async def _ahead(self, profile: str, asks: tuple[Ask | None, ...]) -> tuple[str | None, Answers]:
        """Answers in one round trip, and the profile's mark of that moment: as long as it stands, they hold."""
        async with self._client.start_session(snapshot=True) as session:
            seen = Visit(self.db, session, profile)
            (marked, *answers) = await seen.several(Ask("profiles", {}, ("mark",)), *asks)
        return (marked[0].get("mark") if marked else None), answers

    async def _mark(self, session: AsyncClientSession, profile: str, leases: Leases | None) -> Mapping[str, Any]:
        """The profile's document as it stood, now marked by us. Raises OwnershipLost when another owns it."""
        mark = {"$set": {"mark": f"{self._name} {next(self._numbers)}"}}
        profiles = self.db["profiles"]
        if leases is None:
            return await profiles.find_one_and_update({"_id": profile}, mark, upsert=True, session=session) or {}
        token = leases.token(profile)
        before = await profiles.find_one_and_update({"_id": profile, "token": token}, mark, session=session)
        if before is None:
            raise leases.lost(profile, token)
        return before

    def _check_open(self) -> None:
        if self._closed:
            raise ContractViolation("The journal is closed.")

    def _check_writable(self) -> None:
        self._check_open()
        if self._read_only:
            raise ContractViolation("The journal was opened to read only.")

    # --- readers ---

    async def memory(self, profile: str, reader: str) -> Memory:
        """What the reader recalls: sightings of the last 36 h and its state."""
        return await self._read(profile, arrivals.memory, reader, self._clock.now())

    async def append(self, batch: Batch) -> Appended:
        """Records, their pending deliveries, sightings, state, coverage, health and capture, in one transaction."""
        self._check_writable()
        records = batch.decoded.records if batch.decoded else ()
        if any(record.profile != batch.profile for record in records):
            raise ContractViolation(f"A batch of profile {batch.profile!r} holds a record of another profile.")
        seen, packed = sightings(records), None
        if batch.capture is not None:
            packed = await self._call(captures.packed(self.db, batch, batch.capture, self.sealer))

        asks = (
            *arrivals.before_read(batch), *captures.before_keeping(packed, self.keep), *intake.before_adding(seen)
        )  # fmt: skip

        async def work(visit: Visit) -> Appended:
            known, touched, anchors, latest, here, aliases = await visit.several(*asks)
            await arrivals.note_read(visit, batch, known, touched)
            if packed is not None:
                await captures.keep_capture(visit, packed, self.keep, anchors, latest)
            return await intake.add_records(visit, batch, seen, here, aliases)

        more_s = _RECORD_S * len(records)
        return await self._transact(batch.profile, work, fenced=True, more_s=more_s, asks=asks)

    async def missing(self, profile: str, reader: str, window: Interval) -> Sequence[Interval]:
        """Holes of the coverage ledger in a window."""
        return await self._read(profile, arrivals.missing, reader, window)

    async def captures(self, profile: str, reader: str | None = None) -> Sequence[Capture]:
        """Kept captures, newest first."""
        return await self._read(profile, captures.captures, reader, self.sealer)

    async def hasten(self, profile: str, reader: str, now: datetime) -> None:
        """Its next read is due now."""
        await self._order(profile, arrivals.hasten, reader, now)

    async def note_upload(self, upload: UploadRecord) -> None:
        """Store an upload as it stands."""
        await self._own(upload.request.profile, uploads.note, upload)

    async def uploads(
        self, profile: str | None = None, states: Iterable[UploadState] = (), limit: int = 100
    ) -> Sequence[UploadRecord]:
        """Uploads newest first."""
        return await self._read_all(uploads.uploads, profile, set(states), limit)

    async def readers(self, profile: str | None = None) -> Sequence[ReaderStatus]:
        """State of every reader seen, of one person or of everybody."""
        return await self._read_all(arrivals.readers, profile)

    # --- records ---

    async def context(self, profile: str, records: Sequence[Record]) -> Sequence[Record]:
        """The records that mapping these may need, the given ones among them."""
        return await self._read(profile, reading.context, records, self._lines)

    async def records(
        self, profile: str, window: Interval | None = None, kinds: Iterable[str] = ()
    ) -> AsyncIterator[Record]:
        """Records by time, highest revision. Late ones that come in behind the walk are not seen by it."""
        wanted = [kind for kind in KINDS if kind in chosen] if (chosen := set(kinds)) else KINDS
        place = reading.START if window is None else reading.Place(to_ms(window.start), -1)
        end_ms = reading.EVER if window is None else to_ms(window.end)
        while True:
            page, place = await self._read(profile, reading.page, wanted, place, end_ms)
            for record in page:
                yield record
            if len(page) < reading.PAGE:
                return

    async def aliases(self, profile: str) -> Mapping[str, str]:
        """Alias id -> record id."""
        return await self._read(profile, reading.aliases)

    # --- deliveries ---

    async def register(self, destinations: Iterable[Destination]) -> None:
        """Make exactly these the ledgers records fan out to. What a new one has not seen becomes pending.

        A profile's ledgers change in one transaction, then a new one catches up page by page; a crash between is
        made good by registering again. Every worker registers the ledgers of all profiles, not of those it serves.
        """
        wanted = {(each.profile, each.name) for each in destinations}
        changed = {profile for profile, _ in wanted ^ await self._active({"caught_up": True})}
        names = {profile: set[str]() for profile in sorted(changed)}
        for profile, name in wanted:
            if profile in names:
                names[profile].add(name)
        for group in _groups(list(names)):
            await asyncio.gather(*(self._activate(profile, names[profile]) for profile in group))

    async def _activate(self, profile: str, names: set[str]) -> None:
        await self._order(profile, destinations.activate, names)
        for _, name in await self._active({"profile": profile, "caught_up": False}):
            place: reading.Place | None = reading.START
            while place is not None:
                place = await self._order(profile, destinations.catch_up, name, place)

    async def _active(self, query: Mapping[str, Any]) -> set[tuple[str, str]]:
        cursor = self.db["destinations"].find({**query, "active": True}, {"profile": 1, "name": 1})
        return {(row["profile"], row["name"]) for row in await self._call(cursor.to_list())}

    async def adopt(self, profile: str, items: Sequence[StoredItem]) -> None:
        """Identifiers found at a destination: a new record that matches one takes its record id and time."""
        await self._own(profile, destinations.adopt, items)

    async def due(self, destination: Destination, now: datetime, limit: int, lease_s: float) -> Sequence[Due]:
        """Lease what is ready: records of the last 15 min newest first, then oldest first."""
        profile, name = destination.profile, destination.name
        if not await self._read(profile, deliveries.any_ready, name, to_ms(now)):
            return []
        return await self._own(profile, deliveries.due, name, now, limit, lease_s)

    async def next_due(self, destination: Destination) -> datetime | None:
        """From when on `due` may give something; None when nothing is open."""
        return await self._read(destination.profile, deliveries.next_due, destination.name)

    async def standing(self, destination: Destination, record_ids: Iterable[str], slots: Iterable[str]) -> Standing:
        """Documents, states and taken slots of one moment."""
        asked = list(set(record_ids)), list(slots)
        return await self._read(destination.profile, deliveries.standing, destination.name, *asked)

    async def ledger(self, destination: Destination, record_ids: Iterable[str]) -> Sequence[LedgerDocument]:
        """Ledger documents of these records."""
        return await self._read(destination.profile, documents.of_records, destination.name, set(record_ids))

    async def states(self, destination: Destination, record_ids: Iterable[str]) -> Mapping[str, DeliveryState]:
        """Where these records stand; unknown ids are left out."""
        return await self._read(destination.profile, deliveries.states, destination.name, set(record_ids))

    async def slots(self, destination: Destination, slots: Iterable[str]) -> Mapping[str, str]:
        """Which of these slots are taken, by which document key."""
        return await self._read(destination.profile, documents.slots, destination.name, slots)

    async def newest_accepted(self, destination: Destination, kind: str) -> Record | None:
        """The newest record of a kind that has a document in this ledger."""
        return await self._read(destination.profile, documents.newest_accepted, destination.name, kind)

    async def settle(self, destination: Destination, settlement: Settlement) -> None:
        """Book one round. A delivery whose record has a higher revision than settled stays pending."""
        asks = deliveries.before_settling(destination.name, settlement)

        async def work(visit: Visit) -> None:
            await deliveries.settle(visit, destination, settlement, asks)

        await self._transact(destination.profile, work, fenced=True, asks=asks)

    async def release(self, destination: Destination) -> int:
        """Hand back all leases; how many. Looks first: who begins to serve asks this of everybody."""
        profile, name = destination.profile, destination.name
        async with self._turn(profile):  # after what is still being leased, though nobody waits for it any more
            leased = await self._read(profile, deliveries.any_leased, name)
        return await self._own(profile, deliveries.release, name) if leased else 0

    async def quarantine(self, profile: str | None = None) -> Sequence[Quarantined]:
        """What is in quarantine, oldest first."""
        owners = await self._read_all(deliveries.quarantined_profiles) if profile is None else [profile]
        found = [await self._read(owner, deliveries.quarantine) for owner in owners]
        return sorted((each for some in found for each in some), key=lambda each: each.since)

    async def requeue(self, destination: Destination, record_ids: Iterable[str]) -> int:
        """Make settled and withheld deliveries pending again, but never what a person removed there; how many."""
        return await self._order(destination.profile, deliveries.requeue, destination, set(record_ids))

    async def unhold(self, profile: str, window: Interval) -> int:
        """What waits for a verified upload in this window is mirrored now; how many deliveries."""
        return await self._own(profile, deliveries.unhold, window)

    async def drop(self, destination: Destination, record_ids: Iterable[str]) -> int:
        """Give quarantined deliveries up: settled as not applicable; how many."""
        return await self._order(destination.profile, deliveries.drop, destination, set(record_ids))

    async def inventory(self, destination: Destination, window: Interval) -> Sequence[LedgerDocument]:
        """The ledger's documents in a window."""
        return await self._read(destination.profile, documents.inventory, destination.name, window)

    # --- destinations and the whole ---

    async def report(self, destination: Destination, health: Health, state: Mapping[str, Any] | None = None) -> None:
        """Keep a destination's health, and its adapter's state unless None."""
        await self._own(destination.profile, destinations.report, destination, health, state)

    async def recall(self, destination: Destination) -> Mapping[str, Any]:
        """The adapter's state as last reported; empty at first."""
        return await self._read(destination.profile, destinations.recall, destination.name)

    async def destinations(self) -> Sequence[DestinationStatus]:
        """State and counts of every registered ledger."""
        return await self._read_all(destinations.statuses)

    async def version(self) -> int:
        """Changes whenever another process has written."""
        await self._call(self._glance.drain())
        return self._glance.count

    async def changed(self) -> frozenset[str]:
        """Wait until another process has written; the profiles it wrote to since the last call.

        The first call starts to listen and answers at once with nothing. After an error any profile may have changed.
        """
        listening, found = self._gaze.listening, await self._call(self._gaze.drain())
        while listening and not found:
            found = await self._call(self._gaze.drain())
        return frozenset(found)

    async def compact(self, now: datetime) -> int:
        """Expire captures, old sightings and unmet adopted identifiers of all profiles; how many rows went."""
        self._check_writable()
        return await self._call(captures.compact(self.db, now, self.keep))


def _groups(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE))
