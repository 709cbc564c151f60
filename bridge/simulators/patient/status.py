"""What a patient's devices show at an instant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.simulators.patient.chance import whole
from bridge.simulators.patient.events import Bolus, Event, ModeChange
from bridge.simulators.patient.sensor import OK, WARM_UP_S, Session

INSULIN_ACTS = timedelta(hours=4)
RESERVOIR_U = 300
_REFILL_S = 4 * 86_400
_USED_U_H = 2.4


@dataclass(frozen=True, slots=True)
class PatientStatus:
    """A snapshot. `auto` is None without a loop."""

    iob_u: float
    reservoir_u: float
    pump_battery_pct: int
    phone_battery_pct: int
    sensor_minutes_left: int
    sensor_serial: str
    sensor_state: str
    auto: bool
    bolusing: bool


def insulin_on_board(boluses: Iterable[Bolus], at: datetime) -> float:
    """U still acting, falling evenly over four hours, in the pump's steps."""
    left = 0.0
    for bolus in boluses:
        age = at - bolus.time
        if timedelta() <= age < INSULIN_ACTS:
            left += bolus.delivered(at).total_u * (1 - age / INSULIN_ACTS)
    return round(round(left / 0.025) * 0.025, 3)


def status_at(seed: int, at: datetime, session: Session, events: Iterable[Event]) -> PatientStatus:
    """The snapshot at `at`; `events` are those of the last day, oldest first."""
    seconds = int(at.timestamp())
    recent = [event for event in events if event.time <= at]
    boluses = [event for event in recent if isinstance(event, Bolus)]
    modes = [event.auto for event in recent if isinstance(event, ModeChange)]
    return PatientStatus(
        iob_u=insulin_on_board(boluses, at),
        reservoir_u=_reservoir(seed, seconds),
        pump_battery_pct=100 - 25 * ((seconds + whole(seed, 51, 0, 0, 10**6)) // (5 * 86_400) % 4),
        phone_battery_pct=100 - (seconds // 600 + whole(seed, 52, 0, 0, 80)) % 80,
        sensor_minutes_left=max(0, (session.worn_out_s - seconds) // 60),
        sensor_serial=session.serial,
        sensor_state=_sensor_state(session, seconds),
        auto=modes[-1] if modes else True,
        bolusing=any(bolus.ends > at for bolus in boluses),
    )


def _reservoir(seed: int, seconds: int) -> float:
    worn_s = (seconds + whole(seed, 50, 0, 0, _REFILL_S)) % _REFILL_S
    return round(2 * (RESERVOIR_U - 40 - worn_s / 3600 * _USED_U_H)) / 2


def _sensor_state(session: Session, seconds: int) -> str:
    if seconds >= session.worn_out_s:
        return "CHANGE_SENSOR"
    return "WARM_UP" if seconds < session.start_s + WARM_UP_S else OK
