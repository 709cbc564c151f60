"""The pump's status at an instant, 93 bytes of parameters, from its wearer's life."""

from __future__ import annotations

from datetime import datetime, timedelta

from bridge.simulators.next_link.clock import RunningClock
from bridge.simulators.next_link.events import u16, u32
from bridge.simulators.next_link.life import SEGMENTS, Life, shown
from bridge.simulators.patient import Alarm, Bolus, SensorReading, VirtualPatient, known_from

_SIZE = 93
_START = 3
_NORMAL, _SQUARE, _DUAL, _DELIVERING, _SENSOR = 0x02, 0x04, 0x08, 0x10, 0x40
_SHAPES = {"FAST": _NORMAL, "SQUARE": _SQUARE, "DUAL": _DUAL}
_FLAT = 0x60


class _Form:
    """Fields by their place in the whole word (its sequence byte is 0)."""

    def __init__(self) -> None:
        self.data = bytearray(_SIZE)

    def put(self, at: int, value: bytes) -> None:
        self.data[at - _START : at - _START + len(value)] = value


def at_rest(battery_pct: int = 75) -> bytes:
    """A pump without sensor and wearer."""
    form = _Form()
    form.put(0x03, bytes((_DELIVERING,)))
    form.put(0x1A, b"\x01" + u32(0.8))
    form.put(0x2A, bytes((battery_pct,)) + u32(180.0) + bytes((25, 0)))
    form.put(0x43, b"\xff\xff")
    return bytes(form.data)


def worn(patient: VirtualPatient, life: Life, clock: RunningClock, now: datetime) -> bytes:
    """The status of a pump whose wearer lives."""
    state, form = patient.status(now), _Form()
    recent = life.happened(now - timedelta(days=1), now + timedelta(seconds=1))
    boluses = [event for event in recent if isinstance(event, Bolus)]
    form.put(0x03, bytes((_DELIVERING | _SENSOR | _bolusing(boluses, now),)))
    _last_bolus(form, life, clock, boluses, now)
    form.put(0x1A, b"\x01" + u32(_rate(clock, now)))
    form.put(0x2A, bytes((state.pump_battery_pct,)) + u32(state.reservoir_u) + bytes((25, 0)) + u32(state.iob_u))
    _sensor(form, clock, [row for row in recent if isinstance(row, SensorReading)], now)
    _alert(form, clock, [event for event in recent if isinstance(event, Alarm)], now)
    return bytes(form.data)


def _bolusing(boluses: list[Bolus], now: datetime) -> int:
    return next((_SHAPES[each.shape] for each in reversed(boluses) if each.ends > now), 0)


def _last_bolus(form: _Form, life: Life, clock: RunningClock, boluses: list[Bolus], now: datetime) -> None:
    done = [each for each in boluses if each.ends <= now]
    if done:
        last = done[-1]
        stamp = clock.wall_seconds(last.time).to_bytes(4, "big")
        form.put(0x10, u32(last.delivered().total_u) + stamp + bytes((life.number(last),)))


def _rate(clock: RunningClock, now: datetime) -> float:
    minute = clock.wall_seconds(now) % 86_400 // 60
    return next(rate for start, rate in reversed(SEGMENTS) if start <= minute)


def _sensor(form: _Form, clock: RunningClock, rows: list[SensorReading], now: datetime) -> None:
    known = [row for row in rows if known_from(row) <= now]
    if known:
        form.put(0x35, u16(shown(known[-1])) + clock.stamp(known[-1].time))
    form.put(0x40, bytes((_FLAT, 0x10, 0)) + b"\xff\xff")
    form.put(0x45, b"\x0e")


def _alert(form: _Form, clock: RunningClock, alarms: list[Alarm], now: datetime) -> None:
    active = next((each for each in alarms if each.time <= now < each.cleared), None)
    if active is not None:
        form.put(0x4B, u16(active.fault_id) + clock.stamp(active.time))
