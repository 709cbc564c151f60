"""Names of data types on the wire and in a read-back."""

from __future__ import annotations

from bridge.model.records import Basal, DeviceEvent, Record

_KINDS = {
    "sensor_glucose": "sensor_glucose", "meter_glucose": "meter_bg", "calibration": "calibration", "bolus": "bolus",
    "bolus_calculation": "wizard", "carbs": "carbs", "pump_settings": "settings",
}  # fmt: skip
_BASALS = {"temporary": "temp_basal", "suspended": "suspend_resume"}
_EVENTS = {
    "alarm": "alarm", "alarm_cleared": "alarm", "prime": "prime_rewind", "rewind": "prime_rewind",
    "time_change": "time_change", "suspend": "suspend_resume", "resume": "suspend_resume",
}  # fmt: skip


def wire_name(record: Record) -> str | None:
    """The name of a record's data type in contract clu-1; None for what has none there (a status, ketones, a pen
    dose, exercise, a note): such a record travels with the others and is not counted."""
    if isinstance(record, Basal):
        return _BASALS.get(record.delivery, "basal")
    if isinstance(record, DeviceEvent):
        return _EVENTS.get(record.event, "device_event")
    return _KINDS.get(record.kind)
