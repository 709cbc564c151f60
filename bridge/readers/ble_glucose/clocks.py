"""The characteristics that show a meter's clock, and how each is asked. A clock is never set.

Contour meters notify theirs in UTC with the offset beside it, i-SENS meters answer a request; all others are read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from bridge.errors import Malformed
from bridge.wire.date_time import DATE_TIME_BYTES, date_time

CURRENT_TIME, DATE_TIME = "2a2b", "2a08"
CONTOUR_CLOCK = "00001026-0002-11e2-9e96-0800200c9a66"
ISENS_CLOCK_1_4, ISENS_CLOCK_1_5 = "fff1", "c4dea3bc-5a9d-11e9-8647-d663bd873d93"
ISENS_ASK = bytes((0xC0, 0x03, 0x01, 0x00)) + bytes(DATE_TIME_BYTES)
"""All zeros: the clock is asked for. Any other date would set it."""
_CONTOUR_BYTES, _ISENS_HEAD = 10, 4


def contour_clock(value: bytes) -> tuple[datetime, int]:
    """The clock in UTC (naive) and the minutes east of UTC. Raises Malformed for another form."""
    if len(value) != _CONTOUR_BYTES or value[0] != 1:
        raise Malformed("The meter's clock came in a form that is not known.")
    utc = date_time(value[1:8])
    if utc is None:
        raise Malformed("The meter's clock is not set.")
    return utc, int.from_bytes(value[8:], "little", signed=True)


def _contour(value: bytes) -> datetime:
    utc, offset_min = contour_clock(value)
    return utc + timedelta(minutes=offset_min)


def _isens(value: bytes) -> datetime | None:
    return date_time(value[_ISENS_HEAD:])


@dataclass(frozen=True, slots=True)
class ClockKind:
    """One way to a clock. `ask` is written where the meter answers only when asked; `wait_s` for what it notifies.

    `maker`: the characteristic means a clock on that maker's meters only.
    """

    uuid: str
    way: Literal["read", "notified"]
    shows: Callable[[bytes], datetime | None]
    ask: bytes | None = None
    wait_s: float = 0.0
    maker: str | None = None


CLOCKS = (
    ClockKind(CURRENT_TIME, "read", date_time),
    ClockKind(DATE_TIME, "read", date_time),
    ClockKind(CONTOUR_CLOCK, "notified", _contour, wait_s=2.0),
    ClockKind(ISENS_CLOCK_1_5, "notified", _isens, ISENS_ASK, wait_s=5.0),
    ClockKind(ISENS_CLOCK_1_4, "notified", _isens, ISENS_ASK, wait_s=5.0, maker="i-sens"),
)
"""In the order of preference."""
_BY_UUID = {kind.uuid: kind for kind in CLOCKS}


def is_clock(uuid: str) -> bool:
    """Whether a characteristic shows a clock."""
    return uuid in _BY_UUID


def shown(uuid: str, value: bytes) -> datetime | None:
    """The wall clock that a value shows, None when it is not set. Raises Malformed."""
    return _BY_UUID[uuid].shows(value)
