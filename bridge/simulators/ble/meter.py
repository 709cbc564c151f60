"""A virtual glucose meter: the Glucose Profile over a virtual radio, with the ways of several makers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from bumble.device import Connection
from bumble.gatt import Characteristic, CharacteristicValue, Service

from bridge.simulators.ble import values
from bridge.simulators.ble.air import Air
from bridge.simulators.ble.peripheral import Peripheral, Security
from bridge.simulators.ble.records import RACP, Entry, RecordServer

CONTOUR_SERVICE = "00000000-0002-11E2-9E96-0800200C9A66"
CONTOUR_CLOCK = "00001026-0002-11E2-9E96-0800200C9A66"
ISENS_SERVICE, ISENS_CLOCK = "FFF0", "FFF1"
_ISENS_ASK = bytes.fromhex("c0030100") + bytes(7)
ClockKind = Literal["current_time", "date_time", "contour", "isens", "none"]
Arrival = Literal["before", "after", "late", "missing"]


@dataclass(frozen=True, slots=True)
class Stick:
    """One stored finger-stick. `wall` on the meter's clock; `note` is a ready context value, and when it comes."""

    sequence: int
    wall: datetime
    value: bytes
    note: bytes | None = None
    arrival: Arrival = "after"


@dataclass(slots=True)
class Model:
    """Which meter it is."""

    manufacturer: str = "Ascensia Diabetes Care"
    model: str = "Contour7800"
    serial: str = "0000001"
    name: str = "Contour7800H0000001"
    clock: ClockKind = "current_time"
    utc_offset_min: int = 0
    """Of a Contour clock, which tells it."""
    newest_first: bool = False
    one_bond: bool = True


class VirtualMeter(Peripheral):
    """`shows` is the meter's own clock. `sticks` is its memory, oldest first; `records` its record server.

    `set_to` would be the clock somebody set: it stays None as long as everybody only reads.
    """

    def __init__(
        self,
        air: Air,
        address: str,
        shows: Callable[[], datetime],
        model: Model | None = None,
        *,
        security: Security = Security.OPEN,
        passkey: int = 0,
    ) -> None:
        self.model = model or Model()
        super().__init__(air, address, self.model.name, "1808", security, passkey)
        self.shows = shows
        self.sticks: list[Stick] = []
        self.set_to: bytes | None = None
        self.mute_clock = False
        """A Contour clock that tells nothing."""
        self.records = RecordServer(self.device, self._entries)
        self._measurement = self.notifying("2A18")
        self._context = self.notifying("2A34")
        self._clock: Characteristic[bytes] | None = None
        self._telling: asyncio.Task[None] | None = None

    def take(self, mgdl: int, *, meal: int | None = None, arrival: Arrival = "after") -> Stick:
        """A person tests now: the next number is used, 65535 is followed by 0."""
        sequence = (self.sticks[-1].sequence + 1) % 65536 if self.sticks else 1
        wall = self.shows()
        value = values.glucose(sequence, wall, mgdl, offset_min=0, note_follows=meal is not None)
        stick = Stick(sequence, wall, value, None if meal is None else values.note(sequence, meal=meal), arrival)
        self.sticks.append(stick)
        return stick

    def fill(self, count: int, *, every: timedelta = timedelta(hours=4), first: int = 1) -> None:
        """So many tests up to now, beginning with number `first`."""
        start = self.shows().replace(microsecond=0) - every * count
        for step in range(count):
            sequence, wall = (first + step) % 65536, start + every * step
            value = values.glucose(sequence, wall, 80 + step % 120, offset_min=0)
            self.sticks.append(Stick(sequence, wall, value))

    def services(self) -> list[Service]:
        """Device Information, the Glucose Service, and a clock."""
        model = self.model
        information = self.information(
            [("2A29", model.manufacturer), ("2A24", model.model), ("2A25", model.serial), ("2A26", "1.00")]
        )
        point = self.control_point(RACP, self.records.written)
        self.records.point = point
        feature = (0x0000 if model.one_bond else 0x0400).to_bytes(2, "little")
        glucose = [self._measurement, self._context, self.readable("2A51", feature), point]
        if model.clock == "date_time":
            glucose.append(self.readable("2A08", self._read(lambda: values.date_time(self.shows()))))
        return [information, Service("1808", glucose), *self._clock_services()]

    def _clock_services(self) -> list[Service]:
        if self.model.clock == "current_time":
            read = self._read(lambda: values.current_time(self.shows()))
            return [Service("1805", [self.readable("2A2B", read)])]
        if self.model.clock == "contour":
            self._clock = self.notifying(CONTOUR_CLOCK, write=self._contour_written)
            self._clock.on("subscription", self._contour_asked)
            return [Service(CONTOUR_SERVICE, [self._clock])]
        if self.model.clock == "isens":
            self._clock = self.notifying(ISENS_CLOCK, write=self._isens_written)
            return [Service(ISENS_SERVICE, [self._clock])]
        return []

    def _read(self, value: Callable[[], bytes]) -> CharacteristicValue[bytes]:
        return CharacteristicValue(read=lambda connection: value())

    async def _contour_written(self, connection: Connection, value: bytes) -> None:
        self.set_to = bytes(value)

    def _contour_asked(self, connection: Connection, notify: bool, indicate: bool) -> None:
        if notify and self._clock is not None and not self.mute_clock:
            shown = values.contour_time(self.shows(), self.model.utc_offset_min)
            telling = self.device.notify_subscriber(connection, self._clock, shown)
            self._telling = asyncio.get_running_loop().create_task(telling)

    async def _isens_written(self, connection: Connection, value: bytes) -> None:
        if bytes(value) != _ISENS_ASK:
            self.set_to = bytes(value)
        elif self._clock is not None:
            await self.device.notify_subscriber(connection, self._clock, values.isens_time(self.shows()))

    def _entries(self) -> Sequence[Entry]:
        if not self.model.newest_first:
            return [Entry(stick.sequence, self._told(stick)) for stick in self.sticks]
        renumbered = enumerate(reversed(self.sticks))
        return [
            Entry(number, [(self._measurement, stick.value[:1] + number.to_bytes(2, "little") + stick.value[3:])])
            for number, stick in renumbered
        ]

    def _told(self, stick: Stick) -> Sequence[tuple[Characteristic[bytes], bytes]]:
        result = (self._measurement, stick.value)
        if stick.note is None or stick.arrival == "missing":
            return [result]
        note = (self._context, stick.note)
        if stick.arrival == "late":
            if note not in self.records.late:
                self.records.late.append(note)
            return [result]
        return [note, result] if stick.arrival == "before" else [result, note]
