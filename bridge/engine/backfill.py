"""Fills what the cloud's 24 hours no longer hold: asks CareLink for the export of the missing days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

import structlog

from bridge.contracts import Batch, Clock, Interval, Journal, ReaderStatus
from bridge.engine.importing import CLOUD, Importer
from bridge.errors import BridgeError
from bridge.model.health import Health, State

FEED = timedelta(hours=24)
"""A younger gap the feed fills by itself."""
REACH = timedelta(days=90)
"""Older gaps are left to files that a person imports."""
DAYS_A_JOB = 14
EVERY = timedelta(hours=6)
"""An export that did not come, or brought nothing, is asked for again so much later."""
BACKFILL = "carelink-export"
"""Under this name `status` shows how the filling goes."""

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

    async def step(self) -> int:
        """Ask for one export, if one is due; how many new records it brought."""
        if self._exports is None:
            return 0
        now, mine = self._clock.now(), {s.reader: s for s in await self._journal.readers(self.profile)}
        wanted = jobs(mine[CLOUD].gaps if CLOUD in mine else (), now, self._zone)
        if not wanted or _rests(mine.get(BACKFILL), now):
            return 0
        return await self._fill(self._exports, wanted[0])

    async def _fill(self, exports: Exports, job: Job) -> int:
        try:
            body, notes = await exports.export(job.first, job.last)
            if body is None:
                return await self._wait(job, Health(State.UNREACHABLE, " ".join(notes)))
            done = await self._importer.take(body, {"timezone": self._zone}, job.covered)
        except BridgeError as error:
            return await self._wait(job, Health(State.named(error.state), str(error)))
        if not done.contents.kinds:
            return await self._wait(job, Health(State.NO_DATA, "CareLink's export holds nothing of these days."))
        new = done.added.new if done.added is not None else 0
        await self._journal.append(Batch(self.profile, BACKFILL, self._clock.now(), Health()))
        _log.info("backfilled", profile=self.profile, first=str(job.first), last=str(job.last), new=new)
        return new

    async def _wait(self, job: Job, health: Health) -> int:
        """Say so, and how a person may help; a restart does not ask sooner."""
        text = f"{health.text} Days {job.first} to {job.last} are missing: it is asked again, or import a file."
        _log.warning("backfill_waits", profile=self.profile, state=str(health.state), reason=text)
        due = self._clock.now() + EVERY
        await self._journal.append(Batch(self.profile, BACKFILL, due, Health(health.state, text)))
        return 0


def _rests(status: ReaderStatus | None, now: datetime) -> bool:
    """Whether the last try was too short a time ago."""
    return status is not None and status.next_due is not None and now < status.next_due
