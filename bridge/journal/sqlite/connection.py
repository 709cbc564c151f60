"""One SQLite connection to a journal file: durable, patient with other processes, and its errors in plain words."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.errors import BridgeError, ContractViolation, JournalUnusable, Transient

BUSY_S = 5.0
"""How long one statement waits for another process's short transaction."""

_CACHE_KIB = 32 * 1024
_PRIMARY_CODE = 0xFF
_RETRY_S = 0.01
RESTORE = "Stop the service, keep a copy of the file, then restore the last backup."
_RIGHTS = "Check the owner and the rights of the data folder."


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection in autocommit, WAL with every commit synced. Only its owner may read a file made here."""
    if not read_only:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600))
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
    try:
        _tune(db, read_only=read_only)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _tune(db: sqlite3.Connection, *, read_only: bool) -> None:
    db.execute(f"PRAGMA busy_timeout = {round(BUSY_S * 1000)}")
    db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    if read_only:
        db.execute("PRAGMA query_only = ON")
        return
    _to_wal(db)
    db.execute("PRAGMA synchronous = FULL")


def _to_wal(db: sqlite3.Connection) -> None:
    """WAL for good. SQLite does not wait for the lock this takes when several open a new file at once."""
    give_up = time.monotonic() + BUSY_S
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _PRIMARY_CODE != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(_RETRY_S)
        else:
            return


@contextmanager
def transaction(db: sqlite3.Connection, *, write: bool) -> Iterator[None]:
    """All or nothing. A writing one takes the lock at its start, a reading one sees one moment throughout."""
    db.execute("BEGIN IMMEDIATE" if write else "BEGIN")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


@contextmanager
def plain_errors(path: Path) -> Iterator[None]:
    """SQLite's and the file system's errors as ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translated(path, error) from error
    except OSError as error:
        raise JournalUnusable(f"The journal {path} cannot be opened: {error.strerror}.", next_step=_RIGHTS) from error


def _translated(path: Path, error: sqlite3.Error) -> BridgeError:
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Transient(
                "Another process is writing to the journal for longer than usual.", state="journal_unusable"
            )
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            sentence = f"The disk under the journal {path} is full or fails: {error}."
            return Transient(sentence, next_step="Free some space or look at the disk.", state="journal_unusable")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return JournalUnusable(f"The journal {path} is damaged: {error}.", next_step=RESTORE)
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return JournalUnusable(f"The journal {path} cannot be used: {error}.", next_step=_RIGHTS)
        case _:
            return ContractViolation(f"The journal refused a statement: {error}.")
