"""A process of its own that uses the vault. Started once, it forks a worker for each line it reads.

`rotate`: refresh and use the token without end (until killed). `once`: use it once, refreshing where due.
Arguments: data folder (or MongoDB address, database and length of a turn in one word), key as base64, base address
of the provider. Prints each worker's process id.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import structlog

from bridge.credentials import Sessions, Vault, VaultKey, http_client
from bridge.journal.mongo.connection import connect
from bridge.journal.mongo.vault import MongoCredentials


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def vault(place: str, key: VaultKey) -> Vault:
    """Over a folder, or over the credentials in a database."""
    if not place.startswith("mongodb:"):
        return Vault(Path(place), key)
    uri, name, turn_s = place.split()
    return Vault(MongoCredentials(connect(uri, name, "test")[name], turn_s=float(turn_s)), key)


async def work(data: str, key: str, base: str, what: str) -> None:
    sessions = Sessions(vault(data, VaultKey.from_text(key, "argument")), http_client(), SystemClock())
    session = sessions.authorised("p1")
    while True:
        if what == "rotate":
            await sessions.keeper("p1").renew(None)
        answer = await session.request("GET", f"{base}/me")
        if answer.status != 200:
            os._exit(3)
        if what == "once":
            await sessions.close()
            return


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    for line in sys.stdin:
        worker = os.fork()
        if not worker:
            data, key, base = sys.argv[1:4]
            asyncio.run(work(data, key, base, line.strip()))
            os._exit(0)
        sys.stdout.write(f"{worker}\n")
        sys.stdout.flush()
        _, status = os.waitpid(worker, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
