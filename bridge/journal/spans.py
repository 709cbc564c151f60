"""Stretches of time in epoch milliseconds: merged, cut, and their holes."""

from __future__ import annotations

from collections.abc import Iterable

Span = tuple[int, int]
"""Start and end, epoch ms."""


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same time as few ascending stretches; touching ones become one."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def around(moments_ms: Iterable[int], margin_ms: int) -> list[Span]:
    """Merged stretches of `margin_ms` on both sides of every moment."""
    return merged((moment - margin_ms, moment + margin_ms) for moment in moments_ms)


def holes(covered: Iterable[Span], window: Span) -> list[Span]:
    """What of `window` no stretch covers; ends are exclusive."""
    found, reached = [], window[0]
    for start, end in merged(covered):
        if start > reached and reached < window[1]:
            found.append((reached, min(start, window[1])))
        reached = max(reached, end)
    if reached < window[1]:
        found.append((reached, window[1]))
    return found
