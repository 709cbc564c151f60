"""The pure decoder: the opened values of one read in, records and what to remember out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from bridge.contracts import Decoded, Memory
from bridge.errors import InvalidRecord
from bridge.model.capture import Capture
from bridge.model.health import Health, State
from bridge.model.records import Device, Record
from bridge.readers.minimed_ble import uuids
from bridge.readers.minimed_ble.basals import Basals, Running, basals
from bridge.readers.minimed_ble.boluses import Boluses, boluses
from bridge.readers.minimed_ble.drafts import Draft
from bridge.readers.minimed_ble.glance import glance
from bridge.readers.minimed_ble.happenings import Happenings, happenings
from bridge.readers.minimed_ble.making import AHEAD, FAMILY, MAKER, Maker, feed
from bridge.readers.minimed_ble.readings import readings
from bridge.readers.minimed_ble.timeline import Timeline, timeline
from bridge.readers.minimed_ble.transfer import Transfer
from bridge.wire import gatt_lines
from bridge.wire.context import host_clock, zone

_MOST_ALERTS = 50
_INCOMPLETE = Health(State.INCOMPLETE, "The pump went away before all was read. The next read brings the rest.")
_UNSET = Health(State.CLOCK_NOT_SET, "The pump's clock is not set, so its history has no time. Set it on the pump.")
_AHEAD = Health(
    State.CLOCK_MISMATCH, "The pump's clock is ahead of this machine's. Check both clocks and the time zone."
)


def decode(capture: Capture, memory: Memory) -> Decoded:
    """Records in order of time. Raises Malformed for what no pump sends; never another type.

    `capture.context`: `timezone`, `host_clock` (when the status was read), and of a read `complete` (`yes` or `no`).
    """
    transfer = Transfer.of(*gatt_lines.read(capture.body))
    return _Reading(capture, memory, transfer).decoded()


@dataclass(slots=True)
class _Reading:
    """One read on its way to records."""

    capture: Capture
    memory: Memory
    transfer: Transfer
    feed: str = field(init=False)
    host: datetime | None = field(init=False)
    line: Timeline = field(init=False)
    maker: Maker = field(init=False)
    held: bool = False

    def __post_init__(self) -> None:
        serial, context = self.transfer.serial, self.capture.context
        self.feed = feed(serial) if serial else self.capture.feed
        self.host, self.line = host_clock(context), timeline(self.transfer.events.values())
        said = serial or self.feed.partition(":")[2] or None
        model = self.transfer.texts.get(uuids.MODEL)
        device = Device(manufacturer=MAKER, model=model, serial=said, family=FAMILY)
        self.maker = Maker(self.capture.profile, self.feed, device, zone(context))

    def decoded(self) -> Decoded:
        """Everything."""
        known = _mapping(_mapping(self.memory.state.get("pumps")).get(self.feed))
        given = boluses(self.line)
        line = basals(self.line, _running(known))
        happened = happenings(self.line, _numbers(known.get("alerts")))
        for diagnostic in given.diagnostics:
            self.transfer.note(diagnostic.code, diagnostic.text)
        if self.line.undated:
            self.transfer.note("undated", "An event stands before the first reference time and has no date.")
        records = self._records((*given.drafts, *line.drafts, *happened.drafts, *readings(self.line)))
        records += self._glance(known)
        records.sort(key=lambda record: (record.time, record.id))
        return Decoded(
            records,
            state=self._state(known, given, line, happened),
            diagnostics=self.transfer.diagnostics(),
            health=self._health(),
            understood=not self.transfer.strange,
        )

    def _records(self, drafts: Iterable[Draft]) -> list[Record]:
        made: list[Record] = []
        for each in drafts:
            try:
                record = self.maker.record(each)
            except (InvalidRecord, OverflowError) as error:
                self._refused(error)
                continue
            if self._due(record):
                made.append(record)
        return made

    def _glance(self, known: Mapping[str, Any]) -> list[Record]:
        newest = self._newest(known)
        if newest is None or self.host is None:
            return []
        made = glance(self.transfer, newest, self.host)
        try:
            return [] if made is None else [self.maker.at(made, self.host)]
        except InvalidRecord as error:
            self._refused(error)
            return []

    def _refused(self, error: InvalidRecord | OverflowError) -> None:
        text = error.message if isinstance(error, InvalidRecord) else "A date lies outside the calendar."
        self.transfer.note("refused_row", text, strange=True)

    def _due(self, record: Record) -> bool:
        if self.host is None or record.time <= self.host + AHEAD:
            return True
        self.held = True
        self.transfer.note("not_due", "An event is stamped ahead of this machine's clock: held until then.")
        return False

    def _health(self) -> Health:
        if not self.line.clock_set:
            return _UNSET
        if self.held:
            return _AHEAD
        return _INCOMPLETE if self.capture.context.get("complete") == "no" else Health()

    # --- what to remember ----------------------------------------------------------------------------

    def _newest(self, known: Mapping[str, Any]) -> int | None:
        last = self.line.newest
        return last.sequence if last is not None else _number(known.get("newest"))

    def _state(
        self, known: Mapping[str, Any], given: Boluses, line: Basals, happened: Happenings
    ) -> Mapping[str, Any]:
        """Of each pump: from where the next read asks, what the basal line was there, alerts told."""
        state = {name: value for name, value in self.memory.state.items() if name != "pumps"}
        pumps = dict(_mapping(self.memory.state.get("pumps")))
        open_ones = [since for since in (given.open_since, line.open_since) if since is not None]
        reach = self.line.reach(min(open_ones, default=None))
        pump = dict(known)
        if reach is not None and not self.held:
            running = line.running[reach]
            pump = {
                "from": reach,
                "newest": self._newest(known),
                "rate_u_h": None if running.rate_u_h is None else str(running.rate_u_h),
                "auto": running.auto,
            }
        alerts = _numbers(known.get("alerts")) | happened.alerts
        pump["alerts"] = dict(sorted(alerts.items(), key=lambda item: item[1])[-_MOST_ALERTS:])
        pumps[self.feed] = pump
        return state | {"pumps": pumps}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _numbers(value: object) -> dict[str, int]:
    return {str(name): number for name, number in _mapping(value).items() if isinstance(number, int)}


def _running(known: Mapping[str, Any]) -> Running:
    try:
        rate = None if known.get("rate_u_h") is None else Decimal(str(known["rate_u_h"]))
    except InvalidOperation:
        rate = None
    auto = known.get("auto")
    return Running(rate, auto if isinstance(auto, bool) else None)
