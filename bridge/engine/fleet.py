"""One worker of a fleet: serves the profiles whose leases it holds in the shared journal, and no others.

The engine of what is held is built anew whenever that changes: simple, and rare.
"""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import structlog

from bridge.contracts import Answer, Clock, Destination, Session
from bridge.engine.build import adapters, backfills, graces, readers, uploadings
from bridge.engine.engine import Engine
from bridge.engine.limits import HostLimits
from bridge.engine.lock import FILE_NAME
from bridge.engine.supervisor import ended
from bridge.errors import AlreadyRunning, BridgeError, ContractViolation, Transient
from bridge.journal.mongo.journal import MongoJournal
from bridge.journal.mongo.leases import Leases
from bridge.settings import Settings

TAKEOVER_S = 30.0
"""The lease time an operator counts with: within it a dead worker's people are served again."""
LEASE_S, BEAT_S = 20.0, 5.0
"""A dead worker's lease runs out, the next beat of another sees it; what is left is for beginning to serve."""
TICK_S = 0.2
"""How soon a lost profile is noticed."""
DRAIN_S = 10.0
"""So long a round under way may take to end before its profile is handed over."""
_INSIST_S = 15.0
"""An engine that ends waits for its loops: longer than it gives them."""

_log = structlog.get_logger(__name__)

Check = Callable[[], None]
"""Raises Transient once the lease has run out by this machine's own count."""
CheckedSessionOf = Callable[[str, Check], Session]
"""The authorised session of a credential's name, whose requests ask the check at the moment they leave."""
Opened = Callable[[Collection[str], Check], AbstractAsyncContextManager[Engine]]
"""An engine of these profiles, whose requests ask the check before they leave."""


class Fleet:
    """`profiles` and `ledgers` are those of all workers; `clock` is the machine's, never a played one."""

    def __init__(
        self,
        journal: MongoJournal,
        profiles: Collection[str],
        ledgers: Collection[Destination],
        share: int,
        opened: Opened,
        clock: Clock,
        *,
        lease_s: float = LEASE_S,
        beat_s: float = BEAT_S,
    ) -> None:
        self._journal, self._leases = journal, _leases(journal)
        self._profiles, self._ledgers, self._share = frozenset(profiles), ledgers, share
        self._opened, self._clock, self._lease_s, self._beat_s = opened, clock, lease_s, beat_s
        self._until, self._ending, self._ended = 0.0, False, False
        self._serving: asyncio.Task[None] | None = None
        self._engine: Engine | None = None
        self.served: Mapping[str, int] = {}
        """Fencing token by profile, of what the running engine serves."""

    def check(self) -> None:
        """Raises Transient when this worker was away for so long that others may own what it serves."""
        if self._clock.monotonic() >= self._until:
            raise Transient("The lease of this worker ran out.", next_step="It goes on when it has renewed it.")

    async def run(self) -> None:
        """Serve until cancelled; then settle what is on its way and hand everything back."""
        keeping = asyncio.create_task(self._keep(), name="leases")
        try:
            await asyncio.wait({keeping})
        finally:
            self._ending = True
            await asyncio.wait({keeping})
        await keeping

    async def _keep(self) -> None:
        """Is never cancelled: a journal call cut off may have taken what nobody knows of."""
        await self._introduce()
        listening = asyncio.create_task(self._listen(), name="changes")
        beating = asyncio.create_task(self._beat_on(), name="beat")
        try:
            while not (self._ending or beating.done()):
                await self._follow()
                await self._rest()
        finally:
            self._ending = True
            try:
                await self._stop()
            finally:
                self._ended = True
                await asyncio.wait({beating})
                await self._hand_back()
                await ended(listening)
        await beating

    async def _introduce(self) -> None:
        """Everybody and their ledgers are known before anyone is taken; waits while the journal is away."""
        while not self._ending:
            try:
                await self._journal.register(self._ledgers)
                await self._leases.know(self._profiles)
            except Transient as error:
                _log.warning("journal_awaited", state=error.state, reason=str(error))
                await self._clock.sleep(self._beat_s)
            else:
                return

    async def _beat_on(self) -> None:
        """Beside everything else: to end one engine and begin the next may take longer than a lease."""
        while not self._ended:
            await self._beat()
            awake = self._clock.monotonic() + self._beat_s
            while not self._ended and self._clock.monotonic() < awake:
                await self._clock.sleep(TICK_S)

    async def _beat(self) -> None:
        """Renew, and take what is free. While the journal is away the lease simply runs on."""
        begun = self._clock.monotonic()
        if begun >= self._until and self._serving is not None:
            return  # a lease that ran out is not renewed under a running engine
        share = 0 if self._ending else self._share
        try:
            held = await self._leases.take(share, await self._leases.server_now(), self._lease_s)
            if strangers := held.keys() - self._profiles:
                await self._leases.release(strangers)
        except Transient as error:
            _log.warning("lease_not_renewed", reason=str(error))
            return
        self._until = begun + self._lease_s

    async def _follow(self) -> None:
        """The running engine serves exactly what is held."""
        over = self._clock.monotonic() >= self._until
        if over or self._serving is None or self._serving.done() or self._leases.held != self.served:
            await self._stop()
        if self._serving is None and self._clock.monotonic() < self._until:
            self.served = dict(self._leases.held)
            self._serving = asyncio.create_task(self._serve(self.served), name="engine")
            _log.info("serving", profiles=len(self.served))

    async def _rest(self) -> None:
        """Until what is served is not what is held any more, or the lease has run out."""
        while not self._ending:
            await self._clock.sleep(TICK_S)
            over = self._clock.monotonic() >= self._until
            if over or self._serving is None or self._serving.done() or self._leases.held != self.served:
                return

    async def _serve(self, held: Mapping[str, int]) -> None:
        over = False

        def check() -> None:
            if over or not held.items() <= self._leases.held.items():
                raise Transient("This worker has stopped serving them.", next_step="Who owns them now goes on.")
            self.check()

        async with self._opened(held.keys(), check) as engine:
            self._engine = engine
            try:
                await engine.run()
            finally:
                self._engine, over = None, True

    async def _stop(self) -> None:
        """End the engine, its rounds first where the lease leaves the time. Raises what is a bug in it."""
        serving, self.served = self._serving, {}
        if serving is None:
            return
        if self._engine is not None and self._clock.monotonic() < self._until:
            await self._engine.drain(min(DRAIN_S, self._lease_s / 2))
        error = await ended(serving, _INSIST_S)
        self._serving = None
        if isinstance(error, Transient | AlreadyRunning):
            _log.warning("engine_ended", state=error.state, reason=str(error))
        elif isinstance(error, Exception):
            raise error

    async def _hand_back(self) -> None:
        try:
            await self._leases.release()
        except BridgeError as error:
            _log.warning("lease_not_handed_back", reason=str(error))

    async def _listen(self) -> None:
        """Wake what waits for what other processes wrote; after an error anything may have changed."""
        while not self._ending:
            told: Collection[str] | None = None
            try:
                told = await self._journal.changed()
            except BridgeError as error:
                if self._ending:
                    return
                _log.warning("changes_unheard", state=error.state, reason=str(error))
                await self._clock.sleep(1.0)
            if self._engine is not None and (told is None or not self.served.keys().isdisjoint(told)):
                await self._tell(self._engine, told)

    async def _tell(self, engine: Engine, told: Collection[str] | None) -> None:
        try:
            await engine.told(told)
        except Transient as error:
            _log.warning("change_not_looked_at", reason=str(error))


