"""A fleet under fire: workers killed and paused, the primary stepped down; nothing lost, doubled or stuck."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bridge.credentials import Sessions, Vault, VaultSealer, create_key, http_client
from bridge.demo import FastClock
from bridge.engine.engine import Engine
from bridge.engine.fleet import engine_of, ledgers
from bridge.journal.mongo import open_mongo_journal
from bridge.simulators.carelink_cloud import Person
from bridge.simulators.patient import VirtualPatient
from tests.chaos.crew import Attendance, Crew, attended, step_down
from tests.chaos.history import LATE, examined
from tests.chaos.worker import Plan
from tests.support.house import House, built
from tests.support.mongod import ReplicaSet

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
PEOPLE = int(os.environ.get("GLUCOBRIDGE_PEOPLE", "40" if LONG else "8"))
FAULTS = int(os.environ.get("GLUCOBRIDGE_FAULTS", "500" if LONG else "8"))
NAMES = ("one", "one", "two")
LEASE_S, BEAT_S = 4.0, 1.0
SPEED = 60.0
START = datetime(2026, 3, 10, 6, 0, tzinfo=UTC)
BEFORE = timedelta(hours=20)


@asynccontextmanager
async def checking(house: House, servers: ReplicaSet, database: str) -> AsyncIterator[Engine]:
    """The last owner of everybody, in this process."""
    vault, random = Vault(house.folder, create_key(house.folder)), Random(1)
    sessions = Sessions(vault, http_client(), house.clock, random=random)
    journal = await open_mongo_journal(
        servers.uri, database, clock=house.clock, sealer=VaultSealer(vault), worker="checker"
    )
    try:
        assert journal.leases is not None
        await journal.leases.take(PEOPLE, await journal.leases.server_now(), 3600)
        assert len(journal.leases.held) == PEOPLE, "somebody was not handed back"
        names = house.settings.profiles.keys()
        yield engine_of(names, _go_on, house.settings, journal, sessions.authorised, house.clock, random)
    finally:
        await journal.close()
        await sessions.close()


async def registered(house: House, servers: ReplicaSet, database: str) -> None:
    """The ledgers are there before the workers: from then on only owners write."""
    journal = await open_mongo_journal(servers.uri, database, clock=house.clock)
    try:
        await journal.register(ledgers(house.settings))
    finally:
        await journal.close()


def _go_on() -> None:
    """The checker's lease stands."""


async def befall(crew: Crew, servers: ReplicaSet, random: Random) -> Counter[str]:
    """The faults, one after the other; of each kind at least one."""
    kinds = ["step-down", "pause", *random.choices(["kill", "pause", "step-down"], [16, 2, 1], k=FAULTS - 2)]
    if not LONG:
        kinds = ["step-down", "pause", *["kill"] * (FAULTS - 2)]
    random.shuffle(kinds)
    for kind in kinds:
        number = random.randrange(len(NAMES))
        if kind == "kill":
            await crew.kill(number)
            await asyncio.sleep(random.uniform(0, LEASE_S))
            await crew.restart(number)
        elif kind == "pause":
            await crew.pause(number, LEASE_S * random.uniform(1.5, 2.5))
        else:
            await asyncio.to_thread(step_down, servers)
        await asyncio.sleep(random.uniform(0.2, 2.5))
        crew.require_alive()
    return Counter(kinds)


async def quiet(database: Any) -> tuple[list[str], int]:
    """Deliveries that stand still for two lease times, once the others are done; and how many such times passed."""
    waiting, times = await _open(database), 0
    while True:
        await asyncio.sleep(2 * LEASE_S)
        times += 1
        left = waiting & await _open(database)
        if not left or left == waiting:
            return sorted(left), times
        waiting = left


async def _open(database: Any) -> set[str]:
    """Revision by revision: a bolus that still runs is revised again and again."""
    waiting = database["deliveries"].find({"ready_ms": {"$exists": True}}, {"record": 1, "destination": 1})
    places = [(row["destination"], row["record"]) async for row in waiting]
    rows = database["records"].find({"id": {"$in": [record for _, record in places]}}, {"id": 1, "revision": 1})
    revisions = {row["id"]: row["revision"] async for row in rows}
    return {f"{name} {record} revision {revisions.get(record)}" for name, record in places}


@pytest.mark.proof
@pytest.mark.timeout(6 * 3600 if LONG else 240)
async def test_a_fleet_under_fire(tmp_path: Path, mongo: ReplicaSet) -> None:
    seed = int(os.environ.get("GLUCOBRIDGE_SEED", "0")) or Random().randrange(10**6)
    random, began, database = Random(seed), time.monotonic(), mongo.emptied("fleet")
    clock = FastClock(SPEED, START, began)
    people = [Person(f"patient{number}", VirtualPatient(seed + number)) for number in range(1, PEOPLE + 1)]
    async with built(tmp_path, clock, people, seed=seed) as house:
        house.world.carelink.tokens.reuse_leeway_s = 10 * SPEED  # ten seconds of the machine's time
        (tmp_path / "settings.json").write_text(house.settings.model_dump_json())
        plan = Plan(
            str(tmp_path), mongo.uri, database, START.isoformat(), began, SPEED, PEOPLE // 2 + 1, LEASE_S, BEAT_S
        )
        plan.write(tmp_path / "plan.json")
        await registered(house, mongo, database)
        crew = Crew(tmp_path / "plan.json", NAMES)
        async with raw(mongo, database) as rows:
            try:
                await crew.start()
                async with attended(mongo, database) as attendance:
                    await served(rows)
                    attendance.longest_s = 0.0
                    befallen = await befall(crew, mongo, random)
                    stuck, times = await quiet(rows)
                ended_s = await crew.end()
            finally:
                await crew.destroy()
            left = await rows["deliveries"].count_documents({"state": "leased"})
        async with checking(house, mongo, database) as engine:
            for _ in range(3):
                cycle = await engine.once()
            history = await examined(house, engine, START - BEFORE, clock.now() - LATE)
    print(f"\nseed {seed}: {PEOPLE} people, {len(NAMES)} workers, {sum(befallen.values())} faults {dict(befallen)}")
    print(_told(attendance, ended_s, left), f"stuck {len(stuck)} after {2 * times} lease times; {history}")
    assert not cycle.needs_person
    assert not stuck, stuck[:5]
    assert not attendance.doubly_owned, attendance.doubly_owned[:5]
    assert history.clean, history.examples()


def _told(attendance: Attendance, ended_s: float, left: int) -> str:
    return (
        f"{attendance.handed_over} changes of owner, longest without a write for a person "
        f"{attendance.longest_s:.1f} s (lease {LEASE_S:.0f} s), all ended in {ended_s:.1f} s, "
        f"{left} deliveries cut off; of {len(attendance.writers)} ownerships {len(attendance.doubly_owned)} double;"
    )


@asynccontextmanager
async def raw(servers: ReplicaSet, database: str) -> AsyncIterator[Any]:
    """The database itself."""
    from pymongo import AsyncMongoClient

    async with AsyncMongoClient[dict[str, Any]](servers.uri, timeoutMS=5000) as client:
        yield client[database]


async def served(database: Any) -> None:
    """Once everybody is."""
    everybody = {f"p{number + 1}" for number in range(PEOPLE)}
    async with asyncio.timeout(90):
        while True:
            if {row["profile"] async for row in database["readers"].find({}, {"profile": 1})} == everybody:
                return
            await asyncio.sleep(0.1)
