"""The journal's file: opened, checked, migrated, damaged, full, copied and brought back."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest

from bridge.errors import ContractViolation, JournalUnusable, Transient
from bridge.journal import SqliteJournal, backup_journal, open_journal, restore_journal
from bridge.journal.sqlite import journal as journal_module
from bridge.journal.sqlite import migration
from tests.contracts.journal_backends import MaskingSealer
from tests.contracts.journal_records import CLOUD, NIGHTSCOUT, NOW, TIDEPOOL, batch, capture, glucose
from tests.journal import saved_versions
from tests.support.clock import FakeClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[SqliteJournal]:
    opened = await opened_at(path)
    await opened.register([NIGHTSCOUT, TIDEPOOL])
    yield opened
    await opened.close()


async def opened_at(path: Path, *, read_only: bool = False) -> SqliteJournal:
    return await open_journal(path, clock=FakeClock(NOW), read_only=read_only)


async def made(path: Path, number: int = 1) -> None:
    journal = await opened_at(path)
    await journal.append(batch(*(glucose(minutes) for minutes in range(number)), reader=CLOUD))
    await journal.close()


async def readings(path: Path) -> int:
    journal = await opened_at(path)
    found = [each async for each in journal.records("p1")]
    await journal.close()
    return len(found)


def execute(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(statement)
        db.commit()


# --- opening ---------------------------------------------------------------------------------------


async def test_commits_are_synced_and_only_the_owner_reads(journal: SqliteJournal, path: Path) -> None:
    modes = [journal._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert modes == ["wal", 2]
    if os.name == "posix":
        assert {each.stat().st_mode & 0o777 for each in path.parent.iterdir()} == {0o600}


async def test_many_may_open_a_new_journal_at_once(path: Path) -> None:
    opened = await asyncio.gather(*(opened_at(path) for _ in range(6)))
    done = await asyncio.gather(*(each.append(batch(glucose(5 * n))) for n, each in enumerate(opened)))
    assert [len(each.new) for each in done] == [1] * 6
    for each in opened:
        await each.close()
    assert await readings(path) == 6


async def test_a_read_only_journal_is_not_made(path: Path) -> None:
    with pytest.raises(JournalUnusable, match="no journal") as refused:
        await opened_at(path, read_only=True)
    assert refused.value.next_step
    assert not path.exists()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path: path.write_bytes(b"this is no database at all" * 200), "damaged"),
        (lambda path: execute(path, "CREATE TABLE other (n)"), "another program"),
        (lambda path: path.mkdir(), "cannot be"),
    ],
)
async def test_what_is_no_journal_is_refused(path: Path, spoil: Callable[[Path], None], sentence: str) -> None:
    spoil(path)
    with pytest.raises(JournalUnusable, match=sentence) as refused:
        await opened_at(path)
    assert refused.value.next_step


async def test_a_damaged_page_is_found_at_the_start(path: Path) -> None:
    await made(path, 400)
    text = bytearray(path.read_bytes())
    for page in range(4096 * 12, len(text), 4096):
        text[page : page + 200] = os.urandom(200)
    path.write_bytes(text)
    with pytest.raises(JournalUnusable, match="damaged") as refused:
        await opened_at(path)
    assert "backup" in refused.value.next_step


async def test_a_newer_schema_is_refused(path: Path) -> None:
    await made(path)
    execute(path, "PRAGMA user_version = 999")
    for read_only in (True, False):
        with pytest.raises(JournalUnusable, match="newer version"):
            await opened_at(path, read_only=read_only)


# --- migrations ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", migration.schema_files())
async def test_a_saved_database_of_each_version_opens_twice(path: Path, tmp_path: Path, version: int) -> None:
    saved_versions.restore(version, path)
    fresh = await opened_at(tmp_path / "fresh.db")
    await saved_versions.fill(fresh)
    expected = await saved_versions.told(fresh)
    await fresh.close()
    for _ in range(2):
        journal = await opened_at(path)
        assert await saved_versions.told(journal) == expected
        await journal.close()


@pytest.fixture
def next_schema(monkeypatch: pytest.MonkeyPatch) -> int:
    schemas = migration.schema_files()
    newest = max(schemas) + 1
    schemas[newest] = (
        "-- adds a column;\nALTER TABLE profiles ADD COLUMN note TEXT;\nUPDATE profiles SET note = 'x;y';\n"
    )
    monkeypatch.setattr(journal_module, "schema_files", lambda: schemas)
    return newest


async def test_a_migration_runs_once_and_keeps_a_copy(
    path: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    await made(path, 3)
    newest = request.getfixturevalue("next_schema")
    with pytest.raises(JournalUnusable, match="older version"):
        await opened_at(path, read_only=True)
    for _ in range(2):
        journal = await opened_at(path)
        assert journal._db.execute("SELECT note FROM profiles").fetchall() == [("x;y",)]
        assert migration.version(journal._db) == newest
        await journal.close()
    with closing(sqlite3.connect(tmp_path / f"journal.db.before-{newest}")) as copy:
        assert copy.execute("SELECT count(*) FROM records").fetchone() == (3,)
        assert copy.execute("PRAGMA user_version").fetchone() == (newest - 1,)


async def test_a_failed_migration_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await made(path, 3)
    schemas = migration.schema_files()
    broken = {**schemas, 99: "ALTER TABLE profiles ADD COLUMN note TEXT;\nSELECT nonsense FROM nowhere;\n"}
    monkeypatch.setattr(journal_module, "schema_files", lambda: broken)
    with pytest.raises(ContractViolation, match="nowhere"):
        await opened_at(path)
    monkeypatch.setattr(journal_module, "schema_files", lambda: schemas)
    assert await readings(path) == 3


# --- trouble ---------------------------------------------------------------------------------------


async def test_a_full_disk_is_an_outage_and_leaves_no_half(journal: SqliteJournal) -> None:
    await journal.append(batch(glucose(0)))
    (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
    journal._db.execute(f"PRAGMA max_page_count = {pages}")
    many = batch(*(glucose(5 * n) for n in range(1, 500)))
    with pytest.raises(Transient, match="full") as refused:
        await journal.append(many)
    assert refused.value.next_step
    assert len([each async for each in journal.records("p1")]) == 1
    journal._db.execute("PRAGMA max_page_count = 1073741823")
    assert len((await journal.append(many)).new) == 499


async def test_a_long_writer_elsewhere_is_an_outage(journal: SqliteJournal, path: Path) -> None:
    journal._db.execute("PRAGMA busy_timeout = 20")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Transient, match="Another process"):
            await journal.append(batch(glucose()))
        assert [each async for each in journal.records("p1")] == []
    assert len((await journal.append(batch(glucose()))).new) == 1


async def test_damage_while_running_is_named(journal: SqliteJournal, path: Path) -> None:
    await journal.append(batch(*(glucose(5 * n) for n in range(400))))
    journal._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    journal._db.execute("PRAGMA shrink_memory")
    with path.open("r+b") as file:
        for page in range(4096 * 4, path.stat().st_size, 4096):
            file.seek(page)
            file.write(os.urandom(300))
    with pytest.raises(JournalUnusable, match="damaged"):
        await journal.append(batch(*(glucose(5 * n, mgdl=300) for n in range(400))))


async def test_a_cancelled_caller_leaves_the_journal_whole(journal: SqliteJournal) -> None:
    task = asyncio.create_task(journal.append(batch(*(glucose(5 * n) for n in range(300)))))
    await asyncio.sleep(0.002)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len([each async for each in journal.records("p1")]) in (0, 300)
    assert (await journal.append(batch(glucose(-5)))).new


async def test_no_word_of_a_capture_stands_in_the_file(path: Path, tmp_path: Path) -> None:
    journal = await open_journal(path, clock=FakeClock(NOW), sealer=MaskingSealer())
    secret = b'{"lastName": "Inventedname", "feed": "plain words"}'
    await journal.append(batch(reader=CLOUD, raw=capture(0, secret)))
    raw = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    await journal.close()
    raw += path.read_bytes()
    words = (
        b"Inventedname",
        b"lastName",
        b"plain words",
        b"carelink:eu:patient1",
        b"Europe/Vienna",
        b"\x28\xb5\x2f\xfd",
    )
    assert [word for word in words if word in raw] == []
    assert b"carelink-cloud" in raw


async def test_polls_that_follow_each_other_are_one_stretch(journal: SqliteJournal) -> None:
    for n in range(5):
        await journal.append(batch(reader=CLOUD, covered=(5 * n, 5 * n + 5)))
    assert journal._db.execute("SELECT count(*) FROM coverage").fetchone() == (1,)


# --- copies ----------------------------------------------------------------------------------------


async def test_a_backup_is_one_file_of_one_moment(journal: SqliteJournal, path: Path, tmp_path: Path) -> None:
    target = tmp_path / "copies" / "backup.db"
    target.parent.mkdir()
    await journal.append(batch(*(glucose(5 * n) for n in range(300))))

    async def keep_writing() -> None:
        for n in range(30):
            await journal.append(
                batch(glucose(-5 * n - 5), glucose(-5 * n - 5, profile="p1", key=f"twin {n}", mgdl=300))
            )

    writing = asyncio.create_task(keep_writing())
    await asyncio.to_thread(backup_journal, path, target)
    await writing
    assert [each.name for each in target.parent.iterdir()] == ["backup.db"]
    assert (await readings(target)) % 2 == 0
    assert await readings(target) >= 300


async def test_restore_puts_a_backup_back_and_keeps_what_was_there(path: Path, tmp_path: Path) -> None:
    await made(path, 2)
    backup_journal(path, tmp_path / "backup.db")
    await made(path, 5)
    restore_journal(tmp_path / "backup.db", path)
    assert await readings(path) == 2
    assert await readings(tmp_path / "journal.db.before-restore") == 5
    restore_journal(tmp_path / "backup.db", tmp_path / "new.db")
    assert await readings(tmp_path / "new.db") == 2


@pytest.mark.parametrize("spoilt", [b"", b"no database" * 500])
async def test_a_bad_backup_changes_nothing(path: Path, tmp_path: Path, spoilt: bytes) -> None:
    await made(path, 2)
    bad = tmp_path / "backup.db"
    bad.write_bytes(spoilt)
    with pytest.raises(JournalUnusable):
        restore_journal(bad, path)
    with pytest.raises(JournalUnusable):
        backup_journal(tmp_path / "nothing.db", tmp_path / "copy.db")
    assert await readings(path) == 2
    assert {each.name for each in tmp_path.iterdir()} <= {
        "journal.db",
        "backup.db",
        "journal.db-wal",
        "journal.db-shm",
    }


# --- a second process ------------------------------------------------------------------------------

WRITER = """
import asyncio, sys
from pathlib import Path
from bridge.journal import open_journal
from tests.contracts.journal_records import NOW, batch, glucose
from tests.support.clock import FakeClock

async def main():
    journal = await open_journal(Path(sys.argv[1]), clock=FakeClock(NOW))
    for n in range(20):
        await journal.append(batch(glucose(5 * n, key=f"other {n}", mgdl=300)))
    await journal.close()

asyncio.run(main())
"""


async def test_another_process_writes_beside_this_one(journal: SqliteJournal, path: Path) -> None:
    before = await journal.version()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, str(path))
    number = 0
    while process.returncode is None:
        await journal.append(batch(glucose(-5 * number)))
        number += 1
        await asyncio.sleep(0.005)
    assert await process.wait() == 0
    assert await journal.version() != before
    assert len([each async for each in journal.records("p1")]) == number + 20
    assert [sum(each.counts.values()) for each in await journal.destinations()] == [number + 20] * 2
