"""Wall clocks in the file. Which number is the month is taken from what the file proves, never guessed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, pairwise

from bridge.errors import Malformed

MDY, DMY, YMD = "mdy", "dmy", "ymd"
ORDERS = (MDY, DMY, YMD)
_THREE = re.compile(r"(\d{1,4})[/.\- ](\d{1,2})[/.\- ](\d{1,4})", re.ASCII)
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", re.ASCII)
_FIRST_YEAR, _LAST_YEAR = 2000, 2099
_MONTHS, _DAYS = 12, 31
_CLEARLY = 8
"""How many more rows must speak for one order than for the other, where a damaged row contradicts."""
_NIGHT, _WEEKS = timedelta(hours=12), timedelta(days=20)
_SAY = "Say how the dates are written: date order `mdy` (month first) or `dmy` (day first)."


def stated_order(context: Mapping[str, str]) -> str | None:
    """The order a person named for the file. Raises Malformed for an unknown word."""
    order = context.get("date_order") or None
    if order is not None and order not in ORDERS:
        raise Malformed("The date order is not one of mdy, dmy and ymd.", next_step=_SAY)
    return order


def ambiguous(example: str) -> Malformed:
    """The refusal of a file whose dates can be read in two ways."""
    shown = example if _THREE.fullmatch(example) else "such as 4/11/15"
    return Malformed(f"The dates in this file ({shown}) can be read month first or day first.", next_step=_SAY)


@dataclass(slots=True)
class Dates:
    """Reads date and time cells of one order. Repeated dates are looked up."""

    order: str
    _known: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    def wall(self, date: str, time: str) -> datetime:
        """The naive wall clock of two cells. Raises Malformed without echoing them."""
        day = self._known.get(date)
        if day is None:
            day = self._known[date] = _day(date, self.order)
        found = _TIME.fullmatch(time.strip())
        if found is None:
            raise Malformed("the time is not HH:MM:SS")
        try:
            return datetime(*day, int(found[1]), int(found[2]), int(found[3] or 0))  # noqa: DTZ001
        except ValueError:
            raise Malformed("no calendar has this date and time") from None

    def stamp(self, cell: str) -> datetime:
        """The wall clock of one cell that holds date, a blank, and time."""
        date, _, time = cell.strip().rpartition(" ")
        return self.wall(date, time)


def _day(date: str, order: str) -> tuple[int, int, int]:
    numbers = _numbers(date)
    if numbers is None:
        raise Malformed("the date is not of this file's form")
    first, second, third = numbers
    year, month, day = {
        MDY: (third, first, second),
        DMY: (third, second, first),
        YMD: (first, second, third),
    }[order]
    year += 2000 if year < 100 else 0
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        raise Malformed("the year is not one of 2000 to 2099")
    return year, month, day


def _numbers(date: str) -> tuple[int, int, int] | None:
    found = _THREE.fullmatch(date.strip())
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def is_year_first(date: str) -> bool:
    """Whether a date starts with a four-digit year, which leaves no doubt."""
    found = _THREE.fullmatch(date.strip())
    return found is not None and len(found[1]) == 4


def is_blank_separated(date: str) -> bool:
    """`DD MM YYYY`, the one other form whose order is known."""
    return bool(re.fullmatch(r"\d{2} \d{2} \d{4}", date.strip(), re.ASCII))


def is_doubtful(date: str) -> bool:
    """Whether a date is of a form that is read in two ways."""
    return _numbers(date) is not None and not is_year_first(date) and not is_blank_separated(date)


# --- proofs of an order ----------------------------------------------------------------------------


def proven_order(dates: Iterable[str], nights: Sequence[tuple[str, str]], elsewhere: Iterable[str]) -> str | None:
    """The order that a first-generation file proves; None when both remain possible.

    `dates`: one cell a row. `nights`: stamps (`date time`) in the order of the log, whose neighbours on two
    dates show how long a night was. `elsewhere`: dates of the preamble, written in the same way.
    """
    rows = list(dates)
    if rows and sum(map(is_year_first, rows)) * 2 > len(rows):
        return YMD
    if rows and sum("." in date for date in rows) * 2 > len(rows):
        return DMY
    return _by_days([*rows, *elsewhere]) or _by_nights(nights) or _by_equals(rows)


def _by_days(dates: Iterable[str]) -> str | None:
    """A number above twelve is a day."""
    firsts = seconds = 0
    for first, second, _ in filter(None, map(_numbers, dates)):
        firsts += _MONTHS < first <= _DAYS and second <= _MONTHS
        seconds += _MONTHS < second <= _DAYS and first <= _MONTHS
    if seconds > firsts * _CLEARLY:
        return MDY
    return DMY if firsts > seconds * _CLEARLY else None


def _by_nights(nights: Sequence[tuple[str, str]]) -> str | None:
    """Rows on both sides of a midnight are hours apart in one order and weeks apart in the other.

    Also next but one: a damaged row at midnight does not hide the night.
    """
    votes = {MDY: 0, DMY: 0}
    readers = {order: Dates(order) for order in votes}
    for one, other in chain(pairwise(nights), zip(nights, nights[2:], strict=False)):
        if one[0] == other[0]:
            continue
        gaps = {order: _gap(reader, one, other) for order, reader in readers.items()}
        for order, opposite in ((MDY, DMY), (DMY, MDY)):
            near, far = gaps[order], gaps[opposite]
            votes[order] += near is not None and near <= _NIGHT and (far is None or far >= _WEEKS)
    for order, opposite in ((MDY, DMY), (DMY, MDY)):
        if votes[order] > votes[opposite] * _CLEARLY:
            return order
    return None


def _gap(reader: Dates, one: tuple[str, str], other: tuple[str, str]) -> timedelta | None:
    try:
        return abs(reader.wall(*other) - reader.wall(*one))
    except Malformed:
        return None


def _by_equals(rows: Sequence[str]) -> str | None:
    """4/4/15 is one day in both orders."""
    numbers = [found for found in map(_numbers, rows) if found]
    return MDY if numbers and all(first == second for first, second, _ in numbers) else None


# --- spans -----------------------------------------------------------------------------------------


def minutes_of(text: str, name: str) -> float:
    """Minutes of `h:mm:ss`. Raises Malformed naming the column."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise Malformed(f"`{name}` is not h:mm:ss")
    return int(found[1]) * 60 + int(found[2]) + int(found[3] or 0) / 60
