"""Cuts a long export into exports of some weeks, so that years of rows are never in memory at one time.

A piece is the export with most of its rows blanked: line numbers stay. It has the days of its own, some days on
both sides, and the rows that speak for the whole file: clock changes, settings, and both ends of the log. What
leaves doubt is not cut.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from heapq import heappush, heappushpop
from itertools import accumulate

from bridge.errors import Malformed
from bridge.readers.carelink_csv.dates import YMD, Dates, is_year_first, proven_order, stated_order
from bridge.readers.carelink_csv.g1_basals import START
from bridge.readers.carelink_csv.g1_rows import CHANGES, kind_of, places_of, stamp_of, upload_of
from bridge.readers.carelink_csv.g1_settings import CHANGING, is_settings_row
from bridge.readers.carelink_csv.g2_rows import NEW_TIME
from bridge.readers.carelink_csv.layout import DATE, TIME, Layout, Table, layout_of
from bridge.readers.carelink_csv.lines import cells_of, text_of
from bridge.readers.carelink_csv.privacy import redact

ROWS = 4_000
"""A piece has so many rows of its own, or a week of them."""
_WEEK, MARGIN = 7, 3
"""Days: the shortest piece, and what a piece has before and after its own."""
_ENDS, _NEWEST, _STARTS = 60, 100, 3
"""Rows that all pieces have: the file's last, the log's newest, and the first starts of a schedule."""
_ODD = 20
"""So few damaged dates never are most of a piece's."""
_ASTRAY, _RESET = timedelta(hours=20), timedelta(hours=24)
"""Clocks that were further off than this, or were set so far at once, leave doubt."""
_MOST_KEPT = 0.5
"""Where all pieces need more of the rows than this, cutting saves little."""
_HEADS = ("Index", '"Index', "-------", '"-------')
_NOTHING = " \t;,"
_NEW_TIME = re.compile(r"\bNEW_TIME=(\d{1,13})\b", re.ASCII)
_DECLARED = re.compile(r"(?<=DEVICE DATA \()\d{1,9}(?= records\))", re.ASCII)
_WALL_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a wall clock has no zone


@dataclass(frozen=True, slots=True)
class Piece:
    """An export in its own right, without the names of persons. Records from `start` until before `end` are its own,
    others its neighbours'."""

    start: datetime
    end: datetime
    body: bytes
    context: Mapping[str, str]

    def owns(self, time: datetime) -> bool:
        """Whether a record of this time is its own."""
        return self.start <= time < self.end


class Cut:
    """An export in `parts` pieces, oldest first: one when it is short or leaves doubt."""

    def __init__(self, body: bytes, context: Mapping[str, str], rows: int = ROWS) -> None:
        self._body, self._context = body, context
        self._index: _Index | None = None
        self._bounds: Sequence[int] = (0, 0)
        if body.count(b"\n") > rows:
            self._cut(rows)

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return len(self._bounds) - 1

    def seam(self, part: int) -> datetime:
        """Where a part begins."""
        day = date.fromordinal(self._bounds[part])
        return datetime(day.year, day.month, day.day, tzinfo=UTC)

    def piece(self, first: int, last: int) -> Piece:
        """The parts from `first` to `last` as one piece."""
        start = datetime.min.replace(tzinfo=UTC) if first == 0 else self.seam(first)
        end = datetime.max.replace(tzinfo=UTC) if last == self.parts - 1 else self.seam(last + 1)
        if self._index is None:
            return Piece(start, end, redact(self._body), self._context)
        low = 1 if first == 0 else self._bounds[first] - MARGIN
        high = date.max.toordinal() if last == self.parts - 1 else self._bounds[last + 1] + MARGIN
        body = redact(self._index.body(low, high))
        return Piece(start, end, body, {**self._context, "date_order": self._index.order})

    def _cut(self, rows: int) -> None:
        try:
            index = _Index(text_of(self._body), self._context)
        except (_Doubt, Malformed):
            return
        bounds = index.bounds(rows)
        if len(bounds) > 2 and sum(index.kept) < index.count * _MOST_KEPT:
            self._body, self._index, self._bounds = b"", index, bounds


class _Doubt(Exception):
    """Pieces might say something else than the whole."""


@dataclass(slots=True)
class _Change:
    """A row that says the clock was set, as it stands."""

    stamp: tuple[str, str]
    after: str | None


@dataclass(slots=True)
class _Scan:
    """What one walk over the rows gathers. `group`: the device (first generation) or table that a row is of."""

    lines: array[int] = field(default_factory=lambda: array("L"))
    dates: list[str] = field(default_factory=list)
    groups: array[int] = field(default_factory=lambda: array("L"))
    kept: list[int] = field(default_factory=list)
    changes: list[_Change] = field(default_factory=list)
    newest: list[tuple[object, int, int]] = field(default_factory=list)

    def take(self, line: int, date_: str, group: int) -> None:
        """Note a row."""
        self.lines.append(line)
        self.dates.append(date_)
        self.groups.append(group)


