"""An engine in a process of its own, to be killed: `worker.py FOLDER START BEGAN SPEED`."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime
from pathlib import Path
from random import Random

from bridge.credentials import Sessions, Vault, VaultSealer, find_key, http_client
from bridge.demo import FastClock
from bridge.engine.build import adapters, readers
from bridge.engine.engine import Engine
from bridge.engine.lock import engine_lock
from bridge.journal import open_journal
from bridge.log import configure
from bridge.settings import LogSettings, Settings


async def serve(folder: Path, clock: FastClock) -> None:
    settings = Settings.model_validate_json((folder / "settings.json").read_text())
    vault = Vault(folder, find_key(folder, {}))
    sessions = Sessions(vault, http_client(), clock)
    journal = await open_journal(folder / "journal.db", clock=clock, sealer=VaultSealer(vault))
    random = Random()
    engine = Engine(
        journal,
        list(readers(settings, sessions.authorised, clock, random)),
        list(adapters(settings, sessions.authorised, clock, random)),
        clock,
        random,
    )
    try:
        await engine.run()
    finally:
        await journal.close()
        await sessions.close()


if __name__ == "__main__":
    configure(LogSettings(level="warning", format="json"))
    place = Path(sys.argv[1])
    with engine_lock(place, "worker"):
        asyncio.run(
            serve(place, FastClock(float(sys.argv[4]), datetime.fromisoformat(sys.argv[2]), float(sys.argv[3])))
        )
