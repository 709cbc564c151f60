"""A history page: 1,022 bytes of records, oldest first, and a CRC-16."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, TypeAlias

from bridge.errors import Malformed
from bridge.readers.medtronic_stick.dates import date2, date5
from bridge.readers.medtronic_stick.model import PumpModel
from bridge.readers.medtronic_stick.opcodes import ALARM, Fields, Opcode, length_at, opcodes
from bridge.wire.crc import crc16

PAGE = 1024
DATA = PAGE - 2
_CUT_OFF = 0x6E
_CUT_OFF_LEAST = 16
_PROVES = 3
"""So many records in a row show that reading stands at a record's begin again."""
_SLACK = timedelta(days=1)
_Known: TypeAlias = tuple[Opcode | None, ...]


class RawRecord(NamedTuple):
    """A record as it stands in a page. `wall` is the pump's clock, None without a (possible) date.

    `stamped`: whether the date is a moment (five bytes), not the day of a total. `requestor`: 0 keys of the pump,
    2 radio device, 3 linked meter or remote, 5 sensor; None where it is not told.
    """

    opcode: int
    offset: int
    data: bytes
    wall: datetime | None
    stamped: bool
    requestor: int | None
    fields: Fields


class UnknownBlock(NamedTuple):
    """Bytes that no record of this pump begins with; never therapy."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """What a page holds. With unknown blocks it is read in part only."""

    records: tuple[RawRecord, ...]
    unknown: tuple[UnknownBlock, ...]

    @property
    def badly_dated(self) -> int:
        """How many records have a date that no calendar has: many mean another family's page."""
        return sum(record.stamped and record.wall is None for record in self.records)


def checked_page(page: bytes) -> bytes:
    """The data of a page. Raises Malformed for a wrong length or checksum: a bad page is never decoded."""
    if len(page) != PAGE:
        raise Malformed(f"A history page has {PAGE} bytes, this has {len(page)}.")
    if crc16(page[:DATA]) != int.from_bytes(page[DATA:], "big"):
        raise Malformed("The page's checksum is wrong.", next_step="Read the pump again.")
    return page[:DATA]


def read_page(page: bytes, model: PumpModel, latest: datetime | None = None) -> Page:
    """The records of a page. `latest`: the pump's clock, after which nothing can have happened.

    Raises Malformed as `checked_page`.
    """
    data, known = checked_page(page), opcodes(model)
    end = len(data.rstrip(b"\0"))
    records: list[RawRecord] = []
    unknown: list[UnknownBlock] = []
    at = 0
    while at < end:
        if not data[at]:
            at += 1
        elif record := record_at(data, at, known):
            records.append(record)
            at += len(record.data)
        else:
            begin = _resync(data, at, end, known, _bounds(records, latest))
            unknown.append(UnknownBlock(at, data[at:begin]))
            at = begin
    return Page(tuple(records), tuple(unknown))


def record_at(data: bytes, at: int, known: _Known) -> RawRecord | None:
    """The record at `at`, None where none of this pump begins or it does not end within the page."""
    opcode = data[at]
    form = known[opcode]
    if form is None:
        return None
    length = form.length if form.length > 0 else length_at(data, at, form.length)
    raw = data[at : at + length]
    if len(raw) < length and (opcode != _CUT_OFF or len(raw) < _CUT_OFF_LEAST):
        return None
    fields = form.parse(raw, known[0x7B] is not None) if form.parse else None
    if place := form.dated_at:
        requestor = None if opcode == ALARM else raw[place + 3] >> 5
        return RawRecord(opcode, at, raw, date5(raw, place), True, requestor, fields)
    wall = date2(raw, form.day_at) if form.day_at else None
    return RawRecord(opcode, at, raw, wall, False, None, fields)


def _bounds(records: list[RawRecord], latest: datetime | None) -> tuple[datetime, datetime]:
    last = next((record.wall for record in reversed(records) if record.stamped and record.wall), None)
    return _earlier(last), _later(latest)


def _earlier(last: datetime | None) -> datetime:
    first = datetime.min  # noqa: DTZ901 - a wall clock has no zone
    return first if last is None or last == first else last - _SLACK


def _later(latest: datetime | None) -> datetime:
    return datetime.max if latest is None else latest + _SLACK  # noqa: DTZ901 - a wall clock has no zone


def _resync(data: bytes, at: int, end: int, known: _Known, bounds: tuple[datetime, datetime]) -> int:
    """Where records begin again after an unknown byte; the end of the page when nowhere."""
    for begin in range(at + 1, end):
        if data[begin] and _proven(data, begin, end, known, bounds):
            return begin
    return end


def _proven(data: bytes, at: int, end: int, known: _Known, bounds: tuple[datetime, datetime]) -> bool:
    """Three records with dates that fit, or all up to the page's end. The first must have a date."""
    for count in range(_PROVES):
        while at < end and not data[at]:
            at += 1
        if at >= end:
            return True
        record = record_at(data, at, known)
        if record is None or not _fits(record, bounds, undated=count > 0):
            return False
        at += len(record.data)
    return True


def _fits(record: RawRecord, bounds: tuple[datetime, datetime], *, undated: bool) -> bool:
    if record.wall is None:
        return undated and not record.stamped
    earliest = bounds[0] if record.stamped else _earlier(bounds[0])
    return earliest <= record.wall <= bounds[1]
