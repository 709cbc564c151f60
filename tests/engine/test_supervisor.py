"""Loops that end with an error start again; loops that are stopped stay stopped."""

from __future__ import annotations

import asyncio

from bridge.engine.supervisor import Crash, Supervisor
from tests.support.clock import FakeClock


async def test_a_crashed_loop_is_reported_and_started_again_with_longer_waits() -> None:
    clock, crashes, runs = FakeClock(), list[Crash](), 0
    done = asyncio.Event()

    async def loop() -> None:
        nonlocal runs
        runs += 1
        if runs < 4:
            raise RuntimeError(f"run {runs}")
        done.set()
        await asyncio.Event().wait()

    supervisor = Supervisor(clock, crashes.append)
    supervisor.start("loop", loop)
    await asyncio.wait_for(done.wait(), 5)
    assert [str(crash.error) for crash in crashes] == ["run 1", "run 2", "run 3"]
    assert [crash.restart_in_s for crash in crashes] == [1.0, 2.0, 4.0]
    await supervisor.stop()


async def test_stopping_cancels_the_loop_itself() -> None:
    cancelled, started = asyncio.Event(), asyncio.Event()

    async def loop() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    supervisor = Supervisor(FakeClock(), lambda crash: None)
    supervisor.start("loop", loop)
    await asyncio.wait_for(started.wait(), 5)
    await supervisor.stop()
    await asyncio.wait_for(cancelled.wait(), 5)
