"""Device events: alarms, status, prime, overrides, clock changes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from adapters.tidepool.validation.kinds import (
    WHOLE,
    Datum,
    GlucoseUnits,
    Metadata,
    Name,
    Part,
    Scale,
    Target,
    UpTo1000,
    Wall,
    WeekMs,
    Zone,
    refuse,
    require_only,
    require_order,
)


class Alarm(Datum):
    """An alarm; an embedded `status` is checked as a datum of its own."""

    alarm_type: Literal[
        "auto_off", "low_insulin", "low_power", "no_delivery", "no_insulin", "no_power", "occlusion", "other",
        "over_limit",
    ]  # fmt: skip
    status: dict[str, Any] | None = None


class ReservoirChange(Datum):
    """A new reservoir."""

    status: dict[str, Any] | None = None


class Status(Datum):
    """Suspended or resumed."""

    status: Literal["resumed", "suspended"]
    reason: Metadata
    duration: Annotated[float, Field(strict=True, ge=0), WHOLE] | None = None
    expected_duration: Annotated[float, Field(strict=True, ge=0), WHOLE] | None = None

    @model_validator(mode="after")
    def _not_shorter(self) -> Status:
        require_order("duration", self.duration, "expectedDuration", self.expected_duration)
        return self


class Prime(Datum):
    """Filling of tubing or cannula."""

    prime_target: Literal["cannula", "tubing"]
    volume: UpTo1000 | None = None


class _OverrideUnits(Part):
    bg: GlucoseUnits


class Override(Datum):
    """A temporary target or preset."""

    override_type: Literal["custom", "physicalActivity", "preprandial", "preset", "sleep"]
    override_preset: Name | None = None
    method: Literal["automatic", "manual"] | None = None
    duration: WeekMs | None = None
    expected_duration: WeekMs | None = None
    bg_target: Target | None = None
    units: _OverrideUnits | None = None
    basal_rate_scale_factor: Scale | None = None
    carb_ratio_scale_factor: Scale | None = None
    insulin_sensitivity_scale_factor: Scale | None = None

    @model_validator(mode="after")
    def _rules(self) -> Override:
        preset = self.override_type == "preset"
        require_only("overridePreset", self.override_preset, wanted=preset, why="the type preset")
        require_only("units", self.units, wanted=self.bg_target is not None, why="bgTarget")
        require_order("duration", self.duration, "expectedDuration", self.expected_duration)
        if self.bg_target is not None and self.units is not None:
            self.bg_target.check("bgTarget", self.units.bg)
        return self


class _ClockInfo(Part):
    time: Wall | None = None
    time_zone_name: Zone | None = None

    @model_validator(mode="after")
    def _something(self) -> _ClockInfo:
        if self.time is None and self.time_zone_name is None:
            refuse("", "needs time or timeZoneName")
        return self


class _ClockChange(Part):
    agent: Literal["automatic", "manual"]
    from_: Annotated[Wall, Field(alias="from")]
    to: Wall


class TimeChange(Datum):
    """The device's clock was set."""

    from_: Annotated[_ClockInfo | None, Field(alias="from")] = None
    to: _ClockInfo | None = None
    method: Literal["automatic", "manual"] | None = None
    change: _ClockChange | None = None

    @model_validator(mode="after")
    def _one_form(self) -> TimeChange:
        if self.from_ is None and self.to is None and self.method is None:
            if self.change is None:
                refuse("", "needs to or change")
            return self
        if self.to is None:
            refuse("to", "is needed with from or method")
        if self.change is not None:
            refuse("change", "may not be there beside to")
        return self
