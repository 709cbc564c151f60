"""How long what is not a record is kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bridge.journal import sources

SIGHTINGS = timedelta(hours=36)
"""A reader recalls a row for so long, counted from the row's own time."""
ADOPTED = timedelta(days=40)
"""An identifier found at a destination waits for its record for so long."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long captures are kept: days, hours between kept answers, and how many last answers."""

    device_days: int = 400
    answer_days: int = 14
    answer_every_h: int = 12
    answer_last: int = 50


class Worth(StrEnum):
    """Why a capture is kept."""

    DEVICE = "device"
    DOUBT = "doubt"
    """Refused, or not fully understood."""
    ANCHOR = "anchor"
    """The one of its half day."""
    RECENT = "recent"
    """Only while it is among the last ones."""


def worth(reader: str, taken_at: datetime, understood: bool, anchor: datetime | None, keep: Retention) -> Worth:
    """Why a capture just taken is kept; `anchor` is the newest one kept for its half day before it."""
    if not sources.polled(reader):
        return Worth.DEVICE
    if not understood:
        return Worth.DOUBT
    if anchor is None or taken_at - anchor >= timedelta(hours=keep.answer_every_h):
        return Worth.ANCHOR
    return Worth.RECENT


def lifetime(why: Worth, keep: Retention) -> timedelta:
    """How long a capture of that worth may stay."""
    return timedelta(days=keep.device_days if why is Worth.DEVICE else keep.answer_days)
