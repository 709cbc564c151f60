"""The pure decoder: the frames of one transfer and what was remembered in, records and what to remember out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo

from bridge.contracts import Decoded, Memory, Notes, Sighting
from bridge.errors import InvalidRecord, Malformed
from bridge.model.capture import Capture
from bridge.model.health import Health, State
from bridge.model.records import Record
from bridge.model.time import EARLIEST, parse_wall
from bridge.readers.contour_usb import log
from bridge.readers.contour_usb.clock import AHEAD, UNSURE, Correction, MeterClock, Placed, place
from bridge.readers.contour_usb.header import Header, parse_header
from bridge.readers.contour_usb.making import Maker, content, wanted_key
from bridge.readers.contour_usb.recall import Recall, first_contents, named, remembered, sighting_key
from bridge.readers.contour_usb.receiver import Receiver, lines
from bridge.readers.contour_usb.records import Order, Other, Result, Terminator, parse_line
from bridge.wire.astm import STX
from bridge.wire.context import host_clock, zone

_NOT_OURS = "This is not a transfer of a Contour meter: no header frame."
_INCOMPLETE = "The meter's transfer has no end: nothing was taken from it. The next read brings everything."


def decode(capture: Capture, memory: Memory) -> Decoded:
    """Records of a transfer in order of time. Raises Malformed for what is not one; never another type.

    A transfer without its end gives no records and the state `incomplete`.
    """
    receiver = Receiver()
    for piece in log.read(capture.body):
        if piece.startswith(STX):
            receiver.take(piece)
    texts = lines(receiver.frames)
    if not texts or texts[0][:1] != "H":
        raise Malformed(_NOT_OURS, next_step="It begins with a line such as `<STX>1H|\\^&|...`.")
    header = parse_header(texts[0])
    said = _Said.read(texts[1:])
    if not (receiver.complete and said.ended):
        health = Health(State.INCOMPLETE, _INCOMPLETE)
        return Decoded((), state=memory.state, health=health, diagnostics=said.diagnostics(), understood=False)
    return _Reading(capture, memory, header, said, receiver.refused).decoded()


@dataclass(slots=True)
class _Said(Notes):
    """What the lines after the header say."""

    results: list[Result] = field(default_factory=list)
    control: set[int] = field(default_factory=set)
    ended: bool = False

    @classmethod
    def read(cls, texts: Sequence[str]) -> _Said:
        said = cls()
        for text in texts:
            try:
                said._take(text)
            except Malformed as error:
                said.note("refused_row", error.message, strange=True)
        said.results = [said._checked(result) for result in said.results]
        return said

    def _take(self, text: str) -> None:
        match parse_line(text):
            case Result() as result:
                self.results.append(result)
            case Order(int(sequence), True):
                self.control.add(sequence)
            case Terminator(normal):
                self.ended = normal
            case Other(letter, False):
                self.note("unknown_line", f"The meter sent a line {letter!r} that is not known.", strange=True)

    def _checked(self, result: Result) -> Result:
        if result.sequence not in self.control or result.control_solution:
            return result
        return replace(result, markers=(*result.markers, "C"))


@dataclass(slots=True)
class _Reading:
    """One complete transfer on its way to records."""

    capture: Capture
    memory: Memory
    header: Header
    said: _Said
    refused: int
    recall: Recall = field(init=False)
    zone: tzinfo | None = field(init=False)
    clock: MeterClock | None = field(init=False)
    host: datetime | None = field(init=False)
    twins: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        context = self.capture.context
        self.recall = Recall.restored(self.memory.state.get(self.header.serial))
        self.zone, self.host = zone(context), host_clock(context)
        self.clock = _meter_clock(context, self.header, self.host)

    def decoded(self) -> Decoded:
        """Everything."""
        used: dict[str, Correction] = {}
        records: list[Record] = []
        sightings: dict[str, Sighting] = {}
        maker, now = Maker(self.capture, self.header), self._correction()
        for source_key, result in self._named():
            correction = self.recall.correction_of(source_key) or self._of(result, now)
            used[source_key] = correction
            row = sighting_key(self.header.serial, source_key, content(result))
            placed = self._placed(result, correction, self.memory.sightings.get(row))
            if self.host is not None and placed.time > self.host + AHEAD:
                self.said.note("not_due", "A result is stamped ahead of this machine's clock: held until then.")
                continue
            record = self._made(maker, result, source_key, placed)
            if record is None:
                continue
            records.append(record)
            if row not in self.memory.sightings and self.recall.correction_of(source_key) is None:
                sightings[row] = Sighting(placed.time, source_key)
        self._remark()
        records.sort(key=lambda record: (record.time, record.id))
        state = {**self.memory.state, self.header.serial: remembered(used, self.twins)}
        return Decoded(
            records, sightings, state, self.said.diagnostics(), self._health(), understood=not self.said.strange
        )

    def _named(self) -> list[tuple[str, Result]]:
        """Results with their source keys."""
        groups: dict[str, list[Result]] = defaultdict(list)
        for result in self.said.results:
            groups[wanted_key(result)].append(result)
        seen = first_contents(self.header.serial, self.memory.sightings)
        found: list[tuple[str, Result]] = []
        for wanted, group in groups.items():
            known = self.recall.twins.get(wanted, [])
            if len(group) == 1 and len(known) < 2:
                found.append((wanted, group[0]))
                continue
            keys, self.twins[wanted] = named(wanted, [content(each) for each in group], known or seen[wanted][:1])
            found += zip(keys, group, strict=True)
        return found

    def _correction(self) -> Correction:
        """The one that new results get. Without the host's clock the meter's is believed."""
        if self.clock is None:
            return Correction("right")
        return self.recall.alike(self.clock.correction(self.zone))

    def _of(self, result: Result, now: Correction) -> Correction:
        shows = self.clock.shows if self.clock else self.header.clock
        return UNSURE if shows is not None and result.wall > shows + AHEAD else now

    def _placed(self, result: Result, correction: Correction, seen: Sighting | None) -> Placed:
        placed = place(result.wall, correction, self.zone)
        return placed if seen is None else Placed(seen.time, placed.doubtful)

    def _made(self, maker: Maker, result: Result, source_key: str, placed: Placed) -> Record | None:
        try:
            record = maker.make(result, source_key, placed)
        except InvalidRecord as error:
            self.said.note("refused_row", error.message, strange=True)
            return None
        if record is None:
            known = result.analyte in ("Carb", "Ketone")
            text = f"An entry of {result.analyte} in unit {result.unit!r} has no place in the records."
            self.said.note("unmapped_result", text, strange=not known)
        return record

    def _remark(self) -> None:
        """What a person may want to know of the transfer as a whole."""
        count, got = self.header.count, len(self.said.results)
        if count is not None and count != got:
            self.said.note("count_differs", f"The meter counts {count} results and sent {got}.")
        if self.refused:
            self.said.note("frames_repeated", f"{self.refused} frames came damaged and were asked for again.")
        if self.clock is None:
            self.said.note("clock_unchecked", "Nothing tells whether the meter's clock was right: taken as it shows.")
        if self.zone is None:
            self.said.note("timezone_unknown", "The time zone of the meter's clock is not known.")

    def _health(self) -> Health:
        shows = self.clock.shows if self.clock else self.header.clock
        if shows is None or shows < EARLIEST.replace(tzinfo=None):
            return Health(State.CLOCK_NOT_SET, "The meter's clock is not set. Set date and time on the meter.")
        if self.clock is not None and self.zone is not None and self.clock.correction(self.zone).way == "even":
            return Health(State.CLOCK_MISMATCH, _off(self.clock.offset_s(self.zone)))
        return Health()


def _off(offset_s: int) -> str:
    minutes = round(abs(offset_s) / 60)
    length = f"{minutes} min" if minutes < 180 else f"{minutes // 60} h"
    side = "ahead" if offset_s > 0 else "behind"
    return f"The meter's clock is {length} {side}; times were corrected. Set date and time on the meter."


def _meter_clock(context: Mapping[str, str], header: Header, host: datetime | None) -> MeterClock | None:
    """The header's clock, else the one that was asked for (whole minutes); None without the host's beside it."""
    said = context.get("meter_clock")
    try:
        shows = header.clock or (parse_wall(said) if said else None)
    except ValueError:
        raise Malformed("The capture's meter clock cannot be read.") from None
    if shows is None or host is None:
        return None
    return MeterClock(shows, header.clock_to_s if header.clock else 60, host)
