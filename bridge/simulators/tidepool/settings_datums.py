"""The datum types about devices and apps themselves: settings, status, dosing decisions, alerts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bridge.simulators.tidepool.between import any_of, at_most, not_both, only_with, within_units
from bridge.simulators.tidepool.datums import (
    DAY_MS,
    FORMULATION,
    GLUCOSE,
    GLUCOSE_UNITS,
    NUTRITION,
    RATE_UNITS,
    SCALE,
    SPAN_UNITS,
    TARGET,
    WEEK_MS,
    bg_target,
    check_target,
    datum,
    measured,
    spans,
)
from bridge.simulators.tidepool.rules import (
    Faults,
    Read,
    Rule,
    array,
    fault,
    flag,
    instant,
    mapping,
    matching,
    metadata,
    number,
    one_of,
    out_of_range,
    shape,
    text,
    texts,
    whole,
    whole_of,
)

DEVICE: Mapping[str, Read] = {
    "firmwareVersion": text(100), "hardwareVersion": text(100), "softwareVersion": text(100), "model": text(100),
    "name": text(100), "serialNumber": text(100), "manufacturers": texts(100, 10),
}  # fmt: skip
CARB_UNITS, INSULIN_UNITS = one_of("exchanges", "grams"), one_of("Units")

# --- pump settings ---------------------------------------------------------------------------------

_START = {"start!": whole()}


def _starts(entries: list[dict[str, Any]], faults: Faults) -> None:
    floor = 0
    for index, entry in enumerate(entries):
        start = entry.get("start")
        if start is None:
            continue
        before = len(faults)
        if index == 0 and start != 0:
            fault(faults, "value-out-of-range", f"value {start} is not equal to 0", "start")
        elif not floor <= start <= DAY_MS:
            out_of_range(faults, start, floor, DAY_MS, "start")
        _at(faults, before, str(index))
        floor = 1 if index == 0 else start + 1


def _at(faults: Faults, before: int, *names: str) -> None:
    for found in faults[before:]:
        found.path.extend(names)


def _schedule(entry: Read) -> tuple[Read, Read]:
    """The list of a setting and the named map of such lists, starts checked."""
    plain = array(entry, may_be_empty=True)

    def read(value: Any, faults: Faults) -> Any:
        before = len(faults)
        entries = plain(value, faults)
        if entries and len(faults) == before:
            _starts(entries, faults)
        return entries

    return read, mapping(read)


_RATE, _RATES = _schedule(shape({**_START, "rate!": number(0, 100)}))
_RATIO, _RATIOS = _schedule(shape({**_START, "amount!": number(0, 250)}))
_ISF, _ISFS = _schedule(shape({**_START, "amount!": number()}))
_GOAL, _GOALS = _schedule(shape({**_START, "target": number(), "range": number(), "low": number(), "high": number()}))


def _each(name: str, check: Any) -> Rule:
    """Applies `check(entry, units, faults)` to every entry of a setting, in its list or its named lists."""

    def rule(clean: dict[str, Any], faults: Faults) -> None:
        units, setting = clean.get("units", {}).get("bg"), clean.get(name)
        named = setting.items() if isinstance(setting, dict) else [(None, setting or [])]
        for schedule, entries in named:
            for index, entry in enumerate(entries or []):
                before = len(faults)
                check({key: value for key, value in (entry or {}).items() if key != "start"}, units, faults)
                _at(faults, before, str(index), *([schedule] if schedule else []), name)

    return rule


def _check_isf(entry: dict[str, Any], units: str | None, faults: Faults) -> None:
    limits = GLUCOSE.get(units or "")
    if limits and "amount" in entry and not limits[0] <= entry["amount"] <= limits[1]:
        out_of_range(faults, entry["amount"], *limits, "amount")


_PRESET = shape({
    "abbreviation": text(100), "duration": whole(0, WEEK_MS), "bgTarget": TARGET, "basalRateScaleFactor": SCALE,
    "carbRatioScaleFactor": SCALE, "insulinSensitivityScaleFactor": SCALE,
})  # fmt: skip


def _preset_targets(clean: dict[str, Any], faults: Faults) -> None:
    for name, preset in clean.get("overridePresets", {}).items():
        before = len(faults)
        if preset and "bgTarget" in preset:
            check_target(preset["bgTarget"], clean.get("units", {}).get("bg"), faults)
        _at(faults, before, "bgTarget", name, "overridePresets")


_MODEL = shape(
    {
        "modelType": one_of("fiasp", "other", "rapidAdult", "rapidChild", "walsh"), "modelTypeOther": text(100),
        "actionDelay": whole(0, 86_400), "actionDuration": whole(0, 86_400), "actionPeakOffset": whole(0, 86_400),
    },
    only_with("modelTypeOther", when=lambda clean: clean.get("modelType") == "other"),
    at_most("actionPeakOffset", "actionDuration", 0, 86_400),
)  # fmt: skip
_MAXIMUM_RATE = measured(one_of("Units/hour"), {"Units/hour": (0, 100)})
_MAXIMUM_AMOUNT = measured(INSULIN_UNITS, {"Units": (0, 100)})


def span_of(name: str, hours: float, *, required: bool = True) -> Read:
    """`{<name>, units}` of a span of at most so many hours."""
    mark = "!" if required else ""
    rule = within_units(name, "units", spans(hours))
    return shape({f"{name}{mark}": number(), f"units{mark}": SPAN_UNITS}, rule)


PUMP_SETTINGS = datum(
    {
        **DEVICE, "activeSchedule!": text(), "automatedDelivery": flag, "insulinFormulation": FORMULATION,
        "units": shape({"bg!": GLUCOSE_UNITS, "carb!": CARB_UNITS, "insulin": INSULIN_UNITS}),
        "basal": shape({
            "rateMaximum": _MAXIMUM_RATE,
            "temporary": shape({"type!": one_of("off", "percent", "Units/hour")}),
        }),
        "bolus": shape({
            "amountMaximum": _MAXIMUM_AMOUNT, "extended": shape({"enabled!": flag}),
            "calculator": shape({"enabled!": flag, "insulin": span_of("duration", 10)}),
        }),
        "basalSchedule": _RATE, "basalSchedules": _RATES, "bgTarget": _GOAL, "bgTargets": _GOALS,
        "carbRatio": _RATIO, "carbRatios": _RATIOS, "insulinSensitivity": _ISF, "insulinSensitivities": _ISFS,
        "bgSafetyLimit": number(), "bgTargetPhysicalActivity": TARGET, "bgTargetPreprandial": TARGET,
        "display": shape({"bloodGlucose": shape({"units!": one_of("mg/dL", "mmol/L")})}),
        "insulinModel": _MODEL, "overridePresets": mapping(_PRESET),
        "scheduleTimeZoneOffset": whole(-10080, 10080),
    },
    not_both("basalSchedule", "basalSchedules"), not_both("bgTarget", "bgTargets"),
    not_both("carbRatio", "carbRatios"), not_both("insulinSensitivity", "insulinSensitivities"),
    _each("bgTarget", check_target), _each("bgTargets", check_target),
    _each("insulinSensitivity", _check_isf), _each("insulinSensitivities", _check_isf),
    bg_target("bgTargetPhysicalActivity", "units.bg"), bg_target("bgTargetPreprandial", "units.bg"),
    _preset_targets,
)  # fmt: skip

# --- CGM settings ----------------------------------------------------------------------------------

_ALERT = {"enabled!": flag, "snooze": span_of("duration", 10)}


def _alert(name: str, units: Read, ranges: Mapping[str, tuple[float, float]]) -> Read:
    return shape(
        {**_ALERT, name: number(), "units": units},
        within_units(name, "units", ranges),
        only_with("units", when=lambda clean: name in clean),
    )


_LEVEL_UNITS = one_of("mg/dL", "mmol/L")
_URGENT = _alert("level", _LEVEL_UNITS, {"mg/dL": (40, 80), "mmol/L": (2.2203, 4.4406)})
_LOW = _alert("level", _LEVEL_UNITS, {"mg/dL": (50, 150), "mmol/L": (2.77537, 8.32612)})
_HIGH = _alert("level", _LEVEL_UNITS, {"mg/dL": (100, 400), "mmol/L": (5.55075, 22.20299)})
_CHANGE = _alert("rate", RATE_UNITS, {"mg/dL/minute": (0, 10), "mmol/L/minute": (0.05551, 0.55507)})
_SILENCE = _alert("duration", SPAN_UNITS, spans(6))
_ALERTS = shape({
    "enabled!": flag, "urgentLow": _URGENT, "urgentLowPredicted": _URGENT, "low": _LOW, "lowPredicted": _LOW,
    "high": _HIGH, "highPredicted": _HIGH, "fall": _CHANGE, "rise": _CHANGE, "noData": _SILENCE,
    "outOfRange": _SILENCE,
})  # fmt: skip
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_SCHEDULED = shape({
    "name": text(100), "days!": array(one_of(*_DAYS), unique=True, may_be_empty=True), "start!": whole(0, DAY_MS),
    "end!": whole(0, 2 * DAY_MS), "alerts!": _ALERTS,
})  # fmt: skip
_FIVE_MINUTES = tuple(range(1_200_000, 14_400_001, 300_000))
_SNOOZE = whole_of(0, 900_000, *_FIVE_MINUTES, 15_300_000, 16_200_000, 17_100_000, 18_000_000)
_OLD_LEVEL = shape({"enabled!": flag, "level!": number(), "snooze!": _SNOOZE})
_OLD_RATE = shape({"enabled!": flag, "rate!": number()})
_OLD_LEVELS = {
    "lowAlerts": {"mg/dL": (59.0, 150.0), "mmol/L": (3.27494, 8.32612)},
    "highAlerts": {"mg/dL": (100.0, 400.0), "mmol/L": (5.55075, 22.20299)},
}


def _old_alerts(clean: dict[str, Any], faults: Faults) -> None:
    units = clean.get("units", "").replace("/l", "/L").replace("/dl", "/dL")
    for name, by_units in _OLD_LEVELS.items():
        level, limits = clean.get(name, {}).get("level"), by_units.get(units)
        if level is not None and limits and not limits[0] <= level <= limits[1]:
            out_of_range(faults, level, *limits, "level")
            faults[-1].path.append(name)


CGM_SETTINGS = datum(
    {
        **DEVICE, "units": GLUCOSE_UNITS, "transmitterId": matching("[0-9a-zA-Z]{5,64}", "as transmitter id"),
        "defaultAlerts": _ALERTS, "scheduledAlerts": array(_SCHEDULED, 10),
        "lowAlerts": _OLD_LEVEL, "highAlerts": _OLD_LEVEL,
        "outOfRangeAlerts": shape({"enabled!": flag, "snooze!": whole_of(0, 60_000, *_FIVE_MINUTES)}),
        "rateOfChangeAlerts": shape({"fallRate!": _OLD_RATE, "riseRate!": _OLD_RATE}),
    },
    _old_alerts,
)  # fmt: skip

# --- status, controller ----------------------------------------------------------------------------

BATTERY = shape(
    {
        "time": instant, "state": one_of("charging", "full", "unplugged"), "remaining": number(),
        "units": one_of("percent"),
    },
    within_units("remaining", "units", {"percent": (0, 1)}),
    only_with("units", when=lambda clean: "remaining" in clean),
    any_of("state", "remaining"),
)  # fmt: skip


def after(name: str, other: str) -> Rule:
    """An instant that must lie after another one."""

    def rule(clean: dict[str, Any], faults: Faults) -> None:
        if name in clean and other in clean:
            late, early = (datetime.fromisoformat(clean[each]) for each in (name, other))
            if late <= early:
                detail = f'value "{clean[name]}" is not after "{clean[other]}"'
                fault(faults, "value-not-after", detail, name)

    return rule


_BASAL_DOSE = shape(
    {"startTime": instant, "endTime": instant, "rate!": number(0, 100), "amountDelivered": number(0, 1000)},
    only_with("endTime", when=lambda clean: "startTime" in clean, required=False),
    after("endTime", "startTime"),
)
_BOLUS_DOSE = shape({"startTime": instant, "amount!": number(0, 1000), "amountDelivered": number(0, 1000)})
PUMP_STATUS = datum(
    {
        "battery": BATTERY, "deliveryIndeterminant": flag,
        "reservoir": shape({"time": instant, "remaining!": number(0, 10_000), "units!": INSULIN_UNITS}),
        "basalDelivery": shape(
            {
                "state!": one_of(
                    "cancelingTemporary", "initiatingTemporary", "resuming", "scheduled", "suspended", "suspending",
                    "temporary",
                ),
                "time": instant, "dose": _BASAL_DOSE,
            },
            only_with("time", when=lambda clean: clean.get("state") in ("scheduled", "suspended")),
            only_with("dose", when=lambda clean: clean.get("state") == "temporary"),
        ),
        "bolusDelivery": shape(
            {"state!": one_of("canceling", "delivering", "initiating", "none"), "dose": _BOLUS_DOSE},
            only_with("dose", when=lambda clean: clean.get("state") == "delivering"),
        ),
    },
    any_of("basalDelivery", "battery", "bolusDelivery", "deliveryIndeterminant", "reservoir"),
)  # fmt: skip
CONTROLLER_STATUS = datum({"battery!": BATTERY})
_SWITCHES = ("alert", "criticalAlert", "badge", "sound", "announcement", "notificationCenter", "lockScreen")
CONTROLLER_SETTINGS = datum(
    {
        "device": shape(DEVICE, any_of(*DEVICE)),
        "notifications": shape(
            {
                "authorization": one_of("authorized", "denied", "ephemeral", "notDetermined", "provisional"),
                "alertStyle": one_of("alert", "banner", "none"), **dict.fromkeys(_SWITCHES, flag),
            },
            any_of("authorization", *_SWITCHES, "alertStyle"),
        ),
    },
    any_of("device", "notifications"),
)  # fmt: skip

# --- dosing decisions, alerts ----------------------------------------------------------------------


def _asked_for(clean: dict[str, Any], faults: Faults) -> None:
    if "amount" in clean:
        for name in ("duration", "extended", "normal"):
            if name in clean:
                fault(faults, "value-exists", name=name)
    elif ("duration" in clean) != ("extended" in clean):
        fault(faults, "value-exists" if "duration" in clean else "value-not-exists", name="duration")


_DOSE = shape(
    {"amount": number(0, 100), "duration": whole(0, DAY_MS), "extended": number(0, 100), "normal": number(0, 100)},
    _asked_for,
    any_of("amount", "extended", "normal"),
)
_SAMPLE = shape({"time!": instant, "value!": number()})
_EATEN = shape({"time": instant, "nutrition!": NUTRITION})
_ISSUES = array(shape({"id!": text(100), "metadata": metadata}), 100)


def _samples_in_range(clean: dict[str, Any], faults: Faults) -> None:
    limits = GLUCOSE.get(clean.get("units", {}).get("bg", ""))
    single = [(["smbg"], clean.get("smbg"))]
    for path, sample in single + [
        ([str(index), "bgHistorical"], each) for index, each in enumerate(clean.get("bgHistorical", []))
    ]:
        if sample and limits and "value" in sample and not limits[0] <= sample["value"] <= limits[1]:
            out_of_range(faults, sample["value"], *limits, "value")
            faults[-1].path.extend(path)


DOSING_DECISION = datum(
    {
        "reason!": text(100), "units!": shape({"bg!": GLUCOSE_UNITS, "carb!": CARB_UNITS, "insulin!": INSULIN_UNITS}),
        "originalFood": _EATEN, "food": _EATEN, "smbg": _SAMPLE, "bgHistorical": array(_SAMPLE, 1440),
        "bgForecast": array(shape({"time": instant, "value!": number()}), 1440),
        "carbsOnBoard": shape({"time": instant, "amount!": number(0, 1000)}),
        "insulinOnBoard": shape({"time": instant, "amount!": number(-1000, 1000)}), "bgTargetSchedule": _GOAL,
        "recommendedBasal": shape({"rate!": number(0, 100), "duration": whole(0, DAY_MS)}),
        "recommendedBolus": _DOSE, "requestedBolus": _DOSE, "warnings": _ISSUES, "errors": _ISSUES,
        "scheduleTimeZoneOffset": whole(-10080, 10080),
    },
    _samples_in_range,
    _each("bgTargetSchedule", check_target),
)  # fmt: skip
ALERT = datum(
    {
        "name!": text(100), "issuedTime!": instant, "acknowledgedTime": instant, "retractedTime": instant,
        "priority": one_of("critical", "normal", "timeSensitive"), "triggerDelay": whole(0, 86_400),
        "trigger": one_of("delayed", "immediate", "repeating"), "sound": one_of("name", "silence", "vibrate"),
        "soundName": text(100),
    },
    only_with("triggerDelay", when=lambda clean: clean.get("trigger") in ("delayed", "repeating")),
    only_with("soundName", when=lambda clean: clean.get("sound") == "name"),
    after("acknowledgedTime", "issuedTime"),
    after("retractedTime", "issuedTime"),
)  # fmt: skip
