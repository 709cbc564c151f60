"""Runs one program without a shell, and ends it with everything that it started."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL

from bridge.contracts import Clock

GRACE_S = 10.0
"""Between asking a program to end and killing it."""
_NEW_GROUP = 0x200
"""CREATE_NEW_PROCESS_GROUP."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that is over. `code` None: it was ended after `after_s` seconds."""

    code: int | None
    after_s: float


@dataclass(frozen=True, slots=True)
class NotStarted:
    """A program that could not be started, and why, in one sentence."""

    why: str


async def run(
    argv: Sequence[str], cwd: Path | None, env: Mapping[str, str], timeout_s: float, clock: Clock
) -> Ended | NotStarted:
    """Run to its end or to the time limit. When this is cancelled, the program is ended too."""
    began = clock.monotonic()
    try:
        process = await _started(argv, cwd, env)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "its settings do not fit"
        return NotStarted(f"{Path(argv[0]).name} could not be started: {why}.")
    try:
        over = await _within(process, timeout_s, clock)
    finally:
        if process.returncode is None:
            await _end(process, clock)
    return Ended(process.returncode if over else None, clock.monotonic() - began)


async def _started(argv: Sequence[str], cwd: Path | None, env: Mapping[str, str]) -> asyncio.subprocess.Process:
    """In a process group of its own, with nothing to read and nobody listening."""
    windows = sys.platform == "win32"
    return await asyncio.create_subprocess_exec(
        *argv, cwd=cwd, env=dict(env), stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL,
        start_new_session=not windows, creationflags=_NEW_GROUP if windows else 0,
    )  # fmt: skip


async def _within(process: asyncio.subprocess.Process, seconds: float, clock: Clock) -> bool:
    """Whether it ended by itself in time."""
    ended, late = asyncio.ensure_future(process.wait()), asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({ended, late}, return_when=asyncio.FIRST_COMPLETED)
        return ended.done()
    finally:
        for waiting in (ended, late):
            waiting.cancel()
        await asyncio.wait({ended, late})


async def _end(process: asyncio.subprocess.Process, clock: Clock) -> None:
    """Ask the whole group to end, then kill what is left of it."""
    await _signal(process, kill=False)
    await _within(process, GRACE_S, clock)
    await _signal(process, kill=True)
    await process.wait()


async def _signal(process: asyncio.subprocess.Process, *, kill: bool) -> None:
    if sys.platform == "win32":
        await _taskkill(process.pid, kill=kill)
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL if kill else signal.SIGTERM)


async def _taskkill(pid: int, *, kill: bool) -> None:
    """Windows has no signals for a group: its own tool ends a process and its children."""
    force = ("/F",) if kill else ()
    tool = await asyncio.create_subprocess_exec(
        "taskkill", "/T", *force, "/PID", str(pid), stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
    )
    await tool.wait()
