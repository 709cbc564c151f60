"""What the sensor tells, as the pump's glucose and ISIG pages: filled from the front, each record backwards."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from bridge.simulators.patient import Calibration, Event, SensorReading, TimeChange
from bridge.simulators.patient.clocks import PumpClock
from bridge.simulators.stick.paging import sealed, sealed_isig
from bridge.simulators.stick.stamps import stamp4

_ROOM, _STAMP = 1022, 5
_LAST_RF, _PAGE_END, _GAP = 0, 1, 2
_WEAK, _WAITING, _ENDED = b"\x02", b"\x03\0", b"\x05\x01"
_NO_READING = 0x22
_STEP, _SLACK = timedelta(minutes=5), timedelta(seconds=60)
_FACTOR_AFTER = 3


class GlucoseLog:
    """Takes events in the order of their time. `new` pumps keep the lowest bit of a value in its ISIG word.

    `stamped`: the newest reading that a time stamp of the pump covers by now; those after it have no sure time.
    """

    def __init__(self, new: bool, clock: PumpClock) -> None:
        self._new, self._clock = new, clock
        self._pages: list[tuple[bytearray, list[int]]] = [(bytearray(), [])]
        self._last: datetime | None = None
        self._ended = False
        self._factor_in = 0
        self.stamped: datetime | None = None
        self.told: list[SensorReading] = []
        """Readings that stand in the pages as a value."""

    def take(self, events: Iterable[Event]) -> None:
        """Write what the pump writes of them."""
        for event in events:
            match event:
                case SensorReading():
                    self._slot(event)
                case Calibration():
                    self._calibrated(event)
                case TimeChange():
                    self._clock_set(event)

    def pages(self, first: int, kept: int) -> tuple[dict[int, bytes], dict[int, bytes]]:
        """The last `kept` glucose and ISIG pages by running number, the oldest ever being `first`."""
        glucose, isig = {}, {}
        for number, (page, words) in enumerate(self._pages, first):
            end = b"\x01" if number == first + len(self._pages) - 1 and page else b""
            glucose[number], isig[number] = sealed(bytes(page) + end), sealed_isig(words)
        dropped = [number for number in glucose if number < first + len(self._pages) - kept]
        for number in dropped:
            del glucose[number], isig[number]
        return glucose, isig

    def _slot(self, row: SensorReading) -> None:
        if row.state == "CHANGE_SENSOR" and self._ended:
            return
        if self._last is not None and abs(row.time - self._last - _STEP) > _SLACK:
            self._resync(row)
        self._ended = row.state == "CHANGE_SENSOR"
        if row.mgdl is not None and not row.backfilled:
            self._value(row)
        else:
            self._put({"WARM_UP": _WAITING, "CHANGE_SENSOR": _ENDED}.get(row.state, _WEAK))
        self._last = row.time
        if self._factor_in:
            self._factor_in -= 1
            if not self._factor_in:
                self._put(b"\x0f" + self._wall(row.time) + (4512).to_bytes(2, "big"))

    def _value(self, row: SensorReading) -> None:
        mgdl = row.mgdl or 0
        current = mgdl * 16 & ~1
        self._put(bytes([mgdl >> 1]), current | (mgdl & 1) if self._new else current)
        self.told.append(row)

    def _resync(self, row: SensorReading) -> None:
        """Slots are missing: say when the last one was, and that the sensor was lost and found."""
        self._time_stamp(_GAP)
        self._put(b"\x0b" + self._wall(row.time, 2))
        self._put(b"\x0d" + self._wall(row.time, 1 if row.state == "WARM_UP" else 3))

    def _calibrated(self, event: Calibration) -> None:
        stamp = bytearray(self._wall(event.time))
        stamp[2] |= (event.mgdl >> 8) << 5
        self._put(b"\x0e" + stamp + bytes([event.mgdl & 0xFF]))
        self._factor_in = _FACTOR_AFTER

    def _clock_set(self, event: TimeChange) -> None:
        self._time_stamp(_GAP)
        after = self._clock.wall(event.time)
        before = after - timedelta(minutes=event.to_offset_min - event.from_offset_min)
        self._put(b"\x0c" + stamp4(before, 1))
        self._put(b"\x0c" + stamp4(after, 0))

    def _time_stamp(self, kind: int) -> None:
        if self._last is not None:
            self._put(b"\x08" + self._wall(self._last, kind))
            self.stamped = self._last

    def _wall(self, at: datetime, kind: int = 0) -> bytes:
        return stamp4(self._clock.wall(at), kind)

    def _put(self, record: bytes, current: int = _NO_READING) -> None:
        page, words = self._pages[-1]
        if len(page) + len(record) + _STAMP > _ROOM:
            self._turn_over(page, words)
            page, words = self._pages[-1]
        page += record[::-1]
        words += [_NO_READING] * (len(record) - 1) + [current]

    def _turn_over(self, page: bytearray, words: list[int]) -> None:
        """The page's end: no-ops, then the time of its last slot in the last five bytes."""
        spare = _ROOM - _STAMP - len(page)
        page += b"\x13" * spare
        words += [_NO_READING] * (spare + _STAMP)
        if self._last is not None:
            page += (b"\x08" + self._wall(self._last, _PAGE_END))[::-1]
            self.stamped = self._last
        self._pages.append((bytearray(), []))
