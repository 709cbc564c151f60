"""The pump's status answer (0x013C): a picture of now, its newest reading and its oldest alarm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridge.model.records import PumpStatus
from bridge.readers.medtronic_600.alarms import status_alarm
from bridge.readers.medtronic_600.boluses import Running
from bridge.readers.medtronic_600.clock import signed, wall
from bridge.readers.medtronic_600.drafts import Draft
from bridge.readers.medtronic_600.glucose import FIRST_EXCEPTION, reading_draft, sensor_state
from bridge.readers.medtronic_600.payloads import PumpTime, checked, insulin, pattern_name, unsigned

COMMAND = 0x013C
_SIZE = 0x60
_NO_TREND = 0xE0
TRENDS = {
    0xC0: "double_up", 0xA0: "single_up", 0x80: "forty_five_up", 0x60: "flat", 0x40: "forty_five_down",
    0x20: "single_down", 0x00: "double_down", _NO_TREND: "none",
}  # fmt: skip
"""The pump's one, two and three arrows begin at 1, 2 and 3 mg/dL/min."""
_UNKNOWN_MINUTES = 0xFFFF
_SUSPENDED_BY_SENSOR = 0x80


@dataclass(frozen=True, slots=True)
class Status:
    """The fields of 0x013C. Amounts in U, `sg_raw` 0 for none and 768 or more for a state, offsets signed."""

    suspended: bool
    bolusing_normal: bool
    bolusing_square: bool
    bolusing_dual: bool
    delivering: bool
    temp_basal: bool
    sensor_on: bool
    bolusing_delivered_u: float
    bolusing_minutes: int
    bolus_reference: int
    last_bolus_u: float
    last_bolus_wall_s: int
    last_bolus_reference: int
    pattern: int
    temp_preset: int
    basal_u_h: float
    temp_u_h: float
    temp_percent: int
    temp_minutes: int
    basal_today_u: float
    battery_pct: int
    reservoir_u: float
    reservoir_hours: int
    reservoir_minutes: int
    iob_u: float
    sg_raw: int
    sg_rtc: int
    sg_offset: int
    plgm: int
    trend_byte: int
    sensor_status: int
    sensor_control: int
    calibration_minutes: int | None
    transmitter_pct: int
    rate_mgdl_min: float
    wizard_recent: bool
    bg_mgdl: int
    alert: int
    alert_rtc: int
    alert_offset: int
    silence: int
    silence_minutes: int
    tail: bytes

    @property
    def bolusing(self) -> bool:
        """Whether a bolus is being delivered."""
        return self.bolusing_normal or self.bolusing_square or self.bolusing_dual

    @property
    def valid_sg(self) -> bool:
        """Whether there is a glucose value, not only a state."""
        return self.sensor_on and 0 < self.sg_raw < FIRST_EXCEPTION

    @property
    def trend(self) -> str | None:
        """The arrow's rate class; only a valid reading has one."""
        return TRENDS.get(self.trend_byte & 0xF0) if self.valid_sg else None

    @property
    def rate(self) -> float | None:
        """mg/dL/min; only with an arrow."""
        return self.rate_mgdl_min if self.valid_sg and self.trend not in (None, "none") else None

    @property
    def active_basal_u_h(self) -> float:
        """What runs now."""
        if self.suspended:
            return 0.0
        if not self.temp_basal:
            return self.basal_u_h
        return self.temp_u_h or round(self.basal_u_h * self.temp_percent / 100, 4)

    @property
    def pattern_name(self) -> str | None:
        """Name of the active basal pattern."""
        return pattern_name(self.pattern) if self.pattern else None

    @property
    def running(self) -> Running | None:
        """The bolus under way."""
        return Running(self.bolus_reference, self.bolusing_delivered_u) if self.bolusing else None


