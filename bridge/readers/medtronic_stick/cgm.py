"""Sensor glucose and calibrations of the glucose pages, with their times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.contracts import Diagnostic
from bridge.errors import Malformed
from bridge.model.records import Annotation, Calibration, DeviceEvent, SensorGlucose
from bridge.model.time import iso_wall
from bridge.readers.medtronic_stick.body import Body
from bridge.readers.medtronic_stick.glucose import (
    ABOVE,
    BELOW,
    CLOCK_CHANGE,
    FIRST_VALUE,
    METER_VALUE,
    SLOT,
    SYNC,
    TIMESTAMP,
    GlucoseRecord,
    checked_isig,
    isig_word,
    newest_time,
    read_glucose_page,
)
from bridge.readers.medtronic_stick.making import Maker
from bridge.readers.medtronic_stick.ordinals import Ordinals
from bridge.readers.medtronic_stick.time import Calendar, Change, Moment

LOWEST, HIGHEST = 40, 400
_OUT_OF_RANGE: dict[int, tuple[int, Annotation]] = {
    BELOW: (LOWEST, {"code": "bg/out-of-range", "value": "low", "threshold_mgdl": LOWEST}),
    ABOVE: (HIGHEST, {"code": "bg/out-of-range", "value": "high", "threshold_mgdl": HIGHEST}),
}
_OLD_CLOCK = 1
_NEW_SENSOR = 1


@dataclass(slots=True)
class _Item:
    """A record to be, or a change of the clock, in the order of the stream."""

    record: GlucoseRecord
    isig: bytes | None
    moment: Moment | None
    change: Change | None = None


class Stream:
    """All glucose pages of one read, newest first. `understood` is False when something deserves keeping."""

    def __init__(self, body: Body) -> None:
        self._new = body.model.new
        self.runs: list[list[tuple[GlucoseRecord, bytes | None]]] = []
        self.diagnostics: list[Diagnostic] = []
        self.understood = True
        self._read(body)

    @property
    def changes(self) -> list[Change]:
        """Changes of the clock, oldest first."""
        found = [change for run in self.runs for change in _changes([record for record, _ in run]).values()]
        return found[::-1]

    def make(self, calendar: Calendar, maker: Maker, ordinals: Ordinals) -> None:
        """Make the records. Times go backwards from the time marks; keys are given from the oldest on."""
        items = [item for run in self.runs for item in self._timed(run, calendar)]
        items.reverse()
        oldest = next((item.moment.wall for item in items if item.moment), None)
        ordinals.begin(oldest, self.changes)
        for item in items:
            if item.change is not None:
                ordinals.changed(item.change)
            if item.moment is not None:
                self._make(maker, item, item.moment, ordinals.of(item.moment.wall))

    # --- pages --------------------------------------------------------------------------------------

    def _read(self, body: Body) -> None:
        newer: int | None = None
        for number in sorted(body.glucose, reverse=True):
            records = self._page(number, body)
            if records is None:
                continue
            if newer is None or number != newer - 1:
                self.runs.append([])
                if newer is not None:
                    self._tell("glucose_gap", f"The glucose pages between {number} and {newer} are not here.")
            newer = number
            isig = self._isig(number, body)
            self.runs[-1] += [(record, isig) for record in records]

    def _page(self, number: int, body: Body) -> Sequence[GlucoseRecord] | None:
        try:
            records = read_glucose_page(body.glucose[number])
        except Malformed as why:
            self._tell("page_unreadable", f"Glucose page {number}: {why.message}", understood=False)
            return None
        unknown = sorted({record.opcode for record in records if not record.known})
        if unknown:
            shown = ", ".join(f"{opcode:02x}" for opcode in unknown)
            self._tell("unknown_glucose_record", f"Glucose page {number}: {shown}", understood=False)
        return records

    def _isig(self, number: int, body: Body) -> bytes | None:
        if number not in body.isig:
            return None
        try:
            return checked_isig(body.isig[number])
        except Malformed as why:
            self._tell("page_unreadable", f"ISIG page {number}: {why.message}", understood=False)
            return None

    def _tell(self, code: str, text: str, *, understood: bool = True) -> None:
        self.diagnostics.append(Diagnostic(code, text))
        self.understood = self.understood and understood

    # --- times --------------------------------------------------------------------------------------

    def _timed(self, run: Sequence[tuple[GlucoseRecord, bytes | None]], calendar: Calendar) -> Iterator[_Item]:
        """A run's items, newest first. The slot before a time mark has its time, each older one 5 min less."""
        records = [record for record, _ in run]
        changes = _changes(records)
        slot_at = newest_time(records)
        waiting = 0
        for place, (record, isig) in enumerate(run):
            wall = record.wall
            if record.opcode == TIMESTAMP:
                slot_at = wall
            elif record.is_slot:
                wall = slot_at
                waiting += wall is None
                slot_at = slot_at - SLOT if slot_at is not None else None
            yield _Item(record, isig, calendar.moment(wall), changes.get(place))
            if (change := changes.get(place)) is not None:
                calendar.changed(change)
                slot_at = slot_at - change.delta if slot_at is not None and not calendar.is_reset(change) else None
        if waiting:
            self._tell("glucose_without_time", f"{waiting} readings wait for the pump's next time mark.")

    # --- records ------------------------------------------------------------------------------------

    def _make(self, maker: Maker, item: _Item, moment: Moment, ordinal: int) -> None:
        record, stamp = item.record, f"{iso_wall(moment.wall)[:16]}:{ordinal}"
        if record.opcode >= FIRST_VALUE:
            maker.make(SensorGlucose, f"sensor_glucose:{stamp}", moment, self._value(item))
        elif record.opcode in _OUT_OF_RANGE:
            mgdl, note = _OUT_OF_RANGE[record.opcode]
            body = {"mgdl": mgdl, "isig_na": self._isig_na(item)}
            maker.make(SensorGlucose, f"sensor_glucose:{stamp}", moment, body, (note,))
        elif record.opcode == METER_VALUE:
            maker.make(Calibration, f"calibration:{stamp}", moment, {"mgdl": record.meter_mgdl})
        elif record.opcode == SYNC and record.sub == _NEW_SENSOR:
            maker.make(DeviceEvent, f"sensor_start:{stamp}", moment, {"event": "sensor_start"})

    def _value(self, item: _Item) -> dict[str, Any]:
        """The value; the ISIG word of a new pump holds its lowest bit."""
        mgdl = 2 * item.record.opcode
        if self._new and item.isig is not None:
            mgdl += isig_word(item.isig, item.record.place) & 1
        return {"mgdl": mgdl, "isig_na": self._isig_na(item)}

    def _isig_na(self, item: _Item) -> float | None:
        if item.isig is None:
            return None
        word = isig_word(item.isig, item.record.place)
        return (word & 0xFFFE if self._new else word) / 100


def _changes(records: Sequence[GlucoseRecord]) -> dict[int, Change]:
    """Changes of the clock by the place of the old time (newest first: the new time stands before it)."""
    found: dict[int, Change] = {}
    new: datetime | None = None
    for place, record in enumerate(records):
        if record.opcode != CLOCK_CHANGE:
            continue
        if record.sub != _OLD_CLOCK:
            new = record.wall
        elif new is not None and record.wall is not None and new != record.wall:
            found[place], new = Change(record.wall, new), None
    return found
