"""History events as the pump writes them down: 11 bytes of head, then the body of their type."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

_HEAD = struct.Struct(">BBB8s")
WIZARD, MANUAL, MICRO, CORRECTION = 1, 0, 5, 6
"""What asked for a bolus."""
HISTORY_AND_DATA = 0x06


@dataclass(frozen=True, slots=True)
class When:
    """Stamp of an event (8 bytes), and whether the loop was on."""

    stamp: bytes
    auto: bool = False

    def event(self, kind: int, body: bytes = b"") -> bytes:
        """A whole event of the pump itself."""
        return _HEAD.pack(kind, self.auto << 7, _HEAD.size + len(body), self.stamp) + body


def u32(units: float) -> bytes:
    """Insulin, U or U/h, in ten-thousandths."""
    return round(units * 10_000).to_bytes(4, "big", signed=units < 0)


def u16(value: float) -> bytes:
    """A whole number, two bytes."""
    return round(value).to_bytes(2, "big")


@dataclass(frozen=True, slots=True)
class Dose:
    """A bolus in numbers: `number` is the pump's own count, amounts in U, minutes."""

    source: int
    number: int
    now_u: float = 0.0
    later_u: float = 0.0
    minutes: int = 0
    iob_u: float = 0.0

    @property
    def head(self) -> bytes:
        """Source, number, no preset."""
        return bytes((self.source, self.number, 0))


def normal_programmed(when: When, dose: Dose) -> bytes:
    """A bolus at once is asked for."""
    return when.event(0x15, dose.head + u32(dose.now_u) + u32(dose.iob_u))


def normal_delivered(when: When, dose: Dose, delivered_u: float) -> bytes:
    """A bolus at once has been given."""
    return when.event(0xDC, dose.head + u32(dose.now_u) + u32(delivered_u) + u32(dose.iob_u))


def square_programmed(when: When, dose: Dose) -> bytes:
    """A bolus over time is asked for."""
    return when.event(0x16, dose.head + u32(dose.later_u) + u16(dose.minutes) + u32(dose.iob_u))


def square_delivered(when: When, dose: Dose, delivered_u: float, minutes: int) -> bytes:
    """A bolus over time has been given."""
    body = u32(dose.later_u) + u32(delivered_u) + u16(dose.minutes) + u16(minutes) + u32(dose.iob_u)
    return when.event(0xDD, dose.head + body)


def dual_programmed(when: When, dose: Dose) -> bytes:
    """A bolus partly at once, partly over time is asked for."""
    body = u32(dose.now_u) + u32(dose.later_u) + u16(dose.minutes) + u32(dose.iob_u)
    return when.event(0x17, dose.head + body)


def dual_part_delivered(when: When, dose: Dose, part: int, delivered_u: float, minutes: int) -> bytes:
    """`part` 1 at once, 2 over time."""
    body = u32(dose.now_u) + u32(dose.later_u) + u32(delivered_u) + bytes((part,))
    return when.event(0xDE, dose.head + body + u16(dose.minutes) + u16(minutes) + u32(dose.iob_u))


def bolus_cancelled(when: When, number: int) -> bytes:
    """A person stopped a bolus."""
    return when.event(0x27, bytes((1, number, 0)))


@dataclass(frozen=True, slots=True)
class Meal:
    """What the calculator is told (g, g/U) and what is given in the end, U."""

    carbs_g: float
    final_u: float
    ratio_g_u: float
    isf_mgdl_u: int = 40
    low_mgdl: int = 90
    high_mgdl: int = 120
    iob_u: float = 0.0

    @property
    def food_u(self) -> float:
        """Insulin for the carbohydrates."""
        return round(self.carbs_g / self.ratio_g_u, 3)


