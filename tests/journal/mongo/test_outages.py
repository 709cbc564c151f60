"""Servers that are away, step down or are killed, and writers that meet."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pymongo
import pytest
from pymongo.errors import AutoReconnect, ConfigurationError, OperationFailure

from bridge.contracts import DeliveryState
from bridge.errors import JournalUnusable, Transient
from bridge.journal.mongo import connection, open_mongo_journal, transactions
from bridge.journal.mongo.journal import MongoJournal
from bridge.model.health import Health
from tests.contracts.journal_records import NIGHTSCOUT, TIDEPOOL, at, batch, bolus, glucose
from tests.journal.appending import ROWS, batch_number, read_number
from tests.journal.mongo.conftest import Opener
from tests.support.clock import FakeClock
from tests.support.mongod import HOW_TO_GET_IT, Node, ReplicaSet, find_mongod, replica_set

pytestmark = pytest.mark.usefixtures("closing_sockets")
LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"


async def test_servers_that_are_away_are_an_outage(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CALL_S", 0.2)
    uri = "mongodb://somebody:hunter2@127.0.0.1:1/?replicaSet=rs0"
    with pytest.raises(Transient) as away:
        await open_mongo_journal(uri, "x", clock=clock)
    assert (away.value.state, "hunter2" in str(away.value)) == ("journal_unusable", False)
    assert away.value.next_step


@pytest.mark.parametrize("uri", ["postgres://x", "mongodb://", "mongodb://one,two:port"])
async def test_an_address_that_does_not_fit_is_told(clock: FakeClock, uri: str) -> None:
    with pytest.raises(JournalUnusable, match="address"):
        await open_mongo_journal(uri, "x", clock=clock)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OperationFailure("its words", 18), JournalUnusable), (OperationFailure("its words", 13), JournalUnusable),
        (OperationFailure("its words", 14031), Transient), (OperationFailure("its words", 50), Transient),
        (AutoReconnect("its words"), Transient), (ConfigurationError("its words"), JournalUnusable),
        (ConfigurationError("Sessions are not supported by this MongoDB deployment"), Transient),
    ],
)  # fmt: skip
def test_errors_come_in_our_own_words(error: Exception, expected: type[Exception]) -> None:
    with pytest.raises(expected) as told, connection.plain_errors("journal"):
        raise error
    assert str(error) not in str(told.value)


async def test_writers_of_one_new_profile_do_not_meet(opened: Opener) -> None:
    """Three processes append the same events of a person that nobody knew, at one time."""
    journals = [await opened() for _ in range(3)]
    await journals[0].register([NIGHTSCOUT])
    rows = [bolus(minute, key=f"{minute}") for minute in range(20)]
    done = await asyncio.gather(*(each.append(batch(*rows)) for each in journals for _ in range(3)))
    assert sorted(len(each.new) for each in done) == [0] * 8 + [20]
    assert len([each async for each in journals[0].records("p1")]) == 20
    await asyncio.gather(*(each.append(batch(glucose(profile="p7"), profile="p7")) for each in journals))
    assert len([each async for each in journals[0].records("p7")]) == 1
    (ledger,) = await journals[0].destinations()
    assert ledger.counts[DeliveryState.PENDING] == 20


async def test_deliverers_of_one_ledger_lease_each_record_once(opened: Opener) -> None:
    journals = [await opened() for _ in range(3)]
    await journals[0].register([NIGHTSCOUT])
    await journals[0].append(batch(*(glucose(-minute) for minute in range(60))))
    leased = await asyncio.gather(*(each.due(NIGHTSCOUT, at(), 7, 60) for each in journals for _ in range(3)))
    ids = [due.record.id for each in leased for due in each]
    assert (len(ids), len(set(ids))) == (60, 60)


async def test_a_cancelled_append_is_whole_or_not_there_and_blocks_nobody(opened: Opener) -> None:
    journal, other = await opened(), await opened()
    await journal.register([NIGHTSCOUT])
    for number, after_s in enumerate((0, 0.002, 0.005, 0.01, 0.02, 0.04)):
        rows = [glucose(-minute, key=f"{number}:{minute}", profile=f"p{number}") for minute in range(500)]
        writing = asyncio.ensure_future(journal.append(batch(*rows, profile=f"p{number}")))
        await asyncio.sleep(after_s)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        async with asyncio.timeout(5):
            await other.hasten(f"p{number}", "x", at())
        assert len([each async for each in other.records(f"p{number}")]) in (0, 500)


async def test_a_transaction_that_was_left_behind_is_ended_by_who_waits_for_it(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a killed program leaves one; the server alone would keep it for a minute."""
    monkeypatch.setattr(transactions, "_STUCK_S", 0.2)
    short = {**transactions._LEFT_BEHIND, "transaction.timeInactiveMicros": {"$gt": 100_000}}
    monkeypatch.setattr(transactions, "_LEFT_BEHIND", short)
    killed, next_one = await opened(), await opened()
    await killed.append(batch(glucose()))
    async with killed.db.client.start_session() as session:
        await session.start_transaction()
        await killed.db["profiles"].update_one({"_id": "p1"}, {"$set": {"mark": "half"}}, session=session)
        async with asyncio.timeout(4):
            await next_one.append(batch(glucose(5)))
        with pytest.raises(OperationFailure):
            await session.commit_transaction()


