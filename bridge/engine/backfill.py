"""Fills what the cloud's 24 hours no longer hold: asks CareLink for the export of the missing days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

import structlog

from bridge.contracts import Clock, Interval, Journal
from bridge.engine.importing import CLOUD, Importer
from bridge.errors import BridgeError

FEED = timedelta(hours=24)
"""A younger gap the feed fills by itself."""
REACH = timedelta(days=90)
"""Older gaps are left to files that a person imports."""
DAYS_A_JOB = 14
EVERY = timedelta(hours=6)

_log = structlog.get_logger(__name__)


class Exports(Protocol):
    """CareLink's export job."""

    async def export(self, first: date, last: date) -> tuple[bytes | None, Sequence[str]]:
        """The CSV of these days (inclusive), or None and why."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """Days to ask for in one export, and the gap they fill."""

    first: date
    last: date
    covered: Interval


def jobs(gaps: Sequence[Interval], now: datetime, zone: str) -> list[Job]:
    """Exports for gaps that the feed cannot fill any more, newest first, at most 14 days each."""
    found = []
    for gap in sorted(gaps, key=lambda gap: gap.end, reverse=True):
        end, start = gap.end, max(gap.start, now - REACH)
        if start >= end or start > now - FEED:
            continue
        while end > start:
            begin = max(start, end - timedelta(days=DAYS_A_JOB - 1))
            days = [moment.astimezone(ZoneInfo(zone)).date() for moment in (begin, end)]
            found.append(Job(days[0], days[1], Interval(begin, end)))
            end = begin
    return found


class Backfill:
    """One person's gaps. `exports` is None where the account may not ask: then `status` names the days."""

    def __init__(
        self, journal: Journal, importer: Importer, exports: Exports | None, profile: str, zone: str, clock: Clock
    ) -> None:
        self._journal, self._importer, self._exports = journal, importer, exports
        self.profile, self._zone, self._clock = profile, zone, clock
        self._tried: datetime | None = None

    async def step(self) -> int:
        """Ask for one export, if one is due; how many new records it brought."""
        now = self._clock.now()
        if self._exports is None or (self._tried is not None and now - self._tried < EVERY):
            return 0
        wanted = jobs(await self._gaps(), now, self._zone)
        if not wanted:
            return 0
        return await self._fill(self._exports, wanted[0], now)

    async def _gaps(self) -> Sequence[Interval]:
        statuses = await self._journal.readers()
        return next((s.gaps for s in statuses if (s.profile, s.reader) == (self.profile, CLOUD)), ())

    async def _fill(self, exports: Exports, job: Job, now: datetime) -> int:
        try:
            body, notes = await exports.export(job.first, job.last)
            if body is None:
                self._tried = now
                _log.warning("backfill_waits", profile=self.profile, reason="; ".join(notes))
                return 0
            done = await self._importer.take(body, {"timezone": self._zone}, job.covered)
        except BridgeError as error:
            self._tried = now
            _log.warning("backfill_waits", profile=self.profile, reason=str(error))
            return 0
        self._tried = now if not done.contents.kinds else self._tried
        new = done.added.new if done.added is not None else 0
        _log.info("backfilled", profile=self.profile, first=str(job.first), last=str(job.last), new=new)
        return new