def _leases(journal: MongoJournal) -> Leases:
    if journal.leases is None:
        raise ContractViolation("A fleet needs a journal that was opened with the name of a worker.")
    return journal.leases


class _Leased:
    """A session whose requests leave only while the lease stands: a worker that slept sends nothing old."""

    def __init__(self, session: Session, check: Check, places: HostLimits) -> None:
        self._session, self._check, self._places = session, check, places

    async def request(self, method: str, url: str, **more: Any) -> Answer:
        self._check()
        async with self._places.place(urlsplit(url).hostname or ""):
            self._check()
            return await self._session.request(method, url, **more)

    async def renew(self, *, client_id: str | None = None, token_url: str | None = None) -> None:
        self._check()
        await self._session.renew(client_id=client_id, token_url=token_url)


def ledgers(settings: Settings) -> list[Destination]:
    """Every enabled destination of everybody."""
    return [
        Destination(profile, name)
        for profile, person in settings.profiles.items()
        for name, table in person.destinations.items()
        if table.enabled
    ]


def engine_of(
    held: Collection[str],
    check: Check,
    settings: Settings,
    journal: MongoJournal,
    sessions: CheckedSessionOf,
    clock: Clock,
    random: Random,
    places: HostLimits | None = None,
) -> Engine:
    """The engine of these profiles. It opens no device of the machine: who is served where changes."""
    theirs = {profile: person for profile, person in settings.profiles.items() if profile in held}
    part = settings.model_copy(update={"profiles": theirs})
    places = places or HostLimits()

    def leased(credential: str) -> Session:
        return _Leased(sessions(credential, check), check, places)

    return Engine(
        journal,
        list(readers(part, leased, clock, random)),
        list(adapters(part, leased, clock, random)),
        clock,
        random,
        uploadings=list(uploadings(part, journal, leased, clock, random, None)),
        graces=graces(part),
        backfills=list(backfills(part, journal, leased, clock)),
        alone=False,
    )


@contextmanager
def shared_folder(folder: Path) -> Iterator[None]:
    """Workers share a data folder. Raises AlreadyRunning while an engine has it for itself."""
    with (folder / FILE_NAME).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            raise AlreadyRunning(
                f"The data folder {folder} is in use by an engine of its own.",
                next_step="Stop it first, or name a worker there too.",
            ) from None
        yield
