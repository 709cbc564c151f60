"""A fleet under fire: workers, database and destinations fail; nothing is lost, doubled or stuck."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from tests.chaos.crew import Attendance
from tests.chaos.fire import SERVERS, STORMS, WORKERS, Fire, drawn
from tests.chaos.history import LATE, History, examined, shown
from tests.chaos.quiet import Quiet, quiet
from tests.chaos.servers import Cluster
from tests.chaos.stage import LONG, START, Play, Stage, staged

PEOPLE = int(os.environ.get("GLUCOBRIDGE_PEOPLE", "200" if LONG else "8"))
FAULTS = int(os.environ.get("GLUCOBRIDGE_FAULTS", "2000" if LONG else "12"))
SPEED = float(os.environ.get("GLUCOBRIDGE_SPEED", "3" if LONG else "60"))
NAMES = ("one", "one", "two", "three", "four") if LONG else ("one", "one", "two")
SHARE = PEOPLE // 4 + 10 if LONG else PEOPLE // 2 + 1
LEASE_S, BEAT_S = (10.0, 2.5) if LONG else (4.0, 1.0)
BEFORE = timedelta(hours=1 if LONG else 6)


@pytest.mark.proof
@pytest.mark.timeout(4 * 3600 if LONG else 480)
async def test_a_fleet_under_fire(tmp_path: Path, small_cluster: Cluster) -> None:
    seed, began = int(os.environ.get("GLUCOBRIDGE_SEED", "0")) or Random().randrange(10**6), time.monotonic()
    play = Play(PEOPLE, NAMES, SHARE, SPEED, LEASE_S, BEAT_S, seed, BEFORE)
    print(f"\nseed {seed}: {PEOPLE} people, {len(NAMES)} workers, disks can be filled: {small_cluster.small}")
    async with staged(tmp_path, small_cluster, "fleet", play) as stage:
        fire = Fire(stage.crew, small_cluster, stage.board, stage.house, Random(seed), LEASE_S)
        await stage.crew.start()
        await stage.served()
        stage.attendance.longest_s = 0.0
        async with _told_of(fire):
            await fire.burn(*_groups(Random(seed), small_cluster))
        calm = await quiet(stage.rows, play)
        ended_s = await stage.crew.end()
        left = await stage.rows["deliveries"].count_documents({"state": "leased"})
        history, persons = await _history(stage)
        owners = stage.attendance
    print(f"{sum(fire.befallen.values())} faults in {fire.burnt_s:.0f} s: {dict(fire.befallen)};")
    print(_told(owners, ended_s, left), f"{small_cluster.given_up} nodes ended by their full disk;")
    print(_told_calm(calm), f"{history}; whole {time.monotonic() - began:.0f} s")
    print(history.examples())
    assert not persons, persons[:5]
    assert not calm.stuck, calm.stuck[:5]
    assert not owners.doubly_owned, owners.doubly_owned[:5]
    assert history.clean, history.examples()


def _groups(random: Random, cluster: Cluster) -> list[list[str]]:
    """Faults of workers, of the database, storms. Where a disk cannot be a small one, a slow one takes its place."""
    servers = {kind: weight for kind, weight in SERVERS.items() if cluster.small or kind != "disk full"}
    shares = ((WORKERS, 0.2), (servers, 0.07), (STORMS, 0.73))
    return [drawn(kinds, round(FAULTS * share), random) for kinds, share in shares]


async def _history(stage: Stage) -> tuple[History, list[str]]:
    """Everybody's, once all that the source still has is read and delivered; and what needs a person."""
    offered = shown(stage.house)
    async with stage.checking() as engine:
        for _ in range(3):
            cycle = await engine.once()
        end = stage.clock.now() - LATE
        return await examined(stage.house, engine, START - stage.play.before, end, offered), list(cycle.needs_person)


@asynccontextmanager
async def _told_of(fire: Fire) -> AsyncIterator[None]:
    """How far it is, every minute."""

    async def tell() -> None:
        while True:
            await asyncio.sleep(60)
            print(f"{time.strftime('%H:%M')} {sum(fire.befallen.values())} faults", flush=True)

    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        telling.cancel()


def _told(owners: Attendance, ended_s: float, left: int) -> str:
    return (
        f"{owners.handed_over} changes of owner, longest without a write for a person {owners.longest_s:.1f} s "
        f"(lease {LEASE_S:.0f} s), all ended in {ended_s:.1f} s, {left} deliveries cut off; "
        f"of {len(owners.writers)} ownerships {len(owners.doubly_owned)} double;"
    )


def _told_calm(calm: Quiet) -> str:
    return (
        f"{calm.opened} open after the last fault, {calm.late} after two lease times more, all settled after "
        f"{calm.lasted_s:.1f} s, stuck {len(calm.stuck)};"
    )
