"""The datum types a person's devices make: glucose, insulin, food, events, activity, and what is common to all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.simulators.tidepool.between import any_of, at_least, at_most, only_with, within_units
from bridge.simulators.tidepool.rules import (
    Faults,
    Read,
    Rule,
    array,
    choose,
    equal,
    fault,
    flag,
    instant,
    instant_text,
    matching,
    metadata,
    number,
    one_of,
    out_of_range,
    parsed_wall,
    shape,
    text,
    texts,
    wall,
    whole,
    zone,
)

DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
DATUM_ID = matching("[0-9a-z]{32}", "as data id")
GLUCOSE_UNITS = one_of("mmol/L", "mmol/l", "mg/dL", "mg/dl")
GLUCOSE: Mapping[str, tuple[float, float]] = {
    "mmol/L": (0, 55), "mmol/l": (0, 55), "mg/dL": (0, 1000), "mg/dl": (0, 1000),
}  # fmt: skip
RATE_UNITS = one_of("mmol/L/minute", "mg/dL/minute")
RATES: Mapping[str, tuple[float, float]] = {"mmol/L/minute": (-5.5, 5.5), "mg/dL/minute": (-100, 100)}
SPAN_UNITS = one_of("hours", "minutes", "seconds")


def spans(hours: float) -> dict[str, tuple[float, float]]:
    """Ranges of a span of at most so many hours, by its units."""
    return {"hours": (0, hours), "minutes": (0, hours * 60), "seconds": (0, hours * 3600)}


def measured(units: Read, ranges: Mapping[str, tuple[float, float]]) -> Read:
    """`{value, units}`, the value's range by its units."""
    return shape({"units!": units, "value!": number()}, within_units("value", "units", ranges))


# --- common fields ---------------------------------------------------------------------------------

ORIGIN = shape({
    "id": text(100), "name": text(100), "version": text(100), "time": instant_text, "payload": metadata,
    "type": one_of("application", "device", "manual", "service"),
})  # fmt: skip
_DISTANCES = {"feet": (0.0, 1000 / 0.3048), "meters": (0.0, 1000.0)}
_ACCURACY = measured(one_of("feet", "meters"), _DISTANCES)
_ELEVATIONS = {"feet": (-20_000 / 0.3048, 1_000_000 / 0.3048), "meters": (-20_000.0, 1_000_000.0)}
LOCATION = shape(
    {
        "name": text(100),
        "gps": shape({
            "elevation": measured(one_of("feet", "meters"), _ELEVATIONS),
            "floor": whole(-1000, 1000), "origin": ORIGIN,
            "horizontalAccuracy": _ACCURACY, "verticalAccuracy": _ACCURACY,
            "latitude!": measured(one_of("degrees"), {"degrees": (-90, 90)}),
            "longitude!": measured(one_of("degrees"), {"degrees": (-180, 180)}),
        }),
    },
    any_of("gps", "name"),
)  # fmt: skip
_OWN_THINGS = ("blob", "datum", "image")
ASSOCIATION = shape(
    {
        "type!": one_of(*_OWN_THINGS, "url"), "reason": text(1000), "id": DATUM_ID,
        "url": matching(r"https?://[^/\s]+.*", "as url"),
    },
    only_with("id", when=lambda clean: clean.get("type") in _OWN_THINGS),
    only_with("url", when=lambda clean: clean.get("type") == "url"),
)  # fmt: skip
COMMON: Mapping[str, Read] = {
    "type!": text(), "time!": instant, "deviceTime": wall, "timezone": zone,
    "timezoneOffset": whole(-10080, 10080), "conversionOffset": whole(), "clockDriftOffset": whole(-DAY_MS, DAY_MS),
    "deviceId": text(), "origin": ORIGIN, "id": DATUM_ID, "payload": metadata, "location": LOCATION,
    "annotations": array(metadata, 100), "associations": array(ASSOCIATION, 100),
    "notes": texts(1000, 100, may_be_empty=True), "tags": texts(100, 100, unique=True), "source": equal("carelink"),
}  # fmt: skip


