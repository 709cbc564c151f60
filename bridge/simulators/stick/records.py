"""History records as a pump writes them: the old form (522) and the new one (523 and later)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from bridge.simulators.stick.stamps import stamp2, stamp5

NORMAL, SQUARE, DUAL_NORMAL, DUAL_SQUARE = 2, 3, 4, 5
_FROM_METER = 3 << 5
_METER = b"\xa1\xb2\xc3"
_MGDL, _GRAMS = 1, 1


def simple(opcode: int, wall: datetime, value: int = 0) -> bytes:
    """Seven bytes: a code, one value, the time."""
    return bytes([opcode, value]) + stamp5(wall)


def bolus(
    new: bool, wall: datetime, kind: int, programmed_u: float, delivered_u: float, minutes: int, iob_u: float
) -> bytes:
    """One delivery, or one part of a dual wave. Old pumps keep tenths of a unit."""
    stamp = bytearray(stamp5(wall))
    stamp[2] |= kind << 5
    halves = minutes // 30
    if not new:
        return bytes([1, round(programmed_u * 10), round(delivered_u * 10), halves]) + stamp
    amounts = (_fortieths(programmed_u), _fortieths(delivered_u), _fortieths(iob_u))
    return b"\x01" + b"".join(amounts) + bytes([halves]) + stamp


@dataclass(frozen=True, slots=True)
class Sum:
    """What the bolus wizard was told and worked out; `bg` 0: none was entered."""

    carbs_g: int
    ratio_g_u: float
    isf: int
    low: int
    high: int
    food_u: float
    correction_u: float
    iob_u: float
    estimate_u: float
    bg: int = 0


def wizard(new: bool, wall: datetime, asked: Sum) -> bytes:
    """The wizard's record; its bolus follows."""
    stamp = bytearray(stamp5(wall))
    units = _MGDL << 6 | _GRAMS << 4 | (asked.carbs_g >> 8) << 2 | asked.bg >> 8
    head = bytes([0x5B, asked.bg & 0xFF])
    if new:
        stamp[2] |= (asked.isf >> 8) << 6
        correction, food = round(asked.correction_u * 40) & 0x1FFF, round(asked.food_u * 40)
        body = bytes([asked.carbs_g & 0xFF, units]) + round(asked.ratio_g_u * 10).to_bytes(2, "big")
        body += bytes([asked.isf & 0xFF, asked.low, correction & 0xFF]) + (food & 0xFFFF).to_bytes(2, "big")
        body += bytes([correction >> 8 << 3 | food >> 16]) + _fortieths(asked.iob_u) + _fortieths(asked.estimate_u)
        return head + stamp + body + bytes([asked.high])
    correction = round(asked.correction_u * 10) & 0xFFF
    body = bytes([asked.carbs_g & 0xFF, units, round(asked.ratio_g_u), asked.isf, asked.low, correction & 0xFF])
    body += bytes([round(asked.food_u * 10), correction >> 8 << 4, 0, round(asked.iob_u * 10), 0])
    return head + stamp + body + bytes([round(asked.estimate_u * 10), asked.high])


def unabsorbed(doses: list[tuple[float, int]]) -> bytes:
    """Doses still acting, as (U, age in minutes), the latest first."""
    entries = b"".join(
        bytes([min(round(dose_u * 40), 255), age & 0xFF, (age >> 8) << 4 | 4]) for dose_u, age in doses
    )
    return bytes([0x5C, len(entries) + 2]) + entries


def glucose_entered(wall: datetime, mgdl: int, *, linked: bool) -> list[bytes]:
    """A blood glucose, and the linked meter's own record of it."""
    stamp = bytearray(stamp5(wall))
    stamp[2] |= (mgdl >> 9) << 7 | _MGDL << 5
    stamp[3] |= _FROM_METER if linked else 0
    stamp[4] |= (mgdl >> 8 & 1) << 7
    entered = bytes([0x0A, mgdl & 0xFF]) + stamp
    if not linked:
        return [entered]
    own = bytearray(stamp5(wall))
    own[2] |= (mgdl & 7) << 5
    own[3] |= _FROM_METER
    return [entered, bytes([0x3F, mgdl >> 3]) + own + _METER]


def basal_start(wall: datetime, index: int, start_min: int, rate_u_h: float) -> bytes:
    """A scheduled rate begins; only new pumps say so."""
    rate = round(rate_u_h * 40).to_bytes(2, "little")
    return bytes([0x7B, index]) + stamp5(wall) + bytes([start_min // 30]) + rate


def temp_basal(wall: datetime, rate_u_h: float, minutes: int) -> list[bytes]:
    """An absolute temp basal; zero minutes cancel the running one."""
    rate = round(rate_u_h * 40)
    return [bytes([0x33, rate & 0xFF]) + stamp5(wall) + bytes([rate >> 8]), simple(0x16, wall, minutes // 30)]


def suspend(new: bool, wall: datetime) -> bytes:
    """The person stops delivery."""
    return simple(0x1E, wall, 0x01 if new else 0)


def resume(new: bool, wall: datetime) -> bytes:
    """The person lets it go on."""
    return simple(0x1F, wall, 0x20 if new else 0)


def prime(wall: datetime, fixed_u: float, delivered_u: float) -> bytes:
    """The tubing (fixed 0) or the cannula is filled."""
    return bytes([0x03, 0, round(fixed_u * 10), 0, round(delivered_u * 10)]) + stamp5(wall)


def sensor_alarm(wall: datetime, code: int, mgdl: int) -> bytes:
    """An alert of the sensor."""
    stamp = bytearray(stamp5(wall))
    stamp[4] |= (mgdl >> 8) << 7
    return bytes([0x0B, code, mgdl & 0xFF]) + stamp


def meal(wall: datetime, carbs_g: int) -> bytes:
    """A meal noted without a bolus (new pumps)."""
    return bytes([0x40, carbs_g >> 8]) + stamp5(wall) + bytes([carbs_g & 0xFF, _GRAMS])


def clock_set(before: datetime, after: datetime) -> list[bytes]:
    """The clock's last time and its new one."""
    return [simple(0x17, before), simple(0x18, after)]


def day_total(new: bool, day: date, basal_u: float, bolus_u: float, carbs_g: int) -> list[bytes]:
    """The result of a day and its details, written after midnight."""
    total = _fortieths(basal_u + bolus_u)
    result = b"\x07\0\0" + total + stamp2(day) + (bytes(3) if new else b"")
    share = round(100 * basal_u / (basal_u + bolus_u)) if basal_u + bolus_u else 0
    body = bytes(8) + total + _fortieths(basal_u) + bytes([share]) + _fortieths(bolus_u) + bytes([100 - share])
    body += carbs_g.to_bytes(2, "big") if new else b""
    detail = bytes([0x6E if new else 0x6D]) + stamp2(day) + body
    return [result, detail.ljust(52 if new else 44, b"\0")]


def _fortieths(amount_u: float) -> bytes:
    return round(amount_u * 40).to_bytes(2, "big")
