"""Keeps loops alive from outside: a loop that ends with an error is reported and started again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bridge.contracts import Clock

FIRST_S, CEILING_S = 1.0, 60.0
STEADY_S = 300.0
"""A loop that ran this long has recovered: the next restart waits briefly again."""
INSIST_S = 5.0
"""A task that has not ended so long after it was cancelled is cancelled again: a driver may swallow one. Until then
it may hand back what it holds."""


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
                await ended(child)
            error = _stray(name) if child.cancelled() else child.exception()
            if error is None:
                return
            wait_s = FIRST_S if self._clock.monotonic() - began > STEADY_S else wait_s
            self._crashed(Crash(name, error, wait_s))
            await self._clock.sleep(wait_s)
            wait_s = min(CEILING_S, wait_s * 2)

    async def stop(self, grace_s: float = 10.0) -> list[str]:
        """Cancel every loop and wait for its end, at most `grace_s`; the names of those that have not ended."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        left = (await asyncio.wait(tasks, timeout=grace_s))[1] if tasks else set()
        return sorted(task.get_name() for task in left)


def _stray(name: str) -> BaseException:
    """Nobody here cancelled the loop: a driver let a cancellation of its own out."""
    return RuntimeError(f"the loop {name!r} was cancelled from within")


async def ended(task: asyncio.Future[None], insist_s: float | None = None) -> BaseException | None:
    """Cancel a task until it has ended; what it raised."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=insist_s or INSIST_S)
    return None if task.cancelled() else task.exception()