def datum(fields: Mapping[str, Read], *rules: Rule) -> Read:
    """A datum: the common fields and its own."""
    return shape({**COMMON, **fields}, *rules)


# --- glucose ---------------------------------------------------------------------------------------

_VALUE = {"units!": GLUCOSE_UNITS, "value!": number()}
_VALUE_RULE = within_units("value", "units", GLUCOSE)
CBG = datum(
    {
        **_VALUE, "trendRate": number(), "trendRateUnits": RATE_UNITS,
        "trend": one_of(
            "constant", "slowFall", "slowRise", "moderateFall", "moderateRise", "rapidFall", "rapidRise"
        ),
        "sampleInterval": whole(0, DAY_MS), "backfilled": flag,
    },
    _VALUE_RULE,
    within_units("trendRate", "trendRateUnits", RATES),
    only_with("trendRateUnits", when=lambda clean: "trendRate" in clean, required=False),
)  # fmt: skip
SMBG = datum({**_VALUE, "subType": one_of("linked", "manual", "scanned")}, _VALUE_RULE)
KETONE = datum(
    {"units!": one_of("mmol/L", "mmol/l"), "value!": number()},
    within_units("value", "units", {"mmol/L": (0, 10), "mmol/l": (0, 10)}),
)
TARGET = shape({"target": number(), "range": number(), "low": number(), "high": number()})
_FORMS = (("target", "range"), ("target", "high"), ("target",), ("low", "high"))


def check_target(target: dict[str, Any], units: str | None, faults: Faults) -> None:
    """Faults of a target: exactly one of its four forms, each value within its units' range."""
    form = next((form for form in _FORMS if all(name in target for name in form)), None)
    if form is None:
        return fault(faults, "value-not-exists", name="high" if "low" in target else "target")
    for name in target:
        if name not in form:
            fault(faults, "value-exists", name=name)
    low, high = GLUCOSE.get(units or "", (float("-inf"), float("inf")))
    base = target[form[0]]
    for name in form:
        limits = _limits(name, form[0], base, low, high)
        if not limits[0] <= target[name] <= limits[1]:
            out_of_range(faults, target[name], *limits, name)
    return None


def _limits(name: str, first: str, base: float, low: float, high: float) -> tuple[float, float]:
    if name == first or not low <= base <= high or low == float("-inf"):
        return low, high
    return (0.0, min(base - low, high - base)) if name == "range" else (base, high)


def bg_target(name: str, units: str = "units") -> Rule:
    """Checks the target in the field `name`; `units` names the field, or `outer.inner`, of its units."""
    outer, _, inner = units.partition(".")

    def rule(clean: dict[str, Any], faults: Faults) -> None:
        if name in clean:
            before, found = len(faults), clean.get(outer)
            check_target(clean[name], (found or {}).get(inner) if inner else found, faults)
            for each in faults[before:]:
                each.path.append(name)

    return rule


# --- insulin ---------------------------------------------------------------------------------------

_SIMPLE = shape({
    "actingType!": one_of("intermediate", "long", "rapid", "short"), "brand": text(100),
    "concentration": measured(one_of("Units/mL"), {"Units/mL": (0, 10_000)}),
})  # fmt: skip


def _formulation(value: Any, faults: Faults) -> Any:
    return FORMULATION(value, faults)


def _one_form(clean: dict[str, Any], faults: Faults) -> None:
    if "compounds" in clean and "simple" in clean:
        fault(faults, "value-exists", name="compounds")
    if not {"compounds", "simple", "name"} & clean.keys():
        fault(faults, "value-not-exists", name="simple")


