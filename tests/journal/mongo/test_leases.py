"""One owner a profile: leases, hand-over, and a stale owner's late write."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pymongo.errors import OperationFailure

from bridge.contracts import Appended, DeliveryState, Settlement
from bridge.errors import AlreadyRunning, ContractViolation, Transient
from bridge.journal.mongo.journal import MongoJournal
from bridge.journal.mongo.leases import Leases, OwnershipLost
from bridge.model.health import Health
from tests.contracts.journal_records import (
    NIGHTSCOUT,
    NOW,
    TIDEPOOL,
    accepted,
    at,
    batch,
    document,
    glucose,
)
from tests.journal.mongo.conftest import Opener

LEASE_S = 30


def leases(journal: MongoJournal) -> Leases:
    assert journal.leases is not None
    return journal.leases


async def owner(opened: Opener, name: str = "one") -> MongoJournal:
    journal = await opened(name)
    await journal.register([NIGHTSCOUT, TIDEPOOL])
    return journal


async def test_an_owner_writes_what_it_holds_and_nothing_else(opened: Opener) -> None:
    one = await owner(opened)
    with pytest.raises(OwnershipLost):
        await one.append(batch(glucose()))
    assert await leases(one).take(5, NOW, LEASE_S) == {"p1": 1}
    assert (await one.append(batch(glucose()))).new == [glucose().id]
    with pytest.raises(OwnershipLost):
        await one.append(batch(glucose(profile="p2"), profile="p2"))


WRITES: dict[str, Callable[[MongoJournal], Awaitable[Any]]] = {
    "append": lambda journal: journal.append(batch(glucose(5))),
    "append of nothing new": lambda journal: journal.append(batch(glucose())),
    "settle": lambda journal: journal.settle(NIGHTSCOUT, accepted(glucose(), documents=[document(glucose())])),
    "due": lambda journal: journal.due(NIGHTSCOUT, at(90), 10, 60),
    "release": lambda journal: journal.release(NIGHTSCOUT),
    "report": lambda journal: journal.report(NIGHTSCOUT, Health()),
    "adopt": lambda journal: journal.adopt("p1", []),
}


@pytest.mark.parametrize("write", sorted(WRITES))
async def test_a_paused_owners_late_write_is_refused(opened: Opener, write: str) -> None:
    """The first owner sleeps past its lease in the middle of a round; the second has taken over and sends."""
    paused, next_one = await owner(opened), await opened("two")
    await leases(paused).take(5, NOW, LEASE_S)
    await paused.append(batch(glucose()))
    assert len(await paused.due(NIGHTSCOUT, NOW, 10, 60)) == 1
    assert await leases(next_one).take(5, at(0.4), LEASE_S) == {}
    assert await leases(next_one).take(5, at(0.6), LEASE_S) == {"p1": 2}
    before = await everything(next_one)
    with pytest.raises(OwnershipLost) as refused:
        await WRITES[write](paused)
    assert (refused.value.profile, isinstance(refused.value, AlreadyRunning)) == ("p1", True)
    assert await everything(next_one) == before
    assert await next_one.release(NIGHTSCOUT) == 1
    assert leases(paused).held == {}


async def everything(journal: MongoJournal) -> list[Any]:
    ids = [each.id async for each in journal.records("p1")]
    return [
        ids, await journal.states(NIGHTSCOUT, ids), await journal.destinations(), await journal.readers(),
        await journal.ledger(NIGHTSCOUT, ids),
    ]  # fmt: skip


@pytest.mark.parametrize("_", range(3))
async def test_a_takeover_between_the_steps_of_a_write_undoes_the_write(opened: Opener, _: int) -> None:
    """The owner's transaction has begun when another takes over: it is committed before or not at all."""
    one, two = await owner(opened), await opened("two")
    await leases(one).take(5, NOW, LEASE_S)
    rows = [glucose(-minute) for minute in range(400)]
    writing = asyncio.ensure_future(one.append(batch(*rows)))
    await asyncio.sleep(random.random() / 20)
    await leases(two).take(5, at(1), LEASE_S)
    before = [each.id async for each in two.records("p1")]
    (done,) = await asyncio.gather(writing, return_exceptions=True)
    assert isinstance(done, Appended | OwnershipLost | Transient)
    assert [each.id async for each in two.records("p1")] == before
    assert len(before) in ((400,) if isinstance(done, Appended) else (0, 400))
    with pytest.raises(OwnershipLost):
        await one.append(batch(glucose(9)))


