"""One worker of the fleet, as `glucobridge run` is, on a clock that runs fast: `worker.py SPEED START BEGAN FOLDER`."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from random import Random

from benchmarks.fleet.simulated import played
from bridge.credentials import Sessions, VaultSealer, find_key, http_client, open_vault
from bridge.demo import FastClock
from bridge.engine.clock import SystemClock
from bridge.engine.engine import Engine
from bridge.engine.fleet import Check, Fleet, engine_of, ledgers
from bridge.journal.mongo import open_mongo_journal, opened_credentials
from bridge.log import configure
from bridge.settings import load_settings


async def serve(folder: Path, clock: FastClock) -> None:
    """Until SIGTERM."""
    settings, random = load_settings(folder), Random()
    configure(settings.log)
    assert settings.journal.uri is not None
    where = settings.journal.uri.get_secret_value(), settings.journal.database
    async with AsyncExitStack() as undo:
        store = await undo.enter_async_context(opened_credentials(*where))
        vault = await open_vault(store, find_key(folder, {}))
        sessions = Sessions(vault, http_client(), clock)
        undo.push_async_callback(sessions.close)
        name = settings.journal.worker
        journal = await open_mongo_journal(*where, clock=clock, sealer=VaultSealer(vault), worker=name)
        undo.push_async_callback(journal.close)

        @asynccontextmanager
        async def opened(held: Collection[str], check: Check) -> AsyncIterator[Engine]:
            yield engine_of(held, check, settings, journal, sessions.authorised, clock, random)

        profiles, share = settings.profiles.keys(), settings.journal.share
        running = asyncio.ensure_future(
            Fleet(journal, profiles, ledgers(settings), share, opened, SystemClock()).run()
        )
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
        with suppress(asyncio.CancelledError):
            await running


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[4]), played(*map(float, sys.argv[1:4]))))
