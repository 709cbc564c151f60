"""Which number is the month: proven by the file, stated by a person, or refused."""

from __future__ import annotations

from datetime import datetime

import pytest

from bridge.errors import Malformed
from tests.readers.carelink_csv.exports import REVEL, decoded, g1, g1_row, g2, g2_row, wall

VALUES = "AMOUNT=120, ISIG=16.54, VCNTR=null, BACKFILL_INDICATOR=null"
BARE: list[str] = []


def _walls(body: bytes, date_order: str = "") -> list[datetime | None]:
    return [record.device_time for record in decoded(body, date_order=date_order).records]


def _glucose(*stamps: str, seq: int = 50) -> list[str]:
    return [g1_row("GlucoseSensorData", VALUES, at, seq=seq - n) for n, at in enumerate(stamps)]


@pytest.mark.parametrize(
    ("stamps", "first"),
    [
        (("3/6/15 08:00:00", "3/28/15 08:00:00"), wall(2015, 3, 6, 8)),
        (("06/03/15 08:00:00", "28/03/15 08:00:00"), wall(2015, 3, 6, 8)),
        (("06.03.15 08:00:00", "07.03.15 08:00:00"), wall(2015, 3, 6, 8)),
        (("2015/03/06 08:00:00", "2015/03/07 08:00:00"), wall(2015, 3, 6, 8)),
    ],
)
def test_a_day_above_twelve_or_a_dot_or_a_year_proves_the_order(stamps: tuple[str, ...], first: datetime) -> None:
    assert _walls(g1(_glucose(*stamps), preamble=BARE))[0] == first


def test_a_night_between_two_rows_proves_the_order() -> None:
    us = _glucose("4/11/15 23:58:00", "4/12/15 00:03:00")
    eu = _glucose("11/04/15 23:58:00", "12/04/15 00:03:00")
    for rows in (us, eu):
        assert _walls(g1(rows, preamble=BARE)) == [wall(2015, 4, 11, 23, 58), wall(2015, 4, 12, 0, 3)]


def test_dates_of_the_preamble_prove_the_order() -> None:
    rows = _glucose("3/6/15 08:00:00")
    assert _walls(g1(rows)) == [wall(2015, 3, 6, 8)]


def test_dates_that_prove_nothing_are_refused_with_what_to_do() -> None:
    body = g1(_glucose("3/6/15 08:00:00", "3/6/15 08:05:00"), preamble=BARE)
    with pytest.raises(Malformed, match=r"month first or day first") as told:
        decoded(body)
    assert "date order" in told.value.next_step
    assert _walls(body, date_order="mdy")[0] == wall(2015, 3, 6, 8)
    assert _walls(body, date_order="dmy")[0] == wall(2015, 6, 3, 8)


def test_one_date_that_is_the_same_either_way_needs_no_proof() -> None:
    assert _walls(g1(_glucose("4/4/15 08:00:00"), preamble=BARE)) == [wall(2015, 4, 4, 8)]


def test_one_damaged_date_does_not_change_the_order() -> None:
    rows = _glucose(*(f"3/{day}/15 08:00:00" for day in range(1, 29)), "28/3/15 09:00:00")
    result = decoded(g1(rows, preamble=BARE))
    assert len(result.records) == 28
    assert [diagnostic.code for diagnostic in result.diagnostics] == ["row/rejected"]


@pytest.mark.parametrize("at", ["2025/01/02 10:00:00", "2025-01-02 10:00:00"])
def test_second_generation_puts_the_year_first(at: str) -> None:
    assert _walls(g2([g2_row(at, Rewind="Rewind")])) == [wall(2025, 1, 2, 10)]


def test_second_generation_with_blanks_puts_the_day_first() -> None:
    row = g2_row("2025/01/02 10:00:00", Rewind="Rewind").replace("2025/01/02", "02 01 2025")
    assert _walls(g2([row])) == [wall(2025, 1, 2, 10)]


@pytest.mark.parametrize("date", ["02/01/2025", "31/01/2025", "1.2.2025"])
def test_second_generation_in_any_other_form_is_refused_unless_stated(date: str) -> None:
    row = g2_row("2025/01/02 10:00:00", Rewind="Rewind").replace("2025/01/02", date)
    with pytest.raises(Malformed, match="month first or day first"):
        decoded(g2([row]))
    day, month, year = map(int, date.replace(".", "/").split("/"))
    assert _walls(g2([row]), date_order="dmy") == [wall(year, month, day, 10)]


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(Malformed, match="not one of"):
        decoded(g1(_glucose("4/4/15 08:00:00")), date_order="ydm")


@pytest.mark.parametrize("timezone", ["", "Europe/Nowhere", "../etc/passwd", "\0"])
def test_without_a_known_zone_a_file_is_refused(timezone: str) -> None:
    with pytest.raises(Malformed, match="time zone") as told:
        decoded(g1(_glucose("4/4/15 08:00:00")), timezone)
    assert "Europe/Berlin" in told.value.next_step


@pytest.mark.parametrize("at", ["13/13/15 08:00:00", "3/6/15 25:00:00", "3/6/15 8h", "3/6/1815 08:00:00", "x y"])
def test_a_row_without_a_time_harms_only_itself(at: str) -> None:
    rows = [*_glucose("3/6/15 08:00:00", "3/28/15 08:00:00"), g1_row("Rewind", "A=b", at, device=REVEL)]
    result = decoded(g1(rows))
    assert len(result.records) == 2
    [line] = [diagnostic.text for diagnostic in result.diagnostics if diagnostic.code == "row/rejected"]
    assert line.startswith("Line 11: ")