_COMPOUND = shape({"amount!": number(0), "formulation!": _formulation})
FORMULATION = shape({"simple": _SIMPLE, "compounds": array(_COMPOUND, 100), "name": text(100)}, _one_form)
_BOLUS = {
    "subType!": text(), "insulinFormulation": FORMULATION,
    "deliveryContext": one_of("algorithm", "device", "oneButton", "remote", "undetermined", "watch"),
}  # fmt: skip
_NORMAL = {"normal!": number(0, 100), "expectedNormal": number(0, 100)}
_EXTENDED = {
    "extended!": number(0, 100), "expectedExtended": number(0, 100),
    "duration!": whole(0, DAY_MS), "expectedDuration": whole(0, DAY_MS),
}  # fmt: skip
_EXTENDED_RULES = (
    at_most("extended", "expectedExtended", 0, 100),
    at_most("duration", "expectedDuration", 0, DAY_MS),
    only_with("expectedDuration", when=lambda clean: "expectedExtended" in clean),
)
_NORMAL_RULE = at_most("normal", "expectedNormal", 0, 100)


def _nothing_given_yet(clean: dict[str, Any], faults: Faults) -> None:
    if clean.get("normal") == 0 and "expectedNormal" not in clean:
        fault(faults, "value-not-exists", name="expectedNormal")


BOLUS = choose("subType", {
    "dual/square": datum({**_BOLUS, **_NORMAL, **_EXTENDED}, _NORMAL_RULE, *_EXTENDED_RULES),
    "square": datum({**_BOLUS, **_EXTENDED}, *_EXTENDED_RULES),
    "normal": datum({**_BOLUS, **_NORMAL}, _NORMAL_RULE),
    "automated": datum({**_BOLUS, **_NORMAL}, at_least("expectedNormal", "normal", 0, 100), _nothing_given_yet),
})  # fmt: skip


def embedded(type_name: str, inner: Read) -> Read:
    """A datum of one type inside another."""
    return choose("type", {type_name: inner})


_BASAL = {"deliveryType!": text(), "duration!": whole(0, WEEK_MS), "expectedDuration": whole(0, WEEK_MS)}
_RATE = {"rate!": number(0, 100), "insulinFormulation": FORMULATION}
_NOT_SHORTER = at_least("expectedDuration", "duration", 0, WEEK_MS)
_PERCENT = {"percent": number(0, 10)}


def _suppressed(allowed: Mapping[str, Read]) -> Read:
    return embedded("basal", choose("deliveryType", allowed))


_HELD_BACK = {"type!": equal("basal"), "deliveryType!": text(), "annotations": array(metadata, 100), **_RATE}
_OF_SCHEDULE = shape({**_HELD_BACK, "scheduleName": text()})
_OF_AUTOMATED = shape({
    **_HELD_BACK, "scheduleName": text(1000), "suppressed": _suppressed({"scheduled": _OF_SCHEDULE}),
})  # fmt: skip
_UNDER_TEMP = {"automated": _OF_AUTOMATED, "scheduled": _OF_SCHEDULE}
_OF_TEMP = shape({**_HELD_BACK, **_PERCENT, "suppressed": _suppressed(_UNDER_TEMP)})
BASAL = choose("deliveryType", {
    "automated": datum(
        {**_BASAL, **_RATE, "scheduleName": text(1000), "suppressed": _suppressed({"scheduled": _OF_SCHEDULE})},
        _NOT_SHORTER,
    ),
    "scheduled": datum({**_BASAL, **_RATE, "scheduleName": text()}, _NOT_SHORTER),
    "suspend": datum({**_BASAL, "suppressed": _suppressed({**_UNDER_TEMP, "temp": _OF_TEMP})}, _NOT_SHORTER),
    "temp": datum({**_BASAL, **_RATE, **_PERCENT, "suppressed": _suppressed(_UNDER_TEMP)}, _NOT_SHORTER),
})  # fmt: skip
WIZARD = datum(
    {
        "units!": GLUCOSE_UNITS, "bgInput": number(), "bgTarget": TARGET, "carbInput": number(0, 1000),
        "carbUnits": one_of("grams", "exchanges"), "insulinCarbRatio": number(0, 250),
        "insulinOnBoard": number(0, 250), "insulinSensitivity": number(),
        "recommended": shape({"carb": number(0, 100), "correction": number(-100, 100), "net": number(-100, 100)}),
        "bolus": embedded("bolus", BOLUS),
    },
    within_units("bgInput", "units", GLUCOSE),
    within_units("insulinSensitivity", "units", GLUCOSE),
    bg_target("bgTarget"),
)  # fmt: skip
INSULIN = datum({
    "dose": shape({
        "total!": number(0, 250), "units!": one_of("Units"), "food": number(0, 250),
        "correction": number(-250, 250), "active": number(0, 250),
    }),
    "formulation": FORMULATION, "site": text(100),
})  # fmt: skip

