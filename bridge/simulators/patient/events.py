"""What happens to a virtual patient: plain events in true UTC, and the facts that must arrive downstream."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

STEP_U = 0.025
"""Smallest amount the pump delivers, U."""
FAST_U_MIN = 1.5
"""Speed of a normal bolus, U/min."""

Activation = Literal["RECOMMENDED", "MANUAL", "AUTOCORRECTION"]
Shape = Literal["FAST", "SQUARE", "DUAL"]


def steps_u(amount_u: float) -> float:
    """An amount as the pump can deliver it: whole steps of 0.025 U."""
    return round(round(amount_u / STEP_U) * STEP_U, 3)


@dataclass(frozen=True, slots=True)
class SensorReading:
    """One sensor row; `mgdl` is None when only a state is known. `known_at`: when the pump has it."""

    uid: str
    time: datetime
    mgdl: int | None
    state: str
    known_at: datetime

    @property
    def backfilled(self) -> bool:
        """True when the row reached the pump late."""
        return self.known_at > self.time


@dataclass(frozen=True, slots=True)
class Meal:
    """Carbohydrates as entered, g."""

    uid: str
    time: datetime
    carbs_g: float


@dataclass(frozen=True, slots=True)
class Delivered:
    """A bolus as seen at an instant: U so far, minutes so far, whether it has ended."""

    fast_u: float
    extended_u: float
    minutes: int
    completed: bool

    @property
    def total_u(self) -> float:
        """Fast and extended part together, U."""
        return round(self.fast_u + self.extended_u, 3)


@dataclass(frozen=True, slots=True)
class Bolus:
    """A bolus that grows while it is delivered; `cancelled_after_s` stops it early (0: nothing was given)."""

    uid: str
    time: datetime
    activation: Activation
    shape: Shape
    fast_u: float
    extended_u: float = 0.0
    duration_min: int = 0
    cancelled_after_s: float | None = None

    @property
    def ends(self) -> datetime:
        """When delivery stops, by itself or by a person."""
        seconds = self.fast_u / FAST_U_MIN * 60 + self.duration_min * 60
        stop = self.cancelled_after_s
        return self.time + timedelta(seconds=seconds if stop is None else min(stop, seconds))

    def delivered(self, at: datetime | None = None) -> Delivered:
        """What is delivered by `at`; the final amounts when it is None.

        One cancelled before the first step never shows as completed, as the source does.
        """
        end = self.ends
        done = at is None or at >= end
        seconds = ((end if done or at is None else at) - self.time).total_seconds()
        fast_s = self.fast_u / FAST_U_MIN * 60
        fast = min(seconds / fast_s, 1.0) * self.fast_u if fast_s else 0.0
        late_s = max(seconds - fast_s, 0.0)
        extended = min(late_s / (self.duration_min * 60), 1.0) * self.extended_u if self.duration_min else 0.0
        fast_u, extended_u = steps_u(fast), steps_u(extended)
        return Delivered(fast_u, extended_u, int(late_s // 60), done and fast_u + extended_u > 0)


@dataclass(frozen=True, slots=True)
class MicroDose:
    """One five-minute dose of automatic basal, U."""

    uid: str
    time: datetime
    dose_u: float


@dataclass(frozen=True, slots=True)
class PenDose:
    """A rapid dose by pen, U."""

    uid: str
    time: datetime
    dose_u: float


@dataclass(frozen=True, slots=True)
class FingerStick:
    """A blood glucose reading, mg/dL."""

    uid: str
    time: datetime
    mgdl: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """A blood glucose reading given to the sensor, mg/dL."""

    uid: str
    time: datetime
    mgdl: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """A notification from `time` to `cleared`, told by `guid`. A planned reminder is known before its time."""

    uid: str
    time: datetime
    cleared: datetime
    guid: str
    fault_id: int
    kind: Literal["ALARM", "ALERT", "REMINDER", "MESSAGE"]
    mgdl: int | None = None
    known_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ModeChange:
    """The closed loop goes on or off."""

    uid: str
    time: datetime
    auto: bool


@dataclass(frozen=True, slots=True)
class TimeChange:
    """The pump's clock is set: offsets from UTC before and after, minutes."""

    uid: str
    time: datetime
    from_offset_min: int
    to_offset_min: int


@dataclass(frozen=True, slots=True)
class SensorChange:
    """A sensor starts or ends."""

    uid: str
    time: datetime
    started: bool
    serial: str


Event: TypeAlias = (
    SensorReading | Meal | Bolus | MicroDose | PenDose | FingerStick | Calibration | Alarm | ModeChange
    | TimeChange | SensorChange
)  # fmt: skip
"""Anything that happens to a virtual patient."""


@dataclass(frozen=True, slots=True, order=True)
class Fact:
    """What must arrive downstream: `kind` in the words of the reading model, true UTC, and the value.

    Values: mg/dL (sensor_glucose, meter_glucose, calibration), g (carbs), U (bolus, basal, injection), the fault
    id (alarm), 1 or 0 (mode_change, sensor_change), minutes moved (time_change).
    """

    kind: str
    time: datetime
    value: float


def known_from(event: Event) -> datetime:
    """When the pump knows of an event."""
    if isinstance(event, SensorReading):
        return event.known_at
    if isinstance(event, Alarm) and event.known_at is not None:
        return event.known_at
    return event.time


def fact(event: Event, at: datetime | None = None) -> Fact | None:
    """The fact of an event as of `at` (None: in the end); None for a row that carries no value."""
    match event:
        case SensorReading(mgdl=None):
            return None
        case Bolus():
            return Fact("bolus", event.time, event.delivered(at).total_u)
        case Alarm():
            return None if at is not None and event.time > at else Fact("alarm", event.time, event.fault_id)
    return Fact(*_plain(event))


def _plain(event: Event) -> tuple[str, datetime, float]:
    match event:
        case SensorReading(mgdl=int(mgdl)):
            return "sensor_glucose", event.time, mgdl
        case Meal():
            return "carbs", event.time, event.carbs_g
        case MicroDose():
            return "basal", event.time, event.dose_u
        case PenDose():
            return "injection", event.time, event.dose_u
        case FingerStick():
            return "meter_glucose", event.time, event.mgdl
        case Calibration():
            return "calibration", event.time, event.mgdl
        case ModeChange():
            return "mode_change", event.time, float(event.auto)
        case SensorChange():
            return "sensor_change", event.time, float(event.started)
        case TimeChange():
            return "time_change", event.time, event.to_offset_min - event.from_offset_min
    raise TypeError(f"{type(event).__name__} carries no plain value")
