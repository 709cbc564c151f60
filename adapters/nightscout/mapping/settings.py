"""What a person may choose about the documents of a Nightscout site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bridge.errors import SettingsInvalid

AlarmClass = Literal["none", "critical", "high", "normal", "all"]
_QUIET_PREFIXES = ("openaps://", "loop://")


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingSettings:
    """Choices of mapping. Raises SettingsInvalid for an `entered_by` that would silence the site's low alarms.

    `announce` classes become an Announcement instead of a Note; `site_units` as the site's status.json says
    (`mg/dl`, `mmol`); `timezone` is the person's IANA zone.
    """

    entered_by: str = "openaps://glucobridge"
    meter: Literal["bg_check", "mbg"] = "bg_check"
    alarms: AlarmClass = "high"
    announce: AlarmClass = "none"
    basal_scheduled: Literal["skip", "temp"] = "skip"
    status_every_min: float = 15
    arrows: Literal["rate", "legacy"] = "rate"
    timezone: str | None = None
    site_units: str | None = None

    def __post_init__(self) -> None:
        if not self.entered_by.startswith(_QUIET_PREFIXES):
            raise SettingsInvalid(
                f"entered_by {self.entered_by!r} would silence the site's urgent low alarm with every upload.",
                next_step="Let it start with openaps:// or loop://.",
            )