# --- food, activity, state -------------------------------------------------------------------------

_ENERGY = measured(
    one_of("calories", "joules", "kilocalories", "kilojoules"),
    {"calories": (0, 1e7), "joules": (0, 41_858_000.0), "kilocalories": (0, 1e4), "kilojoules": (0, 41_858.0)},
)
_GRAMS = one_of("grams")
_PORTION = shape({"total!": number(0, 1000), "units!": _GRAMS})
NUTRITION = shape({
    "carbohydrate": shape({
        "net!": number(0, 1000), "units!": _GRAMS, "total": number(0, 1000),
        "dietaryFiber": number(0, 1000), "sugars": number(0, 1000),
    }),
    "fat": _PORTION, "protein": _PORTION, "energy": _ENERGY, "estimatedAbsorptionDuration": whole(0, 86_400),
})  # fmt: skip


def _ingredients(value: Any, faults: Faults) -> Any:
    return array(shape(_EATEN), 100)(value, faults)


_EATEN: Mapping[str, Read] = {
    "amount": shape({"units!": text(100), "value!": number(0)}), "brand": text(100), "code": text(100),
    "name": text(100), "nutrition": NUTRITION, "ingredients": _ingredients,
}  # fmt: skip
FOOD = datum(
    {**_EATEN, "meal": one_of("breakfast", "dinner", "lunch", "other", "snack"), "mealOther": text(100)},
    only_with("mealOther", when=lambda clean: clean.get("meal") == "other"),
)
_PER_MILE = {"feet": 5280.0, "kilometers": 1.609344, "meters": 1609.344, "miles": 1.0, "yards": 1760.0}
_DISTANCE = measured(one_of(*_PER_MILE), {unit: (0, 100 * each) for unit, each in _PER_MILE.items()})
_ACTIVITIES = (
    "americanFootball archery australianFootball badminton barre baseball basketball bowling boxing climbing "
    "coreTraining cricket crossCountrySkiing crossTraining curling cycling dance danceInspiredTraining "
    "downhillSkiing elliptical equestrianSports fencing fishing flexibility functionalStrengthTraining golf "
    "gymnastics handball handCycling highIntensityIntervalTraining hiking hockey hunting jumpRope kickboxing "
    "lacrosse martialArts mindAndBody mixedCardio mixedMetabolicCardioTraining other paddleSports pilates play "
    "preparationAndRecovery racquetball rowing rugby running sailing skatingSports snowboarding snowSports soccer "
    "softball squash stairClimbing stairs stepTraining surfingSports swimming tableTennis taiChi tennis "
    "trackAndField traditionalStrengthTraining volleyball walking waterFitness waterPolo waterSports "
    "wheelchairRunPace wheelchairWalkPace wrestling yoga"
)
ACTIVITY = datum(
    {
        "activityType": one_of(*_ACTIVITIES.split()), "activityTypeOther": text(100), "aggregate": flag,
        "distance": _DISTANCE, "duration": measured(SPAN_UNITS, spans(168)), "energy": _ENERGY,
        "elevationChange": measured(one_of("feet", "meters"), {"feet": (0, 52_800), "meters": (0, 52_800 * 0.3048)}),
        "flight": shape({"count!": whole(0, 10_000)}), "step": shape({"count!": whole(0, 100_000)}),
        "lap": shape({"count!": whole(0, 10_000), "distance!": _DISTANCE}),
        "name": text(100), "reportedIntensity": one_of("high", "low", "medium"),
    },
    only_with("activityTypeOther", when=lambda clean: clean.get("activityType") == "other", required=False),
)  # fmt: skip
STATE = shape(
    {
        "state!": one_of(
            "alcohol", "cycle", "hyperglycemiaSymptoms", "hypoglycemiaSymptoms", "illness", "other", "stress"
        ),
        "stateOther": text(100), "severity": whole(0, 10),
    },
    only_with("stateOther", when=lambda clean: clean.get("state") == "other"),
)  # fmt: skip
REPORTED_STATE = datum({"states": array(STATE, may_be_empty=True)})
_LITERS = {"gallons": 1.0, "liters": 3.7854118, "milliliters": 3785.4118, "ounces": 128.0}
WATER = datum({
    "amount!": measured(one_of(*_LITERS), {unit: (0, 10 * each) for unit, each in _LITERS.items()}),
})  # fmt: skip