class _Index:
    """The text, and of each line its day (0 when it is no row) and whether all pieces have it."""

    def __init__(self, text: str, context: Mapping[str, str]) -> None:
        self._text = text
        self._starts = array("L", [0])
        self._starts.extend(found.end() for found in re.finditer("\n", text))
        self.days = array("L", bytes(self._starts.itemsize * len(self._starts)))
        self.kept = bytearray(len(self._starts))
        self._starts.append(len(text) + 1)
        layout, headers = self._outline(context)
        scan = _scanned(layout, self._rows(layout, headers))
        first_generation = layout.generation == 1
        self.order = _first_order(scan, layout, context) if first_generation else _second_order(scan)
        dates = Dates(self.order)
        _refuse_astray(scan.changes, dates, first_generation)
        self._place(scan, dates)
        self.count = len(scan.lines)
        self._keep_ends(scan, 2 if scan.changes else 1)

    def bounds(self, rows: int) -> list[int]:
        """The days that parts begin with, and the day after the last."""
        counts = Counter(self.days)
        del counts[0]
        days = sorted(counts)
        found, held = [days[0]], 0
        for day in days:
            if held >= rows and day - found[-1] >= _WEEK:
                found.append(day)
                held = 0
            held += counts[day]
        return [*found, days[-1] + 1]

    def body(self, low: int, high: int) -> bytes:
        """The export with the rows of these days (`high` exclusive), all other lines blank."""
        days, kept = self.days, self.kept
        chosen = [line for line, day in enumerate(days) if kept[line] or low <= day < high]
        dropped = self.count - sum(days[line] > 0 for line in chosen)
        parts, at = list[str](), 0
        for line in chosen:
            shown = self._line(line)
            if not days[line]:
                shown = _DECLARED.sub(lambda found: str(max(0, int(found[0]) - dropped)), shown)
            parts += ("\n" * (line - at), shown)
            at = line
        return "".join(parts).encode(errors="replace")

    def _line(self, number: int) -> str:
        return self._text[self._starts[number] : self._starts[number + 1] - 1]

    def _outline(self, context: Mapping[str, str]) -> tuple[Layout, list[int]]:
        """The layout of the lines that are no rows, and which of them are headers."""
        outline, headers = list[str](), list[int]()
        for number in range(len(self.days)):
            line = self._line(number)
            is_head = line.startswith(_HEADS)
            if is_head and "Index" in line[:6]:
                headers.append(number)
            self.kept[number] = bool(line) and (is_head or not headers)
            outline.append(line if self.kept[number] else "")
        layout = layout_of(outline, context)
        if len(layout.tables) != len(headers) or any(table.rows for table in layout.tables):
            raise _Doubt
        return layout, headers

    def _rows(self, layout: Layout, headers: Sequence[int]) -> Iterator[tuple[int, int, list[str] | None]]:
        """Line, table and cells of each row; None for cells that cannot be told apart."""
        table = -1
        following = iter([*headers, len(self.days)])
        header = next(following)
        for number in range(len(self.days)):
            if number == header:
                table, header = table + 1, next(following)
            elif table >= 0 and not self.kept[number] and (line := self._line(number)).strip(_NOTHING):
                yield number, table, _cells(line, layout.tables[table], layout.delimiter)

    def _place(self, scan: _Scan, dates: Dates) -> None:
        """Give rows their days; a row without one has that of the row above it."""
        known = {text: _day(text, dates) for text in set(scan.dates)}
        day = next((known[text] for text in scan.dates if known[text]), 0)
        if not day:
            raise _Doubt
        for line, text in zip(scan.lines, scan.dates, strict=True):
            day = self.days[line] = known[text] or day

    def _keep_ends(self, scan: _Scan, days: int) -> None:
        """Rows that all pieces have: those found by the way, and the first and last days of each group."""
        found: dict[int, set[int]] = {}
        for line, group in zip(scan.lines, scan.groups, strict=True):
            found.setdefault(group, set()).add(self.days[line])
        ends = {group: {*sorted(held)[:days], *sorted(held)[-days:]} for group, held in found.items()}
        latest = _latest(Counter(self.days[line] for line in scan.lines))
        for line, group in zip(scan.lines, scan.groups, strict=True):
            if self.days[line] >= latest or self.days[line] in ends[group]:
                self.kept[line] = 1
        for line in (*scan.lines[:1], *scan.lines[-_ENDS:], *scan.kept, *(line for _, _, line in scan.newest)):
            self.kept[line] = 1


