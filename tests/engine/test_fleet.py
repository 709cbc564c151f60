"""Workers of a fleet over one real MongoDB journal: who serves whom, hand-over, and what a stale worker may do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bridge.contracts import (
    Batch,
    Decoded,
    DeliveryState,
    Destination,
    Document,
    Interval,
    Inventory,
    LedgerDocument,
    Outcome,
    Verdict,
)
from bridge.engine.clock import SystemClock
from bridge.engine.engine import Engine
from bridge.engine.fleet import Check, Fleet, _Leased, ledgers, shared_folder
from bridge.engine.limits import HostLimits
from bridge.engine.lock import engine_lock
from bridge.errors import AlreadyRunning, ContractViolation, JournalUnusable, SettingsInvalid, Transient
from bridge.journal.mongo import open_mongo_journal
from bridge.journal.mongo.journal import MongoJournal
from bridge.model.health import Health
from bridge.settings import Settings, load_settings
from tests.contracts.journal_records import glucose
from tests.engine.test_planning import _desired, _document
from tests.support.clock import FakeClock
from tests.support.mongod import ReplicaSet

PEOPLE = ("p1", "p2", "p3", "p4")
LEASE_S, BEAT_S = 2.5, 0.3


class Reader:
    """One record a pass, a pass a second."""

    name = "carelink-cloud"

    def __init__(self, profile: str) -> None:
        self.profile, self.passes = profile, 0

    async def read(self, memory: object, since: object) -> AsyncIterator[Batch]:
        self.passes += 1
        row = glucose(self.passes, profile=self.profile)
        due = SystemClock().now() + timedelta(seconds=1)
        yield Batch(self.profile, self.name, due, Health(), Decoded([row]))


class Site:
    """A destination all workers post to. The crew's gate holds up what is on its way."""

    name, batch = "site", 100

    def __init__(self, crew: Crew) -> None:
        self.state: dict[str, object] = {}
        self.crew = crew

    def desired(self, records: Sequence[Any]) -> object:
        return _desired(*[_document(record.id) for record in records])

    async def prepare(self) -> Health:
        return Health()

    async def stored(self, window: Interval) -> Inventory:
        return Inventory(())

    async def deliver(self, posts: Sequence[Document], deletes: Sequence[LedgerDocument]) -> Sequence[Outcome]:
        self.crew.held_up += not self.crew.gate.is_set()
        await self.crew.gate.wait()
        self.crew.sent += [doc.key for doc in posts]
        return [Outcome(Verdict.ACCEPTED)] * (len(posts) + len(deletes))


class Crew:
    """Starts workers that serve `PEOPLE`; what was sent, by whom, is common."""

    def __init__(self, mongo: ReplicaSet, database: str, undo: AsyncExitStack) -> None:
        self._mongo, self._database, self._undo = mongo, database, undo
        self.sent: list[str] = []
        self.held_up = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.checks: list[Check] = []
        self.lease_s, self.farewell_s = LEASE_S, 0.0
        self.engines: list[Engine] = []

    async def journal(self, worker: str | None = None) -> MongoJournal:
        journal = await open_mongo_journal(self._mongo.uri, self._database, clock=SystemClock(), worker=worker)
        self._undo.push_async_callback(journal.close)
        return journal

    async def worker(self, name: str, share: int = 4) -> tuple[Fleet, asyncio.Task[None], MongoJournal]:
        journal = await self.journal(name)

        @asynccontextmanager
        async def opened(held: Collection[str], check: Check) -> AsyncIterator[Engine]:
            self.checks.append(check)
            engine = Engine(
                journal,
                [(profile, Reader(profile)) for profile in held],  # type: ignore[misc]
                [(Destination(profile, "site"), Site(self)) for profile in held],  # type: ignore[misc]
                SystemClock(),
                Random(1),
                alone=False,
            )
            self.engines.append(engine)
            farewell_s = self.farewell_s
            try:
                yield engine
            finally:
                await asyncio.sleep(farewell_s)

        sites = [Destination(profile, "site") for profile in PEOPLE]
        fleet = Fleet(journal, PEOPLE, sites, share, opened, SystemClock(), lease_s=self.lease_s, beat_s=BEAT_S)
        running = asyncio.create_task(fleet.run())
        self._undo.push_async_callback(ended, running)
        return fleet, running, journal


async def ended(running: asyncio.Task[None]) -> None:
    running.cancel()
    with suppress(asyncio.CancelledError, ContractViolation, JournalUnusable):
        await running


