"""How many requests may be under way to one host at one time: a number that the workers of a fleet divide."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bridge.errors import Throttled

WAIT_S = 60.0
"""So long a request waits for its place before it is put off like one that the host itself refused."""
PER_PROCESS = 8


class HostLimits:
    """Places by host, given out in the order they were asked for.

    `total` is shared by `workers` living workers: each uses total/workers, one at least. While their number changes a
    host may see up to twice the total, for one beat of the leases and as long as what is under way takes. Without a
    total each process has PER_PROCESS.
    """

    def __init__(self, total: int | None = None, workers: Callable[[], int] = lambda: 1) -> None:
        self._total, self._workers = total, workers
        self._taken: Counter[str] = Counter()
        self._waiting: defaultdict[str, deque[asyncio.Future[None]]] = defaultdict(deque)

    @property
    def share(self) -> int:
        """Places of this process at each host."""
        return PER_PROCESS if self._total is None else max(self._total // max(self._workers(), 1), 1)

    @asynccontextmanager
    async def place(self, host: str) -> AsyncIterator[None]:
        """A place while the block runs. Raises Throttled after WAIT_S without one."""
        await self._take(host)
        try:
            yield
        finally:
            self._give_back(host)

    async def _take(self, host: str) -> None:
        if self._taken[host] < self.share and not self._waiting[host]:
            self._taken[host] += 1
            return
        given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[host].append(given)
        try:
            async with asyncio.timeout(WAIT_S):
                await given
        except BaseException as error:
            if given.done() and not given.cancelled():
                self._give_back(host)
            if isinstance(error, TimeoutError):
                raise Throttled(f"Too many requests wait for {host}.", retry_after_s=WAIT_S) from None
            raise

    def _give_back(self, host: str) -> None:
        """Pass the place on. Who waits is never forgotten: somebody has a place as long as anybody waits."""
        self._taken[host] -= 1
        waiting = self._waiting[host]
        while waiting and self._taken[host] < self.share:
            given = waiting.popleft()
            if not given.done():
                self._taken[host] += 1
                given.set_result(None)
        if not waiting and not self._taken[host]:
            del self._waiting[host], self._taken[host]
