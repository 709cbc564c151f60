"""One engine per data folder: the second refuses and names the first."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.errors import AlreadyRunning

FILE_NAME = "engine.lock"


@contextmanager
def engine_lock(folder: Path, command: str) -> Iterator[None]:
    """Hold the folder's lock. Raises AlreadyRunning with the holder's command and process id.

    The lock goes with the process, however it ends.
    """
    with (folder / FILE_NAME).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise AlreadyRunning(
                f"The data folder {folder} is in use by {holder}.", next_step="Stop it first, or wait until it ends."
            ) from None
        file.seek(0)
        file.truncate()
        file.write(f"`glucobridge {command}` (process {os.getpid()})")
        file.flush()
        yield
