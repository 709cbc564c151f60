"""Which stretch of history to ask for next. Pure; all times are the pump's running seconds (RTC)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]
"""From and to, both included."""

DAY_S = 86_400
LONGEST_S = 7 * DAY_S
AGAIN_S = DAY_S
"""Later reads begin this much before the last: temporary basals, boluses and late readings complete afterwards."""
_FIRST_RTC = 0x80000001
_KEPT_S = 90 * DAY_S - 3600


def bounds(now_rtc: int, days: int) -> Span:
    """Outside of this the pump is never asked."""
    return max(_FIRST_RTC, now_rtc - min(_KEPT_S, days * DAY_S)), now_rtc


def newest(covered: Iterable[Span], now_rtc: int, days: int) -> Span:
    """The stretch that ends now: from a day before the last read, at most seven days."""
    start, _ = bounds(now_rtc, days)
    last = max((end for _, end in covered), default=0)
    return max(start, last - AGAIN_S, now_rtc - LONGEST_S), now_rtc


def hole(covered: Iterable[Span], now_rtc: int, days: int) -> Span | None:
    """The newest stretch before what was read that never was, at most seven days of it; None when there is none."""
    spans, (start, _) = merged(covered), bounds(now_rtc, days)
    if not spans or spans[-1][0] <= start:
        return None
    end = spans[-1][0]
    below = spans[-2][1] if len(spans) > 1 else start
    return max(start, below, end - LONGEST_S), end


def settled(covered: Iterable[Span], now_rtc: int) -> list[Span]:
    """What was covered, without what a clock set anew makes impossible."""
    return [(low, min(high, now_rtc)) for low, high in merged(covered) if low <= now_rtc]


def merged(spans: Iterable[Span]) -> list[Span]:
    """Overlapping and touching spans as one, oldest first."""
    found: list[Span] = []
    for low, high in sorted(spans):
        if found and low <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], high)
        else:
            found.append((low, high))
    return found
