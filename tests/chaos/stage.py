"""What a fleet needs around it: simulators, a journal, a plan for the workers; and its last owner, the checker."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from pymongo import AsyncMongoClient

from bridge.credentials import Sessions, Vault, VaultSealer, create_key, http_client
from bridge.demo import FastClock
from bridge.engine.engine import Engine
from bridge.engine.fleet import engine_of, ledgers
from bridge.journal.mongo import open_mongo_journal
from bridge.simulators.carelink_cloud import Person
from bridge.simulators.patient import VirtualPatient
from tests.chaos.crew import Attendance, Crew, attended
from tests.chaos.servers import Cluster
from tests.chaos.wires import Switchboard, wired
from tests.chaos.worker import Plan
from tests.support.house import House, built

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long" and "GLUCOBRIDGE_CHAOS" in os.environ
"""By `make chaos` alone: it takes half an hour."""
START = datetime(2026, 3, 10, 6, 0, tzinfo=UTC)
_SERVED_S = 900 if LONG else 180
_LEEWAY_S = 10.0
_CALL_MS = 20_000


@dataclass(frozen=True)
class Play:
    """`people` at `speed` times life, served by workers of these `names`, each of whom may serve `share`.

    `before`: so long ago their lives began.
    """

    people: int
    names: Sequence[str]
    share: int
    speed: float
    lease_s: float
    beat_s: float
    seed: int
    before: timedelta = timedelta(hours=6)


@dataclass(frozen=True)
class Stage:
    """`rows`: the database itself; `crew` is not started yet."""

    play: Play
    cluster: Cluster
    database: str
    clock: FastClock
    house: House
    board: Switchboard
    crew: Crew
    rows: Any
    attendance: Attendance

    async def served(self) -> None:
        """Once everybody is."""
        everybody = {f"p{number + 1}" for number in range(self.play.people)}
        async with asyncio.timeout(_SERVED_S):
            while True:
                if {row["profile"] async for row in self.rows["readers"].find({}, {"profile": 1})} == everybody:
                    return
                await asyncio.sleep(0.1)

    @asynccontextmanager
    async def checking(self) -> AsyncIterator[Engine]:
        """The last owner of everybody, in this process."""
        house, people = self.house, self.play.people
        vault, random = Vault(house.folder, create_key(house.folder)), Random(1)
        async with AsyncExitStack() as undo:
            sessions = Sessions(vault, http_client(), house.clock, random=random)
            undo.push_async_callback(sessions.close)
            journal = await open_mongo_journal(
                self.cluster.servers.uri,
                self.database,
                clock=house.clock,
                sealer=VaultSealer(vault),
                worker="checker",
            )
            undo.push_async_callback(journal.close)
            assert journal.leases is not None
            await journal.leases.take(people, await journal.leases.server_now(), 3600)
            assert len(journal.leases.held) == people, "somebody was not handed back"
            names = house.settings.profiles.keys()
            yield engine_of(names, _go_on, house.settings, journal, sessions.authorised, house.clock, random)


def _go_on() -> None:
    """The checker's lease stands."""


@asynccontextmanager
async def staged(folder: Path, cluster: Cluster, database: str, play: Play) -> AsyncIterator[Stage]:
    """Everything but the workers; whatever is left of these at the end goes."""
    began = time.monotonic()
    clock, servers = FastClock(play.speed, START, began), cluster.servers
    people = [
        Person(f"patient{number}", VirtualPatient(play.seed + number, start=START - play.before))
        for number in range(1, play.people + 1)
    ]
    async with AsyncExitStack() as undo:
        house = await undo.enter_async_context(built(folder, clock, people, seed=play.seed))
        house.world.carelink.tokens.reuse_leeway_s = _LEEWAY_S * play.speed
        board = await undo.enter_async_context(wired(len(play.names), [node.port for node in servers.nodes]))
        (folder / "settings.json").write_text(house.settings.model_dump_json())
        plan = Plan(
            str(folder), servers.uri, database, START.isoformat(), began, play.speed, play.share, play.lease_s,
            play.beat_s, board.ports,
        )  # fmt: skip
        plan.write(folder / "plan.json")
        await _registered(house, servers.uri, database)
        client = await undo.enter_async_context(AsyncMongoClient[dict[str, Any]](servers.uri, timeoutMS=_CALL_MS))
        attendance = await undo.enter_async_context(attended(servers, database))
        crew = Crew(folder / "plan.json", play.names)
        undo.push_async_callback(crew.destroy)
        yield Stage(play, cluster, database, clock, house, board, crew, client[database], attendance)


async def _registered(house: House, uri: str, database: str) -> None:
    """The ledgers are there before the workers: from then on only owners write."""
    journal = await open_mongo_journal(uri, database, clock=house.clock)
    try:
        await journal.register(ledgers(house.settings))
    finally:
        await journal.close()
