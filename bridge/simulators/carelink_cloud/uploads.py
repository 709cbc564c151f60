"""When a person's phone uploads, and what the cloud then holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TypeVar

from bridge.simulators.carelink_cloud.people import Person
from bridge.simulators.patient import Event, Fact, PatientStatus, SensorReading, fact, known_from

WINDOW = timedelta(hours=24)
_LOOK_BACK = timedelta(minutes=15)
_EventT = TypeVar("_EventT")


@dataclass(frozen=True)
class Picture:
    """What the cloud holds of a person after one upload.

    `taken_at`: the phone's last word with the pump; `stored_at`: when the cloud had it. `events` are all of the
    last 24 h that the pump knew, oldest first, and planned ones ahead.
    """

    person: Person
    taken_at: datetime
    stored_at: datetime
    events: tuple[Event, ...]
    status: PatientStatus

    @property
    def start(self) -> datetime:
        """Start of the rolling window."""
        return self.taken_at - WINDOW

    @cached_property
    def newest(self) -> datetime:
        """Time of the newest sensor row, or of the upload when there is none."""
        rows = self.of(SensorReading)
        return rows[-1].time if rows else self.taken_at

    def of(self, kind: type[_EventT]) -> list[_EventT]:
        """Events of one kind, oldest first."""
        return [event for event in self.events if isinstance(event, kind)]

    def facts(self) -> dict[str, Fact]:
        """What this picture says, by event."""
        said = ((event.uid, fact(event, self.taken_at)) for event in self.events)
        return {uid: one for uid, one in said if one is not None}


def latest_upload(person: Person, now: datetime) -> tuple[datetime, datetime] | None:
    """(taken_at, stored_at) of the newest upload that the cloud has at `now`; None when there is none yet."""
    until = now
    while until > person.patient.start:
        for taken_at in sorted(_beats(person, until - _LOOK_BACK, until), reverse=True):
            stored_at = taken_at + timedelta(seconds=3.0 + 15.0 * person.patient.spread(70, taken_at))
            if stored_at <= now:
                return taken_at, stored_at
        until = min((start for start, end in person.offline if start < until <= end), default=until - _LOOK_BACK)
    return None


def _beats(person: Person, start: datetime, end: datetime) -> Iterator[datetime]:
    """When the phone uploads in [start, end): 2 s after each reading, and as soon as it is online again."""
    for slot in person.patient.slots(start - timedelta(seconds=2), end):
        taken_at = slot + timedelta(seconds=2)
        if start <= taken_at < end and not any(since <= taken_at < until for since, until in person.offline):
            yield taken_at
    yield from (until for _, until in person.offline if start <= until < end)


def picture_of(person: Person, taken_at: datetime, stored_at: datetime) -> Picture:
    """What an upload brought."""
    patient = person.patient
    around = patient.events(taken_at - WINDOW, taken_at + WINDOW)
    known = tuple(event for event in around if known_from(event) <= taken_at)
    return Picture(person, taken_at, stored_at, known, patient.status(taken_at))
