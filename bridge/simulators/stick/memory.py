"""A virtual patient's days as a pump of these families remembers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import itemgetter

from bridge.simulators.patient import (
    Alarm,
    Bolus,
    Calibration,
    Event,
    Fact,
    FingerStick,
    Meal,
    TimeChange,
    VirtualPatient,
)
from bridge.simulators.patient.alarms import HIGH, LOW, NEARING_LOW
from bridge.simulators.patient.status import insulin_on_board
from bridge.simulators.stick import records
from bridge.simulators.stick.answers import now_answers
from bridge.simulators.stick.basal import BasalLife, days, instant, live
from bridge.simulators.stick.cgm import GlucoseLog
from bridge.simulators.stick.paging import history_pages
from bridge.simulators.stick.pump import PumpMemory

RATIO_G_U, ISF, LOW_TARGET, HIGH_TARGET = 5.0, 50, 100, 120
_HISTORY_KEPT, _GLUCOSE_KEPT, _FIRST_GLUCOSE_PAGE = 36, 32, 100
_SENSOR_ALARMS = {HIGH: 101, LOW: 102, NEARING_LOW: 115}
_MEAL_BEFORE = timedelta(minutes=60)
_ACTING = timedelta(hours=4)


@dataclass(slots=True)
class Life:
    """`facts`: what stands in the memory, in true UTC and as the pump rounds it, oldest first.

    Sensor readings after `stamped` have no time stamp of the pump behind them yet.
    """

    memory: PumpMemory
    facts: list[Fact] = field(default_factory=list)
    stamped: datetime | None = None
    basal: BasalLife = field(default_factory=BasalLife)


def remember(patient: VirtualPatient, model: str, start: datetime, now: datetime) -> Life:
    """What a pump of that model, started at `start`, remembers at `now`. It gives no insulin by itself: the patient's
    automatic corrections and micro-doses do not happen, a profile does instead."""
    new = int(model) % 100 >= 23
    events = [event for event in patient.events(start, now) if not _automatic(event)]
    life = Life(PumpMemory(), basal=live(patient, new, start, now))
    soon = patient.events(now, now + _MEAL_BEFORE)
    log = _Log(patient, new, [*events, *(event for event in soon if not _automatic(event))], now, life)
    for event in events:
        log.take(event)
    log.totals(start)
    pages = history_pages(log.in_order())
    glucose = GlucoseLog(new, patient.pump)
    glucose.take(events)
    life.stamped = glucose.stamped
    life.facts += [Fact("sensor_glucose", row.time, _kept_mgdl(row.mgdl or 0, new)) for row in glucose.told]
    life.facts.sort()
    memory = life.memory
    memory.history, memory.counter = pages[:_HISTORY_KEPT], len(pages) - 1
    memory.glucose, memory.isig = glucose.pages(_FIRST_GLUCOSE_PAGE, _GLUCOSE_KEPT)
    memory.answers = now_answers(patient, new, now, log.boluses, life.basal)
    return life


def _automatic(event: Event) -> bool:
    return isinstance(event, Bolus) and event.activation == "AUTOCORRECTION"


def _kept_mgdl(mgdl: int, new: bool) -> int:
    return mgdl if new else mgdl & ~1


class _Log:
    """The history's records, each with the instant at which it was written."""

    def __init__(
        self, patient: VirtualPatient, new: bool, events: Sequence[Event], now: datetime, life: Life
    ) -> None:
        """`events` reach beyond `now`, as a meal is noted by itself only if no bolus follows it."""
        self._patient, self._new, self._now, self._life = patient, new, now, life
        self._written = list(life.basal.written)
        self._meals = [event for event in events if isinstance(event, Meal)]
        planned = [event for event in events if isinstance(event, Bolus)]
        self._wizards = [bolus.time for bolus in planned if bolus.activation == "RECOMMENDED"]
        self.boluses = [bolus for bolus in planned if bolus.time < now]

    def in_order(self) -> list[bytes]:
        """As they stand in the pages."""
        return [each for at, each in sorted(self._written, key=itemgetter(0)) if at <= self._now]

    def take(self, event: Event) -> None:
        """Write what the pump writes of one event."""
        wall = self._patient.pump.wall(event.time)
        match event:
            case Bolus() if event.ends <= self._now:
                self._bolus(event, wall)
            case Meal() if self._new and not any(
                timedelta() <= at - event.time < _MEAL_BEFORE for at in self._wizards
            ):
                self._write(event.time, records.meal(wall, round(event.carbs_g)))
                self._fact("carbs", event.time, round(event.carbs_g))
            case FingerStick() | Calibration():
                linked = isinstance(event, FingerStick)
                self._write(event.time, *records.glucose_entered(wall, event.mgdl, linked=linked))
                self._fact("meter_glucose", event.time, event.mgdl)
                if not linked:
                    self._fact("calibration", event.time, event.mgdl)
            case Alarm() if event.fault_id in _SENSOR_ALARMS:
                self._write(event.time, records.sensor_alarm(wall, _SENSOR_ALARMS[event.fault_id], event.mgdl or 0))
            case TimeChange():
                moved = event.to_offset_min - event.from_offset_min
                self._write(event.time, *records.clock_set(wall - timedelta(minutes=moved), wall))
                self._fact("time_change", event.time, moved)

    def totals(self, start: datetime) -> None:
        """Each day's result, written after its end."""
        for day in days(self._patient, start, self._now):
            begin, end = instant(self._patient, day, 0), instant(self._patient, day + timedelta(days=1), 0)
            if end <= self._now:
                basal_u = self._life.basal.given_u(begin, end)
                bolus_u = sum(self._given(bolus) for bolus in self.boluses if begin <= bolus.time < end)
                carbs_g = sum(round(meal.carbs_g) for meal in self._meals if begin <= meal.time < end)
                self._write(end, *records.day_total(self._new, day, basal_u, bolus_u, carbs_g))

    # --- boluses ---------------------------------------------------------------------------------------

    def _bolus(self, bolus: Bolus, wall: datetime) -> None:
        """The wizard's word and the doses on board first; the delivery when it has ended, with its start's time."""
        if bolus.activation == "RECOMMENDED":
            self._wizard(bolus, wall)
        done, fast_end = bolus.delivered(), bolus.ends - timedelta(minutes=bolus.duration_min)
        kinds = {"FAST": records.NORMAL, "SQUARE": records.SQUARE, "DUAL": records.DUAL_NORMAL}
        iob_u = self._on_board(bolus)
        parts = []
        if bolus.shape != "SQUARE":
            parts.append((fast_end, kinds[bolus.shape], bolus.fast_u, done.fast_u, 0))
        if bolus.shape != "FAST":
            kind = records.DUAL_SQUARE if bolus.shape == "DUAL" else records.SQUARE
            written = bolus.time if self._new else bolus.ends
            parts.append((written, kind, bolus.extended_u, done.extended_u, bolus.duration_min))
        for written, kind, programmed_u, delivered_u, minutes in parts:
            record = records.bolus(self._new, wall, kind, programmed_u, delivered_u, minutes, iob_u)
            self._write(written, record)
        self._fact("bolus", bolus.time, self._given(bolus))

    def _wizard(self, bolus: Bolus, wall: datetime) -> None:
        meals = [meal for meal in self._meals if timedelta() <= bolus.time - meal.time < _MEAL_BEFORE]
        carbs_g = round(meals[-1].carbs_g) if meals else 0
        food_u = self._dose(carbs_g / RATIO_G_U)
        iob_u = self._on_board(bolus)
        asked = records.Sum(carbs_g, RATIO_G_U, ISF, LOW_TARGET, HIGH_TARGET, food_u, 0.0, iob_u, estimate_u=food_u)
        acting = [
            (self._given(each), int((bolus.time - each.time).total_seconds() // 60))
            for each in self.boluses
            if timedelta() < bolus.time - each.time < _ACTING
        ]
        self._write(bolus.time, records.wizard(self._new, wall, asked), records.unabsorbed(acting[:-9:-1]))
        if carbs_g:
            self._fact("carbs", bolus.time, carbs_g)

    def _on_board(self, bolus: Bolus) -> float:
        earlier = [each for each in self.boluses if each.time < bolus.time]
        return self._dose(insulin_on_board(earlier, bolus.time))

    def _given(self, bolus: Bolus) -> float:
        done = bolus.delivered()
        return round(self._dose(done.fast_u) + self._dose(done.extended_u), 3)

    def _dose(self, amount_u: float) -> float:
        """As the pump's records keep it: 1/40 U, an old pump's 1/10 U."""
        steps = 40 if self._new else 10
        return round(round(amount_u * steps) / steps, 3)

    def _write(self, at: datetime, *made: bytes) -> None:
        self._written += [(at, record) for record in made]

    def _fact(self, kind: str, at: datetime, value: float) -> None:
        self._life.facts.append(Fact(kind, at, value))
