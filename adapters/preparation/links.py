"""Which carbs and which calculation belong to which bolus: one to one, nearest in time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bridge.model import Bolus, BolusCalculation, Carbs

P = TypeVar("P", Bolus, BolusCalculation)


def is_live(bolus: Bolus) -> bool:
    """Whether insulin went in or still may."""
    return not (bolus.completed and bolus.delivered_u == 0)


def is_automatic(bolus: Bolus) -> bool:
    """Whether the closed loop gave it."""
    return bolus.automatic or bolus.requested_by == "closed_loop"


@dataclass(frozen=True, slots=True)
class Meal:
    """What was eaten with a bolus. `exchanges` only where grams are not known; `absorption_min` of the carbs."""

    grams: float | None = None
    exchanges: float | None = None
    absorption_min: float | None = None

    @property
    def eaten(self) -> bool:
        """Whether there is an amount above zero."""
        return bool(self.grams or self.exchanges)


@dataclass(frozen=True, slots=True)
class Links:
    """The partners of a set, by record id."""

    bolus_of_carbs: Mapping[str, Bolus]
    carbs_of_bolus: Mapping[str, Carbs]
    bolus_of_calculation: Mapping[str, Bolus]
    calculation_of_bolus: Mapping[str, BolusCalculation]
    known_carbs: frozenset[str]

    def meal(self, bolus: Bolus) -> Meal:
        """What was eaten with it: of its carbs record, else of its calculation.

        A bolus that names carbs which another one claims has none of its own: nothing is counted twice.
        """
        carbs = self.carbs_of_bolus.get(bolus.id)
        if carbs is not None:
            return Meal(carbs.grams, absorption_min=carbs.absorption_min)
        calculation = self.calculation_of_bolus.get(bolus.id)
        if calculation is None or bolus.carbs_id in self.known_carbs:
            return Meal()
        if calculation.carb_exchanges and not calculation.carbs_g:
            return Meal(exchanges=calculation.carb_exchanges)
        return Meal(calculation.carbs_g)


def linked(boluses: Sequence[Bolus], carbs: Sequence[Carbs], calculations: Sequence[BolusCalculation]) -> Links:
    """Partners within a set, each sequence in ascending (time, id) order. Only live boluses by hand claim."""
    claimants = [bolus for bolus in boluses if is_live(bolus) and not is_automatic(bolus)]
    bolus_of_carbs = _claimed(carbs, claimants, lambda bolus: bolus.carbs_id)
    bolus_of_calculation = _calculated(claimants, calculations)
    return Links(
        bolus_of_carbs=bolus_of_carbs,
        carbs_of_bolus={bolus_of_carbs[one.id].id: one for one in carbs if one.id in bolus_of_carbs},
        bolus_of_calculation=bolus_of_calculation,
        calculation_of_bolus={
            bolus_of_calculation[one.id].id: one for one in calculations if one.id in bolus_of_calculation
        },
        known_carbs=frozenset(one.id for one in carbs),
    )


def _calculated(boluses: Sequence[Bolus], calculations: Sequence[BolusCalculation]) -> dict[str, Bolus]:
    named = _claimed(calculations, boluses, lambda bolus: bolus.calculation_id)
    taken = {bolus.id for bolus in named.values()}
    free = [bolus for bolus in boluses if bolus.id not in taken]
    left = [calculation for calculation in calculations if calculation.id not in named]
    naming = _claimed(free, left, lambda calculation: calculation.bolus_id)
    by_id = {bolus.id: bolus for bolus in free}
    return named | {calculation.id: by_id[bolus] for bolus, calculation in naming.items()}


def _claimed(
    wanted: Iterable[Bolus | Carbs | BolusCalculation],
    claimants: Iterable[P],
    pointer: Callable[[P], str | None],
) -> dict[str, P]:
    """Wanted record id -> the nearest of those that point at it; of equally near ones the first."""
    by_target: dict[str, list[P]] = {}
    for claimant in claimants:
        target = pointer(claimant)
        if target is not None:
            by_target.setdefault(target, []).append(claimant)
    return {
        record.id: min(by_target[record.id], key=lambda one: abs(one.time - record.time))
        for record in wanted
        if record.id in by_target
    }
