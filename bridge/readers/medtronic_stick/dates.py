"""Dates as the pump packs them. A date that no calendar has is None."""

from __future__ import annotations

from datetime import datetime


def date5(data: bytes, at: int = 0) -> datetime | None:
    """Wall clock of five bytes, to the second; spare bits belong to the record."""
    second, minute = data[at], data[at + 1]
    try:
        return datetime(  # noqa: DTZ001 - a wall clock has no zone
            2000 + (data[at + 4] & 0x7F),
            (second >> 6) << 2 | minute >> 6,
            data[at + 3] & 0x1F,
            data[at + 2] & 0x1F,
            minute & 0x3F,
            second & 0x3F,
        )
    except ValueError:
        return None


def date4(data: bytes, at: int = 0) -> datetime | None:
    """Wall clock of the four bytes of a glucose record, to the minute."""
    hour, minute = data[at], data[at + 1]
    try:
        return datetime(  # noqa: DTZ001 - a wall clock has no zone
            2000 + (data[at + 3] & 0x7F),
            (hour >> 6) << 2 | minute >> 6,
            data[at + 2] & 0x1F,
            hour & 0x1F,
            minute & 0x3F,
        )
    except ValueError:
        return None


def date2(data: bytes, at: int = 0) -> datetime | None:
    """Midnight of the day of a daily total, two bytes."""
    day, year = data[at], data[at + 1]
    try:
        return datetime(2000 + (year & 0x7F), (day >> 5) << 1 | year >> 7, day & 0x1F)  # noqa: DTZ001 - a wall clock
    except ValueError:
        return None
