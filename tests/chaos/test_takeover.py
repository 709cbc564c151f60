"""A worker that dies is replaced within the lease time; one that only slept is not let in again as who it was."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bridge.engine.fleet import BEAT_S, LEASE_S, TAKEOVER_S
from bridge.simulators.nightscout import Fault
from tests.chaos.history import LATE, examined, shown
from tests.chaos.servers import Cluster
from tests.chaos.stage import LONG, START, Play, Stage, staged

PEOPLE = int(os.environ.get("GLUCOBRIDGE_PEOPLE", "50" if LONG else "4"))
SHORTER = 1 if LONG else 5
"""By so much the times of a lease are divided."""
LONGEST_S = 150
PLAY = Play(PEOPLE, ("first", "second"), PEOPLE, 60.0, LEASE_S / SHORTER, BEAT_S / SHORTER, seed=17)


def test_lease_and_beat_leave_time_to_begin() -> None:
    assert LEASE_S + BEAT_S <= TAKEOVER_S - 5


async def until(true: Callable[[], Awaitable[bool]], within_s: float) -> float:
    """Seconds it took."""
    begun = time.monotonic()
    async with asyncio.timeout(within_s):
        while True:
            if await true():
                return time.monotonic() - begun
            await asyncio.sleep(0.05)


async def owners(stage: Stage) -> set[str]:
    """Names of the workers that own anybody; an empty one while somebody is nobody's."""
    found = [row.get("owner", "") async for row in stage.rows["profiles"].find({}, {"owner": 1})]
    return {owner.split("/")[0] for owner in found}


async def owned_by(stage: Stage, name: str, within_s: float) -> float:
    """Once all are."""

    async def true() -> bool:
        return await owners(stage) == {name}

    return await until(true, within_s)


async def begun(stage: Stage) -> float:
    """The first worker serves everybody, the second stands by; seconds it took the first one to begin."""
    since = time.monotonic()
    await stage.crew.restart(0)
    await owned_by(stage, "first", LONGEST_S)
    await stage.served()
    took_s = time.monotonic() - since
    await stage.crew.restart(1)
    return took_s


async def readings(stage: Stage) -> dict[str, int]:
    """When everybody's source was last read, by the played clock."""
    rows = stage.rows["readers"].find({}, {"profile": 1, "last_read_ms": 1})
    return {row["profile"]: row.get("last_read_ms", 0) async for row in rows}


async def read_again(stage: Stage, since: dict[str, int], within_s: float) -> float:
    """Once everybody's source has been read again; seconds until the last one was."""

    async def true() -> bool:
        now = await readings(stage)
        return all(now[profile] > read for profile, read in since.items())

    return await until(true, within_s)


@pytest.mark.proof
@pytest.mark.timeout(1200 if LONG else 480)
async def test_people_of_a_worker_that_slept_or_died_are_served_by_another(
    tmp_path: Path, small_cluster: Cluster
) -> None:
    async with staged(tmp_path, small_cluster, "takeover", PLAY) as stage:
        begun_s = await begun(stage)
        await _asleep(stage)
        took_s = await _killed(stage)
        await stage.crew.end()
        offered = shown(stage.house)
        async with stage.checking() as engine:
            await engine.once()
            end = stage.clock.now() - LATE
            history = await examined(stage.house, engine, START - PLAY.before, end, offered)
    within_s = PLAY.lease_s + PLAY.beat_s + max(TAKEOVER_S - LEASE_S - BEAT_S, begun_s)  # on a machine under load
    print(
        f"\n{PEOPLE} people of a killed worker: each read again within {took_s:.1f} s (of {within_s:.0f} s),",
        f"a start took {begun_s:.1f} s;",
        history,
    )
    assert took_s <= within_s
    assert history.clean, history.examples()


async def _asleep(stage: Stage) -> None:
    """The first is stopped while a request of its own is on the wire, until all its people are the second's."""
    held = Fault("wait", wait_s=(PLAY.lease_s + 3) * PLAY.speed)
    stage.house.world.sites["patient1"].faults.append(held)

    async def on_the_wire() -> bool:
        return held.times == 0

    await until(on_the_wire, LONGEST_S)
    stage.crew.stop(0)
    await owned_by(stage, "second", LONGEST_S)
    await read_again(stage, await readings(stage), LONGEST_S)
    tokens = dict(stage.attendance.tokens)
    stage.crew.go_on(0)
    await asyncio.sleep(PLAY.lease_s)
    stage.crew.require_alive(0)
    assert stage.attendance.tokens == tokens, "it took back what was another's"
    assert not stage.attendance.doubly_owned, "it wrote what was another's"
    assert await owners(stage) == {"second"}


async def _killed(stage: Stage) -> float:
    """The second is killed; seconds until the first has read everybody's source again."""
    await stage.crew.kill(1)
    took_s = await read_again(stage, await readings(stage), LONGEST_S)
    assert await owners(stage) == {"first"}
    return took_s
