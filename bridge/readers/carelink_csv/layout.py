"""What kind of export a file is: generation, delimiter, glucose unit, devices, and where its tables stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mode

from bridge.errors import Malformed
from bridge.model.records import Device
from bridge.readers.carelink_csv.lines import cells_of
from bridge.readers.carelink_csv.making import MAKER
from bridge.readers.carelink_csv.numbers import MGDL, MMOL

RAW_TYPE = ("Raw-Type", "Roh-Typ")
RAW_VALUES = ("Raw-Values", "Roh-Werte")
DATE = ("Date", "Datum", "Fecha", "Data", "Dato", "Päivämäärä")
TIME = ("Time", "Zeit", "Uhrzeit", "Hora", "Heure", "Ora", "Tijd", "Tid", "Tidspunkt", "Aika")
FIRST_LINE = "Medtronic Diabetes CareLink"
_SECTION_MARK = "-------"
_HEADER_STARTS = ("Index", '"Index')
_DECLARED = re.compile(r"DEVICE DATA \((\d{1,9}) records\)", re.ASCII)
_UNIT = re.compile(r"\(([^()]*)\)\s*$")
_UNITS = {"mg/dl": MGDL, "mmol/l": MMOL}
_NOT_OURS = "Choose the CSV file that CareLink exported (Reports, then Data Export)."
_ENGLISH = "Set CareLink's language to English and export again."
_SAY_UNIT = "Say which unit the glucose values have: mg/dL or mmol/L."


@dataclass(frozen=True, slots=True)
class Column:
    """A header cell: its name without the unit in brackets, and that unit."""

    name: str
    unit: str


@dataclass(slots=True)
class Table:
    """One header row and the lines below it. `device` as the section or the preamble names it."""

    columns: tuple[Column, ...]
    rows: list[tuple[int, str]]
    section: str = ""
    device: Device | None = None
    unit: str | None = None

    def split(self, delimiter: str) -> Iterator[tuple[int, list[str] | Malformed]]:
        """Line and cells of each row, or what is wrong with it. A cell too many means that cells are shifted."""
        width = len(self.columns)
        usual = max(width, mode(text.count(delimiter) for _, text in self.rows) + 1) if self.rows else width
        for line, text in self.rows:
            try:
                cells = cells_of(text, delimiter)
            except Malformed as why:
                yield line, why
                continue
            if len(cells) > usual or any(map(str.strip, cells[width:])):
                yield line, Malformed("it has more cells than the table has columns")
            else:
                yield line, cells + [""] * (width - len(cells))


@dataclass(slots=True)
class Layout:
    """A file's outline. `sensor` is the sensor model that the preamble names; nothing personal is kept."""

    generation: int
    delimiter: str
    tables: list[Table]
    devices: tuple[Device, ...] = ()
    sensor: str | None = None
    unit: str | None = None
    declared_rows: int | None = None
    preamble_dates: tuple[str, ...] = ()


@dataclass(slots=True)
class _Reading:
    """The walk through a file's lines."""

    delimiter: str
    preamble: list[list[str]]
    tables: list[Table] = field(default_factory=list)
    mark: tuple[str, str, str] | None = None


def layout_of(lines: Sequence[str], context: Mapping[str, str]) -> Layout:
    """The outline of an export. Raises Malformed for anything else, and where no unit is known."""
    delimiter, preamble = split_preamble(lines)
    reading = _Reading(delimiter, [[cell.strip() for cell in cells] for cells in preamble])
    for number, line in enumerate(lines[len(preamble) :], start=len(preamble) + 1):
        if line:
            _take(reading, number, line)
    columns = {column.name for table in reading.tables for column in table.columns}
    is_first = lines[0].lstrip('" ').startswith(FIRST_LINE) or not columns.isdisjoint(RAW_TYPE)
    made = _first(reading) if is_first else _second(reading)
    _refuse_strange(made, columns)
    _settle_units(made, context)
    return made


def split_preamble(lines: Sequence[str]) -> tuple[str, list[list[str]]]:
    """The delimiter, and the cells of the lines above the first table. Raises Malformed when there is no table."""
    for at, line in enumerate(lines):
        if line.startswith(_HEADER_STARTS):
            delimiter = max(",;", key=line.count)
            if _is_header(_cells(line, delimiter)):
                above = [_cells(before, delimiter) for before in lines[:at]]
                marked = next((n for n, cells in enumerate(above) if cells[0].startswith(_SECTION_MARK)), at)
                return delimiter, above[:marked]
    raise Malformed("This is not a CareLink CSV export.", next_step=_NOT_OURS)


