"""How long to wait: Retry-After in both its forms, and growing pauses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random

RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may be sent again."""
_CEILING_S = 60.0


def pause_s(failures: int, random: Random) -> float:
    """1, 2, 4 ... 60 s, the upper half of each by chance."""
    return min(_CEILING_S, 2.0 ** (failures - 1)) * random.uniform(0.5, 1.0)


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that an answer asks for, by number or by date (against its own clock); None when it says nothing."""
    text = headers.get("retry-after", "").strip()
    seconds = _number(text)
    if seconds is None:
        until = http_date(text)
        seconds = (until - (http_date(headers.get("date", "")) or now)).total_seconds() if until else None
    return None if seconds is None else max(0.0, seconds)


def http_date(text: str) -> datetime | None:
    """The instant of an HTTP date; None for anything else."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _number(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None
