"""Glucose, insulin, food and activity."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from adapters.tidepool.validation.kinds import (
    GLUCOSE,
    WHOLE,
    Datum,
    DayMs,
    DaySeconds,
    Flag,
    GlucoseUnits,
    Metadata,
    Name,
    NotNegative,
    Number,
    Part,
    RateUnits,
    Signed100,
    SpanUnits,
    Target,
    UpTo100,
    UpTo250,
    UpTo1000,
    WeekMs,
    Word,
    refuse,
    require_only,
    require_order,
    require_within,
    spans,
)


class _Measured(Datum):
    units: GlucoseUnits
    value: Number

    @model_validator(mode="after")
    def _in_range(self) -> _Measured:
        require_within("value", self.value, self.units, GLUCOSE)
        return self


class Cbg(_Measured):
    """Sensor glucose."""

    trend: (
        Literal["constant", "slowFall", "slowRise", "moderateFall", "moderateRise", "rapidFall", "rapidRise"] | None
    ) = None
    trend_rate: Number | None = None
    trend_rate_units: RateUnits | None = None
    sample_interval: DayMs | None = None
    backfilled: Flag | None = None

    @model_validator(mode="after")
    def _rate(self) -> Cbg:
        known = self.trend_rate is not None
        require_only("trendRateUnits", self.trend_rate_units, wanted=known, why="trendRate", needed=False)
        require_within("trendRate", self.trend_rate, self.trend_rate_units, {"mmol": (-5.5, 5.5), "mg": (-100, 100)})
        return self


class Smbg(_Measured):
    """A finger-stick."""

    sub_type: Literal["linked", "manual", "scanned"] | None = None


class Calibration(_Measured):
    """A value given to the sensor."""


class Ketone(Datum):
    """Blood ketones."""

    units: Literal["mmol/L", "mmol/l"]
    value: Annotated[float, Field(strict=True, ge=0, le=10)]


# --- insulin ---------------------------------------------------------------------------------------


class _Concentration(Part):
    units: Literal["Units/mL"]
    value: Annotated[float, Field(strict=True, ge=0, le=10_000)]


class _Simple(Part):
    acting_type: Literal["intermediate", "long", "rapid", "short"]
    brand: Name | None = None
    concentration: _Concentration | None = None


class _Compound(Part):
    amount: NotNegative
    formulation: Formulation


class Formulation(Part):
    """Which insulin."""

    simple: _Simple | None = None
    compounds: Annotated[list[_Compound], Field(min_length=1, max_length=100)] | None = None
    name: Name | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Formulation:
        if self.compounds is not None and self.simple is not None:
            refuse("compounds", "may not be there beside simple")
        if self.compounds is None and self.simple is None and self.name is None:
            refuse("simple", "is needed")
        return self


class _Bolus(Datum):
    delivery_context: Literal["algorithm", "device", "oneButton", "remote", "undetermined", "watch"] | None = None
    insulin_formulation: Formulation | None = None


class _Normal(Part):
    normal: UpTo100
    expected_normal: UpTo100 | None = None

    @model_validator(mode="after")
    def _not_more_than_planned(self) -> _Normal:
        require_order("normal", self.normal, "expectedNormal", self.expected_normal, blame=self._blamed())
        return self

    def _blamed(self) -> str:
        return "normal"


class _Extended(Part):
    extended: UpTo100
    expected_extended: UpTo100 | None = None
    duration: DayMs
    expected_duration: DayMs | None = None

    @model_validator(mode="after")
    def _planned(self) -> _Extended:
        planned = self.expected_extended is not None
        require_only("expectedDuration", self.expected_duration, wanted=planned, why="expectedExtended")
        require_order("extended", self.extended, "expectedExtended", self.expected_extended, blame="extended")
        require_order("duration", self.duration, "expectedDuration", self.expected_duration, blame="duration")
        return self


class NormalBolus(_Bolus, _Normal):
    """Given at once."""


class SquareBolus(_Bolus, _Extended):
    """Given over a span."""


class DualBolus(_Bolus, _Normal, _Extended):
    """Part at once, part over a span."""


class AutomatedBolus(_Bolus, _Normal):
    """Given by an algorithm."""

    def _blamed(self) -> str:
        return "expectedNormal"

    @model_validator(mode="after")
    def _zero_is_a_plan(self) -> AutomatedBolus:
        if self.normal == 0 and self.expected_normal is None:
            refuse("expectedNormal", "is needed when normal is 0")
        return self


class _Basal(Datum):
    duration: WeekMs
    expected_duration: WeekMs | None = None

    @model_validator(mode="after")
    def _not_shorter(self) -> _Basal:
        require_order("duration", self.duration, "expectedDuration", self.expected_duration)
        return self


class _Holding(Part):
    suppressed: dict[str, Any] | None = None
    """Checked as a datum of its own."""


class _Rated(Part):
    rate: UpTo100
    insulin_formulation: Formulation | None = None


class ScheduledBasal(_Basal, _Rated):
    """As programmed."""

    schedule_name: Word | None = None


class AutomatedBasal(_Basal, _Rated, _Holding):
    """As an algorithm chose."""

    schedule_name: Annotated[str, Field(strict=True, min_length=1, max_length=1000)] | None = None


class TempBasal(_Basal, _Rated, _Holding):
    """A temporary rate; `percent` is a fraction."""

    percent: Annotated[float, Field(strict=True, ge=0, le=10)] | None = None


class SuspendBasal(_Basal, _Holding):
    """No delivery."""


class Suppressed(_Rated, _Holding):
    """The basal that another one holds back."""

    type: Literal["basal"]
    annotations: Annotated[list[Metadata], Field(min_length=1, max_length=100)] | None = None
    schedule_name: Word | None = None
    percent: Annotated[float, Field(strict=True, ge=0, le=10)] | None = None


class _Recommended(Part):
    carb: UpTo100 | None = None
    correction: Signed100 | None = None
    net: Signed100 | None = None


class Wizard(Datum):
    """A bolus calculation; `bolus` is checked as a datum of its own."""

    units: GlucoseUnits
    bg_input: Number | None = None
    bg_target: Target | None = None
    carb_input: UpTo1000 | None = None
    carb_units: Literal["grams", "exchanges"] | None = None
    insulin_carb_ratio: UpTo250 | None = None
    insulin_on_board: UpTo250 | None = None
    insulin_sensitivity: Number | None = None
    recommended: _Recommended | None = None
    bolus: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _glucose(self) -> Wizard:
        require_within("bgInput", self.bg_input, self.units, GLUCOSE)
        require_within("insulinSensitivity", self.insulin_sensitivity, self.units, GLUCOSE)
        if self.bg_target is not None:
            self.bg_target.check("bgTarget", self.units)
        return self


class _Dose(Part):
    total: UpTo250
    units: Literal["Units"]
    food: UpTo250 | None = None
    correction: Annotated[float, Field(strict=True, ge=-250, le=250)] | None = None
    active: UpTo250 | None = None


class Insulin(Datum):
    """An injection."""

    dose: _Dose | None = None
    formulation: Formulation | None = None
    site: Name | None = None


# --- food, activity, state -------------------------------------------------------------------------


class _Energy(Part):
    units: Literal["calories", "joules", "kilocalories", "kilojoules"]
    value: NotNegative

    @model_validator(mode="after")
    def _in_range(self) -> _Energy:
        per_unit = {"calories": 1e7, "joules": 41_858_000.0, "kilocalories": 1e4, "kilojoules": 41_858.0}
        require_within("value", self.value, self.units, {unit: (0, most) for unit, most in per_unit.items()})
        return self


class _Portion(Part):
    total: UpTo1000
    units: Literal["grams"]


class _Carbohydrate(Part):
    net: UpTo1000
    units: Literal["grams"]
    total: UpTo1000 | None = None
    dietary_fiber: UpTo1000 | None = None
    sugars: UpTo1000 | None = None


class Nutrition(Part):
    """What is in a food."""

    carbohydrate: _Carbohydrate | None = None
    fat: _Portion | None = None
    protein: _Portion | None = None
    energy: _Energy | None = None
    estimated_absorption_duration: DaySeconds | None = None


class _Amount(Part):
    units: Name
    value: NotNegative


class _Eaten(Part):
    amount: _Amount | None = None
    brand: Name | None = None
    code: Name | None = None
    name: Name | None = None
    nutrition: Nutrition | None = None
    ingredients: Annotated[list[_Eaten], Field(min_length=1, max_length=100)] | None = None


class Food(Datum, _Eaten):
    """Carbohydrates without a calculation."""

    meal: Literal["breakfast", "dinner", "lunch", "other", "snack"] | None = None
    meal_other: Name | None = None

    @model_validator(mode="after")
    def _other(self) -> Food:
        require_only("mealOther", self.meal_other, wanted=self.meal == "other", why="the meal other")
        return self


class _Span(Part):
    units: SpanUnits
    value: Number

    @model_validator(mode="after")
    def _in_range(self) -> _Span:
        require_within("value", self.value, self.units, spans(168))
        return self


class Activity(Datum):
    """Exercise, as far as it is sent: the kind of sport and what a watch counts are left to the service."""

    duration: _Span | None = None
    energy: _Energy | None = None
    name: Name | None = None
    reported_intensity: Literal["high", "low", "medium"] | None = None


class _State(Part):
    state: Literal[
        "alcohol", "cycle", "hyperglycemiaSymptoms", "hypoglycemiaSymptoms", "illness", "other", "stress"
    ]  # fmt: skip
    state_other: Name | None = None
    severity: Annotated[float, Field(strict=True, ge=0, le=10), WHOLE] | None = None

    @model_validator(mode="after")
    def _other(self) -> _State:
        require_only("stateOther", self.state_other, wanted=self.state == "other", why="the state other")
        return self


class ReportedState(Datum):
    """How somebody felt, or a note."""

    states: list[_State] | None = None
