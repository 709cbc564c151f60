"""SIGKILL at random points of a busy run: nothing lost, nothing twice, the journal sound."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from bridge.demo import FastClock
from tests.support.house import House, built, require_complete, require_conserved

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
KILLS = 500 if LONG else 25
SPEED = 600.0
START = datetime(2026, 3, 10, 6, 0, tzinfo=UTC)


async def _killed(house: House, began: float, seconds: float) -> None:
    """One life of an engine, ended without warning."""
    arguments = [str(house.folder), START.isoformat(), repr(began), repr(SPEED)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.endtoend.worker", *arguments, cwd=Path(__file__).parents[2]
    )
    await asyncio.sleep(seconds)
    assert process.returncode is None, "the engine ended by itself"
    process.kill()
    await process.wait()


@pytest.mark.proof
@pytest.mark.timeout(3600 if LONG else 200)
async def test_killed_again_and_again(tmp_path: Path) -> None:
    seed = int(os.environ.get("GLUCOBRIDGE_SEED", "0")) or Random().randrange(10**6)
    print(f"\nkills: {KILLS}, seed {seed}")
    random, began = Random(seed), time.monotonic()
    clock = FastClock(SPEED, START, began)
    async with built(tmp_path, clock) as house:
        house.world.carelink.tokens.reuse_leeway_s = 10 * SPEED  # ten seconds of the machine's time
        (tmp_path / "settings.json").write_text(house.settings.model_dump_json())
        for _ in range(KILLS):
            await _killed(house, began, random.uniform(0.6, 2.2))
        connection = sqlite3.connect(tmp_path / "journal.db")
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
        async with house.engine() as engine:
            for _ in range(5):
                cycle = await engine.once()
            assert not cycle.needs_person
            await require_conserved(house, engine)
            await require_complete(
                house, engine.journal, START - timedelta(hours=20), clock.now() - timedelta(minutes=45)
            )