async def until(true: Callable[[], bool], within_s: float = 10.0) -> float:
    """Seconds it took."""
    begun = time.monotonic()
    while time.monotonic() < begun + within_s:
        if true():
            return time.monotonic() - begun
        await asyncio.sleep(0.02)
    raise TimeoutError


@pytest.fixture
async def crew(mongo: ReplicaSet) -> AsyncIterator[Crew]:
    async with AsyncExitStack() as undo:
        yield Crew(mongo, mongo.emptied("fleet_engine"), undo)


def serves(fleet: Fleet, *names: str) -> Callable[[], bool]:
    return lambda: fleet.served.keys() == set(names)


async def test_workers_share_the_people_and_each_is_served_by_one(crew: Crew) -> None:
    one, _, _ = await crew.worker("same", share=2)
    two, _, _ = await crew.worker("same", share=2)
    await until(lambda: len(one.served) == len(two.served) == 2 and len(crew.sent) >= 8)
    assert one.served.keys() | two.served.keys() == set(PEOPLE)
    assert not one.served.keys() & two.served.keys()
    assert len(crew.sent) == len(set(crew.sent))


async def test_a_dead_workers_people_are_taken_over_after_a_lease(crew: Crew) -> None:
    dead = await crew.journal("dead")
    assert dead.leases is not None
    await dead.leases.know(PEOPLE)
    await dead.leases.take(2, await dead.leases.server_now(), LEASE_S)
    fleet, _, _ = await crew.worker("alive")
    await until(lambda: len(fleet.served) == 2)
    took_s = await until(serves(fleet, *PEOPLE))
    assert took_s < LEASE_S + 2 * BEAT_S + 2


async def test_an_end_settles_what_is_on_its_way_and_hands_back(crew: Crew) -> None:
    first, running, journal = await crew.worker("first")
    await until(lambda: len(crew.sent) >= 4)
    crew.gate.clear()
    await until(lambda: crew.held_up == len(PEOPLE))
    before = len(crew.sent)
    running.cancel()
    await asyncio.sleep(0.05)
    assert not running.done()
    crew.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(crew.sent) > before
    for profile in PEOPLE:
        states = await journal.states(Destination(profile, "site"), crew.sent)
        assert set(states.values()) == {DeliveryState.ACCEPTED}
    second, _, _ = await crew.worker("second")
    assert await until(serves(second, *PEOPLE)) < LEASE_S
    assert first.served == {}


async def test_a_profile_that_another_took_is_served_no_more(crew: Crew) -> None:
    fleet, running, journal = await crew.worker("robbed")
    await until(serves(fleet, *PEOPLE))
    await journal.db["profiles"].update_one({"_id": "p2"}, {"$set": {"owner": "thief"}, "$inc": {"token": 1}})
    await journal.db["workers"].insert_one({"_id": "thief", "until_ms": 1 << 50, "app": "none"})
    await until(serves(fleet, "p1", "p3", "p4"))
    begun = len(crew.sent)
    await until(lambda: len(crew.sent) > begun)
    assert not running.done()
    with pytest.raises(Transient):  # the engine that served p2 as well is over, whatever still runs of it
        crew.checks[-2]()
    crew.checks[-1]()


async def test_a_lease_is_renewed_while_an_engine_takes_its_time_to_end(crew: Crew) -> None:
    crew.lease_s, crew.farewell_s = 5.0, 6.5
    fleet, _, journal = await crew.worker("slow")
    await until(serves(fleet, *PEOPLE))
    assert journal.leases is not None
    before, crew.farewell_s = dict(journal.leases.held), 0.0
    await journal.db["profiles"].update_one({"_id": "p2"}, {"$set": {"owner": "thief"}, "$inc": {"token": 1}})
    await journal.db["workers"].insert_one({"_id": "thief", "until_ms": 1 << 50, "app": "none"})
    await until(lambda: fleet.served == {})
    await crew.worker("hungry")
    kept = {name: token for name, token in before.items() if name != "p2"}
    await until(lambda: fleet.served == kept, within_s=30)
    rows = [row async for row in journal.db["profiles"].find({"_id": {"$ne": "p2"}}, {"token": 1})]
    assert {row["_id"]: row["token"] for row in rows} == kept


