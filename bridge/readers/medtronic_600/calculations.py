"""The calculator's estimates, and the carbohydrates entered with them."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.model.records import BolusCalculation, Carbs
from bridge.readers.medtronic_600.drafts import Draft, draft, mgdl
from bridge.readers.medtronic_600.event_insulin import EXCHANGES
from bridge.readers.medtronic_600.history import Event
from bridge.readers.medtronic_600.payloads import GRAMS_PER_EXCHANGE

WIZARD, MEAL_WIZARD = 0x3D, 0x3E
FOOD_MARKER = 0x2E
_REACH_S = 3600
"""Longest from an estimate to its bolus."""


class Calculations:
    """The estimates of a stretch, each good for one bolus at most."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = [event for event in events if event.type in (WIZARD, MEAL_WIZARD) and event.known]
        self._made = [_calculation(event) for event in self._events]
        self._free = list(range(len(self._events)))
        self._eaten = {place: _carbs(event) for place, event in enumerate(self._events) if not event["final_u"]}

    def claim(self, bolus: Draft) -> None:
        """Link a bolus with the last estimate before it that came to its amount."""
        wanted, rtc = bolus.body["programmed_u"], bolus.rtc
        for place in reversed(self._free):
            event = self._events[place]
            if rtc - event.rtc > _REACH_S:
                return
            if event.rtc <= rtc and event["final_u"] and round(event["final_u"], 3) == round(wanted, 3):
                self._free.remove(place)
                self._link(bolus, place)
                return

    def _link(self, bolus: Draft, place: int) -> None:
        calculation = self._made[place]
        bolus.links["calculation_id"], calculation.links["bolus_id"] = calculation, bolus
        calculation.events = (*calculation.events, *bolus.events)
        carbs = self._eaten[place] = _carbs(self._events[place])
        if carbs is not None:
            carbs.events = (*carbs.events, *bolus.events)
            bolus.links["carbs_id"] = carbs

    def drafts(self) -> list[Draft]:
        """All estimates, and what was eaten: with a bolus, or entered alone. A rejected estimate was not eaten."""
        return [*self._made, *(carbs for carbs in self._eaten.values() if carbs is not None)]


def grams(amount: float, unit: int) -> float:
    """Carbohydrates in g, whatever the pump counts in."""
    return amount * GRAMS_PER_EXCHANGE if unit == EXCHANGES else amount


def ratio_g_u(ratio: float, unit: int) -> float | None:
    """A carb ratio in g/U: the pump has U per exchange where it counts in those; None for 0."""
    if not ratio:
        return None
    return round(GRAMS_PER_EXCHANGE / ratio, 3) if unit == EXCHANGES else ratio


def food_markers(events: Sequence[Event]) -> list[Draft]:
    """Carbohydrates entered as an event marker."""
    found = []
    for event in events:
        if event.type == FOOD_MARKER and event.known and event["carbs"]:
            made = draft(Carbs, event, grams=grams(event["carbs"], event["carb_units"]))
            made.rtc, made.offset = event["entry_rtc"], event["entry_offset"]
            found.append(made)
    return found


def _carbs(event: Event) -> Draft | None:
    eaten = grams(event["carbs"], event["carb_units"])
    return draft(Carbs, event, grams=eaten) if eaten else None


def _calculation(event: Event) -> Draft:
    bg_unit, carb_unit = event["bg_units"], event["carb_units"]
    made = draft(
        BolusCalculation, event,
        carbs_g=grams(event["carbs"], carb_unit),
        carb_exchanges=event["carbs"] if carb_unit == EXCHANGES else None,
        bg_mgdl=mgdl(event["bg"], bg_unit),
        recommended_carb_u=event["food_u"],
        recommended_correction_u=event["correction_u"],
        recommended_net_u=event["estimate_u"],
        carb_ratio_g_u=ratio_g_u(event["ratio"], carb_unit),
    )  # fmt: skip
    if event.type == WIZARD:
        made.body |= {
            "iob_u": event["iob_u"],
            "isf_mgdl_u": mgdl(event["isf"], bg_unit),
            "target_low_mgdl": mgdl(event["low"], bg_unit),
            "target_high_mgdl": mgdl(event["high"], bg_unit),
        }
        made.raw |= {"modified": event["modified"], "final_u": event["final_u"]}
    return made
