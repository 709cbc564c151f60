"""A virtual glucose sensor: the CGM Profile over a virtual radio."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bumble.device import Connection
from bumble.gatt import CharacteristicValue, Service

from bridge.simulators.ble import values
from bridge.simulators.ble.air import Air
from bridge.simulators.ble.peripheral import Peripheral, Security
from bridge.simulators.ble.records import RACP, Entry, RecordServer

_UNKNOWN_ZONE = -128


@dataclass(frozen=True, slots=True)
class _Reading:
    """One stored reading."""

    offset_min: int
    value: bytes


class VirtualSensor(Peripheral):
    """A session that began at wall clock `started`; `minutes()` is how long it has lasted.

    `checksums`: values end with the profile's CRC. `quarters`: the zone it tells, a quarter of an hour each, None for
    unknown. `controlled` would be what somebody wrote to its control point: it stays empty while all only read.
    """

    def __init__(
        self,
        air: Air,
        address: str,
        started: datetime,
        minutes: Callable[[], int],
        *,
        serial: str = "CGM0001",
        checksums: bool = False,
        quarters: int | None = None,
        security: Security = Security.OPEN,
    ) -> None:
        super().__init__(air, address, f"CGM {serial}", "181F", security, 0)
        self.started, self.minutes, self.serial = started, minutes, serial
        self.checksums, self.quarters = checksums, quarters
        self.readings: list[_Reading] = []
        self.controlled: list[bytes] = []
        self.records = RecordServer(self.device, self._entries)
        self._measurement = self.notifying("2AA7")

    def measure(self, mgdl: int | None, **more: Any) -> None:
        """A reading now; `more` as `values.sensor_glucose`."""
        offset_min = self.minutes()
        value = values.sensor_glucose(mgdl, offset_min, crc=self.checksums, **more)
        self.readings.append(_Reading(offset_min, value))

    def fill(self, count: int, *, every_min: int = 5) -> None:
        """The last so many readings up to now."""
        newest = self.minutes()
        for step in reversed(range(count)):
            offset_min = newest - step * every_min
            value = values.sensor_glucose(100 + step % 50, offset_min, trend_tenths=4, crc=self.checksums)
            self.readings.append(_Reading(offset_min, value))

    def restart(self, started: datetime) -> None:
        """A new session."""
        self.started = started
        self.readings.clear()

    def services(self) -> list[Service]:
        """Device Information and the CGM Service."""
        point = self.control_point(RACP, self.records.written)
        self.records.point = point
        information = self.information([("2A29", "Sensors Ltd"), ("2A24", "S1"), ("2A25", self.serial)])
        readable = {
            "2AA8": self._feature,
            "2AA9": lambda: self._ended(struct.pack("<H", self.minutes()) + bytes(3)),
            "2AAA": self._start,
            "2AAB": lambda: self._ended(struct.pack("<H", 240)),
        }
        served = [self.readable(uuid, self._read(value)) for uuid, value in readable.items()]
        control = self.control_point("2AAC", self._controlled)
        return [information, Service("181F", [self._measurement, *served, control, point])]

    def _read(self, value: Callable[[], bytes]) -> CharacteristicValue[bytes]:
        return CharacteristicValue(read=lambda connection: value())

    def _feature(self) -> bytes:
        said = (0x8000 | 0x1000 * self.checksums).to_bytes(3, "little") + bytes([9 | 5 << 4])
        return said + (values.reflected_crc(said) if self.checksums else b"\xff\xff")

    def _start(self) -> bytes:
        zone, dst = (_UNKNOWN_ZONE, 255) if self.quarters is None else (self.quarters, 0)
        return self._ended(values.date_time(self.started) + struct.pack("<bB", zone, dst))

    def _ended(self, value: bytes) -> bytes:
        return value + values.reflected_crc(value) if self.checksums else value

    async def _controlled(self, connection: Connection, value: bytes) -> None:
        self.controlled.append(bytes(value))

    def _entries(self) -> Sequence[Entry]:
        return [Entry(each.offset_min, [(self._measurement, each.value)]) for each in self.readings]
