"""How a pump writes dates."""

from __future__ import annotations

from datetime import date, datetime


def stamp5(wall: datetime) -> bytes:
    """Five bytes to the second, in history records; the spare bits are zero."""
    month = wall.month
    return bytes(
        [
            wall.second | (month >> 2) << 6,
            wall.minute | (month & 3) << 6,
            wall.hour,
            wall.day,
            wall.year - 2000,
        ]
    )


def stamp2(day: date) -> bytes:
    """Two bytes for a day, in daily totals."""
    return bytes([day.day | (day.month >> 1) << 5, (day.year - 2000) | (day.month & 1) << 7])


def stamp4(wall: datetime, sub: int = 0) -> bytes:
    """Four bytes to the minute, in glucose pages, with a record's two-bit kind."""
    month = wall.month
    return bytes(
        [wall.hour | (month >> 2) << 6, wall.minute | (month & 3) << 6, wall.day | sub << 5, wall.year - 2000]
    )
