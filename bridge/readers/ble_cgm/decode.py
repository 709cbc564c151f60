"""The pure decoder: the values of one read in, records and what to remember out.

A session's start in UTC is worked out once and remembered: its readings never move.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from bridge.contracts import Decoded, Memory
from bridge.errors import InvalidRecord
from bridge.model.capture import Capture
from bridge.model.health import Health, State
from bridge.model.records import Device, Record
from bridge.model.time import iso_ms, iso_wall, parse_instant
from bridge.readers.ble_cgm.making import FAMILY, Maker, Session, feed
from bridge.readers.ble_cgm.session import SessionStart
from bridge.readers.ble_cgm.transfer import Transfer
from bridge.wire import gatt_lines
from bridge.wire.context import host_clock, zone
from bridge.wire.device_information import MANUFACTURER, MODEL

SAME = timedelta(minutes=3)
"""The sensor counts whole minutes and drifts: a start this near to the reckoned one is right."""
AHEAD = timedelta(minutes=5)
_UNSET = Health(State.CLOCK_NOT_SET, "The sensor does not tell when its session began, so its readings have no time.")
_INCOMPLETE = Health(State.INCOMPLETE, "The sensor went away before all was read. The next read brings the rest.")


def decode(capture: Capture, memory: Memory) -> Decoded:
    """Records in order of time. Raises Malformed for what no sensor of this profile sends; never another type.

    `capture.context`: `timezone`, `host_clock` (when the status was read), `address`, and of a read `complete`
    (`yes` or `no`).
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
    zone: tzinfo | None = field(init=False)
    complete: bool = field(init=False)
    held: bool = False

    def __post_init__(self) -> None:
        serial, context = self.transfer.serial, self.capture.context
        self.feed = feed(serial) if serial else self.capture.feed
        self.host, self.zone = host_clock(context), zone(context)
        self.complete = context.get("complete") != "no"

    def decoded(self) -> Decoded:
        """Everything."""
        start = self.transfer.start
        if start is None or start.local is None:
            self.transfer.note("no_session_start", "Without the session's start (2AAA) readings have no time.")
            return self._result([], self._addressed(), _UNSET)
        session = self._remembered(start.local) or self._session(start, start.local)
        records = self._records(session)
        records.sort(key=lambda record: (record.time, record.id))
        return self._result(records, self._state(session), Health() if self.complete else _INCOMPLETE)

    def _result(self, records: list[Record], state: Mapping[str, Any], health: Health) -> Decoded:
        notes = self.transfer.diagnostics()
        return Decoded(records, state=state, diagnostics=notes, health=health, understood=not self.transfer.strange)

    def _records(self, session: Session) -> list[Record]:
        texts = self.transfer.texts
        serial = self.transfer.serial or self.feed.partition(":")[2] or None
        device = Device(
            manufacturer=texts.get(MANUFACTURER), model=texts.get(MODEL), serial=serial, family=FAMILY
        )  # fmt: skip
        maker = Maker(self.capture.profile, self.feed, device, session)
        made: list[Record] = []
        for make, row in (
            *((maker.glucose, each) for each in self.transfer.measurements.values()),
            *((maker.calibration, each) for each in self.transfer.calibrations),
        ):
            try:
                record = make(row)  # type: ignore[operator]
            except InvalidRecord as error:
                self.transfer.note("refused_row", error.message, strange=True)
                continue
            if record is not None and self._due(record):
                made.append(record)
        return made

    def _due(self, record: Record) -> bool:
        if self.host is None or record.time <= self.host + AHEAD:
            return True
        self.held = True
        self.transfer.note("not_due", "A reading is stamped ahead of this machine's clock: held until then.")
        return False

    # --- the session's start -------------------------------------------------------------------------

    def _remembered(self, local: datetime) -> Session | None:
        known = _mapping(_mapping(self.memory.state.get("sessions")).get(self.feed))
        try:
            if known.get("start") == iso_wall(local):
                return Session(local, parse_instant(str(known["utc"])), bool(known.get("doubtful")))
        except (KeyError, ValueError, OverflowError):
            pass
        return None

    def _session(self, start: SessionStart, local: datetime) -> Session:
        """By the sensor's own zone; else the person's, where the sensor's count of minutes agrees; else by that."""
        if start.offset is not None:
            return Session(local, (local - start.offset).replace(tzinfo=UTC), doubtful=start.dst_min is None)
        reckoned = self._reckoned()
        said = local.replace(tzinfo=self.zone or UTC).astimezone(UTC)
        if reckoned is None:
            return Session(local, said, doubtful=self.zone is None)
        if self.zone is not None and abs(said - reckoned) <= SAME:
            return Session(local, said, doubtful=False)
        return Session(local, reckoned, doubtful=True)

    def _reckoned(self) -> datetime | None:
        """The clock of this machine less the minutes that the session has lasted."""
        status = self.transfer.status
        if status is None or self.host is None:
            return None
        return (self.host - timedelta(minutes=status.time_offset_min)).replace(microsecond=0)

    # --- what to remember ----------------------------------------------------------------------------

    def _addressed(self) -> dict[str, Any]:
        state = {name: dict(value) for name, value in self.memory.state.items() if isinstance(value, Mapping)}
        address = self.capture.context.get("address")
        if address:
            state.setdefault("addresses", {})[address] = self.feed.partition(":")[2]
        return state

    def _state(self, session: Session) -> Mapping[str, Any]:
        """The session of each sensor, and up to which minute it was read."""
        state = self._addressed()
        sessions = state.setdefault("sessions", {})
        local = iso_wall(session.local)
        before = _mapping(sessions.get(self.feed))
        read_to = before.get("read_to") if before.get("start") == local else None
        if self.complete and not self.held and self.transfer.measurements:
            read_to = max(self.transfer.measurements.keys() | ({read_to} if isinstance(read_to, int) else set()))
        sessions[self.feed] = {"start": local, "utc": iso_ms(session.utc), "doubtful": session.doubtful} | (
            {} if read_to is None else {"read_to": read_to}
        )
        return state


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
