"""Pollers and deliverers against seams that fail in every handled way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from bridge.contracts import (
    Batch,
    Decoded,
    Destination,
    Document,
    LedgerDocument,
    Memory,
    Outcome,
    Settlement,
    Verdict,
)
from bridge.engine.deliverer import Deliverer, Outlook, Phase
from bridge.engine.lock import engine_lock
from bridge.engine.planning import Plan
from bridge.engine.poller import Poller
from bridge.errors import (
    AlreadyRunning,
    BridgeError,
    ContractViolation,
    Forbidden,
    Throttled,
    Transient,
    Unauthorised,
)
from bridge.journal import open_journal
from bridge.model.health import Health, State
from tests.engine.test_planning import _booked, _carbs, _desired, _document
from tests.support.clock import FakeClock

SITE = Destination("p1", "site")


class Adapter:
    """Maps every record to one document; fails as told."""

    name, batch = "site", 100

    def __init__(self) -> None:
        self.state: dict[str, object] = {}
        self.fails: list[BridgeError] = []
        self.health = Health()
        self.sent: list[str] = []
        self.short = False

    def desired(self, records: Sequence[object]) -> object:
        return _desired(*[_document(record.id) for record in records])  # type: ignore[attr-defined]

    async def prepare(self) -> Health:
        self.state["prepared"] = True
        return self.health

    async def deliver(self, posts: Sequence[Document], deletes: Sequence[LedgerDocument]) -> Sequence[Outcome]:
        if self.fails:
            raise self.fails.pop(0)
        self.sent += [doc.key for doc in posts]
        return [] if self.short else [Outcome(Verdict.ACCEPTED)] * (len(posts) + len(deletes))


@pytest.mark.parametrize(
    ("error", "phase", "state"),
    [
        (Transient("away"), Phase.WAITING, State.UNREACHABLE),
        (Throttled("slow", retry_after_s=40), Phase.WAITING, State.RATE_LIMITED),
        (Unauthorised("dead"), Phase.NEEDS_PERSON, State.LOGIN_REQUIRED),
        (Forbidden("no"), Phase.NEEDS_PERSON, State.PERMISSION_DENIED),
    ],
)
async def test_a_failure_is_a_named_state_and_nothing_is_lost(
    tmp_path: Path, error: BridgeError, phase: Phase, state: State
) -> None:
    clock, adapter = FakeClock(), Adapter()
    journal = await open_journal(tmp_path / "j.db", clock=clock)
    await journal.register([SITE])
    batch = Batch("p1", "carelink-cloud", clock.now(), Health(), Decoded([_carbs("a"), _carbs("b", 30)]))
    await journal.append(batch)
    deliverer = Deliverer(journal, adapter, SITE, clock, Random(1))  # type: ignore[arg-type]
    await deliverer.open()
    adapter.fails = [error]
    done = await deliverer.round()
    assert done.wait_s is not None
    assert (done.leased, deliverer.phase, deliverer.health.state) == (0, phase, state)
    assert not adapter.sent
    again = await deliverer.round()
    assert (again.leased, deliverer.phase, deliverer.health.state) == (2, Phase.IDLE, State.OK)
    assert sorted(adapter.sent) == ["a", "b"]
    assert await journal.recall(SITE) == {"prepared": True}
    assert (await deliverer.round()).leased == 0
    await journal.close()


async def test_what_could_not_be_handed_back_is_handed_back_by_the_next_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, adapter = FakeClock(), Adapter()
    journal = await open_journal(tmp_path / "j.db", clock=clock)
    await journal.register([SITE])
    await journal.append(Batch("p1", "carelink-cloud", clock.now(), Health(), Decoded([_carbs("a")])))
    deliverer = Deliverer(journal, adapter, SITE, clock, Random(1))  # type: ignore[arg-type]
    release, away = journal.release, True

    async def released(destination: Destination) -> int:
        if away:
            raise Transient("the journal is away")
        return await release(destination)

    monkeypatch.setattr(journal, "release", released)
    adapter.fails = [Transient("down")]
    assert (await deliverer.round()).wait_s is not None
    assert (await deliverer.round()).wait_s is not None
    away = False
    assert (await deliverer.round()).leased == 1
    assert adapter.sent == ["a"]
    await journal.close()


async def test_what_was_taken_ahead_is_handed_back_after_an_end(tmp_path: Path) -> None:
    clock, adapter = FakeClock(), Adapter()
    adapter.batch = 1
    journal = await open_journal(tmp_path / "j.db", clock=clock)
    await journal.register([SITE])
    rows = Decoded([_carbs("a"), _carbs("b", 30), _carbs("c", 60)])
    await journal.append(Batch("p1", "carelink-cloud", clock.now(), Health(), rows))
    deliverer = Deliverer(journal, adapter, SITE, clock, Random(1))  # type: ignore[arg-type]
    await deliverer.round()
    await asyncio.sleep(0.1)
    deliverer.leave()
    while (await deliverer.round()).leased:
        pass
    assert sorted(adapter.sent) == ["a", "b", "c"]
    await journal.close()


async def test_a_destination_that_says_what_is_wrong_is_left_alone(tmp_path: Path) -> None:
    clock, adapter = FakeClock(), Adapter()
    journal = await open_journal(tmp_path / "j.db", clock=clock)
    await journal.register([SITE])
    await journal.append(Batch("p1", "carelink-cloud", clock.now(), Health(), Decoded([_carbs("a")])))
    deliverer = Deliverer(journal, adapter, SITE, clock, Random(1))  # type: ignore[arg-type]
    adapter.health = Health(State.LOGIN_REQUIRED, "link it")
    done = await deliverer.round()
    assert (done.wait_s, deliverer.phase) == (900.0, Phase.NEEDS_PERSON)
    assert deliverer.health.text == "link it"
    adapter.short, adapter.health = True, Health()
    with pytest.raises(ContractViolation):
        await deliverer.round()
    await journal.close()


async def test_what_a_destination_takes_goes_on_while_a_right_is_missing(tmp_path: Path) -> None:
    clock, adapter = FakeClock(), Adapter()
    journal = await open_journal(tmp_path / "j.db", clock=clock)
    await journal.register([SITE])
    await journal.append(Batch("p1", "carelink-cloud", clock.now(), Health(), Decoded([_carbs("a")])))
    deliverer = Deliverer(journal, adapter, SITE, clock, Random(1))  # type: ignore[arg-type]
    adapter.health = Health(State.CAREPORTAL_OFF, "switch it on")
    assert (await deliverer.round()).leased == 1
    assert (adapter.sent, deliverer.health.text) == (["a"], "switch it on")
    await journal.close()


class Source:
    """A reader that yields or raises what it is told."""

    name, file_feed = "carelink-cloud", "x"

    def __init__(self, *script: Batch | BridgeError) -> None:
        self.script = list(script)

    def decode(self, capture: object, memory: Memory) -> Decoded:
        raise NotImplementedError

    async def read(self, memory: Memory, since: object) -> AsyncIterator[Batch]:
        for step in self.script:
            if isinstance(step, BridgeError):
                raise step
            yield step


async def test_a_poller_appends_and_wakes_or_backs_off(tmp_path: Path) -> None:
    clock, woken = FakeClock(), []
    journal = await open_journal(tmp_path / "j.db", clock=clock)
    due = clock.now() + timedelta(seconds=300)
    source = Source(Batch("p1", "carelink-cloud", due, Health(), Decoded([_carbs("a")])))
    poller = Poller(journal, source, "p1", clock, Random(1), lambda arrival: woken.append(1))
    done = await poller.once()
    assert (done.new, done.next_due, len(woken)) == (1, due, 1)
    assert (await poller.once()).new == 0
    assert len(woken) == 1
    assert poller.wait_s(done) == 300
    clock.jump(-7 * 86400)
    assert poller.wait_s(done) == 3600
    clock.jump(14 * 86400)
    assert poller.wait_s(done) == 1
    source.script = [Transient("away")]
    failed = await poller.once()
    assert (failed.health.state, poller.failures) == (State.UNREACHABLE, 1)
    await journal.close()


def test_the_second_engine_refuses_and_names_the_first(tmp_path: Path) -> None:
    with engine_lock(tmp_path, "run"):
        with pytest.raises(AlreadyRunning, match="glucobridge run"), engine_lock(tmp_path, "demo"):
            pass
    with engine_lock(tmp_path, "demo"):
        pass


async def test_a_document_whose_place_was_taken_steps_on(tmp_path: Path) -> None:
    """The ledger knows an instant for it (a lost journal, a changed event type), but another holds the slot."""
    clock = FakeClock()
    journal = await open_journal(tmp_path / "j.db", clock=clock)
    await journal.register([SITE])
    await journal.append(Batch("p1", "carelink-cloud", clock.now(), Health(), Decoded([_carbs("a"), _carbs("b")])))
    deliverer = Deliverer(journal, Adapter(), SITE, clock, Random(1))  # type: ignore[arg-type]
    holder, other = _document("a", slot_group="g"), _document("b", slot_group="g")
    await journal.settle(SITE, Settlement(documents=[replace(_booked(holder), slot=holder.slot())]))
    placed = await deliverer._placed(Outlook(Plan(posts=[other]), {"b": _booked(other)}, set(), set(), {}))
    assert [(doc.key, doc.instant_ms) for doc in placed] == [("b", 1001)]
    await journal.close()
