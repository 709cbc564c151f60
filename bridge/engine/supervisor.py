"""Keeps loops alive from outside: a loop that ends with an error is reported and started again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bridge.contracts import Clock

FIRST_S, CEILING_S = 1.0, 60.0
STEADY_S = 300.0
"""A loop that ran this long has recovered: the next restart waits briefly again."""


@dataclass(slots=True)
class Crash:
    """A loop that ended with an error."""

    name: str
    error: BaseException
    restart_in_s: float


Loop = Callable[[], Awaitable[None]]


class Supervisor:
    """Runs named loops until `stop`; `crashed` is told of every error (for log and metrics)."""

    def __init__(self, clock: Clock, crashed: Callable[[Crash], None]) -> None:
        self._clock, self._crashed = clock, crashed
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, name: str, loop: Loop) -> None:
        """Run a loop under supervision."""
        task = asyncio.create_task(self._keep(name, loop), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self, name: str, loop: Loop) -> None:
        wait_s = FIRST_S
        while True:
            began = self._clock.monotonic()
            child = asyncio.ensure_future(loop())
            try:
                await asyncio.wait({child})
            finally:
                child.cancel()
            if child.cancelled() or (error := child.exception()) is None:
                return
            wait_s = FIRST_S if self._clock.monotonic() - began > STEADY_S else wait_s
            self._crashed(Crash(name, error, wait_s))
            await self._clock.sleep(wait_s)
            wait_s = min(CEILING_S, wait_s * 2)

    async def stop(self, grace_s: float = 10.0) -> None:
        """Cancel every loop and wait for the ends, at most `grace_s`."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
