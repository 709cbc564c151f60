"""The pure decoder: the values of one read in, records and what to remember out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bridge.contracts import Decoded, Memory, Sighting
from bridge.errors import InvalidRecord
from bridge.model.capture import Capture
from bridge.model.health import Health, State
from bridge.model.records import Record
from bridge.model.time import EARLIEST
from bridge.readers.ble_glucose.making import Maker, Row, feed, wanted_key
from bridge.readers.ble_glucose.measurement import Measurement
from bridge.readers.ble_glucose.placing import AHEAD, Placed, Placing
from bridge.readers.ble_glucose.transfer import Transfer
from bridge.wire import gatt_lines
from bridge.wire.context import host_clock, zone

BOGUS = timedelta(days=1)
"""A full TaiDoc memory shows one more result, years ahead: what is further ahead than this is none."""
_INCOMPLETE = "The meter went away before all its results were read. The next read brings the rest."


def decode(capture: Capture, memory: Memory) -> Decoded:
    """Records in order of time. Raises Malformed for what no glucose meter sends; never another type.

    `capture.context`: `timezone`, `host_clock` (when the meter's clock was read), `name` and `address` as advertised,
    and of a read `complete` (`yes` or `no`) and `cursor`, the newest sequence number.
    """
    values, strange_lines = gatt_lines.read(capture.body)
    transfer = Transfer.of(values, strange_lines, capture.context.get("name"))
    return _Reading(capture, memory, transfer).decoded()


@dataclass(slots=True)
class _Reading:
    """One read on its way to records."""

    capture: Capture
    memory: Memory
    transfer: Transfer
    feed: str = field(init=False)
    placing: Placing = field(init=False)
    host: datetime | None = field(init=False)
    complete: bool = field(init=False)
    held: bool = False

    def __post_init__(self) -> None:
        context, serial = self.capture.context, self.transfer.identity.serial
        self.feed = feed(serial) if serial else self.capture.feed
        self.host = host_clock(context)
        self.placing = Placing(zone(context), self.transfer.shown, self.host)
        self.complete = context.get("complete") != "no"

    def decoded(self) -> Decoded:
        """Everything."""
        maker = Maker(self.capture.profile, self.feed, self.transfer.identity)
        records: list[Record] = []
        sightings: dict[str, Sighting] = {}
        for row in self._rows():
            records += self._made(maker, row)
            key = self._sighting_key(row.measurement, row.source_key)
            if key not in self.memory.sightings:
                sightings[key] = Sighting(row.placed.time, row.source_key)
        self._remark()
        records.sort(key=lambda record: (record.time, record.id))
        return Decoded(
            records, sightings, self._state(), self.transfer.diagnostics(), self._health(),
            understood=not self.transfer.strange,
        )  # fmt: skip

    def _made(self, maker: Maker, row: Row) -> list[Record]:
        made: list[Record] = []
        try:
            for record in maker.make(row):
                made.append(record)  # noqa: PERF402 - what was made before a refusal stays
        except InvalidRecord as error:
            self.transfer.note("refused_row", error.message, strange=True)
        if not made:
            self.transfer.note("no_value", "A result without a number was left out.")
        return made

    def _rows(self) -> Iterator[Row]:
        """Results that are due, with their notes, names and instants."""
        for source_key, wall, measurement in self._named():
            context = self.transfer.contexts.get(measurement.sequence)
            if context is None and self._may_be_ketone(measurement):
                self.held = True
                self.transfer.note("note_awaited", "A result waits for its note, which tells blood from ketone.")
                continue
            placed = self._placed(wall, measurement, source_key)
            if self._due(placed):
                yield Row(measurement, context, source_key, wall, placed)

    def _may_be_ketone(self, measurement: Measurement) -> bool:
        """While a read is not at its end the note can still come."""
        return measurement.context_follows and self.transfer.identity.quirks.marks_ketones and not self.complete

    def _placed(self, wall: datetime, measurement: Measurement, source_key: str) -> Placed:
        placed = self.placing.place(wall)
        seen = self.memory.sightings.get(self._sighting_key(measurement, source_key))
        return placed if seen is None else Placed(seen.time, placed.doubtful)

    def _due(self, placed: Placed) -> bool:
        if placed.time > (self.host or self.capture.taken_at) + BOGUS:
            self.transfer.note("in_future", "A result that lies days ahead was left out.")
            return False
        if self.host is None or placed.time <= self.host + AHEAD:
            return True
        self.held = True
        self.transfer.note("not_due", "A result is stamped ahead of this machine's clock: held until then.")
        return False

    def _named(self) -> Iterator[tuple[str, datetime, Measurement]]:
        """Results with their source keys, in the order of their first arrival."""
        groups: dict[str, list[tuple[datetime, Measurement]]] = defaultdict(list)
        numbered = not self.transfer.identity.quirks.newest_first
        for measurement in self.transfer.measurements:
            wall = measurement.user_facing_time
            if wall is None:
                self.transfer.note("no_time", "A result without a date was left out.")
                continue
            groups[wanted_key(measurement, wall, numbered=numbered)].append((wall, measurement))
        for wanted, group in groups.items():
            for source_key, (wall, measurement) in zip(self._keys(wanted, group), group, strict=True):
                yield source_key, wall, measurement

    def _keys(self, wanted: str, group: Sequence[tuple[datetime, Measurement]]) -> list[str]:
        """Source keys of results that want one: a key once given stays, the rest go on by age or content."""
        if len(group) == 1 and not self.memory.sightings:
            return [wanted]
        keys: list[str | None] = []
        for _, each in group:
            seen = self.memory.sightings.get(self._sighting_key(each, wanted))
            keys.append(None if seen is None or seen.source_key in keys else seen.source_key)
        free = (key for number in range(1, 2 * len(group) + 1) if (key := _numbered(wanted, number)) not in keys)
        for place in sorted(range(len(group)), key=lambda place: _age(group[place][1])):
            if keys[place] is None:
                keys[place] = next(free)
        return [key or wanted for key in keys]

    def _sighting_key(self, measurement: Measurement, source_key: str) -> str:
        """The reader's own key of a row: the meter, the key it wants and its content, less a number that moves."""
        wanted = source_key.partition("#")[0]
        moves = self.transfer.identity.quirks.newest_first
        content = measurement.raw[:1] + measurement.raw[3:] if moves else measurement.raw
        return f"{self.feed}|{wanted}|{content.hex()}"

    def _remark(self) -> None:
        orphans = self.transfer.contexts.keys() - {each.sequence for each in self.transfer.measurements}
        for _ in orphans:
            self.transfer.note("note_alone", "A note came whose result is not among these.")
        counted, got = self.capture.context.get("counted", ""), len(self.transfer.measurements)
        if self.complete and counted.isdecimal() and int(counted) > got:
            self.transfer.note("count_differs", f"The meter counts {counted} results and sent {got}.")
        if self.placing.shown is None and self.transfer.measurements:
            self.transfer.note("clock_unchecked", "The meter does not tell its clock: taken as right.")
        if self.placing.zone is None:
            self.transfer.note("timezone_unknown", "The time zone of the meter's clock is not known.")

    def _state(self) -> Mapping[str, Any]:
        """Addresses and how far each meter was read. What is held will be asked for again."""
        state = {name: dict(value) for name, value in self.memory.state.items() if isinstance(value, Mapping)}
        address, cursor = self.capture.context.get("address"), self.capture.context.get("cursor", "")
        if address:
            state.setdefault("addresses", {})[address] = self.feed.partition(":")[2]
        if self.complete and not self.held and cursor.isdecimal():
            state.setdefault("cursors", {})[self.feed] = int(cursor)
        return state

    def _health(self) -> Health:
        if not self.complete:
            return Health(State.INCOMPLETE, _INCOMPLETE)
        shown = self.transfer.shown
        if self.transfer.clock_unset or (shown is not None and shown < EARLIEST.replace(tzinfo=None)):
            return Health(State.CLOCK_NOT_SET, "The meter's clock is not set. Set date and time on the meter.")
        if self.placing.evenly and (off_s := self.placing.off_s) is not None:
            return Health(State.CLOCK_MISMATCH, _off(off_s))
        return Health()


def _numbered(wanted: str, number: int) -> str:
    return wanted if number == 1 else f"{wanted}#{number}"


def _age(measurement: Measurement) -> tuple[int, bytes]:
    """Of equal keys only moving numbers differ, and there the higher is the older."""
    return -measurement.sequence, measurement.raw


def _off(off_s: int) -> str:
    minutes = round(abs(off_s) / 60)
    length = f"{minutes} min" if minutes < 180 else f"{minutes // 60} h"
    side = "ahead" if off_s > 0 else "behind"
    return f"The meter's clock is {length} {side}; times were corrected. Set date and time on the meter."
