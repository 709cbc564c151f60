"""Records to Tidepool datums: a pure function of a set of records and the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from adapters.preparation import Prepared, Result, gathered
from adapters.tidepool.mapping.basal import basal
from adapters.tidepool.mapping.events import device_event, exercise, note
from adapters.tidepool.mapping.frame import PATH, TidepoolMappingSettings, View
from adapters.tidepool.mapping.glucose import calibration, ketone, meter_glucose, sensor_glucose
from adapters.tidepool.mapping.insulin import bolus, bolus_calculation, carbs, injection
from adapters.tidepool.mapping.pump import pump_settings, pump_status
from bridge.contracts import Desired
from bridge.model import Record

_MAPPERS: Mapping[str, Callable[[Any, View], Result]] = {
    "sensor_glucose": sensor_glucose,
    "meter_glucose": meter_glucose,
    "calibration": calibration,
    "ketone": ketone,
    "bolus": bolus,
    "bolus_calculation": bolus_calculation,
    "injection": injection,
    "carbs": carbs,
    "basal": basal,
    "device_event": device_event,
    "pump_status": pump_status,
    "pump_settings": pump_settings,
    "exercise": exercise,
    "note": note,
}


def desired(records: Iterable[Record], settings: TidepoolMappingSettings) -> Desired:
    """Datums by `origin.id` and the fate of every record; the same set in any order gives the same."""
    view = View(Prepared(records, settings.status_every_min), settings)
    return gathered(view.prepared.records, lambda record: _MAPPERS[record.kind](record, view))


__all__ = ["PATH", "TidepoolMappingSettings", "desired"]
