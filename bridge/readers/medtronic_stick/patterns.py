"""Which basal schedule was in force: what the pump answers now, walked back through the log's changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from bridge.readers.medtronic_stick.commands import PROFILES, SETTINGS, SETTINGS_12, Answer, Profile, Settings
from bridge.readers.medtronic_stick.fields_insulin import PatternChange, ProfileChange, RateStep
from bridge.readers.medtronic_stick.log import Entry
from bridge.readers.medtronic_stick.opcodes import PROFILE_AFTER, PROFILE_BEFORE

NAMES = ("standard", "pattern a", "pattern b")
_DAY_MIN = 1440


class Rate(NamedTuple):
    """A scheduled rate and the name of its pattern."""

    u_h: float
    schedule: str


class Patterns:
    """The schedules at one place of the log; `apply` goes on to the next."""

    def __init__(self, profiles: Mapping[int, Sequence[RateStep]], selected: int) -> None:
        self._profiles, self._selected = dict(profiles), selected

    def apply(self, entry: Entry) -> None:
        """Go over a record of the log, towards the newest."""
        fields = entry.fields
        if isinstance(fields, PatternChange):
            self._selected = fields.new
        elif isinstance(fields, ProfileChange) and entry.opcode == PROFILE_AFTER:
            self._profiles[fields.pattern] = fields.steps

    def undo(self, entry: Entry) -> None:
        """Go over a record of the log, towards the oldest."""
        fields = entry.fields
        if isinstance(fields, PatternChange):
            self._selected = fields.old
        elif isinstance(fields, ProfileChange) and entry.opcode == PROFILE_BEFORE:
            self._profiles[fields.pattern] = fields.steps

    def rate_at(self, wall: datetime) -> Rate | None:
        """The rate in force at a wall time, None where no schedule is known."""
        steps = self._profiles.get(self._selected)
        if not steps or self._selected >= len(NAMES):
            return None
        minute = wall.hour * 60 + wall.minute
        started = [step for step in steps if step.start_min <= minute]
        return Rate((started or steps)[-1].rate_u_h, NAMES[self._selected])

    def next_step(self, wall: datetime) -> datetime | None:
        """The first wall time after this at which the schedule goes to its next step."""
        steps = self._profiles.get(self._selected)
        if not steps:
            return None
        midnight = wall.replace(hour=0, minute=0, second=0, microsecond=0)
        starts = [midnight + timedelta(minutes=step.start_min) for step in steps]
        later = [start for start in starts if start > wall]
        return later[0] if later else starts[0] + timedelta(minutes=_DAY_MIN)


def patterns_before(answers: Mapping[int, Answer], entries: Sequence[Entry]) -> Patterns | None:
    """The schedules as they were before the first entry; None when the pump did not tell them."""
    settings = answers.get(SETTINGS) or answers.get(SETTINGS_12)
    profiles = {n: answer for n, opcode in enumerate(PROFILES) if isinstance(answer := answers.get(opcode), Profile)}
    if not isinstance(settings, Settings) or not profiles:
        return None
    selected = settings.pattern if settings.patterns_on else 0
    patterns = Patterns({number: profile.schedule for number, profile in profiles.items()}, selected)
    for entry in reversed(entries):
        patterns.undo(entry)
    return patterns
