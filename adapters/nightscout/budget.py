"""How long one delivery may go on starting requests."""

from __future__ import annotations

from bridge.contracts import Clock
from bridge.errors import Transient

DELIVERY_S = 200.0
"""Leaves room for one write to time out before the round that waits for us is over."""


class Budget:
    """What is left of one delivery's time."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._end = clock, clock.monotonic() + DELIVERY_S

    def check(self) -> None:
        """Raises Transient when no further request should be started."""
        if self._clock.monotonic() >= self._end:
            raise Transient("The site is slow: the rest goes in the next round.")
