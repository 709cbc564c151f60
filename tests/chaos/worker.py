"""One worker of a fleet in a process of its own: `worker.py PLAN.json NAME`."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from random import Random

from bridge.credentials import Sessions, Vault, VaultSealer, find_key, http_client
from bridge.demo import FastClock
from bridge.engine.clock import SystemClock
from bridge.engine.engine import Engine
from bridge.engine.fleet import Check, Fleet, engine_of, ledgers
from bridge.journal.mongo import open_mongo_journal
from bridge.log import configure
from bridge.settings import LogSettings, Settings


@dataclass(frozen=True)
class Plan:
    """What all workers of a run share. `start` and `began` are the played clock's."""

    folder: str
    uri: str
    database: str
    start: str
    began: float
    speed: float
    share: int
    lease_s: float
    beat_s: float

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self)))


async def serve(plan: Plan, name: str) -> None:
    folder = Path(plan.folder)
    settings = Settings.model_validate_json((folder / "settings.json").read_text())
    clock = FastClock(plan.speed, datetime.fromisoformat(plan.start), plan.began)
    vault = Vault(folder, find_key(folder, {}))
    sessions, random = Sessions(vault, http_client(), clock), Random()
    journal = await open_mongo_journal(plan.uri, plan.database, clock=clock, sealer=VaultSealer(vault), worker=name)

    @asynccontextmanager
    async def opened(held: Collection[str], check: Check) -> AsyncIterator[Engine]:
        yield engine_of(held, check, settings, journal, sessions.authorised, clock, random)

    fleet = Fleet(
        journal, settings.profiles.keys(), ledgers(settings), plan.share, opened, SystemClock(),
        lease_s=plan.lease_s, beat_s=plan.beat_s,
    )  # fmt: skip
    try:
        await until_told(fleet)
    finally:
        await journal.close()
        await sessions.close()


async def until_told(fleet: Fleet) -> None:
    running = asyncio.ensure_future(fleet.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        return


if __name__ == "__main__":
    configure(LogSettings(level="warning", format="json"))
    asyncio.run(serve(Plan(**json.loads(Path(sys.argv[1]).read_text())), sys.argv[2]))