async def test_closing_waits_for_what_is_being_written(opened: Opener) -> None:
    journal, other = await opened(), await opened()
    writing = asyncio.ensure_future(journal.append(batch(glucose())))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    writing.cancel()
    await journal.close()
    assert [each async for each in other.records("p1")] == [glucose()]


async def test_a_write_that_takes_too_long_is_an_outage_and_blocks_nobody(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, other = await opened(), await opened()
    await journal.register([NIGHTSCOUT])
    rows = [glucose(-minute) for minute in range(1500)]
    with monkeypatch.context() as hasty:
        hasty.setattr(connection, "CALL_S", 0.05 - 1500 * 0.002)
        with pytest.raises(Transient):
            await journal.append(batch(*rows))
    async with asyncio.timeout(3):
        await other.report(NIGHTSCOUT, Health())
    assert len((await journal.append(batch(*rows))).new) == 1500


# --- a primary that goes ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_set() -> Iterator[ReplicaSet]:
    """A set of this module's own, whose servers may be killed."""
    program = find_mongod()
    if program is None:
        pytest.skip(HOW_TO_GET_IT)
    with replica_set(program) as running:
        yield running


@pytest.mark.proof
@pytest.mark.parametrize("fault", ["step down", "kill"])
async def test_what_was_acknowledged_outlives_the_primary(own_set: ReplicaSet, clock: FakeClock, fault: str) -> None:
    journal = await open_mongo_journal(own_set.uri, fault.replace(" ", "_"), clock=clock)
    await journal.register([NIGHTSCOUT, TIDEPOOL])
    faults = asyncio.ensure_future(_trouble(own_set, fault, 10 if LONG else 1))
    number = 0
    while not faults.done():
        await _append(journal, number)
        number += 1
    await faults
    numbers = [batch_number(record) async for record in journal.records("p1")]
    assert {each: numbers.count(each) for each in numbers} == dict.fromkeys(range(number), ROWS)
    ledgers = await journal.destinations()
    assert [each.counts[DeliveryState.PENDING] for each in ledgers] == [number * ROWS] * 2
    await journal.close()


async def _append(journal: MongoJournal, number: int) -> None:
    while True:
        try:
            await journal.append(read_number(number))
        except Transient:
            await asyncio.sleep(0.05)
        else:
            return


async def _trouble(servers: ReplicaSet, fault: str, times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0.3)
        if fault == "step down":
            await asyncio.to_thread(_step_down, servers)
        else:
            killed = await asyncio.to_thread(_kill, servers)
            killed.start()  # not in a thread: a node dies with the thread that started it
    await asyncio.sleep(0.3)


def _step_down(servers: ReplicaSet) -> None:
    with pymongo.MongoClient[dict[str, object]](servers.uri) as client:
        client.admin.command("replSetStepDown", 1, secondaryCatchUpPeriodSecs=1, force=True)
    servers.primary()


def _kill(servers: ReplicaSet) -> Node:
    primary = servers.primary()
    primary.stop()
    servers.primary()
    return primary


# --- a worker that goes ----------------------------------------------------------------------------


@pytest.mark.proof
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
async def test_a_killed_writer_loses_nothing_it_acknowledged(
    opened: Opener, mongo: ReplicaSet, database: str
) -> None:
    journal, acknowledged = await opened(), 0
    for _ in range(30 if LONG else 3):
        acknowledged = await asyncio.to_thread(_kill_while_appending, mongo.uri, database, acknowledged)
        numbers = [batch_number(record) async for record in journal.records("p1")]
        held = len(numbers) // ROWS
        assert acknowledged <= held <= acknowledged + 1
        assert {number: numbers.count(number) for number in numbers} == dict.fromkeys(range(held), ROWS)
        ledgers = await journal.destinations()
        assert [sum(each.counts.values()) for each in ledgers] == [held * ROWS] * 2
        acknowledged = held
    assert acknowledged > 3


def _kill_while_appending(uri: str, database: str, first: int) -> int:
    command = [sys.executable, "-m", "tests.journal.mongo.appending", uri, database, str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(3)]
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.readlines()
    whole = [int(line) for line in lines if line.endswith("\n")]
    return max(whole, default=first - 1) + 1
