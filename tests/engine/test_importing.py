"""A long export brought in piece by piece has the records of the whole: same ids, same bodies, at every seam too."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.exports import first, second
from bridge.contracts import Interval, Memory, Setup
from bridge.engine import importing
from bridge.engine.importing import Added, Importer
from bridge.errors import Malformed
from bridge.journal import open_journal
from bridge.model import Capture, Record
from bridge.readers.carelink_csv import CareLinkCsvReader, pieces
from tests.readers.carelink_csv.exports import g2, g2_row
from tests.readers.carelink_csv.test_proofs import DAMAGE, FILES, LONG
from tests.support import vectors
from tests.support.clock import FakeClock

BEGIN = datetime(2025, 3, 10)  # noqa: DTZ001 - a wall clock has no zone
BERLIN = {"timezone": "Europe/Berlin"}
CLOCK = FakeClock()


def reader() -> CareLinkCsvReader:
    return CareLinkCsvReader(Setup("p1", {}, CLOCK, random.Random(0)))


def whole(body: bytes, context: dict[str, str]) -> list[Record]:
    capture = Capture("p1", "carelink-csv", "carelink-csv", CLOCK.now(), body, context)
    return list(reader().decode(capture, Memory()).records)


class Taken:
    """An export brought into a new journal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records: list[Record] = []
        self.appended: list[int] = []
        self.captures: list[Capture] = []

    async def take(self, body: bytes, context: dict[str, str], asked: Interval | None = None) -> importing.Imported:
        journal = await open_journal(self.folder / "journal.db", clock=CLOCK)
        try:
            done = await Importer(journal, reader(), "p1", CLOCK).take(body, context, asked)
            self.records = [record async for record in journal.records("p1")]
            self.captures = list(await journal.captures("p1"))
            self.state = (await journal.memory("p1", "carelink-csv")).state
            return done
        finally:
            await journal.close()


def in_pieces(body: bytes, context: dict[str, str], rows: int) -> tuple[int, int, list[Record]]:
    """Parts at most, pieces in the end, and the records of all pieces."""
    importer = Importer(None, reader(), "p1", CLOCK)  # type: ignore[arg-type]
    cut = pieces.Cut(body, context, rows)
    found = [decoded for _, decoded in importer._parts(cut, Memory(), CLOCK.now())]
    records = [record for decoded in found for record in decoded.records]
    assert records == sorted(records, key=lambda record: (record.time, record.id))
    return cut.parts, len(found), records


MADE = {
    "first": lambda days, changes: first(BEGIN, days, changes=changes),
    "second": lambda days, changes: second(BEGIN, days, changes=changes),
}


@pytest.mark.proof
@pytest.mark.timeout(600)
@pytest.mark.parametrize("changes", [False, True], ids=["by zone", "clock set"])
@pytest.mark.parametrize("generation", MADE)
def test_pieces_have_the_records_of_the_whole(generation: str, changes: bool) -> None:
    """A year when long, else some weeks."""
    days = 365 if LONG else 24
    body = MADE[generation](days, changes)
    expected = whole(body, BERLIN)
    parts, made, found = in_pieces(body, BERLIN, 4_000 if LONG else 700)
    print(f"{len(expected)} records, {parts} parts, {made} pieces")
    assert parts > 2
    assert made > parts / 3
    assert found == expected


@pytest.mark.proof
@pytest.mark.parametrize("generation", MADE)
@pytest.mark.parametrize("seed", [1, 2, 3] if LONG else [1, 2])
def test_a_year_of_pump_rows_at_all_seams(generation: str, seed: int) -> None:
    make = first if generation == "first" else second
    body = make(BEGIN, 365 if LONG else 120, sensor=False, changes=seed != 1, seed=seed)
    expected = whole(body, BERLIN)
    kinds = Counter(record.kind for record in expected)
    assert {"bolus", "bolus_calculation", "basal", "meter_glucose"} <= kinds.keys()
    assert any(record.source_key.endswith("#2") for record in expected)
    parts, made, found = in_pieces(body, BERLIN, 100)
    print(f"{len(expected)} records, {parts} parts, {made} pieces")
    assert parts > 10
    assert made > 5
    assert found == expected


