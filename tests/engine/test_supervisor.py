"""Loops that end with an error start again; loops that are stopped stay stopped."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from bridge.engine import supervisor as supervisor_module
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


async def test_a_stop_lasts_until_loops_have_handed_back_what_they_hold() -> None:
    started, handed_back = asyncio.Event(), False

    async def loop() -> None:
        nonlocal handed_back
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            handed_back = True

    supervisor = Supervisor(FakeClock(), lambda crash: None)
    supervisor.start("loop", loop)
    await asyncio.wait_for(started.wait(), 5)
    assert await supervisor.stop() == []
    assert handed_back


async def test_a_loop_whose_cancellation_was_swallowed_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "INSIST_S", 0.05)
    started, swallowed = asyncio.Event(), 0

    async def loop() -> None:
        nonlocal swallowed
        while swallowed < 2:
            started.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            swallowed += 1
        await asyncio.Event().wait()

    supervisor = Supervisor(FakeClock(), lambda crash: None)
    supervisor.start("loop", loop)
    await asyncio.wait_for(started.wait(), 5)
    assert await asyncio.wait_for(supervisor.stop(), 5) == []
    assert swallowed == 2


async def test_a_stop_ends_in_its_time_and_names_what_goes_on() -> None:
    started, over = asyncio.Event(), asyncio.Event()

    async def loop() -> None:
        while not over.is_set():
            started.set()
            with suppress(asyncio.CancelledError):
                await over.wait()

    supervisor = Supervisor(FakeClock(), lambda crash: None)
    supervisor.start("stubborn", loop)
    await asyncio.wait_for(started.wait(), 5)
    assert await asyncio.wait_for(supervisor.stop(grace_s=0.05), 5) == ["stubborn"]
    over.set()
    assert await supervisor.stop() == []


async def test_a_loop_that_was_cancelled_from_within_is_reported_and_started_again() -> None:
    crashes, runs, again = list[Crash](), 0, asyncio.Event()

    async def loop() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise asyncio.CancelledError("a driver's own")
        again.set()
        await asyncio.Event().wait()

    supervisor = Supervisor(FakeClock(), crashes.append)
    supervisor.start("loop", loop)
    await asyncio.wait_for(again.wait(), 5)
    assert "from within" in str(crashes[0].error)
    assert await supervisor.stop() == []
    assert runs == 2
