"""What a person may set about one Nightscout site."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from adapters.nightscout.address import normal_url
from adapters.nightscout.mapping import MappingSettings
from bridge.errors import Refused, SettingsInvalid

Stream = Literal["glucose", "bolus", "basal", "carbs", "events", "notes", "alarms", "profile", "devicestatus"]
AlarmClass = Literal["none", "critical", "high", "normal", "all"]


class Streams(BaseModel):
    """Which kinds of data go to the site. `events` are the changes that make the ages, and what devices did."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    glucose: bool = True
    bolus: bool = True
    basal: bool = True
    carbs: bool = True
    events: bool = True
    notes: bool = True
    alarms: bool = True
    profile: bool = True
    devicestatus: bool = True

    def on(self, stream: Stream) -> bool:
        """Whether that stream is wanted."""
        return bool(getattr(self, stream))


class Settings(BaseModel):
    """The table of a Nightscout destination in the settings file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = ""
    """Address of the site; linking sets it."""
    streams: Streams = Streams()
    entered_by: str = "openaps://glucobridge"
    meter: Literal["bg_check", "mbg"] = "bg_check"
    alarms: AlarmClass = "high"
    announce: AlarmClass = "none"
    basal_scheduled: Literal["skip", "temp"] = "skip"
    status_every_min: float = Field(default=15, gt=0, le=24 * 60)
    arrows: Literal["rate", "legacy"] = "rate"
    allow_foreign_profile: bool = False
    """Replace a current profile that somebody else entered."""
    batch: int = Field(default=500, ge=1, le=1000)
    """Documents a request to begin with; learnt from there."""

    @field_validator("url")
    @classmethod
    def _normal(cls, url: str) -> str:
        try:
            return normal_url(url) if url else ""
        except Refused as error:
            raise ValueError(error.message) from None

    @field_validator("entered_by")
    @classmethod
    def _quiet(cls, entered_by: str) -> str:
        try:
            return MappingSettings(entered_by=entered_by).entered_by
        except SettingsInvalid as error:
            raise ValueError(str(error)) from None

    def mapping(self, timezone: str | None, site_units: str | None) -> MappingSettings:
        """The part that mapping needs, with the person's zone and the site's units where known."""
        return MappingSettings(
            entered_by=self.entered_by,
            meter=self.meter,
            alarms=self.alarms,
            announce=self.announce,
            basal_scheduled=self.basal_scheduled,
            status_every_min=self.status_every_min,
            arrows=self.arrows,
            timezone=timezone,
            site_units=site_units,
        )
