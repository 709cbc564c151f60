"""Settings and status of pump, sensor and app, and what only other programs send."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from adapters.tidepool.validation.kinds import (
    GLUCOSE,
    Datum,
    DayMs,
    DaySeconds,
    Flag,
    GlucoseUnits,
    Instant,
    Name,
    Number,
    OffsetMin,
    Part,
    Ranges,
    SpanUnits,
    Target,
    UpTo100,
    UpTo250,
    UpTo1000,
    Whole,
    Word,
    refuse,
    require_only,
    require_within,
    spans,
)
from adapters.tidepool.validation.readings import Formulation, Nutrition

_DAY_MS = 86_400_000


class Device(Part):
    """Names and versions of a device."""

    firmware_version: Name | None = None
    hardware_version: Name | None = None
    software_version: Name | None = None
    manufacturers: Annotated[list[Name], Field(min_length=1, max_length=10)] | None = None
    model: Name | None = None
    name: Name | None = None
    serial_number: Name | None = None


# --- pump settings ---------------------------------------------------------------------------------


class _Start(Part):
    start: Whole


class _RateStart(_Start):
    rate: UpTo100


class _RatioStart(_Start):
    amount: UpTo250


class _IsfStart(_Start):
    amount: Number

    def check(self, field: str, units: str | None) -> None:
        require_within(f"{field}/amount", self.amount, units, GLUCOSE)


class _TargetStart(Target, _Start):
    pass


class _SettingsUnits(Part):
    bg: GlucoseUnits
    carb: Literal["exchanges", "grams"]
    insulin: Literal["Units"] | None = None


class _MaximumRate(Part):
    units: Literal["Units/hour"]
    value: UpTo100


class _Temporary(Part):
    type: Literal["off", "percent", "Units/hour"]


class _BasalSettings(Part):
    rate_maximum: _MaximumRate | None = None
    temporary: _Temporary | None = None


class _MaximumAmount(Part):
    units: Literal["Units"]
    value: UpTo100


class _ActiveInsulin(Part):
    duration: Number
    units: SpanUnits

    @model_validator(mode="after")
    def _in_range(self) -> _ActiveInsulin:
        require_within("duration", self.duration, self.units, spans(10))
        return self


class _Calculator(Part):
    enabled: Flag
    insulin: _ActiveInsulin | None = None


class _ExtendedSettings(Part):
    enabled: Flag


class _BolusSettings(Part):
    amount_maximum: _MaximumAmount | None = None
    calculator: _Calculator | None = None
    extended: _ExtendedSettings | None = None


class _DisplayGlucose(Part):
    units: Literal["mg/dL", "mmol/L"]


class _Display(Part):
    blood_glucose: _DisplayGlucose | None = None


_PAIRS = (
    ("basal_schedule", "basal_schedules"), ("carb_ratio", "carb_ratios"),
    ("insulin_sensitivity", "insulin_sensitivities"), ("bg_target", "bg_targets"),
)  # fmt: skip
_SPELLED = {
    "basal_schedule": "basalSchedule", "basal_schedules": "basalSchedules", "carb_ratio": "carbRatio",
    "carb_ratios": "carbRatios", "insulin_sensitivity": "insulinSensitivity",
    "insulin_sensitivities": "insulinSensitivities", "bg_target": "bgTarget", "bg_targets": "bgTargets",
}  # fmt: skip


class PumpSettings(Datum, Device):
    """Therapy settings; every schedule as a list or as named lists, never both."""

    active_schedule: Word
    automated_delivery: Flag | None = None
    units: _SettingsUnits | None = None
    basal_schedule: list[_RateStart] | None = None
    basal_schedules: dict[str, list[_RateStart]] | None = None
    carb_ratio: list[_RatioStart] | None = None
    carb_ratios: dict[str, list[_RatioStart]] | None = None
    insulin_sensitivity: list[_IsfStart] | None = None
    insulin_sensitivities: dict[str, list[_IsfStart]] | None = None
    bg_target: list[_TargetStart] | None = None
    bg_targets: dict[str, list[_TargetStart]] | None = None
    basal: _BasalSettings | None = None
    bolus: _BolusSettings | None = None
    display: _Display | None = None
    insulin_formulation: Formulation | None = None
    schedule_time_zone_offset: OffsetMin | None = None

    @model_validator(mode="after")
    def _schedules(self) -> PumpSettings:
        units = None if self.units is None else self.units.bg
        for single, named in _PAIRS:
            entries, maps = getattr(self, single), getattr(self, named)
            if entries is not None and maps is not None:
                refuse(_SPELLED[named], f"may not be there beside {_SPELLED[single]}")
            _check_schedule(_SPELLED[single], entries or [], units)
            for name, each in (maps or {}).items():
                _check_schedule(f"{_SPELLED[named]}/{name}", each, units)
        return self


def _check_schedule(field: str, entries: list[Any], units: str | None) -> None:
    floor = 0.0
    for index, entry in enumerate(entries):
        place = f"{field}/{index}"
        if not floor <= entry.start <= (_DAY_MS if index else 0):
            refuse(f"{place}/start", f"{entry.start:g} is not after the one before, or not 0 at first")
        floor = entry.start + 1
        if isinstance(entry, _IsfStart | _TargetStart):
            entry.check(place, units)


# --- status ----------------------------------------------------------------------------------------


class Battery(Part):
    """Charge as a fraction."""

    time: Instant | None = None
    state: Literal["charging", "full", "unplugged"] | None = None
    remaining: Annotated[float, Field(strict=True, ge=0, le=1)] | None = None
    units: Literal["percent"] | None = None

    @model_validator(mode="after")
    def _rules(self) -> Battery:
        require_only("units", self.units, wanted=self.remaining is not None, why="remaining")
        if self.state is None and self.remaining is None:
            refuse("", "needs state or remaining")
        return self


class _Reservoir(Part):
    time: Instant | None = None
    remaining: Annotated[float, Field(strict=True, ge=0, le=10_000)]
    units: Literal["Units"]


class _BasalDose(Part):
    start_time: Instant | None = None
    end_time: Instant | None = None
    rate: UpTo100
    amount_delivered: UpTo1000 | None = None

    @model_validator(mode="after")
    def _times(self) -> _BasalDose:
        known = self.start_time is not None
        require_only("endTime", self.end_time, wanted=known, why="startTime", needed=False)
        _require_after("endTime", self.end_time, self.start_time)
        return self


def _require_after(field: str, late: str | None, early: str | None) -> None:
    if late is not None and early is not None and datetime.fromisoformat(late) <= datetime.fromisoformat(early):
        refuse(field, f"{late} is not after {early}")


class _BasalDelivery(Part):
    state: Literal[
        "cancelingTemporary", "initiatingTemporary", "resuming", "scheduled", "suspended", "suspending", "temporary"
    ]  # fmt: skip
    time: Instant | None = None
    dose: _BasalDose | None = None

    @model_validator(mode="after")
    def _rules(self) -> _BasalDelivery:
        steady = self.state in ("scheduled", "suspended")
        require_only("time", self.time, wanted=steady, why="scheduled or suspended")
        require_only("dose", self.dose, wanted=self.state == "temporary", why="temporary")
        return self


class _BolusDose(Part):
    start_time: Instant | None = None
    amount: UpTo1000
    amount_delivered: UpTo1000 | None = None


class _BolusDelivery(Part):
    state: Literal["canceling", "delivering", "initiating", "none"]
    dose: _BolusDose | None = None

    @model_validator(mode="after")
    def _rules(self) -> _BolusDelivery:
        require_only("dose", self.dose, wanted=self.state == "delivering", why="delivering")
        return self


class PumpStatus(Datum):
    """A snapshot of the pump."""

    basal_delivery: _BasalDelivery | None = None
    battery: Battery | None = None
    bolus_delivery: _BolusDelivery | None = None
    delivery_indeterminant: Flag | None = None
    reservoir: _Reservoir | None = None

    @model_validator(mode="after")
    def _something(self) -> PumpStatus:
        given = (self.basal_delivery, self.battery, self.bolus_delivery, self.delivery_indeterminant, self.reservoir)
        if all(each is None for each in given):
            refuse("", "needs a battery, a reservoir or a delivery")
        return self


class ControllerStatus(Datum):
    """A snapshot of the phone."""

    battery: Battery


# --- what only other programs send: as far as the recorded rules go --------------------------------


class _Snooze(Part):
    duration: Number
    units: SpanUnits

    @model_validator(mode="after")
    def _in_range(self) -> _Snooze:
        require_within("duration", self.duration, self.units, spans(10))
        return self


class _CgmAlert(Part):
    enabled: Flag
    snooze: _Snooze | None = None
    units: Word | None = None
    level: Number | None = None
    rate: Number | None = None
    duration: Number | None = None


_LEVELS: dict[str, Ranges] = {
    "urgent_low": {"mg": (40, 80), "mmol": (2.2203, 4.4406)},
    "low": {"mg": (50, 150), "mmol": (2.77537, 8.32612)},
    "high": {"mg": (100, 400), "mmol": (5.55075, 22.20299)},
}


class _CgmAlerts(Part):
    enabled: Flag
    urgent_low: _CgmAlert | None = None
    low: _CgmAlert | None = None
    high: _CgmAlert | None = None
    rise: _CgmAlert | None = None
    fall: _CgmAlert | None = None
    no_data: _CgmAlert | None = None
    out_of_range: _CgmAlert | None = None

    @model_validator(mode="after")
    def _levels(self) -> _CgmAlerts:
        for name, ranges in _LEVELS.items():
            alert = getattr(self, name)
            if alert is not None:
                require_within(f"{'urgentLow' if '_' in name else name}/level", alert.level, alert.units, ranges)
        return self


class CgmSettings(Datum, Device):
    """Alerts of a sensor."""

    units: GlucoseUnits | None = None
    transmitter_id: Annotated[str, Field(strict=True, pattern=r"^[0-9a-zA-Z]{5,64}$")] | None = None
    default_alerts: _CgmAlerts | None = None


class _Sample(Part):
    time: Instant
    value: Number


class _OnBoard(Part):
    time: Instant | None = None
    amount: Annotated[float, Field(strict=True, ge=-1000, le=1000)]


class _Asked(Part):
    amount: UpTo100 | None = None
    normal: UpTo100 | None = None
    extended: UpTo100 | None = None
    duration: DayMs | None = None


class _Meal(Part):
    time: Instant | None = None
    nutrition: Nutrition


class _DecisionUnits(Part):
    bg: GlucoseUnits
    carb: Literal["exchanges", "grams"]
    insulin: Literal["Units"]


class DosingDecision(Datum):
    """Why an algorithm dosed."""

    reason: Name
    units: _DecisionUnits
    food: _Meal | None = None
    smbg: _Sample | None = None
    bg_historical: Annotated[list[_Sample], Field(min_length=1, max_length=1440)] | None = None
    carbs_on_board: _OnBoard | None = None
    insulin_on_board: _OnBoard | None = None
    recommended_bolus: _Asked | None = None
    requested_bolus: _Asked | None = None


class ControllerSettings(Datum):
    """Settings of an app."""

    device: Device | None = None
    notifications: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _something(self) -> ControllerSettings:
        if self.device is None and self.notifications is None:
            refuse("", "needs device or notifications")
        return self


class Alert(Datum):
    """A message of an app."""

    name: Name
    issued_time: Instant
    priority: Literal["critical", "normal", "timeSensitive"] | None = None
    trigger: Literal["delayed", "immediate", "repeating"] | None = None
    trigger_delay: DaySeconds | None = None


class _Liquid(Part):
    units: Literal["gallons", "liters", "milliliters", "ounces"]
    value: Number

    @model_validator(mode="after")
    def _in_range(self) -> _Liquid:
        most = {"gallons": 10.0, "liters": 37.854118, "milliliters": 37_854.118, "ounces": 1280.0}
        require_within("value", self.value, self.units, {unit: (0, limit) for unit, limit in most.items()})
        return self


class Water(Datum):
    """Something drunk."""

    amount: _Liquid
