"""Rows of the first generation: the raw log as CareLink stored it, each fact once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bridge.errors import Malformed
from bridge.model.records import Device
from bridge.readers.carelink_csv.clocks import (
    Change,
    Clocks,
    Moment,
    UploadKey,
    joined_changes,
    newest_wall,
    year_of_last,
    zone_named,
)
from bridge.readers.carelink_csv.dates import Dates, ambiguous, proven_order, stated_order
from bridge.readers.carelink_csv.g1_values import TYPES, Values, current_pairs, pairs_of, values_digest
from bridge.readers.carelink_csv.layout import RAW_TYPE, RAW_VALUES, Layout, device_named
from bridge.readers.carelink_csv.making import Findings
from bridge.readers.carelink_csv.numbers import MMOL, looks_like_mmol, mgdl_of

_WIDTH = 39
_PLACES = {
    "Index": 0, "Date": 1, "Time": 2, "Timestamp": 3, "Alarm": 28, "Raw-Type": 33, "Raw-Values": 34,
    "Raw-ID": 35, "Raw-Upload ID": 36, "Raw-Seq Num": 37, "Raw-Device Type": 38,
}  # fmt: skip
"""Columns that are read, where they stand in a full header whatever its language."""
_NAMES = {"Raw-Type": RAW_TYPE, "Raw-Values": RAW_VALUES, "Date": ("Date", "Datum"), "Time": ("Time", "Zeit")}
_SENSOR_TYPES = frozenset({
    "GlucoseSensorData", "GlucoseSensorDataLow", "GlucoseSensorDataHigh", "SensorCalBG", "SensorCal",
    "SensorCalFactor", "SensorStatus", "SensorSync", "SensorPacket", "SensorError", "SensorTimestamp",
    "SensorWeakSignal", "ChangeTimeGH", "ChangeBatteryEnableGH", "AlarmResetTimeChangeGH",
})  # fmt: skip
"""Rows of the sensor's own log; all others are of the pump's."""
_REWRITTEN = ("AMOUNT", "UNABSORBED_INSULIN_TOTAL")
"""What a later upload can tell anew of a bolus that was still running."""
CHANGES = ("ChangeTime", "ChangeTimeGH")
_LAST_ROWS = 100
"""So many rows at the end of the log hold its newest wall clock."""


@dataclass(eq=False, slots=True)
class G1Row:
    """One row of the log. `order` grows with time within an upload, `same` is the row kept for this fact."""

    line: int
    kind: str
    wall: datetime
    values: Values
    device: Device
    unit: str
    alarm: str
    raw_id: str
    upload: UploadKey
    order: int
    has_place: bool
    index: int | None
    key: str = ""
    moment: Moment = field(init=False)
    same: G1Row = field(init=False)

    @property
    def stream(self) -> str:
        """Which log the row is of."""
        return "sensor" if self.kind in _SENSOR_TYPES else "pump"

    def mgdl(self, key: str = "AMOUNT") -> int | None:
        """Glucose in mg/dL, None when absent."""
        value = self.values.number(key)
        if not value:
            return None
        if self.unit == MMOL and looks_like_mmol(value):
            return mgdl_of(value)
        return round(value)


@dataclass(slots=True)
class G1Log:
    """A file's rows in log order: all, and each fact once; with the clock changes among them."""

    all: list[G1Row]
    rows: list[G1Row]
    changes: list[Change]
    clocks: Clocks


def read_log(layout: Layout, context: Mapping[str, str], findings: Findings) -> G1Log:
    """All rows of a file with their moments. Raises Malformed where dates or zone are unknown."""
    zone = zone_named(context)
    places = places_of(layout)
    split = _split(layout, findings)
    dates = Dates(_order(split, places, layout, context))
    models = _Models(layout)
    rows = [row for line, cells in split if (row := _row(line, cells, places, dates, models, findings)) is not None]
    _warn(layout, rows, findings)
    last_year = year_of_last(rows)
    rows.sort(key=lambda row: (row.upload, row.order) if row.has_place else ((0, 0, ""), row.line))
    changes = joined_changes(_changes(rows), last_year)
    clocks = Clocks(zone, changes, newest_wall(rows[-_LAST_ROWS:], last_year))
    for row, moment in zip(rows, clocks.moments(rows), strict=True):
        row.moment = moment
    return G1Log(rows, _each_once(rows), changes, clocks)


def places_of(layout: Layout) -> dict[str, int]:
    """Where the columns that are read stand. Raises Malformed when those of the raw log are not there."""
    columns = [column.name for column in layout.tables[0].columns]
    if len(columns) == _WIDTH and columns[33] in RAW_TYPE:
        return dict(_PLACES)
    places = {}
    for name in _PLACES:
        known = _NAMES.get(name, (name,))
        at = next((at for at, column in enumerate(columns) if column in known), None)
        if at is not None:
            places[name] = at
    if "Raw-Values" not in places:
        raise Malformed("The raw columns of this export are incomplete.", next_step="Export it again, uncut.")
    return places


def _split(layout: Layout, findings: Findings) -> list[tuple[int, list[str]]]:
    found = []
    for table in layout.tables:
        for line, cells in table.split(layout.delimiter):
            if isinstance(cells, Malformed):
                findings.reject(line, cells.message)
            else:
                found.append((line, cells))
    return found


