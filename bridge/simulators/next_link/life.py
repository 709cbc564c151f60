"""A virtual patient's life as the pump writes it down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from bridge.simulators.next_link import events
from bridge.simulators.next_link.clock import RunningClock
from bridge.simulators.next_link.events import Dose, Reading, When
from bridge.simulators.next_link.history import PUMP
from bridge.simulators.patient import (
    Alarm,
    Bolus,
    Calibration,
    Event,
    FingerStick,
    Meal,
    MicroDose,
    ModeChange,
    SensorChange,
    SensorReading,
    TimeChange,
    VirtualPatient,
    known_from,
)

STATES = {"WARM_UP": 769, "CHANGE_SENSOR": 773, "NO_SENSOR_SIGNAL": 771}
CARB_RATIO_G_U = 5.0
SEGMENTS = ((0, 0.8), (360, 1.1), (720, 0.9), (1080, 1.0))
"""The basal schedule of a pump without a loop: minutes after midnight, U/h."""
FAST_U_MIN = 1.5
_DAY = timedelta(days=1)
_LONGEST_BOLUS = timedelta(hours=3)
_SOURCES = {"RECOMMENDED": events.WIZARD, "MANUAL": events.MANUAL, "AUTOCORRECTION": events.CORRECTION}
_LOOP_ONLY = (MicroDose, ModeChange)

Written = tuple[datetime, bytes]


class Life:
    """What a pump knows of its wearer. `loop`: a pump with auto mode (670G)."""

    def __init__(
        self, patient: VirtualPatient, clock: RunningClock, names: tuple[str, str, str], *, loop: bool
    ) -> None:
        """`names`: serial and model of the pump, serial of the meter."""
        self._patient, self._clock, self._loop = patient, clock, loop
        self._serial, self._model, self._meter = names
        self._day_of: Callable[[datetime], tuple[Event, ...]] = lru_cache(16)(self._events_of_day)
        self._writers: dict[type, Callable[[Any], Iterator[Written]]] = {
            Bolus: self._bolus, Meal: self._carbs_alone, MicroDose: self._micro, Alarm: self._alarm,
            FingerStick: self._stick, Calibration: self._calibration, ModeChange: self._mode,
            SensorChange: self._sensor, TimeChange: self._time_change,
        }  # fmt: skip

    def day(self, kind: int, first_rtc: int, last_rtc: int, now: datetime) -> Iterable[bytes]:
        """Events of a history written in [first, last] and before `now`, oldest first."""
        start, end = self._clock.instant(first_rtc), self._clock.instant(last_rtc + 1)
        written = self._pump_day(start, end) if kind == PUMP else self._sensor_day(start, end, now)
        kept = [each for each in written if start <= each[0] < end and each[0] <= now]
        return [raw for _, raw in sorted(kept, key=lambda each: self._clock.rtc(each[0]))]

    def happened(self, start: datetime, end: datetime) -> list[Event]:
        """What happens in [start, end) to a wearer of this pump."""
        found = self._patient.events(start, end)
        return found if self._loop else [event for event in found if not _of_the_loop(event)]

    def _pump_day(self, start: datetime, end: datetime) -> Iterator[Written]:
        yield start, events.start_of_day(self._when(start))
        yield start, events.sources(self._when(start), ((self._serial, self._model), (self._meter, "")))
        for at in self._clock.corrections(start, end):
            yield self._clock_set(at)
        if not self._loop:
            yield from self._basal(start)
        for event in self.happened(start - _LONGEST_BOLUS, end):
            writer = self._writers.get(type(event))
            if writer is not None:
                yield from writer(event)

    def _when(self, at: datetime) -> When:
        return When(self._clock.stamp(at), self._loop)

    # --- insulin and carbohydrates -------------------------------------------------------------------

    def number(self, bolus: Bolus) -> int:
        """The pump's count of a bolus, one byte."""
        start = self._start_of_day(bolus.time)
        boluses = [event for event in self._day_of(start) if isinstance(event, Bolus)]
        return (boluses.index(bolus) + (self._clock.rtc(start) // 86_400) * 37) & 0xFF

    def _start_of_day(self, at: datetime) -> datetime:
        return self._clock.instant(self._clock.rtc(at) // 86_400 * 86_400)

    def _events_of_day(self, start: datetime) -> tuple[Event, ...]:
        return tuple(self.happened(start, start + _DAY))

    def _bolus(self, bolus: Bolus) -> Iterator[Written]:
        dose = Dose(
            _SOURCES[bolus.activation], self.number(bolus), bolus.fast_u, bolus.extended_u, bolus.duration_min
        )
        if bolus.activation == "RECOMMENDED":
            meal = self._meal_of(bolus)
            yield bolus.time, self._asked(bolus.time, meal.carbs_g if meal else 0.0, bolus.fast_u + bolus.extended_u)
        yield from self._delivery(bolus, dose)

    def _delivery(self, bolus: Bolus, dose: Dose) -> Iterator[Written]:
        done, begins, ends = bolus.delivered(), self._when(bolus.time), self._when(bolus.ends)
        if bolus.shape == "FAST":
            yield bolus.time, events.normal_programmed(begins, dose)
            if done.fast_u != bolus.fast_u:
                yield bolus.ends, events.bolus_cancelled(ends, dose.number)
            yield bolus.ends, events.normal_delivered(ends, dose, done.fast_u)
        elif bolus.shape == "SQUARE":
            yield bolus.time, events.square_programmed(begins, dose)
            yield bolus.ends, events.square_delivered(ends, dose, done.extended_u, done.minutes)
        else:
            first = bolus.time + timedelta(minutes=bolus.fast_u / FAST_U_MIN)
            yield bolus.time, events.dual_programmed(begins, dose)
            yield first, events.dual_part_delivered(self._when(first), dose, 1, done.fast_u, 0)
            yield bolus.ends, events.dual_part_delivered(ends, dose, 2, done.extended_u, done.minutes)

    def _asked(self, at: datetime, carbs_g: float, final_u: float) -> bytes:
        write = events.meal_wizard if self._loop else events.wizard
        return write(self._when(at), events.Meal(carbs_g, final_u, CARB_RATIO_G_U))

    def _meal_of(self, bolus: Bolus) -> Meal | None:
        """The meal that was entered with a bolus, in the same second or the one before."""
        near = self.happened(bolus.time - timedelta(seconds=1), bolus.time + timedelta(seconds=1))
        return next((event for event in near if isinstance(event, Meal)), None)

    def _carbs_alone(self, meal: Meal) -> Iterator[Written]:
        near = self.happened(meal.time, meal.time + timedelta(seconds=2))
        if not any(isinstance(event, Bolus) and self._meal_of(event) == meal for event in near if _asks(event)):
            yield meal.time, self._asked(meal.time, meal.carbs_g, 0.0)

    def _micro(self, dose: MicroDose) -> Iterator[Written]:
        given = Dose(events.MICRO, 0, dose.dose_u)
        yield dose.time, events.normal_delivered(self._when(dose.time), given, dose.dose_u)

    def _basal(self, start: datetime) -> Iterator[Written]:
        shown_s = self._clock.wall_seconds(start)
        for number, (minutes, rate_u_h) in enumerate(SEGMENTS):
            at = start + timedelta(seconds=(minutes * 60 - shown_s) % 86_400)
            yield at, events.basal_segment(self._when(at), 1, number, rate_u_h)

    # --- the rest ------------------------------------------------------------------------------------

    def _alarm(self, alarm: Alarm) -> Iterator[Written]:
        yield alarm.time, events.alarm(self._when(alarm.time), alarm.fault_id, alarm.mgdl)
        yield alarm.cleared, events.alarm_cleared(self._when(alarm.cleared), alarm.fault_id)

    def _stick(self, stick: FingerStick) -> Iterator[Written]:
        yield stick.time, events.blood(self._when(stick.time), stick.mgdl, self._meter)

    def _calibration(self, stick: Calibration) -> Iterator[Written]:
        for calibrates in (False, True):
            yield stick.time, events.blood(self._when(stick.time), stick.mgdl, self._meter, calibrates=calibrates)
        done = stick.time + timedelta(minutes=5)
        yield done, events.calibrated(self._when(done), stick.mgdl)

    def _mode(self, mode: ModeChange) -> Iterator[Written]:
        yield mode.time, events.loop_changed(self._when(mode.time), on=mode.auto)

    def _sensor(self, change: SensorChange) -> Iterator[Written]:
        if change.started:
            yield change.time, events.sensor_changed(self._when(change.time))

    def _time_change(self, change: TimeChange) -> Iterator[Written]:
        yield self._clock_set(change.time)

    def _clock_set(self, at: datetime) -> Written:
        before = When(self._clock.stamp(at - timedelta(seconds=1)), self._loop)
        return at, events.clock_set(before, self._clock.stamp(at))

    def _sensor_day(self, start: datetime, end: datetime, now: datetime) -> Iterator[Written]:
        """Readings a whole five minutes apart share an event; those that are not yet known do not exist."""
        run: list[SensorReading] = []
        for event in self.happened(start, end):
            if not isinstance(event, SensorReading) or known_from(event) > now:
                continue
            if run and (self._clock.rtc(event.time) - self._clock.rtc(run[-1].time) != 300 or len(run) == 8):
                yield self._readings(run)
                run = []
            run.append(event)
        if run:
            yield self._readings(run)

    def _readings(self, oldest_first: list[SensorReading]) -> Written:
        at = oldest_first[-1].time
        told = [Reading(shown(row), late=row.backfilled) for row in reversed(oldest_first)]
        return at, events.readings(self._when(at), told)


def shown(row: SensorReading) -> int:
    """A reading's value, or the number that stands for its state."""
    return row.mgdl if row.mgdl is not None else STATES.get(row.state, 771)


def _asks(event: Event) -> bool:
    return isinstance(event, Bolus) and event.activation == "RECOMMENDED"


def _of_the_loop(event: Event) -> bool:
    return isinstance(event, _LOOP_ONLY) or (isinstance(event, Bolus) and event.activation == "AUTOCORRECTION")
