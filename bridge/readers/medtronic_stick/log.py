"""All pages of a pump as one log, oldest record first, each with its moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256

from bridge.contracts import Diagnostic
from bridge.errors import Malformed
from bridge.readers.medtronic_stick.body import Body
from bridge.readers.medtronic_stick.fields_events import AlarmFields
from bridge.readers.medtronic_stick.opcodes import (
    BOLUS,
    NEW_CLOCK,
    OLD_CLOCK,
    TEMP_DURATION,
    TEMP_RATE,
    WIZARD,
    WIZARD_12,
)
from bridge.readers.medtronic_stick.ordinals import Ordinals
from bridge.readers.medtronic_stick.pages import RawRecord, read_page
from bridge.readers.medtronic_stick.time import Calendar, Change, Moment

CLOCK_LOST_CODES = (17, 21)
_JUMP = timedelta(hours=1)
_BADLY_DATED = 4
"""So many impossible dates, when they are half of all, mean that the page is another model's."""
_REPEATABLE = {OLD_CLOCK, NEW_CLOCK, TEMP_RATE, TEMP_DURATION}
"""Records that belong in pairs: a repeat of one of them is told by the pair."""
_LATE = {BOLUS, WIZARD, WIZARD_12}
"""Records that carry the time when something began, but are written at its end."""


class Entry:
    """A record of the log. `moment` is None without a true date; `ordinal` tells repeated wall times apart.

    `after_gap`: pages are missing before it. `change`: of a new clock, what it was set from and to.
    """

    __slots__ = ("_key", "after_gap", "change", "fields", "moment", "opcode", "ordinal", "record")

    def __init__(self, record: RawRecord, after_gap: bool = False) -> None:
        self.record, self.after_gap = record, after_gap
        self.opcode, self.fields = record.opcode, record.fields
        self.moment: Moment | None = None
        self.ordinal = 0
        self.change: Change | None = None
        self._key: str | None = None

    @property
    def key(self) -> str:
        """The source key. Asked for when the ordinal is known."""
        if self._key is None:
            self._key = self.key_of(self.record.data)
        return self._key

    def key_of(self, data: bytes) -> str:
        """The source key by opcode and digest of these bytes, for a record of which some can still change."""
        digest = sha256(data).hexdigest()[:16]
        return f"{self.opcode:02x}:{digest}:{self.ordinal}" if self.ordinal else f"{self.opcode:02x}:{digest}"


class Log:
    """`entries` oldest first; `understood` is False when something in the pages deserves keeping."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.changes: list[Change] = []
        self.diagnostics: list[Diagnostic] = []
        self.understood = True

    def tell(self, code: str, text: str, *, understood: bool = True) -> None:
        """Add a diagnostic."""
        self.diagnostics.append(Diagnostic(code, text))
        self.understood = self.understood and understood


def read_log(body: Body) -> Log:
    """The records of all sound pages, exact repeats of one left out. Moments are not yet known."""
    log = Log()
    seen: set[tuple[Change | None, bytes]] = set()
    newer: int | None = None
    gap = False
    for number in sorted(body.history, reverse=True):
        records = _page_records(log, number, body)
        if records is None:
            continue
        if newer is not None and number != newer - 1:
            gap = True
            log.tell("history_gap", f"The history pages between {newer} and {number} are not here.")
        newer = number
        for record in records:
            gap = not _add(log, Entry(record, gap), seen) and gap
    return log


def place(log: Log, calendar: Calendar, ordinals: Ordinals) -> None:
    """Give every entry its moment, newest first, and then its ordinal, oldest first."""
    for entry in reversed(log.entries):
        if entry.record.stamped:
            entry.moment = calendar.moment(entry.record.wall)
        if entry.change is not None:
            calendar.changed(entry.change)
        elif isinstance(entry.fields, AlarmFields) and entry.fields.code in CLOCK_LOST_CODES:
            calendar.lose()
    if ordinals.known or log.changes:
        _number(log, calendar, ordinals)
    _tell_jumps(log)


def _number(log: Log, calendar: Calendar, ordinals: Ordinals) -> None:
    oldest = next((entry.moment.wall for entry in log.entries if entry.moment), None)
    ordinals.begin(oldest, log.changes)
    for entry in log.entries:
        if entry.change is not None and not calendar.is_reset(entry.change):
            ordinals.changed(entry.change)
        if entry.moment is not None:
            entry.ordinal = ordinals.of(entry.moment.wall)


def _page_records(log: Log, number: int, body: Body) -> Sequence[RawRecord] | None:
    try:
        page = read_page(body.history[number], body.model, body.reading.wall if body.reading else None)
    except Malformed as why:
        log.tell("page_unreadable", f"History page {number}: {why.message}", understood=False)
        return None
    for block in page.unknown:
        shown = f"{block.data[:32].hex()}{'...' if len(block.data) > 32 else ''}"
        log.tell("unknown_block", f"History page {number}, offset {block.offset}: {shown}", understood=False)
    if page.badly_dated:
        log.tell("bad_dates", f"History page {number}: {page.badly_dated} impossible dates.", understood=False)
    stamped = sum(record.stamped for record in page.records)
    return None if page.badly_dated >= _BADLY_DATED and page.badly_dated * 2 >= stamped else page.records


def _add(log: Log, entry: Entry, seen: set[tuple[Change | None, bytes]]) -> bool:
    """Whether the entry is new and was added."""
    record = entry.record
    entry.change = _change(log.entries[-1] if log.entries else None, record)
    if record.stamped and record.opcode not in _REPEATABLE:
        known = len(seen)
        seen.add((log.changes[-1] if log.changes else None, record.data))
        if len(seen) == known:
            return False
    if entry.change is not None:
        log.changes.append(entry.change)
    log.entries.append(entry)
    return True


def _change(before: Entry | None, record: RawRecord) -> Change | None:
    """The change of the clock that ends with this record; None also for one that changed nothing."""
    if record.opcode != NEW_CLOCK or before is None or before.opcode != OLD_CLOCK:
        return None
    old, new = before.record.wall, record.wall
    return Change(old, new) if old and new and old != new else None


def _tell_jumps(log: Log) -> None:
    """A sanity alarm only: some records are written late."""
    jumps, newest = 0, None
    for entry in log.entries:
        if entry.moment is None or entry.opcode in _LATE:
            continue
        jumps += newest is not None and newest - entry.moment.time > _JUMP
        newest = entry.moment.time
    if jumps:
        log.tell("out_of_order", f"{jumps} times a record is dated over an hour before the one written before it.")
