"""Copies of a whole journal, made and brought back."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path

from bridge.errors import JournalUnusable
from bridge.journal.sqlite.connection import connect, plain_errors
from bridge.journal.sqlite.migration import check, copy, schema_files, version

_SIDES = ("", "-wal", "-shm")


def backup_journal(source: Path, target: Path) -> None:
    """Copy a journal into one file while others write to it. The copy is of one moment and checked.

    Raises JournalUnusable when there is nothing to copy or the copy is damaged.
    """
    with plain_errors(source), closing(_opened(source)) as db:
        copy(db, target)


def restore_journal(source: Path, target: Path) -> None:
    """Put a backup in a journal's place; what was there stays beside it as `<name>.before-restore`.

    No process may have the journal open: the caller holds the data folder's lock.
    Raises JournalUnusable, and changes nothing, when the backup is no whole journal this program knows.
    """
    with plain_errors(source), closing(_opened(source)) as db:
        ready = target.with_name(f"{target.name}.restored")
        copy(db, ready)
    with plain_errors(target):
        for side in _SIDES:
            before = target.with_name(f"{target.name}.before-restore{side}")
            before.unlink(missing_ok=True)
            if (now := target.with_name(f"{target.name}{side}")).exists():
                now.replace(before)
        ready.replace(target)


def _opened(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise JournalUnusable(f"There is no journal at {path}.", next_step="Name the file that holds it.")
    with ExitStack() as undo:
        db = connect(path, read_only=True)
        undo.callback(db.close)
        check(db, path, max(schema_files()))
        if version(db):
            undo.pop_all()
            return db
    raise JournalUnusable(f"{path} is empty.", next_step="Name the file that holds the journal.")
