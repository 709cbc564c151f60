"""Sealed credentials as files of one folder: `<name>.enc`, replaced whole and durable or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.contracts import Sealed, Turn
from bridge.credentials.durable import leftover, replace_file, sync_folder
from bridge.credentials.locks import FileLock, take, take_async
from bridge.errors import Transient, VaultLocked

_WRITE_DEADLINE_S = 3.0


class FileTurn:
    """A file's lock: the kernel gives it back when the holder dies, and never before."""

    def __init__(self, lock: FileLock) -> None:
        self._lock = lock

    def check(self) -> None:
        """It stands while it is held."""

    async def release(self) -> None:
        """Give it back; twice is harmless."""
        self._lock.release()


class Folder:
    """A `CredentialStore` of one host. Every call is short, blocking file work; writers exclude each other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(path, error) from None

    async def names(self) -> list[str]:
        """Names of all credentials, sorted."""
        return sorted(path.stem for path in self.path.glob("*.enc") if not path.stem.startswith("."))

    async def stamp(self, name: str) -> str | None:
        """What tells a replaced file from the one before."""
        return self._standing(name)

    async def read(self, name: str) -> Sealed | None:
        """The file's content, with the stamp of that very file."""
        try:
            with self._file(name).open("rb") as file:
                return Sealed(file.read(), _stamp(os.fstat(file.fileno())))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(name, error) from None

    async def write(self, name: str, content: bytes, over: str | None, turn: Turn | None = None) -> bool:
        """Replace the file that has the stamp `over`. A file's lock does not run out: the turn always stands."""
        with self._writing():
            if self._standing(name) != over:
                return False
            try:
                replace_file(self._file(name), content)
            except OSError as error:
                raise _unwritable(self.path, error) from None
            return True

    async def delete(self, name: str) -> bool:
        """Remove the file; whether it was there."""
        path = self._file(name)
        with self._writing():
            known = path.exists()
            try:
                path.unlink(missing_ok=True)
                leftover(path).unlink(missing_ok=True)
                sync_folder(self.path)
            except OSError as error:
                raise _unwritable(self.path, error) from None
        return known

    async def turn(self, name: str, deadline_s: float) -> Turn:
        """The lock of a file beside the credential's."""
        path = self._file(name).with_suffix(".lock")
        return FileTurn(await take_async(path, deadline_s, f"the credential {name}"))

    def note(self, name: str) -> bytes | None:
        """A note of the vault's own, None for nothing."""
        try:
            return self._file(name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(name, error) from None

    def _standing(self, name: str) -> str | None:
        try:
            return _stamp(self._file(name).stat())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(name, error) from None

    def _file(self, name: str) -> Path:
        return self.path / (name if name.startswith(".") else f"{name}.enc")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        lock = take(self.path / ".lock", _WRITE_DEADLINE_S, "the vault")
        try:
            yield
        finally:
            lock.release()


def _stamp(stat: os.stat_result) -> str:
    return f"{stat.st_ino} {stat.st_mtime_ns} {stat.st_size}"


def _unreadable(name: str, error: OSError) -> Transient:
    return Transient(f"{name} cannot be read from the vault: {error.strerror}.", next_step="Check the disk.")


def _unwritable(folder: Path, error: OSError) -> VaultLocked:
    return VaultLocked(
        f"The vault {folder} cannot be written: {error.strerror}.",
        next_step="Free space on the disk or give this user write access; keep the program running until then.",
    )
