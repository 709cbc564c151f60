"""Local records of a virtual patient, as a device's own reader would have made them, and requests about them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from bridge.contracts import DeviceRef, Interval, Trigger, UploadRequest
from bridge.model.identity import record_id
from bridge.model.records import (
    Basal,
    Bolus,
    Calibration,
    Carbs,
    Device,
    DeviceEvent,
    MeterGlucose,
    Record,
    SensorGlucose,
)
from bridge.simulators import patient as sim

SERIAL = "NG0000005H"
DEVICE = DeviceRef("pump", "MiniMed 780G MMT-1886", SERIAL)
NOW = datetime.fromisoformat("2026-03-10T18:02:30+00:00")


def request(
    start: datetime = NOW - timedelta(hours=24),
    end: datetime = NOW,
    *,
    trigger: Trigger = Trigger.MANUAL,
    device: DeviceRef = DEVICE,
) -> UploadRequest:
    return UploadRequest("r1", "p1", device, trigger, Interval(start, end), end)


def made(model: type[Record], uid: str, time: datetime, pump: sim.PumpClock | None = None, **body: Any) -> Record:
    wall = None if pump is None else pump.wall(time)
    return model(
        id=record_id("p1", f"medtronic:{SERIAL}", str(model.model_fields["kind"].default), uid),
        time=time,
        device_time=wall,
        utc_offset_min=None if pump is None else pump.offset_min(time),
        profile="p1",
        device=Device(manufacturer="Medtronic", model=DEVICE.model, serial=SERIAL, family="NGP"),
        reader="medtronic-600",
        source_key=uid,
        **body,
    )


def records_of(patient: sim.VirtualPatient, start: datetime, end: datetime) -> list[Record]:
    """Everything that the pump knew of by `end`."""
    return [record for event in patient.events(start, end) for record in _records(event, patient.pump)]


def _records(event: sim.Event, pump: sim.PumpClock) -> Iterator[Record]:
    match event:
        case sim.SensorReading(mgdl=int(mgdl)):
            yield made(SensorGlucose, event.uid, event.time, pump, mgdl=mgdl)
        case sim.Meal():
            yield made(Carbs, event.uid, event.time, pump, grams=event.carbs_g)
        case sim.Bolus():
            given = event.delivered()
            body = {"delivered_u": given.total_u, "programmed_u": event.fast_u + event.extended_u}
            yield made(Bolus, event.uid, event.time, pump, **body)
        case sim.MicroDose():
            yield made(Basal, event.uid, event.time, pump, delivery="automatic", dose_u=event.dose_u, duration_min=5)
        case sim.FingerStick():
            yield made(MeterGlucose, event.uid, event.time, pump, mgdl=event.mgdl)
        case sim.Calibration():
            yield made(Calibration, event.uid, event.time, pump, mgdl=event.mgdl)
        case sim.Alarm():
            yield made(DeviceEvent, event.uid, event.time, pump, event="alarm", code=event.fault_id)


def glucose(time: datetime, mgdl: int = 120, **body: Any) -> Record:
    """One sensor reading on a clock that shows UTC."""
    return made(SensorGlucose, time.isoformat(), time, sim.fixed(0), mgdl=mgdl, **body)
