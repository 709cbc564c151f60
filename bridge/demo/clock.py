"""A clock that runs faster than life, so that a demo shows an hour in minutes."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta


class FastClock:
    """`speed` seconds of life in one second, from `start` (default: now).

    `began` is the machine's monotonic second of `start`: two processes that share both share the clock.
    """

    def __init__(self, speed: float = 1.0, start: datetime | None = None, began: float | None = None) -> None:
        self._speed, self._start = speed, start or datetime.now(UTC)
        self._began = time.monotonic() if began is None else began
        self._jumped = timedelta()

    def now(self) -> datetime:
        """Aware UTC of the played life."""
        return self._start + self._jumped + timedelta(seconds=(time.monotonic() - self._began) * self._speed)

    def monotonic(self) -> float:
        """Seconds of the played life."""
        return (time.monotonic() - self._began) * self._speed

    async def sleep(self, seconds: float) -> None:
        """Sleep so many seconds of the played life."""
        await asyncio.sleep(seconds / self._speed)

    def jump(self, seconds: float) -> None:
        """The wall clock is set forward or back; `monotonic` does not notice."""
        self._jumped += timedelta(seconds=seconds)
