"""Boluses of both generations: normal, square and dual from their parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_MS_PER_MIN = 60_000


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a bolus. `delivered_u` is None while the file does not tell; `minutes` as programmed."""

    delivered_u: float | None
    programmed_u: float | None
    minutes: float | None = None

    @property
    def given_u(self) -> float:
        """What is known to have been delivered."""
        return self.delivered_u or 0.0

    @property
    def delivered_minutes(self) -> float | None:
        """How long it was delivered: the programmed span, shortened as the amount was."""
        if self.minutes is None or not self.programmed_u or self.delivered_u is None:
            return self.minutes
        if self.delivered_u >= self.programmed_u:
            return self.minutes
        return round(self.delivered_u / self.programmed_u * self.minutes * _MS_PER_MIN) / _MS_PER_MIN


def bolus_body(normal: Part | None, square: Part | None) -> dict[str, Any]:
    """The amounts of a bolus record; at least one part is given."""
    parts = [part for part in (normal, square) if part is not None]
    planned = [part.programmed_u for part in parts if part.programmed_u is not None]
    body: dict[str, Any] = {
        "shape": "dual" if len(parts) > 1 else "square" if square else "normal",
        "delivered_u": round(sum(part.given_u for part in parts), 3),
        "programmed_u": round(sum(planned), 3) if planned else None,
        "completed": all(part.delivered_u is not None for part in parts),
    }
    if square is None:
        return body
    body |= {
        "extended_u": square.given_u,
        "programmed_extended_u": square.programmed_u,
        "duration_min": square.minutes,
        "delivered_duration_min": square.delivered_minutes,
    }
    if normal is not None:
        body |= {"immediate_u": normal.given_u, "programmed_immediate_u": normal.programmed_u}
    return body
