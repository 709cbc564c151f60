"""A day as the person lives it: meals, boluses, pens, walks. Depends on (seed, day) alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

from bridge.simulators.patient.chance import draws
from bridge.simulators.patient.events import Activation, Bolus, Meal, PenDose, Shape, steps_u

CARB_RATIO_G_U = 5.0
MEAL_MGDL_G = 2.6
BOLUS_MGDL_U = -9.6
_MAINS = ((450, 0.28), (750, 0.32), (1140, 0.40))
_SNACKS = (600, 930, 1290)


@dataclass(frozen=True, slots=True)
class Push:
    """A push on glucose: `mgdl` at its peak, `peak_s` after `start_s` (epoch), over after about seven peaks."""

    start_s: float
    mgdl: float
    peak_s: float


@dataclass(slots=True)
class DayPlan:
    """What the person does between two local midnights (UTC)."""

    day: int
    start: datetime
    end: datetime
    meals: list[Meal] = field(default_factory=list)
    boluses: list[Bolus] = field(default_factory=list)
    pens: list[PenDose] = field(default_factory=list)
    pushes: list[Push] = field(default_factory=list)

    def at(self, minutes: float) -> datetime:
        """Instant of so many minutes after local midnight, whole seconds."""
        return self.start + timedelta(seconds=round(minutes * 60))

    def name(self, kind: str) -> str:
        """A name that no other event of the patient has."""
        taken = len(self.meals) + len(self.boluses) + len(self.pens)
        return f"{kind}-{self.day}-{taken}"


def midnight(zone: ZoneInfo, day: int) -> datetime:
    """UTC of the local midnight that begins a day (proleptic ordinal)."""
    return datetime.combine(date.fromordinal(day), time(), zone).astimezone(UTC)


def plan_day(seed: int, zone: ZoneInfo, day: int) -> DayPlan:
    """The plan of one local day."""
    chance = draws(seed, day, "plan")
    plan = DayPlan(day, midnight(zone, day), midnight(zone, day + 1))
    for minutes, dose_u in _shares(chance, chance.uniform(31.0, 37.0)):
        _main_meal(plan, chance, minutes, dose_u)
    for minutes in _SNACKS:
        if chance.random() < 0.3:
            _snack(plan, chance, minutes + chance.gauss(0, 30))
    if chance.random() < 0.35:
        _bolus(plan, plan.at(chance.uniform(600, 1380)), "MANUAL", steps_u(chance.uniform(0.5, 1.8)))
    if chance.random() < 0.15:
        _cancelled(plan, chance)
    if chance.random() < 0.3:
        _walk(plan, chance)
    _twin(plan, chance)
    return plan


def _shares(chance: Random, daily_u: float) -> list[tuple[float, float]]:
    """Minutes after midnight and dose of the main meals; the doses add up to `daily_u`."""
    weights = [share * chance.uniform(0.8, 1.2) for _, share in _MAINS]
    scale = daily_u / sum(weights)
    times = [minutes + chance.gauss(0, 25) for minutes, _ in _MAINS]
    return [(minutes, weight * scale) for minutes, weight in zip(times, weights, strict=True)]


def _push(plan: DayPlan, when: datetime, mgdl: float, peak_min: float) -> None:
    plan.pushes.append(Push(when.timestamp(), mgdl, peak_min * 60))


def _main_meal(plan: DayPlan, chance: Random, minutes: float, dose_u: float) -> None:
    meal = Meal(plan.name("meal"), plan.at(minutes), float(round(dose_u * CARB_RATIO_G_U)))
    plan.meals.append(meal)
    _push(plan, meal.time, meal.carbs_g * MEAL_MGDL_G * chance.uniform(0.75, 1.2), chance.uniform(45, 75))
    late_s = 60 * chance.randint(15, 50) if chance.random() < 0.1 else chance.choice((0, 0, 0, 0, 1))
    when = meal.time + timedelta(seconds=late_s)
    plan.pens.append(PenDose(plan.name("pen"), when, round(dose_u * 2) / 2))
    draw = chance.random()
    _bolus(plan, when, "RECOMMENDED", steps_u(dose_u), "DUAL" if draw < 0.12 else "SQUARE" if draw < 0.17 else "FAST")


def _snack(plan: DayPlan, chance: Random, minutes: float) -> None:
    meal = Meal(plan.name("meal"), plan.at(minutes), float(chance.randint(8, 20)))
    plan.meals.append(meal)
    _push(plan, meal.time, meal.carbs_g * MEAL_MGDL_G, chance.uniform(25, 45))
    if chance.random() < 0.3:
        _bolus(plan, meal.time, "RECOMMENDED", steps_u(meal.carbs_g / CARB_RATIO_G_U * 0.7))


def _bolus(plan: DayPlan, when: datetime, activation: Activation, dose_u: float, shape: Shape = "FAST") -> None:
    fast_u = {"FAST": dose_u, "SQUARE": 0.0, "DUAL": steps_u(dose_u * 0.6)}[shape]
    extended_u = round(dose_u - fast_u, 3)
    minutes = 0 if shape == "FAST" else 90
    plan.boluses.append(Bolus(plan.name("bolus"), when, activation, shape, fast_u, extended_u, minutes))
    _push(plan, when, fast_u * BOLUS_MGDL_U, 85)
    if extended_u:
        _push(plan, when + timedelta(minutes=minutes / 2), extended_u * BOLUS_MGDL_U, 105)


def _cancelled(plan: DayPlan, chance: Random) -> None:
    programmed_u = steps_u(chance.uniform(2, 5))
    stop_s = chance.choice((0.0, float(chance.randint(15, 60))))
    when = plan.at(chance.uniform(540, 1320))
    name = plan.name("bolus")
    plan.boluses.append(Bolus(name, when, "MANUAL", "FAST", programmed_u, cancelled_after_s=stop_s))
    _push(plan, when, plan.boluses[-1].delivered().fast_u * BOLUS_MGDL_U, 85)


def _walk(plan: DayPlan, chance: Random) -> None:
    _push(plan, plan.at(chance.uniform(840, 1080)), -chance.uniform(20, 55), 50)


def _twin(plan: DayPlan, chance: Random) -> None:
    """Now and then a second bolus within the same second or the next, sometimes of the same size."""
    if chance.random() >= 0.2:
        return
    first = chance.choice([bolus for bolus in plan.boluses if bolus.cancelled_after_s is None])
    small_u = steps_u(chance.uniform(0.3, 1.0))
    dose_u = first.fast_u if chance.random() < 0.3 and 0 < first.fast_u < 2 else small_u
    _bolus(plan, first.time + timedelta(seconds=chance.choice((0, 0, 1))), "MANUAL", dose_u)
