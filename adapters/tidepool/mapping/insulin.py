"""Boluses, the calculations that embed them, food, injections."""

from __future__ import annotations

from typing import Any

from adapters.preparation import (
    COARSE,
    DOSE,
    Meal,
    Result,
    bolus_parts,
    carried,
    is_automatic,
    is_live,
    lean,
    milliseconds,
    number,
    shortfall,
    skipped,
)
from adapters.tidepool.mapping.frame import MGDL, UNITS, View, datum, datum_body, key_of
from bridge.model import Bolus, BolusCalculation, Carbs, Injection, bolus_datum_id

_BOLUS = "bolus"
_CONTEXTS = {"wizard": "device", "manual": "device", "easy": "device", "remote": "remote"}
_ACTING = ("rapid", "short", "intermediate", "long")
_HIGHEST_ON_BOARD_U = 250
_HIGHEST_CARB_RATIO = 250
_HIGHEST_RECOMMENDED_U = 100


def bolus(record: Bolus, view: View) -> Result:
    """A `bolus`, unless the calculation it belongs to embeds it."""
    if not is_live(record):
        return skipped("cancelled_bolus")
    if record.delivered_u == 0:
        return skipped("nothing_delivered_yet")
    calculation = view.prepared.links.calculation_of_bolus.get(record.id)
    if calculation is not None:
        return carried(calculation)
    return datum(record, view, _BOLUS, _bolus_fields(record))


def _bolus_fields(record: Bolus) -> dict[str, Any]:
    """The fixed `id` keeps a wizard's stored reference alive when the bolus is posted again alone."""
    automatic = is_automatic(record)
    context = "algorithm" if automatic else _CONTEXTS.get(record.requested_by or "")
    common = {"id": bolus_datum_id(record.id), **lean(deliveryContext=context)}
    if automatic:
        return common | {"subType": "automated", **_normal(record.delivered_u, record.programmed_u)}
    over_time = _over_time(record)
    if over_time is None:
        return common | {"subType": "normal", **_normal(record.delivered_u, record.programmed_u)}
    if record.shape == "square":
        return common | {"subType": "square", **over_time}
    immediate = _normal(bolus_parts(record).immediate_u, record.programmed_immediate_u)
    return common | {"subType": "dual/square", **immediate, **over_time}


def _normal(delivered_u: float, programmed_u: float | None) -> dict[str, Any]:
    fields: dict[str, Any] = {"normal": number(delivered_u)}
    if programmed_u is not None and shortfall(programmed_u, delivered_u):
        fields["expectedNormal"] = number(programmed_u)
    return fields


def _over_time(record: Bolus) -> dict[str, Any] | None:
    """The part over time: delivered over elapsed with the expected pair; elapsed not known, the plan.

    None without such a part, or when no length is known: such a bolus counts as given at once.
    """
    elapsed, planned = record.delivered_duration_min, record.duration_min
    if record.shape == "normal" or (elapsed is None and planned is None):
        return None
    extended = bolus_parts(record).extended_u
    programmed = record.programmed_extended_u
    if elapsed is None and not record.completed and programmed is not None:
        extended = programmed
    span = planned if elapsed is None else elapsed
    fields = {"extended": number(extended), "duration": milliseconds(span or 0)}
    if programmed is not None and programmed > extended and planned is not None and planned >= (span or 0):
        fields |= {"expectedExtended": number(programmed), "expectedDuration": milliseconds(planned)}
    return fields


def bolus_calculation(record: BolusCalculation, view: View) -> Result:
    """A `wizard` that embeds its whole bolus; the platform drops one without."""
    partner = view.prepared.links.bolus_of_calculation.get(record.id)
    if partner is None:
        return skipped("calculation_without_bolus")
    if partner.delivered_u == 0:
        return skipped("waits_for_bolus")
    embedded = datum_body(partner, view, _BOLUS, _bolus_fields(partner))
    fields = {
        "units": MGDL,
        **lean(bgInput=record.bg_mgdl or None),
        **_carb_input(view.prepared.links.meal(partner)),
        **_ratios(record),
        **lean(bgTarget=_target(record), recommended=_recommended(record)),
        "bolus": embedded,
    }
    return datum(record, view, "wizard", fields, books=(key_of(partner, _BOLUS),))


def _carb_input(meal: Meal) -> dict[str, Any]:
    if meal.exchanges is not None:
        return {"carbInput": number(meal.exchanges, COARSE), "carbUnits": "exchanges"}
    if meal.grams is not None:
        return {"carbInput": number(meal.grams, COARSE), "carbUnits": "grams"}
    return {}


def _ratios(record: BolusCalculation) -> dict[str, Any]:
    return lean(
        insulinCarbRatio=_within(record.carb_ratio_g_u, 0, _HIGHEST_CARB_RATIO, COARSE),
        insulinOnBoard=_within(record.iob_u, 0, _HIGHEST_ON_BOARD_U),
        insulinSensitivity=_within(record.isf_mgdl_u, 0, 1000, COARSE),
    )


def _target(record: BolusCalculation) -> dict[str, Any]:
    low, high = record.target_low_mgdl, record.target_high_mgdl
    if low is None or high is None or high < low:
        return {}
    return {"low": number(low, COARSE), "high": number(high, COARSE)}


def _recommended(record: BolusCalculation) -> dict[str, Any]:
    highest = _HIGHEST_RECOMMENDED_U
    return lean(
        carb=_within(record.recommended_carb_u, 0, highest),
        correction=_within(record.recommended_correction_u, -highest, highest),
        net=_within(record.recommended_net_u, -highest, highest),
    )


def _within(value: float | None, low: float, high: float, digits: int = DOSE) -> float | None:
    """The number, or None where the platform would refuse the whole datum for it."""
    return None if value is None or not low <= value <= high else number(value, digits)


def carbs(record: Carbs, view: View) -> Result:
    """`food`, unless a wizard says it already."""
    links = view.prepared.links
    claimant = links.bolus_of_carbs.get(record.id)
    calculation = None if claimant is None else links.calculation_of_bolus.get(claimant.id)
    if claimant is None or calculation is None:
        return datum(record, view, "food", {"nutrition": _nutrition(record)})
    return skipped("waits_for_bolus") if claimant.delivered_u == 0 else carried(calculation)


def _nutrition(record: Carbs) -> dict[str, Any]:
    absorption = None if record.absorption_min is None else round(record.absorption_min * 60)
    carbohydrate = {"net": number(record.grams, COARSE), "units": "grams"}
    return {"carbohydrate": carbohydrate, **lean(estimatedAbsorptionDuration=absorption)}


def injection(record: Injection, view: View) -> Result:
    """`insulin` with its formulation where the action has a name there."""
    acting = record.action if record.action in _ACTING else None
    formulation = {"simple": {"actingType": acting}} if acting else {}
    dose = {"total": number(record.dose_u), "units": UNITS}
    return datum(record, view, "insulin", {"dose": dose, **lean(formulation=formulation)})
