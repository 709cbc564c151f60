"""The pump's status as a devicestatus."""

from __future__ import annotations

from typing import Any

from adapters.nightscout.mapping.frame import DEVICESTATUS, PLAIN_NAME, View, clean, device_of
from adapters.preparation import STATUS, Result, lean, number, shown, skipped
from bridge.contracts import Document
from bridge.model import PumpStatus, iso_ms, to_ms

_HOURS_A_DAY = 24


def pump_status(record: PumpStatus, view: View) -> Result:
    """`pump`, `uploader` and `connect`, each only with something to say."""
    if record.id not in view.prepared.kept:
        return skipped("thinned")
    pump, uploader = _pump(record), lean(battery=_number(record.uploader_battery_pct))
    connect = _connect(record)
    if not (pump or uploader or connect):
        return skipped("empty_status")
    at_ms = to_ms(record.time)
    body = {
        "identifier": record.id,
        "date": at_ms,
        "created_at": iso_ms(record.time),
        "utcOffset": 0,
        "app": PLAIN_NAME,
        "device": device_of(record),
        **lean(pump=pump, uploader=uploader, connect=connect),
    }
    return (
        Document(
            key=record.id, record_id=record.id, op="post", path=DEVICESTATUS, body=body, instant_ms=at_ms, rank=2
        ),
    )  # fmt: skip


def _pump(record: PumpStatus) -> dict[str, Any]:
    said = lean(
        reservoir=_number(record.reservoir_u),
        battery=lean(percent=_number(record.battery_pct), voltage=_number(record.battery_v)),
        status=_status(record),
        iob=_iob(record),
        extended=_extended(record),
    )
    if not said:
        return {}
    device = lean(manufacturer=clean(record.device.manufacturer), model=clean(record.device.model))
    return device | {"clock": iso_ms(record.time)} | said


def _status(record: PumpStatus) -> dict[str, Any]:
    said = lean(suspended=record.suspended, bolusing=record.bolusing)
    if not said:
        return {}
    word = "suspended" if record.suspended else "bolusing" if record.bolusing else "normal"
    return {"status": word, **said, "timestamp": iso_ms(record.time)}


def _iob(record: PumpStatus) -> dict[str, Any]:
    if record.iob_u is None:
        return {}
    return {"bolusiob": number(record.iob_u, STATUS), "timestamp": iso_ms(record.iob_time or record.time)}


def _extended(record: PumpStatus) -> dict[str, str]:
    hours = _sensor_hours(record)
    days = "" if hours is None else "{} d {} h".format(*divmod(hours, _HOURS_A_DAY))
    rows = {
        "Mode": record.mode,
        "Sensor": clean(record.sensor_state),
        "Sensor left": days,
        "Transmitter": _with_unit(record.transmitter_battery_pct, "%"),
        "Active basal": _with_unit(record.active_basal_u_h, "U/h"),
    }
    return lean(**rows)


def _connect(record: PumpStatus) -> dict[str, Any]:
    """The block that sites know from CareLink bridges; the family alone says nothing."""
    if record.reader != "carelink-cloud":
        return {}
    said = lean(
        sensorState=clean(record.sensor_state),
        sensorDurationHours=_sensor_hours(record),
        conduitInRange=record.in_range,
    )
    return said | lean(medicalDeviceFamily=clean(record.device.family)) if said else {}


def _sensor_hours(record: PumpStatus) -> int | None:
    return None if record.sensor_minutes_left is None else int(record.sensor_minutes_left // 60)


def _number(value: float | None) -> float | None:
    return None if value is None else number(value, STATUS)


def _with_unit(value: float | None, unit: str) -> str:
    return "" if value is None else f"{shown(value)} {unit}"
