"""From the lists of an answer to records and what to remember of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.contracts import Diagnostic, Memory, Sighting
from bridge.errors import InvalidRecord
from bridge.model.records import Carbs, Record
from bridge.readers.carelink_cloud.clocks import Clocks
from bridge.readers.carelink_cloud.gathering import BAD_ROW, UNIT_SUSPECT, gather
from bridge.readers.carelink_cloud.glucose import give_arrow
from bridge.readers.carelink_cloud.making import Maker
from bridge.readers.carelink_cloud.markers import SUSPENDED, close_suspensions
from bridge.readers.carelink_cloud.pairing import meals_of_boluses
from bridge.readers.carelink_cloud.placing import Placed, place
from bridge.readers.carelink_cloud.plain import Plain, take_plain
from bridge.readers.carelink_cloud.recall import remember
from bridge.readers.carelink_cloud.rows import READ, SG, TIME_CHANGE, Row

ROW_STATE = ("rows", "rows_offset_min", "held_until_ms", UNIT_SUSPECT, "read")
"""Names in the reader's state that tell whether rows stand as they stood."""
_UNCERTAIN = {"code": "clock/uncertain"}


@dataclass(slots=True)
class RowsRead:
    """What the rows gave. `mode` is the newest mode that a new marker told; `waiting`: rows without a clock."""

    records: list[Record] = field(default_factory=list)
    sightings: dict[str, Sighting] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)
    understood: bool = True
    waiting: bool = False
    mode: str | None = None

    def doubt(self, code: str, message: str) -> None:
        """Note something not understood: the raw answer deserves keeping."""
        self.diagnostics.append(Diagnostic(code, message))
        self.understood = False

    def made(self, maker: Maker, row: Row) -> Record | None:
        """The record of a row, or None with a diagnostic when the model refuses a value."""
        try:
            return maker.make(row)
        except InvalidRecord as why:
            self.doubt(BAD_ROW, why.message)
            return None


def read_rows(
    patient: Mapping[str, Any], clocks: Clocks, memory: Memory, maker: Maker, digest: str | None
) -> RowsRead:
    """Read, place and make all rows of an answer."""
    plain = take_plain(patient, clocks, memory, maker)
    gathered = gather(plain.rest, clocks)
    if any(row.key in plain.keys for row in gathered.rows):
        plain = Plain(patient)
        gathered = gather(patient, clocks)
    left = _without(memory.sightings, plain.keys)
    placed = place(gathered.rows, clocks, left, memory.state, plain.keys)
    result = RowsRead(
        records=plain.records,
        sightings=plain.sightings,
        diagnostics=gathered.diagnostics,
        understood=not gathered.refused,
        waiting=bool(placed.waiting),
    )
    _tell_held(result, placed)
    arrowed = _finish(placed, patient, memory, maker)
    refused = _make(result, maker, placed.rows)
    for row in placed.rows:
        if row.new and row.model is None and "problem" in row.body:
            result.doubt("unknown_marker", f"Kept for later: {row.body['problem']}.")
        if (row.new or row is arrowed) and id(row) not in refused:
            key, sighting = remember(row)
            result.sightings[key] = sighting
    result.state = {
        "rows": None if placed.waiting else digest,
        "rows_offset_min": clocks.offset_min,
        "held_until_ms": placed.due_ms,
        UNIT_SUSPECT: gathered.unit_suspect or None,
        "read": READ,
    }
    result.mode = _newest_mode(placed)
    return result


def _without(sightings: Mapping[str, Sighting], keys: set[str]) -> Mapping[str, Sighting]:
    """Sightings of rows that were not left aside."""
    if not sightings or not keys:
        return sightings
    return {text: each for text, each in sightings.items() if each.source_key not in keys}


def _make(result: RowsRead, maker: Maker, rows: Sequence[Row]) -> set[int]:
    """Make the records of the placed rows, those that share a body together; which rows were refused."""
    refused: set[int] = set()
    alike: dict[tuple[type[Record], int], list[Row]] = defaultdict(list)
    for row in rows:
        if row.model is None:
            continue
        if row.checked and not row.annotations:
            alike[row.model, id(row.body)].append(row)
        elif record := result.made(maker, row):
            result.records.append(record)
        else:
            refused.add(id(row))
    for (model, _), group in alike.items():
        placed = ((row.source_key, row.time, row.device_time, row.offset_min, row.checked) for row in group)
        result.records += maker.alike(model, group[0].body, placed)
    return refused


def _tell_held(result: RowsRead, placed: Placed) -> None:
    if placed.waiting:
        text = f"{len(placed.waiting)} rows wait for a clock that can be trusted."
        result.diagnostics.append(Diagnostic("held_without_clock", text))
    if placed.ahead:
        text = f"{len(placed.ahead)} rows are dated ahead of the server's clock and wait until they are due."
        result.diagnostics.append(Diagnostic("held_until_due", text))


def _finish(placed: Placed, patient: Mapping[str, Any], memory: Memory, maker: Maker) -> Row | None:
    """Complete the bodies by what other rows say; the reading that got an arrow."""
    kinds: dict[str, list[Row]] = defaultdict(list)
    for row in placed.rows:
        kinds[row.kind].append(row)
        if row.uncertain:
            row.annotations = (*row.annotations, _UNCERTAIN)
    arrowed = None
    if not any(row.kind == SG for row in placed.waiting):
        arrowed = give_arrow(patient, [*kinds[SG], *(row for row in placed.ahead if row.kind == SG)])
    for row in kinds[SG]:
        if row.trend:
            row.body = {**row.body, "trend": row.trend}
    for row in kinds[TIME_CHANGE]:
        row.body = {**row.body, "clock_to": row.device_time}
    close_suspensions(kinds[SUSPENDED])
    meals = meals_of_boluses(kinds["INSULIN"], kinds["MEAL"], memory.sightings)
    for row in kinds["INSULIN"]:
        if row.source_key in meals:
            row.body = {**row.body, "carbs_id": maker.namer(Carbs).name(meals[row.source_key])}
    return arrowed


def _newest_mode(placed: Placed) -> str | None:
    """The mode that the newest of the new mode markers tells."""
    told = [row for row in placed.rows if row.new and row.body.get("event") == "mode_change"]
    return str(max(told, key=lambda row: row.time).body["mode"]) if told else None
