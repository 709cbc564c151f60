"""What the pump answers about itself at an instant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from bridge.simulators.patient import Bolus, VirtualPatient
from bridge.simulators.stick.basal import SCHEDULE, BasalLife, instant

_EMPTY_PROFILE = b"\0\0\x3f"
_SETTINGS_OLD = bytes([0, 1, 0, 1, 1, 150, 0, 140, 0, 0, 0, 0, 0, 0, 0, 100, 1, 4, 0, 20, 0])
_SETTINGS_NEW = bytes.fromhex("00010001010096008c00000000000064010400140019010101")


def now_answers(
    patient: VirtualPatient, new: bool, now: datetime, boluses: Sequence[Bolus], basal: BasalLife
) -> dict[int, bytes]:
    """Payloads by opcode. Model, serial, clock and page counters are the pump's own."""
    status = patient.status(now)
    rate_u_h = basal.rate(now)
    bolusing = any(bolus.time <= now < bolus.ends for bolus in boluses)
    volts = 120 + status.pump_battery_pct // 4
    return {
        0x72: bytes([0]) + volts.to_bytes(2, "big"),
        0x73: _reservoir(new, status.reservoir_u),
        0x74: b"VER 2.4A1.1 \x0b\x0b",
        0x75: b"\0",
        0x79: _totals(patient, new, now, boluses, basal),
        0x87: b"\1",
        0x88: b"\1",
        0x89: b"\1",
        0x8A: b"\1\x08\0" + (50).to_bytes(2, "big") + bytes(21) if new else b"\1\0\x05" + bytes(14),
        0x8B: b"\1\0\x32" + bytes(14),
        0x92: _profile(),
        0x93: _EMPTY_PROFILE.ljust(192, b"\0"),
        0x94: _EMPTY_PROFILE.ljust(192, b"\0"),
        0x98: _temp(basal, now),
        0x9C: (4512).to_bytes(2, "big"),
        0x9F: b"\1\0\x64\x78" + bytes(21),
        0xC0: _SETTINGS_NEW if new else _SETTINGS_OLD,
        0xCE: bytes([3, bolusing, rate_u_h == 0]),
    }


def _reservoir(new: bool, units: float) -> bytes:
    return bytes(2) + round(units * 40).to_bytes(2, "big") if new else round(units * 10).to_bytes(2, "big")


def _totals(patient: VirtualPatient, new: bool, now: datetime, boluses: Sequence[Bolus], basal: BasalLife) -> bytes:
    today = patient.pump.wall(now).date()
    said = b""
    for day in (today, today - timedelta(days=1)):
        begin, end = instant(patient, day, 0), min(instant(patient, day + timedelta(days=1), 0), now)
        given = [bolus.delivered(now).total_u for bolus in boluses if begin <= bolus.time < end]
        total_u = basal.given_u(begin, end) + sum(given)
        said += round(total_u * (40 if new else 10)).to_bytes(4 if new else 2, "big")
    return said


def _profile() -> bytes:
    entries = b"".join(round(rate * 40).to_bytes(2, "little") + bytes([start // 30]) for start, rate in SCHEDULE)
    return (entries + _EMPTY_PROFILE).ljust(192, b"\0")


def _temp(basal: BasalLife, now: datetime) -> bytes:
    """Absolute, with the minutes left."""
    minutes = -(-(basal.temp_ends - now) // timedelta(minutes=1)) if basal.temp_ends is not None else 0
    return bytes(2) + round(basal.rate(now) * 40).to_bytes(2, "big") + minutes.to_bytes(2, "big")
