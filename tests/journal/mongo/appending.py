"""A process that appends read after read until it is killed: `... appending URI DATABASE FIRST`."""

from __future__ import annotations

import asyncio
import sys

from bridge.journal import Retention
from bridge.journal.mongo import open_mongo_journal
from tests.contracts.journal_records import NIGHTSCOUT, TIDEPOOL, at
from tests.journal.appending import read_number
from tests.support.clock import FakeClock


async def append_for_ever(uri: str, database: str, first: int) -> None:
    """Append and acknowledge each by its number on a line of its own."""
    keep = Retention(answer_days=9999)
    journal = await open_mongo_journal(uri, database, clock=FakeClock(at()), keep=keep)
    await journal.register([NIGHTSCOUT, TIDEPOOL])
    number = first
    while True:
        await journal.append(read_number(number))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        number += 1


if __name__ == "__main__":
    asyncio.run(append_for_ever(sys.argv[1], sys.argv[2], int(sys.argv[3])))
