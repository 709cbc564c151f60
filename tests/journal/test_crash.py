"""A journal whose process is killed at any moment holds every acknowledged read whole, and no half of another."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bridge.contracts import DeliveryState, Interval
from bridge.journal import open_journal
from tests.contracts.journal_records import CLOUD, NIGHTSCOUT, NOW, at
from tests.journal.appending import ROWS, batch_number
from tests.support.clock import FakeClock

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
KILLS = 100 if LONG else 10


@pytest.mark.proof
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance, path, acknowledged = random.Random(seed), tmp_path / "journal.db", 0
    for _ in range(KILLS):
        acknowledged = _kill_while_appending(path, acknowledged, chance.uniform(0, 0.08))
        acknowledged = asyncio.run(_check(path, acknowledged))
    assert acknowledged > KILLS


def _kill_while_appending(path: Path, first: int, after_s: float) -> int:
    """How many reads were acknowledged, all runs together, when the writer was killed."""
    command = [sys.executable, "-m", "tests.journal.appending", str(path), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline()]
        time.sleep(after_s)
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.readlines()
    whole = [int(line) for line in lines if line.endswith("\n")]
    return max(whole, default=first - 1) + 1


async def _check(path: Path, acknowledged: int) -> int:
    """How many reads the journal holds; fails when one is lost or halved."""
    journal = await open_journal(path, clock=FakeClock(NOW))
    try:
        numbers = [batch_number(record) async for record in journal.records("p1")]
        held = len(numbers) // ROWS
        assert acknowledged <= held <= acknowledged + 1
        assert {number: numbers.count(number) for number in numbers} == dict.fromkeys(range(held), ROWS)
        ledgers = await journal.destinations()
        assert [sum(each.counts.values()) for each in ledgers] == [held * ROWS] * 2
        assert [each.counts[DeliveryState.LEASED] for each in ledgers] == [0, 0]
        assert len(await journal.captures("p1")) == held
        assert len((await journal.memory("p1", CLOUD)).sightings) == held
        assert await journal.missing("p1", CLOUD, Interval(at(0), at(held))) == []
        assert len(await journal.due(NIGHTSCOUT, NOW, 10, 60)) == 10
        await journal.release(NIGHTSCOUT)
        return held
    finally:
        await journal.close()
