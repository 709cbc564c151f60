"""Full-jitter back-off and the per-destination circuit, with named states."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

from bridge.errors import BridgeError, Forbidden, Incompatible, Throttled, Unauthorised

FIRST_S, CEILING_S = 15.0, 900.0
PERSON_S = 900.0
"""How long a destination that needs a person is left alone before one more probe."""


class Circuit(StrEnum):
    """Where a destination stands."""

    CLOSED = "closed"
    OPEN = "open"
    NEEDS_PERSON = "needs_person"


@dataclass
class Breaker:
    """Turns failures into waiting times; one success closes it."""

    random: Random
    state: Circuit = Circuit.CLOSED
    failures: int = 0
    wait_s: float = field(default=0.0)

    def succeeded(self) -> None:
        """Close."""
        self.state, self.failures, self.wait_s = Circuit.CLOSED, 0, 0.0

    def failed(self, error: BridgeError) -> float:
        """Seconds to wait before the next try; the class of the error decides."""
        self.failures += 1
        if isinstance(error, Unauthorised | Forbidden | Incompatible):
            self.state, self.wait_s = Circuit.NEEDS_PERSON, PERSON_S
        elif isinstance(error, Throttled) and error.retry_after_s is not None:
            self.state, self.wait_s = Circuit.OPEN, min(max(error.retry_after_s, 1.0), CEILING_S)
        else:
            self.state, self.wait_s = Circuit.OPEN, jittered(self.failures, self.random)
        return self.wait_s


def jittered(failures: int, random: Random) -> float:
    """Full jitter over 15 s, doubled each time, up to 15 min; never under a second."""
    return max(1.0, random.uniform(0, min(CEILING_S, FIRST_S * 2 ** min(failures - 1, 10))))