async def test_a_worker_waits_for_a_journal_that_is_away_at_its_start(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    register, refusals = MongoJournal.register, 2

    async def refused(journal: MongoJournal, ledgers: Collection[Destination]) -> None:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise Transient("away")
        await register(journal, ledgers)

    monkeypatch.setattr(MongoJournal, "register", refused)
    fleet, _, _ = await crew.worker("early")
    await until(serves(fleet, *PEOPLE))


async def test_a_worker_that_slept_sends_nothing_and_begins_again(crew: Crew) -> None:
    """It is stopped longer than its lease: the other has taken over by the time it wakes."""
    fleet, _, journal = await crew.worker("sleeper")
    await until(serves(fleet, *PEOPLE))
    check = crew.checks[-1]
    check()
    other = await crew.journal("other")
    assert other.leases is not None
    assert journal.leases is not None
    time.sleep(LEASE_S + 0.1)  # noqa: ASYNC251
    with pytest.raises(Transient):
        check()
    taken = await other.leases.take(4, await other.leases.server_now(), 60)
    assert set(taken) | set(journal.leases.held) >= set(PEOPLE)
    await until(lambda: not fleet.served.keys() & taken.keys())


async def test_what_a_person_does_wakes_the_worker_at_once(crew: Crew) -> None:
    fleet, _, _ = await crew.worker("one")
    await until(lambda: fleet.served.keys() == set(PEOPLE) and len(crew.sent) >= 4)
    person, key = await crew.journal(), crew.sent[0]
    await asyncio.sleep(0.05)
    sites = [Destination(profile, "site") for profile in PEOPLE]
    (site,) = [each for each in sites if await person.states(each, [key])]
    told = list[Collection[str] | None]()
    crew.engines[-1].call = lambda profiles=None: told.append(profiles)  # type: ignore[method-assign]
    await person.requeue(site, [key])
    assert await until(lambda: bool(told)) < 3
    assert told[0] == {site.profile}


async def test_nobody_holds_who_is_not_in_the_settings(crew: Crew) -> None:
    journal = await crew.journal("strangers")
    assert journal.leases is not None
    await journal.leases.know(["gone1", "gone2"])
    fleet, _, _ = await crew.worker("one", share=4)
    await until(serves(fleet, *PEOPLE))


async def test_a_bug_in_the_engine_ends_the_worker(crew: Crew) -> None:
    fleet, running, journal = await crew.worker("one")
    await until(serves(fleet, *PEOPLE))
    fleet._serving.cancel()  # type: ignore[union-attr]

    @asynccontextmanager
    async def broken(held: Collection[str], check: Check) -> AsyncIterator[Engine]:
        raise ContractViolation("a bug")
        yield

    fleet._opened = broken
    with pytest.raises(ContractViolation):
        await running
    assert journal.leases is not None
    assert journal.leases.held == {}


async def test_no_request_leaves_after_the_lease() -> None:
    clock, asked = FakeClock(), list[str]()

    class Session:
        async def request(self, method: str, url: str, **more: Any) -> Any:
            asked.append(url)

        async def renew(self, **more: Any) -> None:
            asked.append("renew")

    def check() -> None:
        if clock.monotonic() > 1010:
            raise Transient("over")

    session = _Leased(Session(), check, HostLimits())
    await session.request("GET", "/one")
    await session.renew()
    clock.advance(11)
    for late in (session.request("GET", "/two"), session.renew()):
        with pytest.raises(Transient):
            await late
    assert asked == ["/one", "renew"]


def test_workers_share_a_folder_that_an_engine_of_its_own_may_not_have(tmp_path: Path) -> None:
    with shared_folder(tmp_path), shared_folder(tmp_path):
        with pytest.raises(AlreadyRunning), engine_lock(tmp_path, "mirror --once"):
            pass
    with engine_lock(tmp_path, "run"), pytest.raises(AlreadyRunning), shared_folder(tmp_path):
        pass


def test_a_worker_needs_an_address(tmp_path: Path) -> None:
    (tmp_path / "glucobridge.toml").write_text('[journal]\nworker = "one"\n')
    with pytest.raises(SettingsInvalid) as refused:
        load_settings(tmp_path, {})
    assert "uri" in str(refused.value)
    uri = {"GLUCOBRIDGE__JOURNAL__URI": "mongodb://127.0.0.1/", "GLUCOBRIDGE__JOURNAL__SHARE": "20"}
    assert load_settings(tmp_path, uri).journal.share == 20


def test_every_worker_registers_everybodys_ledgers() -> None:
    tables = {"nightscout": {"credential": "a"}, "tidepool": {"credential": "b", "enabled": False}}
    people = {"p1": {"destinations": tables}, "p2": {"destinations": tables}}
    assert ledgers(Settings.model_validate({"profiles": people})) == [
        Destination("p1", "nightscout"), Destination("p2", "nightscout"),
    ]  # fmt: skip
