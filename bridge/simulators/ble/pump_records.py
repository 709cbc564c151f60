"""What a virtual pump's history and status hold, byte by byte."""

from __future__ import annotations

import struct
from datetime import datetime

REFERENCE, BOLUS_ASKED, BOLUS_ASKED_MORE, BOLUS_GIVEN, BOLUS_GIVEN_MORE = 0xF00E, 0x5A, 0x66, 0x69, 0x96
BASAL, MICRO, LOOP, MEAL, BLOOD, STOPPED, RESTARTED, GLUCOSE, ALERT_OVER, ALERT = (
    0x99, 0xF001, 0xF002, 0xF005, 0xF007, 0xF00A, 0xF00B, 0xF00C, 0xF00F, 0xF010,
)  # fmt: skip
PERIODIC, SET = 0x3C, 0x33


def amount(thousandths: int) -> bytes:
    """A 32-bit decimal float."""
    return struct.pack("<I", 0xFD << 24 | thousandths & 0xFFFFFF)


def record(event: int, sequence: int, offset_s: int, data: bytes) -> bytes:
    """One record of the history."""
    return struct.pack("<HIH", event, sequence, offset_s) + data


def clock(wall: datetime, reason: int = PERIODIC) -> bytes:
    """A reference time's data."""
    return struct.pack("<BHBBBBB", reason, wall.year, wall.month, wall.day, wall.hour, wall.minute, wall.second)


def glucose(mgdl: int, *, counter: int = 0) -> bytes:
    """A sensor reading's data."""
    return struct.pack("<hHHh", 0, mgdl, 2000, counter)


def bolus(number: int, fast: int, extended: int = 0, minutes: int = 0) -> bytes:
    """A first part's data; amounts in thousandths of a unit."""
    kind = (0x55 if fast else 0x3C) if extended else 0x33
    return struct.pack("<HB", number, kind) + amount(fast) + amount(extended) + struct.pack("<H", minutes)


def asked_more(activation: int = 0x33) -> bytes:
    """A programmed bolus' second part."""
    return bytes([4, activation])


def given_more(seconds_ago: int, activation: int = 0x33, end: int = 0x33) -> bytes:
    """A delivered bolus' second part."""
    return struct.pack("<BIBB", 3, seconds_ago, activation, end)


def basal(old: int, new: int) -> bytes:
    """A change of the rate, thousandths of a unit an hour."""
    return b"\0" + amount(old) + amount(new)


def micro(number: int, thousandths: int) -> bytes:
    """A micro-dose's data."""
    return bytes([number & 0xFF]) + amount(thousandths)


def meal(grams: int) -> bytes:
    """A meal's data."""
    return struct.pack("<H", grams)


def blood(mgdl: int) -> bytes:
    """A finger-stick's data, in kg/L."""
    return struct.pack("<hH", 0, 0xB << 12 | mgdl)


def alert(number: int, instance: int, seconds: int) -> bytes:
    """An alert's data."""
    return struct.pack("<BHHBI", 3, instance, 0xF000 | number, 0x33, seconds)


def alert_over(number: int, instance: int) -> bytes:
    """Its end."""
    return struct.pack("<HH", number, instance)


def status(reservoir: int, *, therapy: int = 0x55) -> bytes:
    """The status characteristic; tenths of a unit."""
    return bytes([therapy, 0x96]) + struct.pack("<I", 0xFF << 24 | reservoir) + bytes([1, 2, 0])


FEATURES = bytes.fromhex("ffff006400fede801f")


def rate_answer(thousandths: int) -> bytes:
    """What runs now."""
    return struct.pack("<HBB", 0x036A, 0, 1) + amount(thousandths)


def on_board_answer(thousandths: int) -> bytes:
    """Insulin on board."""
    return struct.pack("<HB", 0x03FC, 0) + amount(thousandths)


def loop_answer(state: int) -> bytes:
    """The closed loop."""
    return struct.pack("<HHBB", 0x03FE, 1, state, 0)
