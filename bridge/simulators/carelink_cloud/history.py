"""What the cloud's history holds of a person: uploads of whole device memories, apart from the 24-hour feed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bridge.simulators.carelink_cloud.people import Person, Span
from bridge.simulators.patient import (
    Alarm,
    Bolus,
    Calibration,
    Event,
    FingerStick,
    Meal,
    MicroDose,
    PenDose,
    SensorReading,
    TimeChange,
    known_from,
)

KINDS: dict[type[Event], str] = {
    SensorReading: "sensor_glucose", Meal: "carbs", Bolus: "bolus", MicroDose: "basal", PenDose: "injection",
    FingerStick: "meter_glucose", Calibration: "calibration", Alarm: "alarm", TimeChange: "time_change",
}  # fmt: skip
"""The kinds of facts that stand in the history."""
_KEPT = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class HistoryUpload:
    """One upload of a device's memory."""

    date: datetime
    is_mobile: bool = True
    status: str = "SUCCESS"


@dataclass(slots=True)
class ReadBack:
    """All that can be turned about reading back.

    `every`: how often the phone uploads the history (None: never by itself); `uploads`: further ones by user name.
    """

    every: timedelta | None = timedelta(hours=1)
    uploads: dict[str, list[HistoryUpload]] = field(default_factory=dict)
    dropped: list[Span] = field(default_factory=list)
    """Spans that the history lost."""
    dropped_kinds: set[str] = field(default_factory=set)
    shown_as: dict[str, str] = field(default_factory=dict)
    """Whose history is shown in place of whose."""
    stale_since: datetime | None = None
    """No upload has arrived since then."""
    missing: set[str] = field(default_factory=set)
    """Calls that answer 404: `recentUploads`, `timelines`, `calendar`, `export`."""
    posts_only: bool = False
    """The list of uploads answers GET with 405."""
    not_ready: int = 1
    """How often an export is asked for before it is ready."""
    too_early: int = 0
    """How often a ready export is answered with a page before it comes."""
    status: str = "READY"
    """The word for a ready export."""
    comma_decimals: bool = False
    """Exports with `;` and decimal commas."""

    def listed(self, person: Person, now: datetime) -> list[HistoryUpload]:
        """Uploads of a person, newest first."""
        found = [*self.uploads.get(person.username, ())]
        if self.every is not None:
            beat = now - timedelta(seconds=now.timestamp() % self.every.total_seconds())
            found += [HistoryUpload(beat - self.every * number + timedelta(seconds=20)) for number in range(31)]
        until = now if self.stale_since is None else min(now, self.stale_since)
        return sorted((each for each in found if each.date <= until), key=lambda each: each.date, reverse=True)

    def until(self, person: Person, now: datetime) -> datetime | None:
        """Until when the history reaches; None before the first upload."""
        newest = self.listed(person, now)
        return newest[0].date if newest else None

    def events(self, person: Person, start: datetime, now: datetime) -> list[Event]:
        """What the history holds since `start`, oldest first."""
        until = self.until(person, now)
        if until is None:
            return []
        return [event for event in person.patient.events(start, until) if self._kept(event, until)]

    def _kept(self, event: Event, until: datetime) -> bool:
        kind = KINDS.get(type(event))
        if kind is None or kind in self.dropped_kinds or known_from(event) > until:
            return False
        return not any(start <= event.time < end for start, end in self.dropped)


def begins(person: Person, now: datetime) -> datetime:
    """Where a person's history begins."""
    return max(person.patient.start, now - _KEPT)


def segments(times: Iterable[datetime], apart: timedelta) -> list[Span]:
    """Stretches without a hole longer than `apart`."""
    found: list[Span] = []
    for time in sorted(times):
        if found and time - found[-1][1] <= apart:
            found[-1] = (found[-1][0], time)
        else:
            found.append((time, time))
    return found
