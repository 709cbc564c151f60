"""A clock that only moves when told to: sleeping tests take no time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta


class FakeClock:
    """Starts at `now`; `sleep` moves it at once, `jump` changes the wall clock alone."""

    def __init__(self, now: datetime = datetime(2026, 3, 10, 6, 0, tzinfo=UTC)) -> None:
        self._now, self._monotonic = now, 1000.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
