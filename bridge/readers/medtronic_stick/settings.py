"""What a person sets for this reader."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

FLOOR_MIN = 30
"""A pump's radio is used no more often: every read costs its battery."""


class StickSettings(BaseModel):
    """`devices`: six-digit serials of pumps; `isig`: read the sensor current too (new pumps keep odd mg/dL there)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    devices: list[Annotated[str, StringConstraints(pattern=r"^\d{6}$")]] = Field(default_factory=list)
    interval_min: Annotated[int, Field(ge=1, le=24 * 60)] = 60
    isig: bool = True

    @property
    def effective_min(self) -> int:
        """Minutes between reads, never under the floor."""
        return max(self.interval_min, FLOOR_MIN)
