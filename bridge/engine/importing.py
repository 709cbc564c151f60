"""Exports brought into the journal: decoded, appended, and the days that the cloud missed marked as covered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.contracts import Appended, Batch, Clock, Decoded, Interval, Journal, Reader
from bridge.model import Capture
from bridge.model.health import Health

EXPORT, CLOUD = "carelink-csv", "carelink-cloud"
_NEVER = timedelta(days=36500)
_SETTLED = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an export brought; `appended` is None when it was only looked at."""

    decoded: Decoded
    appended: Appended | None


class Importer:
    """Brings the files of one person in."""

    def __init__(self, journal: Journal, reader: Reader, profile: str, clock: Clock) -> None:
        self._journal, self._reader, self._profile, self._clock = journal, reader, profile, clock

    async def take(
        self, body: bytes, context: Mapping[str, str], asked: Interval | None = None, *, dry: bool = False
    ) -> Imported:
        """One export. `asked`: the gap it was asked for; without one it covers from its first to its last record.

        Raises Malformed for what is no export, or leaves its dates open.
        """
        from bridge.readers.carelink_csv.privacy import redact

        now = self._clock.now()
        capture = Capture(self._profile, EXPORT, self._reader.file_feed, now, redact(body), context)
        decoded = self._reader.decode(capture, await self._journal.memory(self._profile, EXPORT))
        if dry:
            return Imported(decoded, None)
        span = _span(decoded, asked)
        batch = Batch(self._profile, EXPORT, now + _NEVER, Health(), decoded, capture, span)
        appended = await self._journal.append(batch)
        if span is not None:
            await self._close_gaps(span)
        return Imported(decoded, appended)

    async def _close_gaps(self, span: Interval) -> None:
        """What the export covers, the cloud no longer misses."""
        known = [s for s in await self._journal.readers() if (s.profile, s.reader) == (self._profile, CLOUD)]
        for status in known:
            for gap in _within(status.gaps, span):
                due = status.next_due or self._clock.now()
                await self._journal.append(Batch(self._profile, CLOUD, due, status.health, covered=gap))


def _within(gaps: Sequence[Interval], span: Interval) -> list[Interval]:
    cut = [Interval(max(gap.start, span.start), min(gap.end, span.end)) for gap in gaps]
    return [gap for gap in cut if gap.start < gap.end]


def _span(decoded: Decoded, asked: Interval | None) -> Interval | None:
    """What the export speaks for: of a gap, up to its last record, for what the phone had not uploaded yet is not
    known to be nothing."""
    times: list[datetime] = [record.time for record in decoded.records]
    if not times:
        return None
    if asked is None:
        return Interval(min(times), max(times))
    end = asked.end if max(times) >= asked.end - _SETTLED else max(times)
    return Interval(asked.start, end) if asked.start < end else None
