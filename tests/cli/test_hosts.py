"""Two hosts of a fleet share a database and the vault's key, and no folder."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from benchmarks.peers.day import day
from bridge.settings import FILE_NAME
from tests.cli.test_commands import run
from tests.support.mongod import ReplicaSet


async def test_a_worker_serves_from_a_folder_of_settings_and_key(tmp_path: Path, mongo: ReplicaSet) -> None:
    database = mongo.emptied("two_hosts")
    async with day(tmp_path, 1) as given:
        here, there = tmp_path / "glucobridge", tmp_path / "other host"
        settings = (here / FILE_NAME).read_text()
        (here / FILE_NAME).write_text(settings + f'\n[journal]\nuri = "{mongo.uri}"\ndatabase = "{database}"\n')
        moved = await asyncio.to_thread(run, here, "credentials", "move")
        assert moved.returncode == 0, moved.stderr
        there.mkdir()
        for name in (FILE_NAME, "vault.key"):
            shutil.copy2(here / name, there / name)
        environment = {name: text for name, text in os.environ.items() if not name.startswith("GLUCOBRIDGE")}
        environment["GLUCOBRIDGE__JOURNAL__WORKER"] = "there"
        with (tmp_path / "log").open("wb") as log:
            worker = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bridge", "--data", str(there), "run", env=environment, stderr=log
            )
        try:
            await _until_delivered(given.house.site, tmp_path / "log")
            status = await asyncio.to_thread(run, here, "status", "--json")
            assert json.loads(status.stdout)
            shown = await asyncio.to_thread(run, here, "credentials")
            assert b"p1-carelink-cloud: ok" in shown.stdout
            refused = await asyncio.to_thread(run, here, "credentials", "rotate-key")
            assert b"A worker of the fleet runs: there." in refused.stderr
            assert not (there / "vault").exists()
            worker.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(worker.wait(), 30) == 0
        finally:
            if worker.returncode is None:
                worker.kill()
                await worker.wait()
        turned = await asyncio.to_thread(run, here, "credentials", "rotate-key")
        assert turned.returncode == 0, turned.stderr
        locked = await asyncio.to_thread(run, there, "credentials")
        assert b"vault_locked" in locked.stdout


async def _until_delivered(site: object, log: Path) -> None:
    until = time.monotonic() + 60
    while not site()["entries"]:  # type: ignore[operator]
        assert time.monotonic() < until, log.read_text()
        await asyncio.sleep(0.2)
