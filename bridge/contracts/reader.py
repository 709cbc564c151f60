"""The `Reader` seam: a source of records."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from bridge.model.capture import Capture
from bridge.model.health import Health
from bridge.model.records import Record


@dataclass(frozen=True, slots=True)
class Sighting:
    """How a row was first seen: its UTC and source key, which it keeps for ever."""

    time: datetime
    source_key: str


@dataclass(frozen=True, slots=True)
class Memory:
    """What a reader recalls of earlier reads. Lives in the journal, comes back at the next start.

    `sightings`: first-seen rows of the last 36 h by the reader's own row key; `state`: small JSON.
    """

    sightings: Mapping[str, Sighting] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One line about something not fully understood: `code` stable, `text` for a person, no secrets."""

    code: str
    text: str


@dataclass(slots=True, kw_only=True)
class Notes:
    """Diagnostics while a decoder works, each said once however often it happens."""

    notes: Counter[tuple[str, str]] = field(default_factory=Counter)
    strange: bool = False
    """Whether the raw bytes deserve keeping."""

    def note(self, code: str, text: str, *, strange: bool = False) -> None:
        """One more of these."""
        self.notes[code, text] += 1
        self.strange = self.strange or strange

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """All that was noted."""
        return tuple(
            Diagnostic(code, text if times == 1 else f"{text} ({times} times)")
            for (code, text), times in self.notes.items()
        )


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a capture says. `sightings` are the newly seen rows, `state` replaces the reader's state.

    `understood` is False when the raw bytes deserve keeping (unknown marker, refused row).
    """

    records: Sequence[Record]
    sightings: Mapping[str, Sighting] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    diagnostics: Sequence[Diagnostic] = ()
    health: Health = field(default_factory=Health)
    understood: bool = True


@dataclass(frozen=True, slots=True)
class Interval:
    """Time that a read covered, inclusive start, exclusive end, UTC."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Grace:
    """Until when new records wait for their upload to be verified before they are mirrored.

    Records after `fresh_since` wait until `fresh_until` (an alarm must not wait), the others until `until`.
    """

    until: datetime
    fresh_since: datetime
    fresh_until: datetime


@dataclass(frozen=True, slots=True)
class Batch:
    """One read's yield, appended in one transaction. `decoded` is None when nothing could be decoded.

    `next_due` is when the source deserves the next read (UTC). `capture` is None when nothing was read.
    """

    profile: str
    reader: str
    next_due: datetime
    health: Health
    decoded: Decoded | None = None
    capture: Capture | None = None
    covered: Interval | None = None
    grace: Grace | None = None


class Reader(Protocol):
    """A source. `decode` is pure; `read` does one pass of I/O and ends."""

    name: str
    file_feed: str
    """The device_or_feed part of the identity for a file decoded without an account or device."""

    def decode(self, capture: Capture, memory: Memory) -> Decoded:
        """Records of a capture. Raises Malformed for what is not this reader's; never another type."""
        ...

    def read(self, memory: Memory, since: datetime | None) -> AsyncIterator[Batch]:
        """One pass over the source. Outages end as a Batch with a health state, not as an exception.

        Asking for the next item (or the end) tells the reader that the previous batch is durable.
        """
        ...


class FilePiece(Protocol):
    """A part of a file, an export in its own right, without the names of persons."""

    @property
    def body(self) -> bytes:
        """What to decode and keep."""
        ...

    @property
    def context(self) -> Mapping[str, str]:
        """The context of its capture."""
        ...

    def owns(self, time: datetime) -> bool:
        """Whether a record of this time is its own; others are its neighbours'."""
        ...


class FileCut(Protocol):
    """A file in `parts` pieces, oldest first."""

    @property
    def parts(self) -> int:
        """How many parts there are; one where the file is short or leaves doubt."""
        ...

    def seam(self, part: int) -> datetime:
        """Where a part begins."""
        ...

    def piece(self, first: int, last: int) -> FilePiece:
        """The parts from `first` to `last` as one piece."""
        ...


class FileReader(Reader, Protocol):
    """A source of files that a person brings: a long one is read in pieces."""

    def cut(self, body: bytes, context: Mapping[str, str]) -> FileCut:
        """The file in pieces. Raises Malformed for what is no such file."""
        ...
