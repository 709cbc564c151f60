"""What Tidepool holds of ours: documents in read form back to keys, kinds, times and values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from adapters.tidepool.mapping import PATH
from bridge.contracts import Interval, StoredItem
from bridge.model import iso_ms
from bridge.model.units import MGDL_PER_MMOL

PAGE = timedelta(days=30)
"""Well inside the 90 days that the service is meant for, and small enough to hold."""
_KINDS = {
    "basal": "basal", "bloodKetone": "ketone", "bolus": "bolus", "cbg": "sensor_glucose",
    "controllerStatus": "pump_status", "food": "carbs", "insulin": "injection", "physicalActivity": "exercise",
    "pumpSettings": "pump_settings", "pumpStatus": "pump_status", "reportedState": "note", "smbg": "meter_glucose",
    "wizard": "bolus_calculation",
}  # fmt: skip


def pages(window: Interval) -> Iterator[dict[str, str]]:
    """Query parameters of each page; both ends of a page count, so it stops a millisecond early."""
    start = window.start
    while start < window.end:
        end = min(start + PAGE, window.end)
        yield {"startDate": iso_ms(start), "endDate": iso_ms(end - timedelta(milliseconds=1))}
        start = end


def stored_item(datum: Mapping[str, Any]) -> StoredItem | None:
    """A document of ours; None for a data set's own record and for what has no origin id."""
    key = (datum.get("origin") or {}).get("id")
    if datum.get("type") == "upload" or not isinstance(key, str):
        return None
    record_id, _, role = key.partition(":")
    return StoredItem(
        key=key, path=PATH, record_id=record_id if role else None, kind=kind_of(datum), time=time_of(datum),
        value=value_of(datum),
    )  # fmt: skip


def kind_of(datum: Mapping[str, Any]) -> str | None:
    """The reading model's kind of a document, None for a type that is never sent."""
    kind = datum.get("type")
    if kind == "deviceEvent":
        return "calibration" if datum.get("subType") == "calibration" else _event_kind(datum)
    return _KINDS.get(str(kind))


def _event_kind(datum: Mapping[str, Any]) -> str:
    """A suspension is told twice, as a basal and as an event; the event belongs to the basal."""
    return "basal" if datum.get("subType") == "status" else "device_event"


def time_of(datum: Mapping[str, Any]) -> datetime | None:
    """Instant of a document, None when it has none that can be read."""
    try:
        return datetime.fromisoformat(str(datum.get("time"))).astimezone(UTC)
    except ValueError:
        return None


def value_of(datum: Mapping[str, Any]) -> float | None:
    """mg/dL (whole), U, g or mmol/L of ketones, where a document shows one."""
    match datum:
        case {"type": "cbg" | "smbg" | "deviceEvent", "value": int() | float() as value}:
            return float(round(value * MGDL_PER_MMOL)) if datum.get("units") != "mg/dL" else float(value)
        case {"type": "bloodKetone", "value": int() | float() as value}:
            return float(value)
        case {"type": "bolus"}:
            return round(float(datum.get("normal") or 0) + float(datum.get("extended") or 0), 3)
        case {"type": "insulin", "dose": {"total": int() | float() as total}}:
            return float(total)
        case {"type": "food", "nutrition": {"carbohydrate": {"net": int() | float() as grams}}}:
            return float(grams)
        case {"type": "basal", "deliveryType": "automated", "rate": int() | float() as rate}:
            return round(rate * float(datum.get("duration") or 0) / 3_600_000, 3)
    return None
