"""One worker of a fleet in a process of its own: `worker.py PLAN.json NAME NUMBER`.

Its wall clock is wrong by the seconds in the file `clock NUMBER` beside the plan.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

from pymongo import pool_shared

from bridge.credentials import Sessions, Vault, VaultSealer, find_key, http_client
from bridge.demo import FastClock
from bridge.engine.clock import SystemClock
from bridge.engine.engine import Engine
from bridge.engine.fleet import Check, Fleet, engine_of, ledgers
from bridge.errors import Transient
from bridge.journal.mongo import open_mongo_journal
from bridge.journal.mongo.journal import MongoJournal
from bridge.log import configure
from bridge.settings import LogSettings, Settings


@dataclass(frozen=True)
class Plan:
    """What all workers of a run share. `start` and `began` are the played clock's.

    `wires`: by worker's number, the port that leads to each node's port.
    """

    folder: str
    uri: str
    database: str
    start: str
    began: float
    speed: float
    share: int
    lease_s: float
    beat_s: float
    wires: Sequence[Mapping[str, int]] = ()

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self)))


async def serve(plan: Plan, name: str, number: int) -> None:
    folder = Path(plan.folder)
    settings = Settings.model_validate_json((folder / "settings.json").read_text())
    clock = FastClock(plan.speed, datetime.fromisoformat(plan.start), plan.began)
    setting = asyncio.create_task(set_again_and_again(clock, folder / f"clock {number}"))
    vault = Vault(folder, find_key(folder, {}))
    sessions, random = Sessions(vault, http_client(), clock), Random()
    journal = await opened_journal(plan, name, clock, VaultSealer(vault))

    @asynccontextmanager
    async def opened(held: Collection[str], check: Check) -> AsyncIterator[Engine]:
        yield engine_of(held, check, settings, journal, sessions.authorised, clock, random)

    fleet = Fleet(
        journal, settings.profiles.keys(), ledgers(settings), plan.share, opened, SystemClock(),
        lease_s=plan.lease_s, beat_s=plan.beat_s,
    )  # fmt: skip
    try:
        await fleet.run()
    finally:
        setting.cancel()
        await journal.close()
        await sessions.close()


async def set_again_and_again(clock: FastClock, file: Path) -> None:
    """The wall clock jumps whenever the file says something else."""
    wrong_s = 0.0
    while True:
        wanted_s = float(file.read_text()) if file.exists() else 0.0
        clock.jump(wanted_s - wrong_s)
        wrong_s = wanted_s
        await asyncio.sleep(0.1)


async def opened_journal(plan: Plan, name: str, clock: FastClock, sealer: VaultSealer) -> MongoJournal:
    """Tried until the database answers, as the system's supervisor would start the program again."""
    while True:
        try:
            return await open_mongo_journal(plan.uri, plan.database, clock=clock, sealer=sealer, worker=name)
        except Transient:
            await asyncio.sleep(0.5)


def through(wires: Mapping[str, int]) -> None:
    """The driver follows the addresses that the nodes announce: each of them leads through this worker's wire."""
    connect = pool_shared._async_create_connection

    async def connected(address: tuple[str, int], options: Any) -> Any:
        return await connect((address[0], wires[str(address[1])]), options)

    pool_shared._async_create_connection = connected  # type: ignore[assignment]


async def until_told(serving: Coroutine[Any, Any, None]) -> None:
    running = asyncio.ensure_future(serving)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        return


if __name__ == "__main__":
    configure(LogSettings(level="warning", format="json"))
    given, number = Plan(**json.loads(Path(sys.argv[1]).read_text())), int(sys.argv[3])
    if given.wires:
        through(given.wires[number])
    asyncio.run(until_told(serve(given, sys.argv[2], number)))