def _cells(line: str, table: Table, delimiter: str) -> list[str] | None:
    try:
        cells = cells_of(line, delimiter)
    except Malformed:
        return None
    width = len(table.columns)
    if len(cells) > width:
        raise _Doubt
    return cells + [""] * (width - len(cells))


def _latest(counts: Counter[int]) -> int:
    """The first of the last days that have enough rows together."""
    held = 0
    for day in sorted(counts, reverse=True):
        held += counts[day]
        if held >= _ENDS:
            return day
    raise _Doubt


def _day(text: str, dates: Dates) -> int:
    try:
        return dates.wall(text, "00:00").toordinal()
    except Malformed:
        return 0


# --- what a walk gathers ---------------------------------------------------------------------------

_Row = tuple[int, int, list[str] | None]


def _scanned(layout: Layout, rows: Iterable[_Row]) -> _Scan:
    return _scanned_first(layout, rows) if layout.generation == 1 else _scanned_second(layout, rows)


def _scanned_first(layout: Layout, rows: Iterable[_Row]) -> _Scan:
    scan, places, known = _Scan(), places_of(layout), dict[str, str]()
    groups, starts = dict[str, int](), Counter[int]()
    for line, _, cells in rows:
        if cells is None:
            scan.take(line, "", 0)
            continue
        stamp = stamp_of(cells, places)
        group = groups.setdefault(_cell(cells, places, "Raw-Device Type"), len(groups))
        scan.take(line, known.setdefault(stamp[0], stamp[0]), group)
        _take_place(scan, line, _cell(cells, places, "Raw-Upload ID"), _cell(cells, places, "Raw-Seq Num"))
        kind = _kind(_cell(cells, places, "Raw-Type"))
        starts[group] += kind == START
        if kind in CHANGES:
            told = _NEW_TIME.search(cells[places["Raw-Values"]])
            scan.changes.append(_Change(stamp, told and told[1]))
        is_early = kind == START and starts[group] <= _STARTS
        if is_early or is_settings_row(kind) or kind in CHANGING or kind in CHANGES:
            scan.kept.append(line)
    return scan


def _cell(cells: Sequence[str], places: Mapping[str, int], name: str) -> str:
    at = places.get(name)
    return cells[at].strip() if at is not None else ""


def _kind(text: str) -> str:
    try:
        return kind_of(text)
    except Malformed:
        return ""


def _take_place(scan: _Scan, line: int, upload: str, seq: str) -> None:
    """Keep the rows that stand last in the order of the log."""
    placed = bool(upload) and seq.isascii() and seq.isdigit()
    place = (upload_of(upload), -int(seq[:12]), line) if placed else (upload_of(""), line, line)
    if len(scan.newest) < _NEWEST:
        heappush(scan.newest, place)
    else:
        heappushpop(scan.newest, place)


def _scanned_second(layout: Layout, rows: Iterable[_Row]) -> _Scan:
    scan, known = _Scan(), dict[str, str]()
    places = [tuple(_place(table, names) for names in (DATE, TIME, (NEW_TIME,))) for table in layout.tables]
    for line, table, cells in rows:
        if cells is None:
            scan.take(line, "", table)
            continue
        date_at, time_at, new_at = places[table]
        date_, time = cells[date_at].strip(), cells[time_at].strip()
        scan.take(line, known.setdefault(date_, date_), table)
        if new_at >= 0 and (after := cells[new_at].strip()):
            scan.changes.append(_Change((date_, time), after))
            scan.kept.append(line)
    return scan


def _place(table: Table, names: Sequence[str]) -> int:
    return next((at for at, column in enumerate(table.columns) if column.name in names), -1)


# --- doubt -----------------------------------------------------------------------------------------


def _first_order(scan: _Scan, layout: Layout, context: Mapping[str, str]) -> str:
    """What the whole file proves. Nights are not needed: a file that is cut has days above twelve."""
    order = stated_order(context) or proven_order(scan.dates, (), layout.preamble_dates)
    if order is None:
        raise _Doubt
    return order


def _second_order(scan: _Scan) -> str:
    if sum(not is_year_first(text) for text in scan.dates) > _ODD:
        raise _Doubt
    return YMD


def _refuse_astray(changes: Iterable[_Change], dates: Dates, first_generation: bool) -> None:
    """Doubt where a clock was reset, or summed up changes move it by most of a day."""
    steps: dict[datetime, timedelta] = {}
    for change in changes:
        if change.after is None:
            raise _Doubt
        before = dates.wall(*change.stamp)
        after = (
            _WALL_EPOCH + timedelta(milliseconds=int(change.after)) if first_generation else dates.stamp(change.after)
        )
        steps.setdefault(after, after - before)
    moved = accumulate(steps[after] for after in sorted(steps, reverse=True))
    if any(abs(step) > _RESET for step in steps.values()) or any(abs(sum_) > _ASTRAY for sum_ in moved):
        raise _Doubt
