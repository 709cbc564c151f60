"""The engine: loops of pollers and deliverers over one journal, and the one-cycle form of the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from types import MappingProxyType

import structlog

from bridge.contracts import Adapter, Clock, DeliveryState, Destination, Journal, Reader, ReaderStatus
from bridge.engine.adoption import adopt_stored
from bridge.engine.arrival import Arrival
from bridge.engine.backfill import Backfill
from bridge.engine.backoff import jittered
from bridge.engine.deliverer import Deliverer, Phase, Round
from bridge.engine.importing import CLOUD, EXPORT
from bridge.engine.plugging import Plugging, Wake
from bridge.engine.poller import Poller
from bridge.engine.reconcile import reconcile
from bridge.engine.supervisor import Crash, Supervisor
from bridge.engine.uploading import Uploading
from bridge.errors import Transient
from bridge.model.health import State

TICK_S = 1.0
RECONCILE_S = 24 * 3600.0
COMPACT_S = 3600.0
BACKFILL_S = 600.0
UPLOADED_BY_NATURE = frozenset({CLOUD, EXPORT})
PASSES, ROUNDS = 8, 8
"""So many at one time: what a pass or a round holds in memory bounds the process, not the number of people."""
SPREAD_S = 0.02
"""Starts are spread by this much per source, so that a thousand people do not ask in one second."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Source:
    """A poller and what wakes it."""

    poller: Poller
    wake: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Sink:
    """A deliverer, what wakes it, and whether its destination was looked through after a lost journal."""

    deliverer: Deliverer
    adapter: Adapter
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    called: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by what may cut a back-off short: a person did something."""
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    opened: bool = False
    leases: bool = True
    """Whether somebody before may have left leases."""
    looked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the first look is over, whatever came of it."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """How one full cycle ended."""

    new: int
    pending: int
    needs_person: Sequence[str]

    @property
    def exit_code(self) -> int:
        """0 everything settled, 3 something is pending, 4 something needs a person."""
        return 4 if self.needs_person else 3 if self.pending else 0


@dataclass(slots=True)
class Upload:
    """One person's upload queue and what wakes it."""

    uploading: Uploading
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class Engine:
    """All profiles of one data folder. `journal`, sessions and plug-ins come from outside.

    Not `alone` it serves a part of them beside others: its owner registers the ledgers and says what was written.
    """

    def __init__(
        self,
        journal: Journal,
        readers: Iterable[tuple[str, Reader]],
        adapters: Iterable[tuple[Destination, Adapter]],
        clock: Clock,
        random: Random,
        plugging: Callable[[Wake], Plugging] | None = None,
        uploadings: Iterable[Uploading] = (),
        graces: Mapping[str, timedelta] = MappingProxyType({}),
        backfills: Iterable[Backfill] = (),
        *,
        alone: bool = True,
    ) -> None:
        self.journal, self._clock, self._random = journal, clock, random
        self.plugging = plugging(self.wake_reader) if plugging is not None else None
        self.sinks = {
            destination: Sink(Deliverer(journal, adapter, destination, clock, random), adapter)
            for destination, adapter in adapters
        }
        self.sources = [Source(self._poller(profile, reader)) for profile, reader in readers]
        for source in self.sources:
            if source.poller.reader.name not in UPLOADED_BY_NATURE:
                source.poller.grace = graces.get(source.poller.profile)
        self.uploadings = [Upload(each) for each in uploadings]
        self.backfills = list(backfills)
        self._supervisor = Supervisor(clock, self._crashed)
        self.crashes = 0
        self._alone, self._ending = alone, False
        self._passes, self._rounds = asyncio.Semaphore(PASSES), asyncio.Semaphore(ROUNDS)

    @property
    def people(self) -> frozenset[str]:
        """Everybody this engine serves."""
        return frozenset([*(each.poller.profile for each in self.sources), *(each.profile for each in self.sinks)])

    def _poller(self, profile: str, reader: Reader) -> Poller:
        sinks = [sink for destination, sink in self.sinks.items() if destination.profile == profile]

        def arrived(arrival: Arrival | None) -> None:
            for sink in sinks:
                if arrival is None:
                    sink.deliverer.doubt()
                else:
                    sink.deliverer.offer(arrival)
                sink.wake.set()

        return Poller(self.journal, reader, profile, self._clock, self._random, arrived)

    def _crashed(self, crash: Crash) -> None:
        self.crashes += 1
        _log.error("loop_crashed", loop=crash.name, restart_in_s=crash.restart_in_s, exc_info=crash.error)

    async def open(self) -> None:
        """Register the ledgers, hand back old leases, and note which ledgers are empty (a lost journal)."""
        if self._alone:
            await self.journal.register(self.sinks)
        counts = {status.destination: status.counts for status in await self.journal.destinations()}
        for destination, sink in self.sinks.items():
            sink.leases = destination not in counts or counts[destination].get(DeliveryState.LEASED, 0) > 0
            if counts.get(destination, {}).get(DeliveryState.ACCEPTED, 0):
                sink.ready.set()
                sink.looked.set()

    async def run(self) -> None:
        """Serve until cancelled; then stop the loops and hand leases back."""
        await self.open()
        for index, source in enumerate(self.sources):
            name = f"read {source.poller.profile} {source.poller.reader.name}"
            self._supervisor.start(name, lambda s=source, i=index: self._read(s, i))  # type: ignore[misc]
        for destination, sink in self.sinks.items():
            name = f"deliver {destination.profile} {destination.name}"
            self._supervisor.start(name, lambda d=destination, s=sink: self._serve(d, s))  # type: ignore[misc]
        for upload in self.uploadings:
            name = f"upload {upload.uploading.profile}"
            self._supervisor.start(name, lambda u=upload: self._upload(u))  # type: ignore[misc]
        for backfill in self.backfills:
            self._supervisor.start(f"backfill {backfill.profile}", lambda b=backfill: self._backfill(b))  # type: ignore[misc]
        if self._alone:
            self._supervisor.start("watch", self._watch)
        if self.plugging is not None:
            self._supervisor.start("hot-plug", self.plugging.run)
        self._supervisor.start("housekeeping", self._housekeeping)
        try:
            await asyncio.Event().wait()
        finally:
            self._ending = True  # a driver may swallow a loop's cancellation: it ends with its next turn
            if left := await self._supervisor.stop():
                _log.error("loops_not_ended", loops=left)
            if self._alone:
                for destination in self.sinks:
                    await self.journal.release(destination)

    async def drain(self, within_s: float) -> bool:
        """Begin no more rounds, before `run` is cancelled; whether those under way ended in time."""
        self._ending = True
        try:
            async with asyncio.timeout(within_s):
                for _ in range(ROUNDS):
                    await self._rounds.acquire()
        except TimeoutError:
            return False
        return True

    async def _read(self, source: Source, index: int) -> None:
        await self._clock.sleep(self._random.uniform(0, SPREAD_S * index))
        await self._after_adoption(source.poller.profile)
        while not self._ending:
            async with self._passes:
                done = await source.poller.once()
            _log.info(
                "read", profile=source.poller.profile, reader=source.poller.reader.name,
                state=str(done.health.state), new=done.new, revised=done.revised,
            )  # fmt: skip
            await self._wait({source.wake}, source.poller.wait_s(done))

    async def _upload(self, upload: Upload) -> None:
        while not self._ending:
            wait_s = await upload.uploading.step()
            self._look_again(upload.uploading.profile)
            await self._wait({upload.wake}, wait_s)

    async def _backfill(self, backfill: Backfill) -> None:
        await self._clock.sleep(self._random.uniform(0, BACKFILL_S))  # not everybody's at one time
        while not self._ending:
            await self._clock.sleep(BACKFILL_S)
            try:
                came = await backfill.step()
            except Transient as error:
                _log.warning("backfill_waits", profile=backfill.profile, reason=str(error))
                continue
            if came:
                self._look_again(backfill.profile)

    def _look_again(self, profile: str) -> None:
        """A deliverer of this person may not have heard of what was written."""
        for destination, sink in self.sinks.items():
            if destination.profile == profile:
                sink.deliverer.doubt()
                sink.wake.set()

    async def _after_adoption(self, profile: str, deadline_s: float = 30.0) -> None:
        """Rows take the identifiers found at the destinations; a destination that cannot answer holds up nobody."""
        waiting = [sink.looked.wait() for d, sink in self.sinks.items() if d.profile == profile]
        if waiting:
            tasks = [asyncio.ensure_future(each) for each in waiting]
            try:
                await asyncio.wait(tasks, timeout=deadline_s)
            finally:
                for task in tasks:
                    task.cancel()

    async def _serve(self, destination: Destination, sink: Sink) -> None:
        try:
            await self._deliver(destination, sink)
        finally:
            sink.deliverer.leave()

    async def _deliver(self, destination: Destination, sink: Sink) -> None:
        await self._take_over(sink)
        await self.adopt(destination, sink)
        while True:
            async with self._rounds:
                if self._ending:
                    return
                done = await sink.deliverer.round()
            if done.leased:
                self._report(destination, done)
                continue
            if done.wait_s is not None:
                _log.warning(
                    "delivery_waits", profile=destination.profile, destination=destination.name,
                    state=str(sink.deliverer.health.state), reason=sink.deliverer.health.text,
                    wait_s=round(done.wait_s),
                )  # fmt: skip
                await self._wait({sink.called}, done.wait_s)
            else:
                await self._wait({sink.wake, sink.called}, max(TICK_S, sink.deliverer.idle_s()))

    def _report(self, destination: Destination, done: Round) -> None:
        _log.info(
            "delivered",
            profile=destination.profile,
            destination=destination.name,
            records=done.leased,
            posted=done.posted,
        )

    async def _take_over(self, sink: Sink) -> None:
        """Open a ledger once the journal answers; not all of them at one time."""
        failures = 0
        while not self._ending:
            try:
                async with self._rounds:
                    await self._open(sink)
            except Transient:
                failures += 1
                await self._wait({sink.called}, min(60.0, jittered(failures, self._random)))
            else:
                return

    async def _open(self, sink: Sink) -> None:
        """Take a ledger over, again after a crash of its loop."""
        sink.deliverer.doubt()
        await sink.deliverer.open(leases=sink.leases)
        sink.opened = sink.leases = True

    async def adopt(self, destination: Destination, sink: Sink) -> None:
        """With an empty ledger, look through the destination first; an outage is waited out."""
        failures = 0
        while not (sink.ready.is_set() or self._ending):
            found = await adopt_stored(self.journal, sink.adapter, destination, self._clock.now())
            sink.looked.set()
            if found:
                sink.ready.set()
                return
            failures += 1
            await self._wait({sink.called}, min(60.0, jittered(failures, self._random)))

    async def _wait(self, events: set[asyncio.Event], seconds: float) -> None:
        """Until one of the events is set, or the time is over; sets it back."""
        sleeping = [asyncio.ensure_future(event.wait()) for event in events]
        timer = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait([*sleeping, timer], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*sleeping, timer):
                task.cancel()
            for event in events:
                event.clear()

    async def _watch(self) -> None:
        """Notice within a second what another process wrote (requeue, link), and wake what waits."""
        version = await self.journal.version()
        while not self._ending:
            await self._clock.sleep(TICK_S)
            newer = await self.journal.version()
            if newer != version:
                version = newer
                await self.told()

    async def told(self, profiles: Collection[str] | None = None) -> None:
        """Another process wrote, to these profiles only unless None: wake what waits there."""
        self.call(profiles)
        if profiles is None:
            self._hasten(await self.journal.readers())
        for profile in {source.poller.profile for source in self.sources}.intersection(profiles or ()):
            self._hasten(await self.journal.readers(profile))

    def _hasten(self, statuses: Iterable[ReaderStatus]) -> None:
        """Wake the sources whose next read somebody moved forward."""
        now, due = self._clock.now(), {(each.profile, each.reader): each.next_due for each in statuses}
        for source in self.sources:
            asked, planned = due.get((source.poller.profile, source.poller.reader.name)), source.poller.due
            if asked is not None and planned is not None and asked <= now < planned:
                source.wake.set()

    def wake_reader(self, profile: str, reader: str) -> None:
        """Read this source now: its device was plugged in. Uploads that wait for that begin."""
        for upload in self.uploadings:
            if upload.uploading.profile == profile:
                upload.uploading.connected()
                upload.wake.set()
        for source in self.sources:
            if (source.poller.profile, source.poller.reader.name) == (profile, reader):
                source.wake.set()

    def call(self, profiles: Collection[str] | None = None) -> None:
        """A person did something: whatever waits for them looks again now, of these profiles only unless None."""
        for destination, sink in self.sinks.items():
            if profiles is None or destination.profile in profiles:
                sink.deliverer.doubt()
                sink.called.set()
        for upload in self.uploadings:
            if profiles is None or upload.uploading.profile in profiles:
                upload.wake.set()
        for source in self.sources:
            if source.poller.health.state in PERSON and (profiles is None or source.poller.profile in profiles):
                source.wake.set()

    async def _housekeeping(self) -> None:
        since_reconcile = 0.0
        while not self._ending:
            await self._clock.sleep(COMPACT_S)
            await self.journal.compact(self._clock.now())
            since_reconcile += COMPACT_S
            if since_reconcile >= RECONCILE_S:
                since_reconcile = 0.0
                for destination, sink in self.sinks.items():
                    await reconcile(self.journal, sink.adapter, destination, self._clock.now(), timedelta(days=2))
                    sink.deliverer.doubt()

    async def once(self) -> Cycle:
        """Read every source once, fill gaps, upload, deliver until nothing is due, and say how it ended."""
        await self.open()
        for destination, sink in self.sinks.items():
            await self._open(sink)
            if not sink.ready.is_set():
                await adopt_stored(self.journal, sink.adapter, destination, self._clock.now())
        new = 0
        for source in self.sources:
            new += (await source.poller.once()).new
        new += sum([await backfill.step() for backfill in self.backfills])
        for upload in self.uploadings:
            await upload.uploading.step()
        await self.settle({destination.profile for destination in self.sinks})
        return await self._cycle(new)

    async def settle(self, profiles: Collection[str]) -> None:
        """Deliver what is due for these people, until nothing is."""
        for destination, sink in self.sinks.items():
            if destination.profile in profiles:
                if not sink.opened:
                    await self._open(sink)
                while (await sink.deliverer.round()).leased:
                    pass

    async def _cycle(self, new: int) -> Cycle:
        statuses = [s for s in await self.journal.destinations() if s.destination in self.sinks]
        pending = sum(s.counts.get(state, 0) for s in statuses for state in OPEN)
        person = [
            f"{source.poller.profile} {source.poller.reader.name}: {source.poller.health.text}"
            for source in self.sources
            if source.poller.health.state in PERSON
        ]
        person += [
            f"{destination.profile} {destination.name}: {sink.deliverer.health.text}"
            for destination, sink in self.sinks.items()
            if sink.deliverer.phase is Phase.NEEDS_PERSON
        ]
        person += [
            f"{s.destination.profile} {s.destination.name}: {s.counts[DeliveryState.QUARANTINED]} in quarantine"
            for s in statuses
            if s.counts.get(DeliveryState.QUARANTINED, 0)
        ]
        for upload in self.uploadings:
            told = await upload.uploading.needs_person()
            person += [f"{upload.uploading.profile} upload: {each}" for each in told]
        return Cycle(new, pending, person)


OPEN = (DeliveryState.PENDING, DeliveryState.LEASED, DeliveryState.WITHHELD)
PERSON = frozenset(
    {
        State.LOGIN_REQUIRED, State.ACCOUNT_SHARED, State.CHOOSE_PATIENT, State.PERMISSION_DENIED,
        State.APP_VERSION_TOO_OLD, State.DISCOVERY_UNSUPPORTED, State.NOT_LINKED, State.SETTINGS_INVALID,
        State.VAULT_LOCKED, State.CAREPORTAL_OFF, State.SITE_FULL, State.USB_PERMISSION, State.DEVICE_UNBOUND,
        State.PUMP_ALARM, State.METER_ERROR, State.CLOCK_NOT_SET, State.WRONG_DEVICE,
    }
)  # fmt: skip
"""States that only a person can end."""
