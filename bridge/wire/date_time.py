"""The seven-byte Date Time of Bluetooth profiles: year (two bytes, low first), month, day, hour, minute, second."""

from __future__ import annotations

from datetime import datetime

from bridge.errors import Malformed

DATE_TIME_BYTES = 7
_YEARS = range(1900, 2200)
"""What a device's clock can show and still be reckoned with."""


def date_time(raw: bytes) -> datetime | None:
    """The wall clock of the first seven bytes, None where year, month or day are marked as unknown (0).

    Month 13 is January: i-SENS meters count so when their offset crosses a year. Raises Malformed for what no
    calendar holds.
    """
    if len(raw) < DATE_TIME_BYTES:
        raise Malformed("A date is cut short.")
    year, month, day = int.from_bytes(raw[:2], "little"), raw[2], raw[3]
    if 0 in (year, month, day):
        return None
    if year not in _YEARS:
        raise Malformed(f"A date from the device lies in the year {year}.")
    try:
        return datetime(year, 1 if month == 13 else month, day, *raw[4:7])  # noqa: DTZ001
    except ValueError:
        raise Malformed("A date from the device is not in the calendar.") from None