@pytest.mark.parametrize("name", FILES)
def test_the_vectors_are_the_same_in_pieces(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut by the day, with a day beside: far smaller than any piece in use."""
    monkeypatch.setattr(pieces, "_WEEK", 1)
    monkeypatch.setattr(pieces, "MARGIN", 2)
    monkeypatch.setattr(pieces, "_MOST_KEPT", 1)
    monkeypatch.setattr(importing, "_COMPARED", timedelta(days=1))
    body, context = vectors.path("carelink-csv", f"{name}.csv").read_bytes(), {"timezone": FILES[name]}
    parts, made, found = in_pieces(body, context, 5)
    print(f"{name}: {parts} parts, {made} pieces")
    assert found == whole(body, context)
    if name == "v1_revel723_week_dst":
        assert parts > 3


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_damaged_files_are_the_same_in_pieces() -> None:
    """What happens to a damaged file happens to its pieces."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice, cut = random.Random(seed), 0
    for _ in range(400 if LONG else 5):
        make = dice.choice((first, second))
        lines = make(BEGIN, 30, sensor=False, changes=True, seed=dice.randrange(9)).decode().split("\r\n")
        body = dice.choice(DAMAGE[2:5])(lines, dice)
        try:
            expected = whole(body, BERLIN)
        except Malformed:
            with pytest.raises(Malformed):
                in_pieces(body, BERLIN, 50)
            continue
        parts, _, found = in_pieces(body, BERLIN, 50)
        cut += parts > 1
        assert found == expected
    assert cut


async def test_the_journal_holds_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = first(BEGIN, 45, sensor=False)
    one, many = Taken(tmp_path / "one"), Taken(tmp_path / "many")
    for each in (one, many):
        each.folder.mkdir()
    told = await one.take(body, BERLIN)
    assert len(one.captures) == 1
    monkeypatch.setattr(pieces.Cut.__init__, "__defaults__", (200,))
    done = await many.take(body, BERLIN)
    assert len(many.captures) > 2
    assert done == told
    assert many.state == one.state
    assert [record.model_dump_json() for record in many.records] == [each.model_dump_json() for each in one.records]
    again = await many.take(body, BERLIN)
    assert again.added == Added(0, 0, len(many.records))
    assert len(again.diagnostics) == len(told.diagnostics)


async def test_kept_pieces_hold_no_persons_and_decode_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces.Cut.__init__, "__defaults__", (200,))
    taken = Taken(tmp_path)
    await taken.take(second(BEGIN, 36, sensor=False), BERLIN)
    assert len(taken.captures) > 2
    ids = {record.id for record in taken.records}
    for capture in taken.captures:
        assert b"Muster" not in capture.body
        assert ids & {record.id for record in reader().decode(capture, Memory()).records}


async def test_a_gap_is_covered_up_to_the_last_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces.Cut.__init__, "__defaults__", (200,))
    covered: list[Interval | None] = []
    body = second(BEGIN, 36, sensor=False)
    last = whole(body, BERLIN)[-1].time
    cover = Importer._cover

    async def noted(self: Importer, span: Interval | None, now: datetime) -> None:
        covered.append(span)
        await cover(self, span, now)

    monkeypatch.setattr(Importer, "_cover", noted)
    start = datetime(2025, 3, 1, tzinfo=UTC)
    await Taken(tmp_path).take(body, BERLIN, Interval(start, last + timedelta(days=2)))
    await Taken(tmp_path).take(body, BERLIN, Interval(start, last + timedelta(minutes=5)))
    assert covered == [Interval(start, last), Interval(start, last + timedelta(minutes=5))]


# --- what is not cut -------------------------------------------------------------------------------


def test_a_suspension_over_a_seam_is_not_torn() -> None:
    rows = [g2_row(f"2025/03/{day:02} 08:00:00", Basal_Rate=f"0.{day}") for day in range(1, 32) if not 8 <= day < 26]
    rows += [g2_row("2025/03/08 09:00:00", Suspend="USER_SUSPEND"), g2_row("2025/03/25 10:00:00", Suspend="RESUME")]
    rows += [
        g2_row(f"2025/03/{day:02} 12:{n:02}:00", BG_Reading=f"{100 + n}") for day in range(1, 32) for n in range(9)
    ]
    body = g2(sorted(rows, key=lambda row: row.split(",")[1:3], reverse=True))
    parts, made, found = in_pieces(body, BERLIN, 60)
    assert (parts, made) == (5, 3)
    assert found == whole(body, BERLIN)
    [long] = [record for record in found if record.kind == "basal" and record.delivery == "suspended"]
    assert long.duration_min == (17 * 24 + 1) * 60


def test_a_reset_clock_and_doubtful_dates_leave_an_export_whole() -> None:
    rows = [
        g2_row(f"2025/03/{day:02} 12:{n:02}:00", BG_Reading=f"{100 + n}")
        for day in range(31, 0, -1)
        for n in range(9)
    ]

    def parts(set_to: str) -> int:
        return pieces.Cut(g2([*rows, g2_row("2025/03/01 10:00:00", New_Device_Time=set_to)]), BERLIN, 60).parts

    assert parts("2025/03/01 11:00:00") > 2
    assert parts("2025/03/01 09:00:00") > 2
    assert parts("2025/03/03 11:00:00") == 1
    assert parts("no date") == 1
    odd = g2(rows).decode().replace("2025/03/", "03/25/")
    assert pieces.Cut(odd.encode(), BERLIN, 60).parts == 1
    wide = g2([*rows, rows[0] + ",x"])
    assert pieces.Cut(wide, BERLIN, 60).parts == 1


def test_short_exports_and_other_files_are_left_alone() -> None:
    body = second(BEGIN, 36, sensor=False)
    alone = pieces.Cut(body, BERLIN).piece(0, 0)
    assert pieces.Cut(body, BERLIN).parts == 1
    assert whole(alone.body, BERLIN) == whole(body, BERLIN)
    assert b"Maria" in body
    assert b"Maria" not in alone.body
    for other in (b"", b"\n" * 9_000, b"a,b\n" * 9_000, bytes(9_000), b"Index,Date,Time,x\n" * 9_000):
        assert pieces.Cut(other, BERLIN, 100).parts == 1
