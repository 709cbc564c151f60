"""One process and its children: how long, how much processor time, how much memory at most."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.peers.asked import Start

_LOOK_S, _END_S = 0.2, 10.0
_PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR")


@dataclass(frozen=True)
class Cost:
    """`ended`: its exit code, or None when its time was over. `peak_mb`: resident, of all processes together, as
    seen five times a second; pages that they share count in each."""

    ended: int | None
    wall_s: float
    cpu_s: float
    peak_mb: float


async def run(start: Start, folder: Path, seconds: float) -> Cost:
    """Start it in `folder`, where its output goes into `log`, and watch it until its end. Nothing else may be a child
    of this process meanwhile: processor time is that of all ended children."""
    for path, text in start.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | start.environment
    before, began = _children_s(), time.monotonic()
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *start.command, cwd=folder, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    try:
        peak, over = await _watched(process, began + seconds)
        wall_s = time.monotonic() - began
    finally:
        await _end(process)
    code = None if over else process.returncode
    return Cost(code, wall_s, _children_s() - before, peak)


async def _watched(process: asyncio.subprocess.Process, until: float) -> tuple[float, bool]:
    """(most memory, whether its time was over)."""
    peak = 0.0
    while process.returncode is None:
        if time.monotonic() >= until:
            return peak, True
        peak = max(peak, _resident_mb(process.pid))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _LOOK_S)
    return peak, False


def _resident_mb(pid: int) -> float:
    total = 0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for each in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += each.memory_info().rss
    return total / 1e6


async def _end(process: asyncio.subprocess.Process) -> None:
    """Asked, then made to; what it left running in its group goes with it."""
    for number, patience_s in ((signal.SIGTERM, _END_S), (signal.SIGKILL, _END_S)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), patience_s)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
