"""Exports brought into the journal: decoded, appended, and the days that the cloud missed marked as covered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bridge.contracts import (
    Appended,
    Batch,
    Clock,
    Decoded,
    Diagnostic,
    FileCut,
    FilePiece,
    FileReader,
    Interval,
    Journal,
    Memory,
)
from bridge.engine.contents import Contents, contents
from bridge.errors import Malformed
from bridge.model import Capture, Record
from bridge.model.health import Health

EXPORT, CLOUD = "carelink-csv", "carelink-cloud"
_NEVER = timedelta(days=36500)
_SETTLED = timedelta(minutes=30)
_COMPARED = timedelta(days=2)
"""So far on both sides of a seam its pieces must agree: a day less than what they have there."""


@dataclass(frozen=True, slots=True)
class Added:
    """How many records an import added, revised, or found known."""

    new: int = 0
    revised: int = 0
    known: int = 0

    def __add__(self, other: Added) -> Added:
        """Both together."""
        return Added(self.new + other.new, self.revised + other.revised, self.known + other.known)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an export brought; `added` is None when it was only looked at."""

    contents: Contents
    diagnostics: Sequence[Diagnostic]
    added: Added | None


class Importer:
    """Brings the files of one person in. A long one comes in pieces, with the records of the whole.

    A file with a device that is bound to somebody else (`elsewhere`, serials) is refused.
    """

    def __init__(
        self,
        journal: Journal,
        reader: FileReader,
        profile: str,
        clock: Clock,
        elsewhere: frozenset[str] = frozenset(),
    ) -> None:
        self._journal, self._reader, self._profile, self._clock = journal, reader, profile, clock
        self._elsewhere = elsewhere

    async def take(
        self, body: bytes, context: Mapping[str, str], asked: Interval | None = None, *, dry: bool = False
    ) -> Imported:
        """One export. `asked`: the gap it was asked for; without one it covers from its first to its last record.

        Raises Malformed for what is no export, or leaves its dates open.
        """
        cut = self._reader.cut(body, context)
        del body
        now = self._clock.now()
        memory = await self._journal.memory(self._profile, EXPORT)
        held, told, added = Contents(), dict[Diagnostic, None](), Added()
        span: Interval | None = None
        if self._elsewhere:
            for _, decoded in self._parts(cut, memory, now):
                self._require_theirs(decoded)
        for capture, decoded in self._parts(cut, memory, now):
            news = replace(decoded, diagnostics=[each for each in decoded.diagnostics if each not in told])
            held += contents(news)
            told |= dict.fromkeys(decoded.diagnostics)
            span = _wider(span, decoded)
            if not dry:
                batch = Batch(self._profile, EXPORT, now + _NEVER, Health(), decoded, capture)
                added += _count(await self._journal.append(batch))
        if dry:
            return Imported(held, tuple(told), None)
        await self._cover(_spoken_for(span, asked), now)
        return Imported(held, tuple(told), added)

    def _require_theirs(self, decoded: Decoded) -> None:
        for record in decoded.records:
            if record.device.serial and record.device.serial in self._elsewhere:
                raise Malformed(
                    f"The file holds the device …{record.device.serial[-3:]}, which belongs to another person here.",
                    next_step="Import it with that person's --profile. Nothing of it was taken.",
                    state="wrong_device",
                )

    def _parts(self, cut: FileCut, memory: Memory, now: datetime) -> Iterator[tuple[Capture, Decoded]]:
        """Pieces with the records of their own. Where two neighbours do not agree on their seam they are one."""
        begun, part = 0, self._read(cut.piece(0, 0), memory, now)
        for at in range(1, cut.parts):
            following = self._read(cut.piece(at, at), memory, now)
            if _agree(part.decoded.records, following.decoded.records, cut.seam(at)):
                yield part.capture, part.own()
                begun, part = at, following
            else:
                del part, following
                part = self._read(cut.piece(begun, at), memory, now)
        yield part.capture, part.own()

    def _read(self, piece: FilePiece, memory: Memory, now: datetime) -> _Part:
        capture = Capture(self._profile, EXPORT, self._reader.file_feed, now, piece.body, piece.context)
        return _Part(piece.owns, capture, self._reader.decode(capture, memory))

    async def _cover(self, span: Interval | None, now: datetime) -> None:
        if span is not None:
            await self._journal.append(Batch(self._profile, EXPORT, now + _NEVER, Health(), covered=span))
            await self._close_gaps(span)

    async def _close_gaps(self, span: Interval) -> None:
        """What the export covers, the cloud no longer misses."""
        known = [s for s in await self._journal.readers(self._profile) if s.reader == CLOUD]
        for status in known:
            for gap in _parts_of(status.gaps, span):
                due = status.next_due or self._clock.now()
                await self._journal.append(Batch(self._profile, CLOUD, due, status.health, covered=gap))


def _parts_of(gaps: Sequence[Interval], span: Interval) -> list[Interval]:
    cut = [Interval(max(gap.start, span.start), min(gap.end, span.end)) for gap in gaps]
    return [gap for gap in cut if gap.start < gap.end]


def _spoken_for(held: Interval | None, asked: Interval | None) -> Interval | None:
    """What the export speaks for: of a gap, up to its last record, for what the phone had not uploaded yet is not
    known to be nothing."""
    if held is None or asked is None:
        return held
    end = asked.end if held.end >= asked.end - _SETTLED else held.end
    return Interval(asked.start, end) if asked.start < end else None


# --- pieces ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece read, with what its neighbours own too."""

    owns: Callable[[datetime], bool]
    capture: Capture
    decoded: Decoded

    def own(self) -> Decoded:
        """What was decoded, with the records of its own alone."""
        return replace(self.decoded, records=[each for each in self.decoded.records if self.owns(each.time)])


def _agree(before: Sequence[Record], after: Sequence[Record], seam: datetime) -> bool:
    """Whether two pieces say the same of the days around their seam, and no delivery goes on across those days."""
    low, high = seam - _COMPARED, seam + _COMPARED
    if any(_reaches_over(record, low, seam, high) for record in before if record.time < seam):
        return False
    return _within(before, low, high) == _within(after, low, high)


def _reaches_over(record: Record, low: datetime, seam: datetime, high: datetime) -> bool:
    lasted = getattr(record, "duration_min", None)
    end = record.time if lasted is None else record.time + timedelta(minutes=lasted)
    return end > high or (record.time < low and end > seam)


def _within(records: Iterable[Record], low: datetime, high: datetime) -> list[Record]:
    return [record for record in records if low <= record.time < high]


def _wider(span: Interval | None, decoded: Decoded) -> Interval | None:
    times = [record.time for record in decoded.records]
    if span is not None:
        times += (span.start, span.end)
    return Interval(min(times), max(times)) if times else None


def _count(appended: Appended) -> Added:
    return Added(len(appended.new), len(appended.revised), appended.known)
