"""Queries of v1, always with explicit bounds: without one a site adds its own four days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bridge.model import from_ms, iso_ms, to_ms

IDENTIFIERS_A_URL = 100
MOST = 5000
_MARGIN_MS = 60_000


def window(name: str, start: datetime, end: datetime) -> list[tuple[str, str]]:
    """Inclusive start, exclusive end, on the collection's own date."""
    if name == "entries":
        bounds = [("find[date][$gte]", str(to_ms(start))), ("find[date][$lt]", str(to_ms(end)))]
    else:
        bounds = [("find[created_at][$gte]", iso_ms(start)), ("find[created_at][$lt]", iso_ms(end))]
    return [*bounds, ("count", str(MOST))]


def by_identifiers(
    identifiers: Sequence[str], instants_ms: Sequence[int], name: str = "treatments"
) -> list[tuple[str, str]]:
    """Documents of these identifiers (at most 100) around their instants, on the collection's own date."""
    first, last = min(instants_ms) - _MARGIN_MS, max(instants_ms) + _MARGIN_MS
    return [
        *(("find[identifier][$in][]", one) for one in identifiers),
        *_between(name, first, last),
        ("count", str(MOST)),
    ]


def _between(name: str, first_ms: int, last_ms: int) -> list[tuple[str, str]]:
    if name == "entries":
        return [("find[date][$gte]", str(first_ms)), ("find[date][$lte]", str(last_ms))]
    return [
        ("find[created_at][$gte]", iso_ms(from_ms(first_ms))),
        ("find[created_at][$lte]", iso_ms(from_ms(last_ms))),
    ]
