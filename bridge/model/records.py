"""The common reading model: one frozen record type for every kind of reading.

Field order is the order of the JSON; units are in the names. Numbers a source marks as absent are None.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bridge.model.time import Instant, Wall
from bridge.model.units import (
    Charge,
    Exchanges,
    Grams,
    GramsPerUnit,
    MgDl,
    MgDlPerMin,
    MgDlPerUnit,
    MinuteOfDay,
    Minutes,
    MmolL,
    NanoAmperes,
    OffsetMinutes,
    Percent,
    PositiveGrams,
    SignedUnits,
    TargetMgDl,
    Units,
    UnitsPerHour,
    Volts,
)

Trend = Literal[
    "triple_up", "double_up", "single_up", "forty_five_up", "flat",
    "forty_five_down", "single_down", "double_down", "triple_down", "none",
]  # fmt: skip
Quality = Literal["ok", "warmup", "uncertain", "calibrating", "fault"]
Severity = Literal["critical", "high", "normal", "low", "reminder"]


def _coded(note: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(note.get("code"), str):
        raise ValueError("an annotation needs a code")
    return note


Annotation = Annotated[dict[str, Any], AfterValidator(_coded)]
"""Doubt or provenance: `code`, and what it needs (`value`, `threshold_mgdl`, `programmed_min`)."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Device(_Frozen):
    """Where a record was made. The serial stays local."""

    manufacturer: str | None
    model: str | None
    serial: str | None
    family: str | None


class Envelope(_Frozen):
    """What every record carries."""

    id: str
    kind: str
    time: Instant
    device_time: Wall | None
    utc_offset_min: OffsetMinutes | None
    profile: str
    device: Device
    reader: str
    source_key: str
    revision: Annotated[int, Field(ge=1)] = 1
    annotations: tuple[Annotation, ...] = ()
    raw: dict[str, Any] | None = None

    def annotation(self, code: str) -> dict[str, Any] | None:
        """The first annotation of that code, or None."""
        return next((note for note in self.annotations if note["code"] == code), None)


class SensorGlucose(Envelope):
    """A sensor's reading; `mgdl` is None when only a state is known."""

    kind: Literal["sensor_glucose"] = "sensor_glucose"
    mgdl: MgDl | None = None
    trend: Trend | None = None
    rate_mgdl_min: MgDlPerMin | None = None
    quality: Quality = "ok"
    isig_na: NanoAmperes | None = None
    sensor_id: str | None = None


class MeterGlucose(Envelope):
    """A finger-stick; control solution is never blood."""

    kind: Literal["meter_glucose"] = "meter_glucose"
    mgdl: MgDl
    entry: Literal["meter", "linked", "manual"] = "meter"
    meal: Literal["before", "after", "fasting"] | None = None
    control_solution: bool = False


class Calibration(Envelope):
    """A value given to the sensor."""

    kind: Literal["calibration"] = "calibration"
    mgdl: MgDl
    accepted: bool | None = None


class Ketone(Envelope):
    """Blood ketones."""

    kind: Literal["ketone"] = "ketone"
    mmol_l: MmolL


class Bolus(Envelope):
    """Insulin given at once or over a span; `delivered_u` may still grow until `completed`."""

    kind: Literal["bolus"] = "bolus"
    shape: Literal["normal", "square", "dual"] = "normal"
    delivered_u: Units
    programmed_u: Units | None = None
    immediate_u: Units | None = None
    extended_u: Units | None = None
    programmed_immediate_u: Units | None = None
    programmed_extended_u: Units | None = None
    duration_min: Minutes | None = None
    delivered_duration_min: Minutes | None = None
    automatic: bool = False
    completed: bool = True
    requested_by: Literal["wizard", "manual", "easy", "remote", "closed_loop"] | None = None
    calculation_id: str | None = None
    carbs_id: str | None = None


class BolusCalculation(Envelope):
    """What the pump's calculator was told and recommended."""

    kind: Literal["bolus_calculation"] = "bolus_calculation"
    carbs_g: Grams | None = None
    carb_exchanges: Exchanges | None = None
    bg_mgdl: Annotated[int, Field(ge=0, le=1000)] | None = None
    iob_u: SignedUnits | None = None
    recommended_carb_u: SignedUnits | None = None
    recommended_correction_u: SignedUnits | None = None
    recommended_net_u: SignedUnits | None = None
    carb_ratio_g_u: GramsPerUnit | None = None
    isf_mgdl_u: MgDlPerUnit | None = None
    target_low_mgdl: TargetMgDl | None = None
    target_high_mgdl: TargetMgDl | None = None
    bolus_id: str | None = None


class Injection(Envelope):
    """Insulin by pen or log entry."""

    kind: Literal["injection"] = "injection"
    dose_u: Units
    action: Literal["rapid", "short", "intermediate", "long", "mixed"] | None = None


