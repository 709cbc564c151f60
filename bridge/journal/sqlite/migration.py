"""Numbered schema files bring a journal to the version this program knows; a copy is kept before each."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from bridge.errors import JournalUnusable
from bridge.journal.sqlite.connection import RESTORE, transaction

APPLICATION_ID = 0x676C7562
"""`glub`: marks a file as a journal of ours."""


def schema_files() -> dict[int, str]:
    """SQL by version, `schema/<version>_<name>.sql`."""
    folder = files("bridge.journal.sqlite").joinpath("schema")
    found = {
        int(entry.name[:4]): entry.read_text("utf-8") for entry in folder.iterdir() if entry.name.endswith(".sql")
    }
    return dict(sorted(found.items()))


def version(db: sqlite3.Connection) -> int:
    """The schema version of a file; 0 for an empty one."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def check(db: sqlite3.Connection, path: Path, newest: int) -> None:
    """Raise JournalUnusable unless the file is empty or a journal of ours that this program knows."""
    with transaction(db, write=False):
        found = version(db)
        marked = db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
        empty = not found and db.execute("SELECT 1 FROM sqlite_master").fetchone() is None
    if found > newest:
        sentence = f"The journal {path} was written by a newer version of this program (schema {found})."
        raise JournalUnusable(sentence, next_step="Install that version again, or restore a backup made before it.")
    if not (marked or empty):
        raise JournalUnusable(f"{path} is a database of another program.", next_step="Name another data folder.")


def check_integrity(db: sqlite3.Connection, path: Path) -> None:
    """Raise JournalUnusable when a page, row or index of the file is damaged."""
    answer = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if answer != "ok":
        sentence = f"The journal {path} is damaged: {answer}."
        raise JournalUnusable(sentence, next_step=RESTORE)


def migrate(db: sqlite3.Connection, path: Path, schemas: dict[int, str]) -> None:
    """Run what is missing. A new journal is made in one transaction; an older one is brought on file by file, a copy
    before each. Safe when many processes open at once."""
    if version(db) == 0:
        _run(db, 0, schemas)
    for number, script in schemas.items():
        if (held := version(db)) < number:
            copy(db, path.with_name(f"{path.name}.before-{number}"))
            _run(db, held, {number: script})


def _run(db: sqlite3.Connection, held: int, scripts: dict[int, str]) -> None:
    """These files in one transaction, unless another process was faster."""
    with transaction(db, write=True):
        if version(db) != held:
            return
        for number, script in scripts.items():
            for statement in _statements(script):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _statements(script: str) -> Iterator[str]:
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


def copy(source: sqlite3.Connection, target: Path) -> None:
    """A consistent, checked copy in one file, also while others write. Replaces `target` only when it is whole."""
    handle, name = tempfile.mkstemp(".unfinished", f"{target.name}.", target.parent)
    os.close(handle)
    unfinished = Path(name)
    try:
        _copied(source, unfinished)
        unfinished.replace(target)
        _sync_folder(target.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def _copied(source: sqlite3.Connection, target: Path) -> None:
    into = sqlite3.connect(target, isolation_level=None)
    try:
        source.backup(into)
        into.execute("PRAGMA journal_mode = DELETE")
        answer = into.execute("PRAGMA integrity_check(1)").fetchone()[0]
    finally:
        into.close()
    if answer != "ok":
        raise JournalUnusable(
            f"The copy {target} came out damaged: {answer}.", next_step="Look at the disk, then try again."
        )


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
