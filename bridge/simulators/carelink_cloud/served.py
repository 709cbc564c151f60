"""The book of what was offered: which facts left the cloud in an answer that could be read."""

from __future__ import annotations

from collections import Counter, deque
from datetime import datetime

from bridge.simulators.carelink_cloud.people import CARRIES, Family
from bridge.simulators.carelink_cloud.uploads import Picture
from bridge.simulators.patient import Fact


class Served:
    """Facts offered per person, as last told; `calls` are the newest data calls (time, username)."""

    def __init__(self) -> None:
        self.calls: deque[tuple[datetime, str]] = deque(maxlen=100_000)
        self.answers: Counter[str] = Counter()
        """Good data answers per person."""
        self._told: dict[str, dict[str, Fact]] = {}
        self._last: dict[str, datetime] = {}

    def book(self, picture: Picture, shape: Family) -> None:
        """Note one good answer in that shape."""
        name = picture.person.username
        self.answers[name] += 1
        if self._last.get(name) == picture.taken_at:
            return
        self._last[name] = picture.taken_at
        told = self._told.setdefault(name, {})
        told.update((uid, fact) for uid, fact in picture.facts().items() if fact.kind in CARRIES[shape])

    def facts(self, username: str) -> list[Fact]:
        """What was offered of a person so far: one fact per event, a growing bolus as last told."""
        return sorted(self._told.get(username, {}).values())