# --- device events ---------------------------------------------------------------------------------

_SUB = {"subType!": text()}
STATUS = datum(
    {
        **_SUB, "status!": one_of("resumed", "suspended"), "reason!": metadata,
        "duration": whole(0), "expectedDuration": whole(0),
    },
    at_least("expectedDuration", "duration", 0, float("inf")),
)  # fmt: skip
_EMBEDDED_STATUS = embedded("deviceEvent", choose("subType", {"status": STATUS}))
_AGENT = one_of("automatic", "manual")
_INFO = shape({"time": parsed_wall, "timeZoneName": zone}, any_of("time", "timeZoneName"))


def _time_change(clean: dict[str, Any], faults: Faults) -> None:
    if {"from", "method", "to"} & clean.keys():
        if "to" not in clean:
            fault(faults, "value-not-exists", name="to")
        if "change" in clean:
            fault(faults, "value-exists", name="change")
    elif "change" not in clean:
        fault(faults, "values-not-exist-for-one", 'values do not exist for one of ["to", "change"]')


SCALE = number(0.1, 10)
DEVICE_EVENT = choose("subType", {
    "alarm": datum({
        **_SUB, "status": _EMBEDDED_STATUS,
        "alarmType!": one_of(
            "auto_off", "low_insulin", "low_power", "no_delivery", "no_insulin", "no_power", "occlusion", "other",
            "over_limit",
        ),
    }),
    "calibration": datum({**_SUB, **_VALUE}, _VALUE_RULE),
    "prime": datum({**_SUB, "primeTarget!": one_of("cannula", "tubing"), "volume": number(0, 1000)}),
    "pumpSettingsOverride": datum(
        {
            **_SUB, "overrideType!": one_of("custom", "physicalActivity", "preprandial", "preset", "sleep"),
            "overridePreset": text(100), "method": _AGENT, "duration": whole(0, WEEK_MS),
            "expectedDuration": whole(0, WEEK_MS), "bgTarget": TARGET, "units": shape({"bg!": GLUCOSE_UNITS}),
            "basalRateScaleFactor": SCALE, "carbRatioScaleFactor": SCALE, "insulinSensitivityScaleFactor": SCALE,
        },
        only_with("overridePreset", when=lambda clean: clean.get("overrideType") == "preset"),
        _NOT_SHORTER,
        bg_target("bgTarget", "units.bg"),
        only_with("units", when=lambda clean: "bgTarget" in clean),
    ),
    "reservoirChange": datum({**_SUB, "status": _EMBEDDED_STATUS}),
    "status": STATUS,
    "timeChange": datum(
        {
            **_SUB, "from": _INFO, "to": _INFO, "method": _AGENT,
            "change": shape({"agent!": _AGENT, "from!": wall, "to!": wall}),
        },
        _time_change,
    ),
})  # fmt: skip