def wizard(when: When, meal: Meal) -> bytes:
    """The calculator of manual mode; glucose in mg/dL, carbohydrates in grams."""
    body = bytes(2) + u16(0) + u16(meal.carbs_g) + u16(meal.isf_mgdl_u) + u32(meal.ratio_g_u / 1000)
    body += u16(meal.low_mgdl) + u16(meal.high_mgdl) + u32(meal.final_u - meal.food_u if meal.final_u else 0.0)
    body += u32(meal.food_u) + u32(meal.iob_u) + u32(0) + u32(meal.final_u) + b"\0\0" + u32(meal.final_u)
    return when.event(0x3D, body)


def meal_wizard(when: When, meal: Meal) -> bytes:
    """The calculator of auto mode."""
    body = bytes(1) + u16(0) + u16(meal.carbs_g) + u32(0) + u32(meal.food_u) + u32(meal.final_u)
    return when.event(0x3E, body + u32(meal.ratio_g_u / 1000))


@dataclass(frozen=True, slots=True)
class Reading:
    """A sensor reading: mg/dL, or 768 and more for a state; `late` when it was filled in afterwards."""

    value: int
    rate_mgdl_min: float = 0.0
    late: bool = False

    def encode(self) -> bytes:
        """Nine bytes."""
        current_na = max(5.0, self.value / 7.5) if self.value < 768 else 20.0
        head = bytes((self.value >> 8 & 3, self.value & 0xFF)) + u16(current_na * 100) + b"\xd5"
        return head + struct.pack(">hBB", round(self.rate_mgdl_min * 100), 0, self.late)


def readings(when: When, newest_first: Sequence[Reading]) -> bytes:
    """Readings five minutes apart; the event's stamp is the newest one's."""
    start = bytes((5, len(newest_first))) + u16(0)
    return when.event(0xD6, start + b"".join(each.encode() for each in newest_first))


def blood(when: When, mgdl: int, meter_serial: str, *, calibrates: bool = False) -> bytes:
    """A finger-stick from a linked meter; `calibrates`: sent on to the sensor."""
    return when.event(0x32, bytes((calibrates << 1,)) + u16(mgdl) + b"\x01" + backwards(meter_serial, 10))


def calibrated(when: When, mgdl: int) -> bytes:
    """The sensor took a value."""
    return when.event(0x38, u16(512) + u16(mgdl))


def alarm(when: When, code: int, mgdl: int | None) -> bytes:
    """An alarm begins."""
    data = (bytes(1) + u16(mgdl) if mgdl is not None else b"").ljust(10, b"\0")
    return when.event(0x28, u16(code) + bytes(4) + bytes((1, HISTORY_AND_DATA)) + data)


def alarm_cleared(when: When, code: int) -> bytes:
    """An alarm is over."""
    return when.event(0x2A, u16(code) + bytes(2))


def loop_changed(when: When, *, on: bool) -> bytes:
    """The loop goes on or off."""
    return when.event(0xDF, bytes((on, 0 if on else 1)))


def sensor_changed(when: When) -> bytes:
    """A new sensor."""
    return when.event(0xCE)


def clock_set(when: When, new_stamp: bytes) -> bytes:
    """The clock is set: head with the old offset, body with the new."""
    return when.event(0x03, new_stamp)


def basal_segment(when: When, pattern: int, number: int, rate_u_h: float) -> bytes:
    """A segment of the basal schedule begins."""
    return when.event(0x1D, bytes((pattern, number)) + u32(rate_u_h))


def sources(when: When, devices: Sequence[tuple[str, str]]) -> bytes:
    """Who may speak to the pump: (serial, model) of the pump itself first."""
    rows = (
        bytes((index,)) + backwards(serial, 10) + bytes(8) + backwards(model, 8, b"\0") + b"\x02\x09\x04"
        for index, (serial, model) in enumerate(devices)
    )
    return when.event(0x04, bytes((len(devices),)) + b"".join(rows))


def start_of_day(when: When) -> bytes:
    """A day begins."""
    return when.event(0x07)


def backwards(text: str, size: int, padding: bytes = b" ") -> bytes:
    """Text as the pump stores it: last letter first."""
    return text[::-1].encode("ascii").ljust(size, padding)
