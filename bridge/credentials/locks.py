"""Locks between processes: flock on a file, given back by the kernel when the holder dies."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from pathlib import Path

from bridge.errors import Transient

_POLL_S = 0.02


class FileLock:
    """A held lock. Each attempt opens the file anew, so two holders in one process exclude each other as well."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def attempt(cls, path: Path) -> FileLock | None:
        """The lock, or None while another holds it. Raises OSError when the file cannot be opened."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def release(self) -> None:
        """Give it back; twice is harmless."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def take(path: Path, deadline_s: float, what: str) -> FileLock:
    """The lock, waiting at most that long, for holders of milliseconds. Raises Transient naming `what`."""
    until = time.monotonic() + deadline_s
    while True:
        lock = _attempt(path, what)
        if lock is not None:
            return lock
        if time.monotonic() >= until:
            raise _busy(what, deadline_s)
        time.sleep(_POLL_S)


async def take_async(path: Path, deadline_s: float, what: str) -> FileLock:
    """The lock without blocking the loop, for holders that wait for a network. Raises Transient naming `what`.

    Asks again and again instead of waiting in a thread: a cancelled wait can then never end in a lock
    that nobody holds.
    """
    until = time.monotonic() + deadline_s
    while True:
        lock = _attempt(path, what)
        if lock is not None:
            return lock
        if time.monotonic() >= until:
            raise _busy(what, deadline_s)
        await asyncio.sleep(_POLL_S)


def _attempt(path: Path, what: str) -> FileLock | None:
    try:
        return FileLock.attempt(path)
    except OSError as error:
        raise Transient(
            f"The lock file for {what} cannot be opened: {error.strerror}.",
            next_step=f"Check that {path.parent} exists and can be written.",
        ) from None


def _busy(what: str, deadline_s: float) -> Transient:
    return Transient(f"Another process has been holding {what} for more than {deadline_s:.0f} s.")
