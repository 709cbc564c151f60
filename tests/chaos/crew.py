"""The workers of a run, and what befalls them; the watch over whom they serve."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymongo
from pymongo.errors import PyMongoError

from tests.support.mongod import _DIES_WITH_PARENT, ReplicaSet

ROOT = Path(__file__).parents[2]
_END_S = 40.0
_CALL_MS = 10_000


@dataclass
class Crew:
    """`names` of the workers; a name may be there twice. What they log is in files beside the plan."""

    plan: Path
    names: Sequence[str]
    workers: dict[int, asyncio.subprocess.Process] = field(default_factory=dict)

    async def start(self) -> None:
        for number in range(len(self.names)):
            await self.restart(number)

    async def _started(self, number: int) -> asyncio.subprocess.Process:
        module, plan, name = "tests.chaos.worker", str(self.plan), self.names[number]
        command = [*_DIES_WITH_PARENT, sys.executable, "-m", module, plan, name, str(number)]
        with self.log_file(number).open("ab") as log:
            return await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=log)

    def log_file(self, number: int) -> Path:
        return self.plan.with_name(f"worker {number}.log")

    def require_alive(self, number: int) -> None:
        code = self.workers[number].returncode
        if code is not None:
            end = self.log_file(number).read_text()[-3000:]
            raise AssertionError(f"worker {number} ended by itself ({code}): {end}")

    async def kill(self, number: int) -> None:
        worker = self.workers.pop(number)
        worker.kill()
        await worker.wait()

    async def restart(self, number: int) -> None:
        self.workers[number] = await self._started(number)

    def stop(self, number: int) -> None:
        """It notices nothing until it goes on where it was."""
        self.workers[number].send_signal(signal.SIGSTOP)

    def go_on(self, number: int) -> None:
        self.workers[number].send_signal(signal.SIGCONT)

    def set_clock(self, number: int, seconds: float) -> None:
        """Its wall clock is wrong by so many seconds from now on."""
        new = self.plan.with_name(f"clock {number} new")
        new.write_text(str(seconds))
        new.replace(self.plan.with_name(f"clock {number}"))

    async def end(self) -> float:
        """All are asked to end; how long it took them."""
        begun = time.monotonic()
        for number, worker in self.workers.items():
            self.require_alive(number)
            worker.terminate()
        async with asyncio.timeout(_END_S):
            codes = [await worker.wait() for worker in self.workers.values()]
        assert set(codes) <= {0, -signal.SIGTERM}, codes  # the second: it had not begun yet
        return time.monotonic() - begun

    async def destroy(self) -> None:
        """Whatever is left of them goes."""
        for worker in self.workers.values():
            if worker.returncode is None:
                worker.kill()
                await worker.wait()


@dataclass
class Attendance:
    """When each person was last written for, and the longest anybody waited, seconds of this machine.

    `writers`: whose writes were taken under each fencing token of a person. Two of them were owners at once.
    """

    seen: dict[str, float] = field(default_factory=dict)
    longest_s: float = 0.0
    handed_over: int = 0
    tokens: dict[str, int] = field(default_factory=dict)
    writers: dict[tuple[str, int], set[str]] = field(default_factory=dict)

    def told(self, profile: str, changed: Mapping[str, Any], now: float) -> None:
        """One change of a profile's document, in the order of the journal."""
        if "token" in changed:
            self.handed_over += 1
            self.tokens[profile] = changed["token"]
        if "mark" in changed:
            self.longest_s = max(self.longest_s, now - self.seen.get(profile, now))
            self.seen[profile] = now
            if (token := self.tokens.get(profile)) is not None:
                self.writers.setdefault((profile, token), set()).add(changed["mark"].split()[0])

    @property
    def doubly_owned(self) -> list[str]:
        return [f"{profile} token {token}" for (profile, token), names in self.writers.items() if len(names) > 1]


@asynccontextmanager
async def attended(servers: ReplicaSet, database: str) -> AsyncIterator[Attendance]:
    """Follows the journal's changes until the end of the block."""
    attendance, over = Attendance(), asyncio.Event()
    async with pymongo.AsyncMongoClient[dict[str, Any]](servers.uri, timeoutMS=_CALL_MS) as client:
        watching = asyncio.create_task(_watch(client[database]["profiles"], attendance, over))
        try:
            yield attendance
        finally:
            over.set()
            async with asyncio.timeout(_END_S):
                await watching


async def _watch(profiles: Any, attendance: Attendance, over: asyncio.Event) -> None:
    """From where it was when the database did not answer."""
    token: Any = None
    while not over.is_set():
        with suppress(PyMongoError):
            async with await profiles.watch(max_await_time_ms=500, resume_after=token) as stream:
                while not over.is_set():
                    change, token = await stream.try_next(), stream.resume_token
                    if change is not None and change["operationType"] == "update":
                        changed = change["updateDescription"]["updatedFields"]
                        attendance.told(change["documentKey"]["_id"], changed, time.monotonic())
        await asyncio.sleep(0.1)
