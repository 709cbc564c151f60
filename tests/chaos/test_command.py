"""`glucobridge run` as one of a fleet: two processes on one data folder, by settings alone."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import tomlkit

from bridge.engine.clock import SystemClock
from bridge.simulators.carelink_cloud import Person
from bridge.simulators.patient import VirtualPatient
from tests.chaos.servers import Cluster
from tests.support.house import House, built
from tests.support.mongod import _DIES_WITH_PARENT

_END_S = 40.0


async def command(folder: Path, worker: str, *arguments: str) -> asyncio.subprocess.Process:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GLUCOBRIDGE")}
    return await asyncio.create_subprocess_exec(
        *_DIES_WITH_PARENT, sys.executable, "-m", "bridge", "--data", str(folder), *arguments,
        env={**environment, "GLUCOBRIDGE__JOURNAL__WORKER": worker}, stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip


def write_settings(house: House, uri: str, database: str) -> None:
    settings = house.settings.model_dump(exclude_none=True, mode="json")
    settings["journal"] = {"uri": uri, "database": database, "share": 2}
    settings["service"], settings["usb"] = {"port": 0}, {"enabled": False}
    (house.folder / "glucobridge.toml").write_text(tomlkit.dumps(settings))


async def mirrored(house: House) -> None:
    """Once both people's day is at their sites and in Tidepool."""
    async with asyncio.timeout(100):
        while True:
            if all(_there(house, number) for number in (0, 1)):
                return
            await asyncio.sleep(0.1)


def _there(house: House, number: int) -> bool:
    counts = house.counts(number)
    return min(counts.get("entries", 0), counts.get("cbg", 0)) >= 200


async def test_two_processes_share_the_people_and_end_when_asked(tmp_path: Path, small_cluster: Cluster) -> None:
    people = [Person(f"patient{number}", VirtualPatient(number)) for number in (1, 2)]
    async with built(tmp_path, SystemClock(), people) as house:
        write_settings(house, small_cluster.servers.uri, "command")
        moving = await command(tmp_path, "mover", "credentials", "move")
        said = await ended(moving)
        assert moving.returncode == 0, said
        workers = [await command(tmp_path, name, "run") for name in ("one", "two")]
        try:
            await mirrored(house)
            alone = await command(tmp_path, "three", "mirror", "--once")
            said = await ended(alone)
            assert alone.returncode == 2
            assert b"A fleet serves" in said
        finally:
            for worker in workers:
                if worker.returncode is None:
                    worker.terminate()
            logs = [await ended(worker) for worker in workers]
        assert [worker.returncode for worker in workers] == [0, 0], logs
        assert not any(b"Traceback" in log for log in logs)


async def ended(process: asyncio.subprocess.Process) -> bytes:
    """What it said, once it has ended."""
    try:
        async with asyncio.timeout(_END_S):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return said
