"""The few fields of time and status that decide what to ask and when to come again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bridge.errors import DeviceUnreachable, Malformed

FRESH_S = 310
"""A sensor reading older than this when we look has been missed."""
_LEAST_STATUS = 0x55
_LOW_PUMP_BATTERY_PCT = 25
_SUSPENDED, _TEMPORARY, _SENSOR_ON = 0x01, 0x20, 0x40
_WARM_UP = 0x301


def rtc_of(time_answer: bytes) -> int:
    """The pump's running seconds. Raises DeviceUnreachable (`clock_not_set`) and Malformed."""
    if len(time_answer) < 12:
        raise Malformed("The pump told too little about its clock.")
    if time_answer[3] != 1:
        raise DeviceUnreachable(
            "The pump's clock is not set.", state="clock_not_set", next_step="Set the pump's time and date."
        )
    return int.from_bytes(time_answer[4:8], "big")


@dataclass(frozen=True, slots=True)
class Glance:
    """What the pump's status showed; `sensor_rtc` 0 when it has no reading."""

    bolus_reference: int
    delivery: int
    pattern: int
    reservoir: int
    battery_pct: int
    alert: int
    alert_rtc: int
    blood_mgdl: int
    sensor_rtc: int
    sensor_on: bool
    warming_up: bool

    @property
    def low_battery(self) -> bool:
        """Whether the pump's battery should be spared."""
        return self.battery_pct <= _LOW_PUMP_BATTERY_PCT

    def fresh(self, now_rtc: int) -> bool:
        """Whether the sensor's newest packet has arrived."""
        return now_rtc - self.sensor_rtc <= FRESH_S

    def late(self, now_rtc: int) -> bool:
        """Whether the sensor's packet is just late: better to come again soon than to hold the radio now."""
        return self.sensor_on and FRESH_S < now_rtc - self.sensor_rtc <= 2 * FRESH_S

    def changed_from(self, before: Glance) -> bool:
        """Whether something happened that the history tells about."""
        same = ("bolus_reference", "delivery", "pattern", "alert", "alert_rtc")
        return (
            any(getattr(self, name) != getattr(before, name) for name in same)
            or self.reservoir > before.reservoir
            or self.battery_pct > before.battery_pct
            or self.blood_mgdl not in (0, before.blood_mgdl)
        )

    def dump(self) -> dict[str, Any]:
        """As small JSON."""
        return asdict(self)

    @classmethod
    def restore(cls, kept: object) -> Glance | None:
        """The inverse of `dump`; None for anything else."""
        if not isinstance(kept, Mapping) or set(kept) != set(cls.__dataclass_fields__):
            return None
        return cls(**kept) if all(isinstance(value, int) for value in kept.values()) else None


def glance(status: bytes) -> Glance:
    """Of a PUMP_STATUS payload with its sequence byte. Raises Malformed when it is too short."""
    if len(status) < _LEAST_STATUS:
        raise Malformed("The pump told too little about its state.")
    glucose = int.from_bytes(status[0x35:0x37], "big")
    return Glance(
        bolus_reference=status[0x18],
        delivery=status[3] & (_SUSPENDED | _TEMPORARY),
        pattern=status[0x1A] & 0x0F,
        reservoir=int.from_bytes(status[0x2B:0x2F], "big"),
        battery_pct=status[0x2A],
        alert=int.from_bytes(status[0x4B:0x4D], "big"),
        alert_rtc=int.from_bytes(status[0x4D:0x51], "big"),
        blood_mgdl=int.from_bytes(status[0x49:0x4B], "big"),
        sensor_rtc=int.from_bytes(status[0x37:0x3B], "big"),
        sensor_on=bool(status[3] & _SENSOR_ON),
        warming_up=glucose == _WARM_UP,
    )
