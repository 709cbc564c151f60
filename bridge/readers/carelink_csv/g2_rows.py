"""Rows of the second generation: sections of display columns, newest first, each fact once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import floor

from bridge.errors import Malformed
from bridge.model.records import Device
from bridge.readers.carelink_csv.clocks import (
    Clocks,
    Moment,
    UploadKey,
    joined_changes,
    newest_wall,
    year_of_last,
    zone_named,
)
from bridge.readers.carelink_csv.dates import (
    DMY,
    YMD,
    Dates,
    ambiguous,
    is_blank_separated,
    is_doubtful,
    is_year_first,
    minutes_of,
    stated_order,
)
from bridge.readers.carelink_csv.layout import DATE, TIME, Layout, Table
from bridge.readers.carelink_csv.making import Findings
from bridge.readers.carelink_csv.numbers import MMOL, mgdl_of, number

NEW_TIME = "New Device Time"
_SAME_NAMES = {"Alarm": "Alert", "BWZ BG/SG Input": "BWZ BG Input"}
"""Names that older variants have for a column."""
_PLACE_ONLY = ("Index", *DATE, *TIME)
_ONE_UPLOAD: UploadKey = (0, 0, "")


@dataclass(eq=False, slots=True)
class G2Row:
    """One row: its cells that are not empty, by column name without the unit."""

    line: int
    wall: datetime
    cells: Mapping[str, str]
    units: Mapping[str, str]
    device: Device
    glucose_unit: str
    section: str
    stream: str
    order: int
    upload: UploadKey = _ONE_UPLOAD
    moment: Moment = field(init=False)

    def text(self, name: str) -> str:
        """A cell; empty when absent."""
        return self.cells.get(name, "")

    def number(self, name: str) -> float | None:
        """A number, None when absent. Raises Malformed naming the column."""
        text = self.cells.get(name)
        return None if text is None else number(text, name)

    def minutes(self, name: str) -> float | None:
        """Minutes of a span, None when absent."""
        text = self.cells.get(name)
        return None if text is None else minutes_of(text, name)

    def mgdl(self, name: str) -> int | None:
        """Glucose in mg/dL; None when absent or zero, which stands for none."""
        value = self.number(name)
        if not value:
            return None
        return mgdl_of(value) if self.glucose_unit == MMOL else floor(value + 0.5)


def read_rows(layout: Layout, context: Mapping[str, str], findings: Findings) -> tuple[list[G2Row], Clocks, Dates]:
    """All rows, oldest first, each once. Raises Malformed where dates or zone are unknown."""
    zone = zone_named(context)
    dates = Dates(_order(layout, context))
    rows = [row for at, table in enumerate(layout.tables) for row in _section(at, table, layout, dates, findings)]
    last_year = year_of_last(sorted(rows, key=lambda row: row.wall))
    clocks = Clocks(zone, joined_changes(_changes(rows, dates), last_year), newest_wall(rows, last_year))
    for row, moment in zip(rows, clocks.moments(rows), strict=True):
        row.moment = moment
    return _each_once(rows), clocks, dates


def _order(layout: Layout, context: Mapping[str, str]) -> str:
    """Year first in every file seen; another order only when it is stated or beyond doubt."""
    stated = stated_order(context)
    dates = [date for table in layout.tables for date in _dates(table, layout.delimiter)]
    if not dates or sum(map(is_year_first, dates)) * 2 > len(dates):
        return YMD
    if stated:
        return stated
    if sum(map(is_blank_separated, dates)) * 2 > len(dates):
        return DMY
    if sum(map(is_doubtful, dates)) * 2 > len(dates):
        raise ambiguous(next(filter(is_doubtful, dates)))
    return YMD


def _dates(table: Table, delimiter: str) -> Iterable[str]:
    at = _place(table, DATE)
    for _, text in table.rows:
        cells = text.split(delimiter, at + 1)
        if len(cells) > at:
            yield cells[at].strip(' "')


def _place(table: Table, names: Sequence[str]) -> int:
    return next(at for at, column in enumerate(table.columns) if column.name in names)


def _section(at: int, table: Table, layout: Layout, dates: Dates, findings: Findings) -> list[G2Row]:
    """A section's rows, oldest first: they stand newest first."""
    names = [_SAME_NAMES.get(column.name, column.name) for column in table.columns]
    units = dict(zip(names, (column.unit for column in table.columns), strict=True))
    date_at, time_at = _place(table, DATE), _place(table, TIME)
    wanted = [name if name not in _PLACE_ONLY else "" for name in names]
    rows = []
    for line, cells in reversed(list(table.split(layout.delimiter))):
        if isinstance(cells, Malformed):
            findings.reject(line, cells.message)
            continue
        try:
            wall = dates.wall(cells[date_at].strip(), cells[time_at].strip())
        except Malformed as why:
            findings.reject(line, why.message)
            continue
        filled = {name: cell.strip() for name, cell in zip(wanted, cells, strict=False) if cell and name}
        rows.append(
            G2Row(
                line=line,
                wall=wall,
                cells={name: cell for name, cell in filled.items() if cell},
                units=units,
                device=table.device or Device(manufacturer=None, model=None, serial=None, family=None),
                glucose_unit=table.unit or "",
                section=table.section,
                stream=f"{at}",
                order=-line,
            )
        )
    return rows


def new_time(row: G2Row, dates: Dates) -> datetime | None:
    """The wall clock that a row says was set; None when it says none. Raises Malformed for one it cannot read."""
    text = row.text(NEW_TIME)
    return dates.stamp(text) if text else None


def _changes(rows: Iterable[G2Row], dates: Dates) -> list[tuple[G2Row, datetime, bool]]:
    found = []
    for row in rows:
        try:
            after = new_time(row, dates)
        except Malformed:
            continue
        if after is not None:
            found.append((row, after, row.section != "Sensor"))
    return found


def _each_once(rows: Iterable[G2Row]) -> list[G2Row]:
    """Of rows that say the same of the same instant the first: exports repeat rows where their windows overlap."""
    kept: dict[tuple[object, ...], G2Row] = {}
    for row in rows:
        if row.cells:
            fact = (row.device.serial, row.section, row.moment.time, *sorted(row.cells.items()))
            kept.setdefault(fact, row)
    return list(kept.values())