def _is_header(cells: Sequence[str]) -> bool:
    return len(cells) > 3 and cells[0].strip() == "Index" and cells[1].strip() in DATE and cells[2].strip() in TIME


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return cells_of(line, delimiter)
    except Malformed:
        return line.split(delimiter)


def _take(reading: _Reading, number: int, line: str) -> None:
    if line.lstrip('"').startswith(_SECTION_MARK):
        cells = [cell.strip() for cell in _cells(line, reading.delimiter)] + [""] * 4
        reading.mark = (cells[1], cells[2], cells[3])
        return
    if line.startswith(_HEADER_STARTS) and _is_header(cells := _cells(line, reading.delimiter)):
        reading.tables.append(_table(cells, reading.mark))
    elif reading.tables and line.strip(" \t;,"):
        reading.tables[-1].rows.append((number, line))


def _table(cells: Sequence[str], mark: tuple[str, str, str] | None) -> Table:
    columns = tuple(map(_column, cells))
    model, section, serial = mark or ("", "", "")
    device = device_named(model, serial) if model or serial else None
    unit = next((found for column in columns if (found := _UNITS.get(column.unit.lower()))), None)
    return Table(columns, [], section, device, unit)


def _column(cell: str) -> Column:
    found = _UNIT.search(cell)
    if found is None:
        return Column(cell.strip(), "")
    return Column(cell[: found.start()].strip(), found[1].strip())


def device_named(model: str, serial: str) -> Device:
    """A device by what the file calls it."""
    if model.startswith("Guardian Connect"):
        family = "GUARDIAN"
    elif model.startswith("Paradigm") or re.search(r"\b[57](?:15|22|23|51|54)\b", model):
        family = "PARADIGM"
    else:
        family = "NGP" if re.search(r"MiniMed|\d{3}G", model) else "CGM"
    return Device(manufacturer=MAKER, model=model or None, serial=serial or None, family=family)


def _first(reading: _Reading) -> Layout:
    """The first generation: device lines `<label>:,<model>,#<serial>` anywhere above the table."""
    named = [cells for cells in reading.preamble if len(cells) > 2 and cells[0].endswith(":")]
    devices = tuple(device_named(cells[1], cells[2][1:]) for cells in named if cells[2].startswith("#"))
    dated = ("Report Range", "Data Range", "Data Exported on")
    dates = (cell.partition(" ")[0] for cells in reading.preamble if cells[0] in dated for cell in cells[1:])
    counts = (found[1] for cells in reading.preamble if (found := _DECLARED.match(cells[0])))
    declared = next(counts, None)
    return Layout(
        generation=1,
        delimiter=reading.delimiter,
        tables=reading.tables,
        devices=devices,
        unit=reading.tables[0].unit,
        declared_rows=None if declared is None else int(declared),
        preamble_dates=tuple(dates),
    )


def _second(reading: _Reading) -> Layout:
    """The second generation: labels in the preamble, each followed by its value; sections name their device."""
    models, serials = _after("Device", reading.preamble), _after("Serial Number", reading.preamble)
    devices = tuple(map(device_named, models, serials + [""] * (len(models) - len(serials))))
    for table in reading.tables:
        table.device = table.device or (devices[0] if len(devices) == 1 else device_named("", ""))
        if not table.device.serial and len(devices) == 1:
            table.device = table.device.model_copy(update={"serial": devices[0].serial})
    return Layout(
        generation=2,
        delimiter=reading.delimiter,
        tables=reading.tables,
        devices=devices,
        sensor=next(iter(_after("CGM", reading.preamble)), None),
        unit=next((table.unit for table in reading.tables if table.unit), None),
    )


def _after(label: str, preamble: Iterable[Sequence[str]]) -> list[str]:
    return [
        cells[at + 1] for cells in preamble for at, cell in enumerate(cells[:-1]) if cell == label and cells[at + 1]
    ]


def _refuse_strange(made: Layout, columns: set[str]) -> None:
    if made.generation == 1 and columns.isdisjoint(RAW_TYPE):
        raise Malformed("This export has no raw columns.", next_step=_NOT_OURS)
    if made.generation == 2 and columns.isdisjoint(("Basal Rate", "Sensor Glucose", "BG Reading", "Bolus Type")):
        raise Malformed("The columns of this export are in a language that is not known.", next_step=_ENGLISH)


def _settle_units(made: Layout, context: Mapping[str, str]) -> None:
    stated = _UNITS.get(context.get("unit", "").lower())
    for table in made.tables:
        table.unit = table.unit or made.unit or stated
        if table.unit is None:
            raise Malformed("This export does not say the unit of its glucose values.", next_step=_SAY_UNIT)
    made.unit = made.unit or stated
