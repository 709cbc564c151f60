"""Settings of the 600-series reader."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Medtronic600Settings(BaseModel):
    """A profile's `medtronic-600` table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    devices: list[str] = Field(default_factory=list)
    """Serials of the pumps that are this person's (`NG1234567H`), or of the meters linked to them."""
    history_days: int = Field(default=90, ge=1, le=90)
    """How far back the pump's history is read at first."""