def _order(
    split: Sequence[tuple[int, list[str]]], places: Mapping[str, int], layout: Layout, context: Mapping[str, str]
) -> str:
    stated = stated_order(context)
    if stated:
        return stated
    stamps = [stamp_of(cells, places) for _, cells in split]
    order = proven_order([date for date, _ in stamps], stamps, layout.preamble_dates)
    if order is None and stamps:
        raise ambiguous(stamps[0][0])
    return order or "mdy"


def stamp_of(cells: Sequence[str], places: Mapping[str, int]) -> tuple[str, str]:
    """Date and time of a row, as written."""
    at = places.get("Timestamp")
    if at is not None:
        date, _, time = cells[at].strip().rpartition(" ")
        return date, time
    return cells[places["Date"]], cells[places["Time"]]


class _Models:
    """Devices by what the rows call them; a serial only where one device line of that model leaves no doubt."""

    def __init__(self, layout: Layout) -> None:
        self._lines = defaultdict[str, set[str]](set)
        for device in layout.devices:
            if device.model and device.serial:
                self._lines[device.model].add(device.serial)
        self._unit = layout.unit or ""
        self._known: dict[str, Device] = {}

    @property
    def unit(self) -> str:
        return self._unit

    def __getitem__(self, model: str) -> Device:
        found = self._known.get(model)
        if found is None:
            serials = self._lines.get(model) or set()
            serial = next(iter(serials)) if len(serials) == 1 else ""
            found = self._known[model] = device_named(model, serial)
        return found


def _row(
    line: int,
    cells: Sequence[str],
    places: Mapping[str, int],
    dates: Dates,
    models: _Models,
    findings: Findings,
) -> G1Row | None:
    def cell(name: str) -> str:
        at = places.get(name)
        return cells[at].strip() if at is not None else ""

    try:
        wall = dates.wall(*stamp_of(cells, places))
        kind = kind_of(cell("Raw-Type"))
        values = Values(current_pairs(kind, pairs_of(cell("Raw-Values"))))
    except Malformed as why:
        findings.reject(line, why.message)
        return None
    upload, seq, index = cell("Raw-Upload ID"), cell("Raw-Seq Num"), cell("Index")
    is_placed = seq.isascii() and seq.isdigit() and bool(upload)
    row = G1Row(
        line=line,
        kind=kind,
        wall=wall,
        values=values,
        device=models[cell("Raw-Device Type")],
        unit=models.unit,
        alarm=cell("Alarm"),
        raw_id=cell("Raw-ID"),
        upload=upload_of(upload),
        order=-int(seq[:12]) if is_placed else line,
        has_place=is_placed,
        index=int(index[:9]) if index.isascii() and index.isdigit() else None,
    )
    row.key = f"{kind}:{wall.isoformat()}:{values_digest(values.pairs)}"
    return row


def kind_of(text: str) -> str:
    """Today's name of a row type. Raises Malformed for none."""
    if not text:
        raise Malformed("`Raw-Type` is empty")
    return TYPES.get(text, text)


def upload_of(text: str) -> UploadKey:
    """What puts uploads in order."""
    if text.isascii() and text.isdigit():
        return (1, int(text[:18]), "")
    return (2 if text else 0, 0, text)


def _changes(rows: Iterable[G1Row]) -> list[tuple[G1Row, datetime, bool]]:
    found = []
    for row in rows:
        if row.kind in CHANGES:
            try:
                found.append((row, row.values.wall("NEW_TIME"), row.kind == "ChangeTime"))
            except Malformed:
                continue
    return found


def _each_once(rows: Sequence[G1Row]) -> list[G1Row]:
    """Of one fact in several uploads the first row; of a bolus retold with more insulin the last."""
    kept: dict[tuple[str, str, str | None, int], G1Row] = {}
    seen = defaultdict[tuple[UploadKey, tuple[str, str, str | None]], int](int)
    for row in rows:
        key = _fact(row)
        nth = seen[row.upload, key]
        seen[row.upload, key] = nth + 1
        first = kept.setdefault((*key, nth), row)
        row.same = first
        if first is not row and row.kind in ("BolusNormal", "BolusSquare"):
            first.values = row.values
    return [row for row in rows if row.same is row]


def _fact(row: G1Row) -> tuple[str, str, str | None]:
    if row.kind not in ("BolusNormal", "BolusSquare"):
        return row.key, "", row.device.serial
    without = values_digest(row.values.pairs, without=_REWRITTEN)
    return f"{row.kind}:{row.wall.isoformat()}", without, row.device.serial


def _warn(layout: Layout, rows: Sequence[G1Row], findings: Findings) -> None:
    declared = layout.declared_rows
    numbers = [row.index for row in rows if row.index is not None]
    is_cut = bool(numbers) and min(numbers) > 1
    if (declared is not None and declared > len(rows)) or is_cut:
        findings.note("file/incomplete", "The file holds fewer rows than CareLink exported: it was cut.")
    kinds = {row.kind for row in rows}
    if len(kinds.intersection(CHANGES)) == 1 and not kinds.isdisjoint(_SENSOR_TYPES):
        text = "Pump and sensor logs do not tell the same clock changes; times before them may be off."
        findings.note("clock/changes-differ", text)
