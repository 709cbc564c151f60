"""Boluses with what was eaten, carbs alone, calculations, injections.

The document is the bolus's: the insulin never changes its identifier, and what hangs on partners is only `carbs`.
"""

from __future__ import annotations

from typing import Any

from adapters.nightscout.mapping.frame import View, treatment
from adapters.preparation import (
    COARSE,
    Meal,
    Result,
    bolus_parts,
    carried,
    is_automatic,
    is_live,
    lean,
    number,
    shortfall,
    shown,
    skipped,
)
from bridge.contracts import Fate
from bridge.model import Bolus, BolusCalculation, Carbs, Injection

_QUICK = ("rapid", "short")


def bolus(record: Bolus, view: View) -> Result:
    """`SMB` when the loop gave it, `Combo Bolus` with a part over time, else one of the three plain ones."""
    if not is_live(record):
        return skipped("cancelled_bolus")
    if is_automatic(record):
        return _automatic(record, view)
    meal = view.prepared.links.meal(record)
    extended = _extended(record)
    if extended is not None:
        return treatment(record, view, "Combo Bolus", **_combo(record, *extended), **_eaten(record, meal))
    return _plain(record, meal, view)


def _automatic(record: Bolus, view: View) -> Result:
    if record.delivered_u == 0:
        return skipped("nothing_delivered_yet")
    insulin = number(record.delivered_u)
    notes = _notes(record, Meal())
    return treatment(record, view, "SMB", insulin=insulin, automatic=True, type="SMB", isSMB=True, **notes)


def _plain(record: Bolus, meal: Meal, view: View) -> Result:
    with_meal = record.carbs_id is not None or meal.eaten
    if record.delivered_u == 0 and not with_meal:
        return skipped("nothing_delivered_yet")
    fields = lean(insulin=number(record.delivered_u) or None) | _eaten(record, meal)
    if with_meal:
        absorption = None if meal.absorption_min is None else number(meal.absorption_min, COARSE)
        return treatment(record, view, "Meal Bolus", **fields, **lean(absorptionTime=absorption))
    return treatment(record, view, "Correction Bolus" if record.requested_by == "wizard" else "Bolus", **fields)


def _extended(record: Bolus) -> tuple[float, float] | None:
    """U and minutes of the part over time: the plan while it runs, the fact when done; None without one.

    A part of unknown length cannot be drawn: such a bolus counts as given at once.
    """
    if record.shape == "normal":
        return None
    if record.completed:
        amount = bolus_parts(record).extended_u
        span = record.delivered_duration_min or record.duration_min
    else:
        amount = _planned(record)
        span = record.duration_min or record.delivered_duration_min
    length = number(span or 0, COARSE)
    return (amount, length) if amount and length else None


def _planned(record: Bolus) -> float:
    whole = record.programmed_u if record.shape == "square" else None
    plan = record.programmed_extended_u if record.programmed_extended_u is not None else whole
    return bolus_parts(record).extended_u if plan is None else plan


def _combo(record: Bolus, extended_u: float, length_min: float) -> dict[str, Any]:
    immediate_u = bolus_parts(record).immediate_u
    total_u = immediate_u + extended_u
    now = round(100 * immediate_u / total_u)
    return lean(insulin=number(immediate_u) or None) | {
        "enteredinsulin": number(total_u),
        "splitNow": now,
        "splitExt": 100 - now,
        "duration": length_min,
        "relative": number(extended_u / (length_min / 60)),
    }


def _eaten(record: Bolus, meal: Meal) -> dict[str, Any]:
    grams = number(meal.grams, COARSE) if meal.grams else None
    return lean(carbs=grams) | _notes(record, meal)


def _notes(record: Bolus, meal: Meal) -> dict[str, str]:
    parts = [f"{shown(meal.exchanges, COARSE)} exchanges"] if meal.exchanges else []
    if not record.completed:
        parts.append("in progress")
    elif record.programmed_u is not None and shortfall(record.programmed_u, record.delivered_u):
        parts.append(f"interrupted, {shown(record.delivered_u)} of {shown(record.programmed_u)} U")
    return lean(notes="; ".join(parts))


def carbs(record: Carbs, view: View) -> Result:
    """Carried by the bolus that claims them, else a `Carb Correction`."""
    claimant = view.prepared.links.bolus_of_carbs.get(record.id)
    if claimant is not None:
        return carried(claimant)
    absorption = None if record.absorption_min is None else number(record.absorption_min, COARSE)
    grams = number(record.grams, COARSE)
    return treatment(record, view, "Carb Correction", carbs=grams, **lean(absorptionTime=absorption))


def bolus_calculation(record: BolusCalculation, view: View) -> Result:
    """Carried by its bolus; without one nobody knows whether it was eaten."""
    partner = view.prepared.links.bolus_of_calculation.get(record.id)
    if partner is None:
        return skipped("calculation_without_bolus")
    return skipped("waits_for_bolus") if isinstance(bolus(partner, view), Fate) else carried(partner)


def injection(record: Injection, view: View) -> Result:
    """A `Bolus` only when it acts fast: a long-acting dose is never insulin on board."""
    if record.action in _QUICK:
        return treatment(record, view, "Bolus", insulin=number(record.dose_u), notes=f"injection, {record.action}")
    notes = ", ".join(filter(None, (f"Injection {shown(record.dose_u)} U", record.action)))
    return treatment(record, view, "Note", notes=notes)
