"""A process that appends read after read until it is killed: `python -m tests.journal.appending FILE FIRST`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from bridge.contracts import Batch, Sighting
from bridge.journal import Retention, open_journal
from bridge.model import Record
from tests.contracts.journal_records import (
    CLOUD,
    NIGHTSCOUT,
    NOW,
    TIDEPOOL,
    at,
    batch,
    bolus,
    capture,
    glucose,
    status,
)
from tests.support.clock import FakeClock

ROWS = 12


def read_number(number: int) -> Batch:
    """One read that changes every table."""
    rows: list[Record] = [glucose(-number - 1, key=f"{number}:{row}", mgdl=100 + 10 * row) for row in range(ROWS - 2)]
    rows += [bolus(-number - 1, key=f"{number}:bolus", carbs_id="meal"), status(-number - 1, key=f"{number}:status")]
    return batch(
        *rows, reader=CLOUD, covered=(number, number + 1), sightings={f"{number}": Sighting(NOW, "x")},
        raw=capture(number, b"answer %d" % number), understood=False,
    )  # fmt: skip


def batch_number(record: Record) -> int:
    """The read a record came with."""
    return int(record.source_key.split(":")[1])


async def append_for_ever(path: Path, first: int) -> None:
    """Append and acknowledge each by its number on a line of its own."""
    journal = await open_journal(path, clock=FakeClock(at()), keep=Retention(answer_days=9999))
    await journal.register([NIGHTSCOUT, TIDEPOOL])
    number = first
    while True:
        await journal.append(read_number(number))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        number += 1


if __name__ == "__main__":
    asyncio.run(append_for_ever(Path(sys.argv[1]), int(sys.argv[2])))
