"""Glucose pages: 1,022 bytes that are read from the end backwards, and a CRC-16. ISIG pages beside them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from bridge.errors import Malformed
from bridge.readers.medtronic_stick.dates import date4
from bridge.readers.medtronic_stick.pages import checked_page
from bridge.wire.crc import crc16

ISIG_PAGE = 2048
SLOT = timedelta(minutes=5)
(
    DATA_END, WEAK_SIGNAL, SENSOR_CAL, PACKET, SENSOR_ERROR, BELOW, ABOVE, TIMESTAMP, BATTERY, SENSOR_STATUS,
    CLOCK_CHANGE, SYNC, METER_VALUE, CAL_FACTOR, SPECIAL, FILLER,
) = (1, 2, 3, 4, 5, 6, 7, 8, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F, 0x10, 0x13)  # fmt: skip
FIRST_VALUE = 0x14
_LENGTHS = {
    SENSOR_CAL: 2, PACKET: 2, SENSOR_ERROR: 2, ABOVE: 2, TIMESTAMP: 5, BATTERY: 5, SENSOR_STATUS: 5, CLOCK_CHANGE: 5,
    SYNC: 5, METER_VALUE: 6, CAL_FACTOR: 7, SPECIAL: 8,
}  # fmt: skip
_KNOWN = {DATA_END, WEAK_SIGNAL, BELOW, FILLER, *_LENGTHS}
_SLOTS = {WEAK_SIGNAL, SENSOR_CAL, PACKET, SENSOR_ERROR, BELOW, ABOVE}
"""What stands for five minutes without a plain value."""
_QUIET = {DATA_END, FILLER}
_FORWARD = (0, 1)
"""Time marks from which the slots after them may be counted: last radio packet, end of page."""
_ISIG_CHECKED = 2044


class GlucoseRecord(NamedTuple):
    """`data` opcode first; `place`: index of the opcode in the page as read, where its ISIG word stands too."""

    opcode: int
    data: bytes
    place: int
    wall: datetime | None

    @property
    def known(self) -> bool:
        """Whether this kind of record is known."""
        return self.opcode >= FIRST_VALUE or self.opcode in _KNOWN

    @property
    def is_slot(self) -> bool:
        """Whether it stands for five minutes."""
        return self.opcode >= FIRST_VALUE or self.opcode in _SLOTS

    @property
    def sub(self) -> int:
        """The sub-kind: of a dated record its two bits in the date, else the second byte."""
        if len(self.data) == 1:
            return 0
        return self.data[3] >> 5 & 3 if self.opcode in _LENGTHS and len(self.data) > 2 else self.data[1]

    @property
    def meter_mgdl(self) -> int:
        """The calibration's value."""
        return (self.data[3] & 0x20) << 3 | self.data[5]

    @property
    def factor(self) -> float:
        """The calibration factor."""
        return (self.data[5] << 8 | self.data[6]) / 1000


def read_glucose_page(page: bytes) -> list[GlucoseRecord]:
    """The records of a page, newest first. Raises Malformed for a wrong length or checksum."""
    data = checked_page(page)[::-1]
    records: list[GlucoseRecord] = []
    at, last = len(data) - len(data.lstrip(b"\0")), len(data) - 1
    while at <= last:
        opcode = data[at]
        if not opcode:
            at += 1
            continue
        record = glucose_record(data[at : at + _LENGTHS.get(opcode, 1)], last - at)
        if record is None:
            break
        records.append(record)
        at += len(record.data)
    return records


def glucose_record(data: bytes, place: int = 0) -> GlucoseRecord | None:
    """A record, opcode first; None when it is cut off."""
    length = _LENGTHS.get(data[0], 1)
    if len(data) < length:
        return None
    return GlucoseRecord(data[0], data, place, date4(data, 1) if length >= 5 else None)


def checked_isig(page: bytes) -> bytes:
    """An ISIG page. Raises Malformed for a wrong length or checksum."""
    if len(page) != ISIG_PAGE:
        raise Malformed(f"An ISIG page has {ISIG_PAGE} bytes, this has {len(page)}.")
    if crc16(page[:_ISIG_CHECKED]) != page[2044] << 8 | page[2046]:
        raise Malformed("The checksum of an ISIG page is wrong.", next_step="Read the pump again.")
    return page


def isig_word(page: bytes, place: int) -> int:
    """The word that belongs to the glucose byte at `place`."""
    return page[2 * place + 1] << 8 | page[2 * place]


def newest_time(records: Sequence[GlucoseRecord]) -> datetime | None:
    """Time of the newest slot of records in a row (newest first), None when no time mark covers it.

    A mark tells the time of the slot before it. Slots after the last mark are counted from it only when nothing
    else stands between them, and not from a mark that closes a gap.
    """
    slots = 0
    for record in records:
        if record.opcode == TIMESTAMP:
            certain = record.wall is not None and (slots == 0 or record.sub in _FORWARD)
            return record.wall + slots * SLOT if record.wall and certain else None
        if record.is_slot:
            slots += 1
        elif record.opcode not in _QUIET:
            return None
    return None
