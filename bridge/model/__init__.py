"""The common reading model. Pure: no I/O, no clock, no settings."""

from bridge.model.capture import Capture
from bridge.model.identity import bolus_datum_id, record_id, second_id
from bridge.model.records import (
    Annotation,
    Basal,
    Bolus,
    BolusCalculation,
    Calibration,
    Carbs,
    Device,
    DeviceEvent,
    Exercise,
    Injection,
    IsfStart,
    Ketone,
    MeterGlucose,
    Note,
    PumpSettings,
    PumpStatus,
    RateStart,
    RatioStart,
    Record,
    SensorGlucose,
    TargetStart,
    from_json,
    to_json,
)
from bridge.model.time import from_ms, iso_ms, iso_wall, to_ms

__all__ = [
    "Annotation", "Basal", "Bolus", "BolusCalculation", "Calibration", "Capture", "Carbs", "Device",
    "DeviceEvent", "Exercise", "Injection", "IsfStart", "Ketone", "MeterGlucose", "Note", "PumpSettings",
    "PumpStatus", "RateStart", "RatioStart", "Record", "SensorGlucose", "TargetStart", "bolus_datum_id",
    "from_json", "from_ms", "iso_ms", "iso_wall", "record_id", "second_id", "to_json", "to_ms",
]  # fmt: skip