def read_status(payload: bytes) -> Status:
    """0x013C. Raises Malformed for another command or fewer bytes."""
    flags = checked(payload, COMMAND, _SIZE)[3]
    calibration = unsigned(payload, 0x43, 2)
    return Status(
        suspended=bool(flags & 0x01),
        bolusing_normal=bool(flags & 0x02),
        bolusing_square=bool(flags & 0x04),
        bolusing_dual=bool(flags & 0x08),
        delivering=bool(flags & 0x10),
        temp_basal=bool(flags & 0x20),
        sensor_on=bool(flags & 0x40),
        bolusing_delivered_u=insulin(payload, 0x04),
        bolusing_minutes=unsigned(payload, 0x0C, 2),
        bolus_reference=payload[0x0E],
        last_bolus_u=insulin(payload, 0x10),
        last_bolus_wall_s=unsigned(payload, 0x14, 4),
        last_bolus_reference=payload[0x18],
        pattern=payload[0x1A] & 0x0F,
        temp_preset=payload[0x1A] >> 4,
        basal_u_h=insulin(payload, 0x1B),
        temp_u_h=insulin(payload, 0x1F),
        temp_percent=payload[0x23],
        temp_minutes=unsigned(payload, 0x24, 2),
        basal_today_u=insulin(payload, 0x26),
        battery_pct=payload[0x2A],
        reservoir_u=insulin(payload, 0x2B),
        reservoir_hours=payload[0x2F],
        reservoir_minutes=payload[0x30],
        iob_u=insulin(payload, 0x31),
        sg_raw=unsigned(payload, 0x35, 2),
        sg_rtc=unsigned(payload, 0x37, 4),
        sg_offset=signed(unsigned(payload, 0x3B, 4)),
        plgm=payload[0x3F],
        trend_byte=payload[0x40],
        sensor_status=payload[0x41],
        sensor_control=payload[0x42],
        calibration_minutes=None if calibration == _UNKNOWN_MINUTES else calibration,
        transmitter_pct=round((payload[0x45] & 0x0F) * 100 / 15),
        rate_mgdl_min=int.from_bytes(payload[0x46:0x48], "big", signed=True) / 100,
        wizard_recent=payload[0x48] != 0,
        bg_mgdl=unsigned(payload, 0x49, 2),
        alert=unsigned(payload, 0x4B, 2),
        alert_rtc=unsigned(payload, 0x4D, 4),
        alert_offset=signed(unsigned(payload, 0x51, 4)),
        silence=payload[0x55],
        silence_minutes=unsigned(payload, 0x56, 2),
        tail=payload[0x58:],
    )


def status_draft(status: Status, time: PumpTime, auto: bool | None) -> Draft:
    """The picture at the moment of the time answer. `auto`: whether the closed loop ran, None when unknown."""
    sensor = status.sensor_on
    body: dict[str, Any] = {
        "iob_u": status.iob_u,
        "reservoir_u": status.reservoir_u,
        "battery_pct": status.battery_pct if status.battery_pct <= 100 else None,
        "suspended": status.suspended,
        "bolusing": status.bolusing,
        "mode": None if auto is None else "auto" if auto else "manual",
        "active_basal_u_h": None if auto else status.active_basal_u_h,
        "sensor_state": sensor_state(status.sg_raw) if sensor else None,
        "transmitter_battery_pct": status.transmitter_pct if sensor else None,
        "in_range": True,
        "pump_clock": wall(time.rtc, time.offset),
    }
    made = Draft(PumpStatus, f"{time.rtc}:{COMMAND:04X}", time.rtc, time.offset, body)
    made.raw = {
        "pattern": status.pattern_name,
        "calibration_min": status.calibration_minutes if sensor else None,
        "suspended_by_sensor": bool(status.plgm & _SUSPENDED_BY_SENSOR),
        "silence_min": status.silence_minutes,
        "tail": status.tail.hex(),
    }
    return made


def status_reading(status: Status) -> Draft | None:
    """The newest sensor reading, the same as in the history."""
    if not status.sensor_on or not status.sg_raw or not status.sg_rtc:
        return None
    made = reading_draft(status.sg_raw, status.sg_rtc, status.sg_offset)
    if status.valid_sg:
        made.body |= {"trend": status.trend, "rate_mgdl_min": status.rate}
    return made


def alarm_of(status: Status) -> Draft | None:
    """The alarm that the pump shows."""
    return status_alarm(status.alert, status.alert_rtc, status.alert_offset) if status.alert else None
