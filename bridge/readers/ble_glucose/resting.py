"""When a meter in sight deserves a connection: once each time it is switched on, so that its battery lasts.

A connection keeps a meter awake. It is made at first sight and again only after the meter was out of sight, or after
a quarter of an hour of staying awake by itself; after a failure sooner, then ever later.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

GONE_S = 45.0
"""Not seen for so long: switched off. Longer where there is more time between two looks."""
AGAIN_S = 15 * 60.0
FIRST_RETRY_S, LAST_RETRY_S = 5.0, 5 * 60.0


@dataclass(slots=True)
class _Known:
    seen_at: float
    due_at: float = 0.0
    failures: int = 0


class Resting:
    """All times are the monotonic seconds of one clock."""

    def __init__(self, between_looks_s: float) -> None:
        self._gone_s = max(GONE_S, 2 * between_looks_s)
        self._known: dict[str, _Known] = {}

    def saw(self, addresses: Iterable[str], now_s: float) -> None:
        """These advertise. What was out of sight begins anew."""
        self._known = {
            address: known for address, known in self._known.items() if now_s - known.seen_at <= self._gone_s
        }
        for address in addresses:
            self._known.setdefault(address, _Known(now_s)).seen_at = now_s

    def due(self, address: str, now_s: float) -> bool:
        """Whether to connect now."""
        known = self._known.get(address)
        return known is None or now_s - known.seen_at > self._gone_s or now_s >= known.due_at

    def read(self, address: str, now_s: float) -> None:
        """It gave what it has."""
        self._known[address] = _Known(now_s, now_s + AGAIN_S)

    def failed(self, address: str, now_s: float) -> float:
        """It did not; seconds until the next try."""
        known = self._known.setdefault(address, _Known(now_s))
        wait_s = min(FIRST_RETRY_S * 2.0**known.failures, LAST_RETRY_S)
        known.failures, known.seen_at, known.due_at = known.failures + 1, now_s, now_s + wait_s
        return wait_s