async def test_what_a_dead_owner_left_open_does_not_hold_up_the_next(opened: Opener) -> None:
    """It was killed in the middle of a transaction, which the server would keep for a minute."""
    dead, two = await owner(opened), await opened("two")
    await leases(dead).take(5, NOW, LEASE_S)
    async with dead.db.client.start_session() as session:
        await session.start_transaction()
        await dead.db["profiles"].update_one({"_id": "p1"}, {"$set": {"mark": "half"}}, session=session)
        async with asyncio.timeout(3):
            assert await leases(two).take(5, at(1), LEASE_S) == {"p1": 2}
            await two.append(batch(glucose()))
        with pytest.raises(OperationFailure):
            await session.commit_transaction()
    assert len([each async for each in two.records("p1")]) == 1


async def test_a_persons_orders_need_no_lease(opened: Opener) -> None:
    one, two = await owner(opened), await opened("two")
    await leases(one).take(5, NOW, LEASE_S)
    await one.append(batch(glucose()))
    await one.settle(NIGHTSCOUT, accepted(glucose()))
    assert await two.requeue(NIGHTSCOUT, [glucose().id]) == 1
    await two.hasten("p1", "carelink-cloud", NOW)
    assert (await one.states(NIGHTSCOUT, [glucose().id])) == {glucose().id: DeliveryState.PENDING}


async def test_workers_share_what_is_free_and_renew_what_they_hold(opened: Opener) -> None:
    one, two, three = await opened("one"), await opened("two"), await opened("three")
    await leases(one).know([f"p{number}" for number in range(10)])
    held = [await leases(each).take(4, NOW, LEASE_S) for each in (one, two, three)]
    assert [len(each) for each in held] == [4, 4, 2]
    assert set().union(*held) == {f"p{number}" for number in range(10)}
    for minutes in (0.4, 0.8, 1.2):
        assert await leases(one).renew(at(minutes), LEASE_S) == held[0]
    taken = await leases(three).take(9, at(1.2), LEASE_S)
    assert taken.keys() == held[1].keys() | held[2].keys()
    assert all(taken[name] == 2 for name in held[1])
    assert await leases(two).renew(at(1.3), LEASE_S) == {}


async def test_one_of_many_gets_each_profile(opened: Opener) -> None:
    workers = [await opened("same name") for _ in range(6)]
    await leases(workers[0]).know([f"p{number}" for number in range(30)])
    held = await asyncio.gather(*(leases(each).take(12, NOW, LEASE_S) for each in workers))
    names = [name for each in held for name in each]
    assert len(names) == len(set(names))
    rest = await leases(workers[0]).take(99, NOW, LEASE_S)
    assert len(rest) == 30 - sum(len(each) for each in held[1:])


async def test_what_is_released_is_free_at_once(opened: Opener) -> None:
    one, two = await owner(opened), await opened("two")
    await leases(one).know(["p1", "p2"])
    await leases(one).take(5, NOW, LEASE_S)
    await leases(one).release(["p2"])
    assert await leases(two).take(5, NOW, LEASE_S) == {"p2": 2}
    await leases(one).release()
    assert await leases(two).take(5, NOW, LEASE_S) == {"p1": 2, "p2": 2}
    with pytest.raises(OwnershipLost):
        await one.settle(NIGHTSCOUT, Settlement())
    await leases(two).release()
    assert await leases(one).take(5, NOW, LEASE_S) == {"p1": 3, "p2": 3}
    await one.settle(NIGHTSCOUT, Settlement())


async def test_a_lease_that_ran_out_unseen_goes_on(opened: Opener) -> None:
    one = await owner(opened)
    held = await leases(one).take(5, NOW, LEASE_S)
    assert await leases(one).renew(at(60), LEASE_S) == held
    assert await leases(one).take(5, at(60), LEASE_S) == held
    await one.append(batch(glucose()))


async def test_a_worker_seen_dead_comes_back_as_another(opened: Opener) -> None:
    one, two = await owner(opened), await opened("two")
    await leases(one).take(5, NOW, LEASE_S)
    await leases(two).take(0, at(1), LEASE_S)
    assert await leases(one).take(5, at(1), LEASE_S) == {"p1": 2}
    await one.append(batch(glucose()))


async def test_the_servers_clock_is_there_for_hosts_that_drift(opened: Opener) -> None:
    now = await leases(await opened("one")).server_now()
    assert now.utcoffset() is not None


async def test_a_reader_writes_nothing(opened: Opener) -> None:
    await opened()
    watcher = await opened(read_only=True)
    with pytest.raises(ContractViolation):
        await watcher.compact(NOW)
