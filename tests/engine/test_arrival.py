"""What was just appended goes out without being asked for; whatever else may wait is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from bridge.contracts import Batch, Decoded, DeliveryState, Destination, Grace, Outcome, Settled, Settlement, Verdict
from bridge.engine.arrival import MOST, Arrival
from bridge.engine.deliverer import IDLE_S, Deliverer
from bridge.errors import Transient
from bridge.journal import open_journal
from bridge.journal.sqlite.journal import SqliteJournal
from bridge.model import Record
from bridge.model.health import Health
from tests.engine.test_loops import SITE, Adapter
from tests.engine.test_planning import _carbs
from tests.support.clock import FakeClock

OTHER = Destination("p1", "other")


class Asked:
    """A journal that counts what it is asked."""

    def __init__(self, journal: SqliteJournal) -> None:
        self.journal, self.calls = journal, Counter[str]()

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        return getattr(self.journal, name)


class Refusing(Adapter):
    """Takes nothing for now."""

    async def deliver(self, posts: Sequence[Any], deletes: Sequence[Any]) -> Sequence[Outcome]:
        return [Outcome(Verdict.RETRY)] * (len(posts) + len(deletes))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def journal(tmp_path: Any, clock: FakeClock) -> AsyncIterator[Asked]:
    opened = await open_journal(tmp_path / "j.db", clock=clock)
    await opened.register([SITE, OTHER])
    yield Asked(opened)
    await opened.close()


def batch(clock: FakeClock, *records: Record, grace: Grace | None = None) -> Batch:
    return Batch("p1", "carelink-cloud", clock.now(), Health(), Decoded(records), grace=grace)


async def arrive(journal: Asked, arrived: Batch) -> Arrival | None:
    return Arrival.of(journal, arrived, await journal.journal.append(arrived))


@pytest.fixture
def deliverer_of(journal: Asked, clock: FakeClock) -> Callable[..., Deliverer]:
    def made(adapter: Adapter, destination: Destination = SITE) -> Deliverer:
        return Deliverer(journal, adapter, destination, clock, Random(1))  # type: ignore[arg-type]

    return made


async def test_an_arrival_is_delivered_without_asking_for_what_is_due(
    journal: Asked, clock: FakeClock, deliverer_of: Callable[..., Deliverer]
) -> None:
    adapters = Adapter(), Adapter()
    deliverers = [deliverer_of(adapters[0]), deliverer_of(adapters[1], OTHER)]
    for each in deliverers:
        assert (await each.round()).leased == 0
    journal.calls.clear()
    arrival = await arrive(journal, batch(clock, _carbs("a")))
    assert arrival is not None
    for each in deliverers:
        each.offer(arrival)
        assert (await each.round()).leased == 1
        assert (await each.round()).leased == 0
    assert [adapter.sent for adapter in adapters] == [["a"], ["a"]]
    assert (journal.calls["due"], journal.calls["next_due"], journal.calls["context"]) == (0, 0, 1)
    states = await journal.journal.states(SITE, ["a"])
    assert states == {"a": DeliveryState.ACCEPTED}


async def test_what_waits_in_the_ledger_goes_out_before_and_with_an_arrival(
    journal: Asked, clock: FakeClock, deliverer_of: Callable[..., Deliverer]
) -> None:
    await journal.journal.append(batch(clock, _carbs("a")))
    adapter = Adapter()
    deliverer = deliverer_of(adapter)
    arrival = await arrive(journal, batch(clock, _carbs("b", 30)))
    assert arrival is not None
    deliverer.offer(arrival)
    assert (await deliverer.round()).leased == 2
    assert sorted(adapter.sent) == ["a", "b"]


async def test_a_clock_set_back_does_not_keep_the_ledger_from_being_asked(
    journal: Asked, clock: FakeClock, deliverer_of: Callable[..., Deliverer]
) -> None:
    deliverer = deliverer_of(Adapter())
    await deliverer.round()
    await journal.journal.append(batch(clock, _carbs("a")))
    clock.jump(-86400)
    assert (await deliverer.round()).leased == 0
    await clock.sleep(IDLE_S)
    assert (await deliverer.round()).leased == 1


async def test_a_destination_that_is_away_holds_no_records(
    journal: Asked, clock: FakeClock, deliverer_of: Callable[..., Deliverer]
) -> None:
    adapter = Adapter()
    deliverer = deliverer_of(adapter)
    adapter.fails = [Transient("away")]
    await journal.journal.append(batch(clock, _carbs("a")))
    assert (await deliverer.round()).wait_s is not None
    arrival = await arrive(journal, batch(clock, _carbs("b", 30)))
    assert arrival is not None
    deliverer.offer(arrival)
    assert deliverer._offered is None
    assert (await deliverer.round()).leased == 2


async def test_of_two_arrivals_none_is_forgotten(
    journal: Asked, clock: FakeClock, deliverer_of: Callable[..., Deliverer]
) -> None:
    adapter = Adapter()
    deliverer = deliverer_of(adapter)
    await deliverer.round()
    for number, name in enumerate("abc"):
        arrival = await arrive(journal, batch(clock, _carbs(name, 30 * number)))
        assert arrival is not None
        deliverer.offer(arrival)
    while (await deliverer.round()).leased:
        pass
    assert sorted(adapter.sent) == ["a", "b", "c"]


async def test_what_a_person_or_a_grace_holds_back_is_not_sent_by_an_arrival(
    journal: Asked, clock: FakeClock, deliverer_of: Callable[..., Deliverer]
) -> None:
    adapter = Adapter()
    deliverer = deliverer_of(adapter)
    await deliverer.round()
    arrival = await arrive(journal, batch(clock, _carbs("a")))
    gone = Settled(DeliveryState.REMOVED_THERE, revision=9)
    await journal.journal.settle(SITE, Settlement({"a": gone}))
    assert arrival is not None
    deliverer.offer(arrival)
    await deliverer.round()
    assert not adapter.sent
    later = clock.now() + timedelta(minutes=5)
    held = batch(clock, _carbs("b", 30), grace=Grace(later, clock.now() - timedelta(days=1), later))
    assert await arrive(journal, held) is None
    deliverer.doubt()
    await deliverer.round()
    assert not adapter.sent
    assert deliverer.idle_s() == 300
    clock.jump(301)
    assert (await deliverer.round()).leased == 1
    assert adapter.sent == ["b"]


async def test_a_revision_does_not_let_go_of_what_a_grace_holds(
    journal: Asked, clock: FakeClock, deliverer_of: Callable[..., Deliverer]
) -> None:
    adapter = Adapter()
    deliverer = deliverer_of(adapter)
    later = clock.now() + timedelta(minutes=5)
    grace = Grace(later, clock.now() - timedelta(days=9), later)
    await journal.journal.append(batch(clock, _carbs("a"), grace=grace))
    await deliverer.round()
    arrival = await arrive(journal, batch(clock, _carbs("a").model_copy(update={"grams": 77.0})))
    assert arrival is not None
    deliverer.offer(arrival)
    await deliverer.round()
    assert not adapter.sent
    assert await journal.journal.states(SITE, ["a"]) == {"a": DeliveryState.WITHHELD}


async def test_what_is_handed_back_is_looked_for_when_its_time_has_come(
    journal: Asked, clock: FakeClock, deliverer_of: Callable[..., Deliverer]
) -> None:
    deliverer = deliverer_of(Refusing())
    await deliverer.round()
    assert deliverer.idle_s() == IDLE_S
    arrival = await arrive(journal, batch(clock, _carbs("a")))
    assert arrival is not None
    deliverer.offer(arrival)
    assert (await deliverer.round()).leased == 1
    waits = deliverer.idle_s()
    assert 0 < waits < IDLE_S
    assert (await deliverer.round()).leased == 0
    clock.jump(waits + 1)
    assert (await deliverer.round()).leased == 1


async def test_many_records_or_unknown_ones_are_left_to_the_ledger(journal: Asked, clock: FakeClock) -> None:
    many = [_carbs(f"{number}", 30 * number) for number in range(MOST + 1)]
    assert await arrive(journal, batch(clock, *many)) is None
    appended = await journal.journal.append(batch(clock, _carbs("a", 9000)))
    assert Arrival.of(journal, batch(clock), appended) is None


async def test_a_revision_that_comes_meanwhile_is_delivered_too(
    journal: Asked, clock: FakeClock, deliverer_of: Callable[..., Deliverer]
) -> None:
    adapter = Adapter()
    deliverer = deliverer_of(adapter)
    await deliverer.round()
    first = await arrive(journal, batch(clock, _carbs("a")))
    assert first is not None
    deliverer.offer(first)
    await first.portion()
    grown = _carbs("a").model_copy(update={"grams": 77.0})
    second = await arrive(journal, batch(clock, grown))
    assert (await deliverer.round()).leased == 1
    assert await journal.journal.states(SITE, ["a"]) == {"a": DeliveryState.PENDING}
    assert second is not None
    deliverer.offer(second)
    assert (await deliverer.round()).leased == 1
    assert await journal.journal.states(SITE, ["a"]) == {"a": DeliveryState.ACCEPTED}
