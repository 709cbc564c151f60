"""Invented records and batches for journal tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.contracts import (
    Batch,
    Decoded,
    DeliveryState,
    Destination,
    Interval,
    LedgerDocument,
    Settled,
    Settlement,
    Sighting,
)
from bridge.model import (
    Basal,
    Bolus,
    BolusCalculation,
    Capture,
    Carbs,
    Device,
    DeviceEvent,
    MeterGlucose,
    PumpStatus,
    Record,
    SensorGlucose,
    record_id,
    to_ms,
)
from bridge.model.health import Health

NOW = datetime(2026, 3, 10, 6, 0, tzinfo=UTC)
CLOUD, USB, FILE = "carelink-cloud", "medtronic-600", "carelink-csv"
NIGHTSCOUT, TIDEPOOL = Destination("p1", "nightscout"), Destination("p1", "tidepool")
PUMP = Device(manufacturer="Medtronic", model="MMT-1884", serial="NG1234567H", family="NGP")
METER = Device(manufacturer="Ascensia", model="Contour Next One", serial="7800123", family="CONTOUR")


def at(minutes: float = 0) -> datetime:
    """That many minutes after NOW."""
    return NOW + timedelta(minutes=minutes)


def envelope(kind: str, minutes: float, key: str, reader: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a record; `more` may overrule any of them."""
    profile = more.get("profile", "p1")
    source_key = f"{kind}:{key or minutes}"
    return {
        "id": record_id(profile, f"feed of {reader}", kind, source_key),
        "time": at(minutes),
        "device_time": None,
        "utc_offset_min": 60,
        "profile": profile,
        "device": PUMP,
        "reader": reader,
        "source_key": source_key,
        **more,
    }


def glucose(
    minutes: float = 0, mgdl: int | None = 120, reader: str = CLOUD, key: str = "", **more: Any
) -> SensorGlucose:
    return SensorGlucose(mgdl=mgdl, **envelope("sensor_glucose", minutes, key, reader, more))


def meter(
    minutes: float = 0, mgdl: int = 120, reader: str = "contour-usb", key: str = "", **more: Any
) -> MeterGlucose:
    return MeterGlucose(mgdl=mgdl, **envelope("meter_glucose", minutes, key, reader, {"device": METER, **more}))


def bolus(minutes: float = 0, units: float = 2.0, reader: str = CLOUD, key: str = "", **more: Any) -> Bolus:
    return Bolus(delivered_u=units, **envelope("bolus", minutes, key, reader, more))


def calculation(minutes: float = 0, reader: str = USB, key: str = "", **more: Any) -> BolusCalculation:
    return BolusCalculation(**envelope("bolus_calculation", minutes, key, reader, more))


def carbs(minutes: float = 0, grams: float = 30, reader: str = CLOUD, key: str = "", **more: Any) -> Carbs:
    return Carbs(grams=grams, **envelope("carbs", minutes, key, reader, more))


def dose(minutes: float = 0, units: float = 0.1, reader: str = CLOUD, key: str = "", **more: Any) -> Basal:
    return Basal(
        delivery="automatic", dose_u=units, rate_u_h=units * 12, duration_min=5,
        **envelope("basal", minutes, key, reader, more),
    )  # fmt: skip


def basal(minutes: float = 0, duration: float | None = 60, reader: str = CLOUD, key: str = "", **more: Any) -> Basal:
    fields = envelope("basal", minutes, key, reader, more)
    return Basal(delivery="scheduled", rate_u_h=0.8, duration_min=duration, **fields)


def alarm(minutes: float = 0, code: str | int = "7", reader: str = CLOUD, key: str = "", **more: Any) -> DeviceEvent:
    fields = envelope("device_event", minutes, key or f"{code}:{minutes}", reader, more)
    return DeviceEvent(event="alarm", code=code, severity="critical", **fields)


def status(minutes: float = 0, reader: str = CLOUD, key: str = "", **more: Any) -> PumpStatus:
    return PumpStatus(**envelope("pump_status", minutes, key, reader, {"iob_u": 1.5, **more}))


def capture(minutes: float = 0, body: bytes = b'{"sgs": []}', reader: str = CLOUD, profile: str = "p1") -> Capture:
    return Capture(profile, reader, "carelink:eu:patient1", at(minutes), body, {"timezone": "Europe/Vienna"})


def batch(
    *records: Record,
    reader: str | None = None,
    profile: str = "p1",
    covered: tuple[float, float] | None = None,
    sightings: Mapping[str, Sighting] | None = None,
    state: Mapping[str, Any] | None = None,
    understood: bool = True,
    raw: Capture | None = None,
    health: Health | None = None,
) -> Batch:
    """One understood read of these records."""
    by = reader or (records[0].reader if records else CLOUD)
    decoded = Decoded(records, sightings or {}, state or {}, understood=understood)
    span = None if covered is None else Interval(at(covered[0]), at(covered[1]))
    return Batch(profile, by, at(5), health or Health(), decoded, raw, span)


def accepted(*records: Record, revision: int = 1, documents: Sequence[LedgerDocument] = ()) -> Settlement:
    """These records arrived."""
    return Settlement({each.id: Settled(DeliveryState.ACCEPTED, revision=revision) for each in records}, documents)


def document(record: Record, key: str = "", slot: str | None = None, **more: Any) -> LedgerDocument:
    """A record's document as confirmed."""
    fields = {"content_hash": "0" * 32, "path": "/api/v1/entries.json", "instant_ms": to_ms(record.time), **more}
    return LedgerDocument(key or record.id, record.id, slot=slot, **fields)