class Carbs(Envelope):
    """Carbohydrates eaten."""

    kind: Literal["carbs"] = "carbs"
    grams: PositiveGrams
    absorption_min: Minutes | None = None


class Basal(Envelope):
    """A basal segment or micro-dose; `duration_min` is None while it runs."""

    kind: Literal["basal"] = "basal"
    delivery: Literal["scheduled", "temporary", "automatic", "suspended"]
    rate_u_h: UnitsPerHour | None = None
    duration_min: Minutes | None = None
    percent: Percent | None = None
    dose_u: Units | None = None
    schedule: str | None = None
    suspend_reason: Literal["user", "before_low", "on_low", "alarm"] | None = None


class DeviceEvent(Envelope):
    """Something that happened to a device; the fields of other events are None."""

    kind: Literal["device_event"] = "device_event"
    event: str
    code: str | int | None = None
    severity: Severity | None = None
    text: str | None = None
    target: Literal["tubing", "cannula"] | None = None
    volume_u: Units | None = None
    clock_from: Wall | None = None
    clock_to: Wall | None = None
    agent: str | None = None
    mode: str | None = None
    low_mgdl: TargetMgDl | None = None
    high_mgdl: TargetMgDl | None = None
    duration_min: Minutes | None = None
    state: Literal["active", "cleared"] | None = None


class PumpStatus(Envelope):
    """A snapshot of the pump, its sensor link and the phone."""

    kind: Literal["pump_status"] = "pump_status"
    iob_u: SignedUnits | None = None
    iob_time: Instant | None = None
    reservoir_u: Units | None = None
    reservoir_pct: Charge | None = None
    battery_pct: Charge | None = None
    battery_v: Volts | None = None
    suspended: bool | None = None
    bolusing: bool | None = None
    mode: Literal["manual", "auto", "safe_basal"] | None = None
    active_basal_u_h: UnitsPerHour | None = None
    sensor_minutes_left: Minutes | None = None
    sensor_state: str | None = None
    transmitter_battery_pct: Charge | None = None
    uploader_battery_pct: Charge | None = None
    in_range: bool | None = None
    pump_clock: Wall | None = None


class RateStart(_Frozen):
    """A basal schedule entry."""

    start_min: MinuteOfDay
    rate_u_h: UnitsPerHour


class RatioStart(_Frozen):
    """A carb ratio entry."""

    start_min: MinuteOfDay
    g_u: GramsPerUnit


class IsfStart(_Frozen):
    """An insulin sensitivity entry."""

    start_min: MinuteOfDay
    mgdl_u: MgDlPerUnit


class TargetStart(_Frozen):
    """A target range entry."""

    start_min: MinuteOfDay
    low_mgdl: TargetMgDl
    high_mgdl: TargetMgDl


class PumpSettings(Envelope):
    """The pump's therapy settings, as set when they became current."""

    kind: Literal["pump_settings"] = "pump_settings"
    basal_schedules: dict[str, tuple[RateStart, ...]] | None = None
    active_schedule: str | None = None
    carb_ratios: tuple[RatioStart, ...] | None = None
    isf: tuple[IsfStart, ...] | None = None
    targets: tuple[TargetStart, ...] | None = None
    dia_min: Minutes | None = None
    max_bolus_u: Units | None = None
    max_basal_u_h: UnitsPerHour | None = None
    display_unit: str | None = None


class Exercise(Envelope):
    """Exercise as logged."""

    kind: Literal["exercise"] = "exercise"
    duration_min: Minutes | None = None
    intensity: str | None = None
    text: str | None = None


class Note(Envelope):
    """Free text."""

    kind: Literal["note"] = "note"
    text: str


Record: TypeAlias = (
    SensorGlucose | MeterGlucose | Calibration | Ketone | Bolus | BolusCalculation | Injection | Carbs
    | Basal | DeviceEvent | PumpStatus | PumpSettings | Exercise | Note
)  # fmt: skip
"""Any record."""

RECORDS: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="kind")])
"""Reads any record by its kind: `RECORDS.validate_json(line)`; raises pydantic's ValidationError."""


def to_json(record: Record) -> bytes:
    """One line of canonical JSON: every field of the kind, in the table's order, unknown as null."""
    return RECORDS.serializer.to_json(record)


def from_json(line: str | bytes) -> Record:
    """The record of one line. Raises pydantic's ValidationError, which names field and value."""
    return RECORDS.validate_json(line)


__all__ = [
    "RECORDS", "Annotation", "Basal", "Bolus", "BolusCalculation", "Calibration", "Carbs", "Device",
    "DeviceEvent", "Envelope", "Exercise", "Injection", "IsfStart", "Ketone", "MeterGlucose", "Note",
    "PumpSettings", "PumpStatus", "Quality", "RateStart", "RatioStart", "Record", "SensorGlucose",
    "Severity", "TargetStart", "Trend", "ValidationError", "from_json", "to_json",
]  # fmt: skip
