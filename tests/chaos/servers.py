"""The database under fire: three nodes of its own, on disks that can be filled, killed, stopped and slowed."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pymongo
from pymongo.errors import PyMongoError

from tests.support.mongod import Node, ReplicaSet, _free_ports, _initiate, step_down

DISK_MB = 900
_BUSY = ("--syncdelay", "3")
"""Data is written out every so many seconds: a full disk is met soon."""
_WELL_S = 60.0
_LEFT = "left"
"""The file that takes what is left on a disk."""


@dataclass
class Cluster:
    """`small`: the nodes' disks are small ones of their own, and may be filled; `given_up`: nodes it has ended."""

    servers: ReplicaSet
    small: bool
    given_up: int = 0

    def start_ended(self) -> list[int]:
        """Start what ended; which. Called by the main thread alone: a node dies with the thread that started it."""
        ended = [
            number
            for number, node in enumerate(self.servers.nodes)
            if node.process is None or node.process.poll() is not None
        ]
        for number in ended:
            self.servers.nodes[number].start()
        return ended

    async def step_down(self, random: Random) -> None:
        """The primary gives up and another is elected."""
        await asyncio.to_thread(step_down, self.servers)

    async def kill_node(self, random: Random) -> None:
        """SIGKILL, mostly of the primary; it comes back on its data."""
        nodes = self.servers.nodes
        primary = await asyncio.to_thread(self._primary)
        node = primary if primary is not None and random.random() < 0.75 else random.choice(nodes)
        await asyncio.to_thread(node.stop)
        await asyncio.sleep(random.uniform(0, 3))
        node.start()

    async def slow_disk(self, random: Random) -> None:
        """A node gets on in short pulses only, as one whose disk is slow: simulated by stopping it in between."""
        node, until = random.choice(self.servers.nodes), time.monotonic() + random.uniform(2, 3.5)
        while time.monotonic() < until:
            for number, seconds in ((signal.SIGSTOP, 0.4), (signal.SIGCONT, 0.05)):
                if node.process is not None and node.process.poll() is None:
                    node.process.send_signal(number)
                await asyncio.sleep(seconds)

    async def fill_disk(self, random: Random) -> None:
        """Not a byte left on a node's disk, for longer than it takes to notice; then there is space again."""
        node = random.choice(self.servers.nodes)
        await asyncio.to_thread(_fill, node.folder / _LEFT)
        await asyncio.sleep(random.uniform(4.5, 6))
        (node.folder / _LEFT).unlink()
        self.given_up += len(self.start_ended())

    async def well(self) -> None:
        """Once all three are members in good standing."""
        async with asyncio.timeout(_WELL_S):
            while True:
                self.start_ended()
                if await asyncio.to_thread(self._standing) == 3:
                    return
                await asyncio.sleep(0.2)

    def _standing(self) -> int:
        with suppress(PyMongoError), self._client() as client:
            states = [member["state"] for member in client.admin.command("replSetGetStatus")["members"]]
            return sum(state in {1, 2} for state in states) if 1 in states else 0
        return 0

    def _primary(self) -> Node | None:
        with suppress(PyMongoError), self._client() as client:
            client.admin.command("ping", read_preference=pymongo.ReadPreference.PRIMARY)
            _, port = client.primary or ("", 0)
            return next((node for node in self.servers.nodes if node.port == port), None)
        return None

    def _client(self) -> pymongo.MongoClient[dict[str, Any]]:
        return pymongo.MongoClient(self.servers.uri, timeoutMS=10_000)


def _fill(file: Path) -> None:
    """Write until there is no space."""
    block = bytes(1024 * 1024)
    with file.open("wb", buffering=0) as out, suppress(OSError):
        while True:
            out.write(block)
    with file.open("ab", buffering=0) as out, suppress(OSError):
        while True:
            out.write(block[:4096])


@contextmanager
def cluster(program: Path) -> Iterator[Cluster]:
    """Three new nodes, each with a small disk of its own where this machine lets us mount one."""
    with ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="fire-")))
        ports = enumerate(_free_ports(3))
        nodes = [Node(program, folder / f"node{number}", port, more=_BUSY) for number, port in ports]
        small = all(undo.enter_context(_small_disk(node.folder)) for node in nodes)
        for node in nodes:
            undo.callback(node.stop)
            node.start()
        _initiate(nodes)
        yield Cluster(ReplicaSet(nodes), small)


@contextmanager
def _small_disk(folder: Path) -> Iterator[bool]:
    folder.mkdir()
    mount, umount = shutil.which("mount") or "mount", shutil.which("umount") or "umount"
    command = [mount, "-t", "tmpfs", "-o", f"size={DISK_MB}m", "none", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run([umount, "--lazy", str(folder)], check=False)
