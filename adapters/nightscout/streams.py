"""Streams switched off: their records become nothing, and the others map as if they were there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from adapters.nightscout.mapping import MappingSettings, desired
from adapters.nightscout.settings import Settings, Stream, Streams
from bridge.contracts import Desired, Fate
from bridge.model import DeviceEvent, Record

_OF_KIND: Mapping[str, Stream] = {
    "sensor_glucose": "glucose",
    "meter_glucose": "glucose",
    "calibration": "glucose",
    "ketone": "notes",
    "bolus": "bolus",
    "bolus_calculation": "bolus",
    "injection": "bolus",
    "carbs": "carbs",
    "basal": "basal",
    "pump_status": "devicestatus",
    "pump_settings": "profile",
    "exercise": "notes",
    "note": "notes",
}
_ABSORBING: frozenset[Stream] = frozenset(("bolus", "carbs"))
"""Records of these may carry one another: they are left out before mapping. The others (readings that prove a pause
in the basal, for instance) are needed by their neighbours and left out after."""
_OFF = Fate(skipped="stream_off")


def stream_of(record: Record) -> Stream:
    """The stream that a record belongs to."""
    if isinstance(record, DeviceEvent):
        return "alarms" if record.event == "alarm" else "events"
    return _OF_KIND[record.kind]


def desired_of(records: Iterable[Record], settings: MappingSettings, streams: Streams) -> Desired:
    """`mapping.desired` of the streams that are on; records of the others are skipped as `stream_off`."""
    everything = list(records)
    off = {record.id for record in everything if not streams.on(stream_of(record))}
    if not off:
        return desired(everything, settings)
    mapped = desired(
        [record for record in everything if record.id not in off or stream_of(record) not in _ABSORBING], settings
    )
    documents = {key: one for key, one in mapped.documents.items() if one.record_id not in off}
    return Desired(documents, {**mapped.fates, **dict.fromkeys(off, _OFF)})


def collections_of(settings: Settings) -> list[str]:
    """Collections that the streams go to."""
    streams = settings.streams
    wanted = {
        "entries": streams.glucose,
        "treatments": any(streams.on(one) for one in ("bolus", "basal", "carbs", "events", "notes", "alarms"))
        or (streams.glucose and settings.meter == "bg_check"),
        "devicestatus": streams.devicestatus,
        "profile": streams.profile,
    }
    return [name for name, on in wanted.items() if on]
