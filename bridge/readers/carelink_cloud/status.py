"""The picture of pump, sensor and phone at the last upload, and the change of the loop's mode."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.model.records import Device, DeviceEvent, PumpStatus
from bridge.model.time import iso_wall, to_ms
from bridge.readers.carelink_cloud.clocks import AHEAD_LIMIT, Clocks
from bridge.readers.carelink_cloud.rows import Row
from bridge.readers.carelink_cloud.timestamps import Zone, stamp
from bridge.readers.carelink_cloud.values import amount, flag, level, listed, mapping, number, text, whole

MAKER = "Medtronic"
_UNKNOWN_HOURS = 255
_LONGEST_LIFE_MIN = 40 * 24 * 60
_MODES = {"AUTO_BASAL": "auto", "SAFE_BASAL": "safe_basal", "FEATURE_OFF": "manual"}
_WITHOUT_PUMP = ("GUARDIAN", "CGM")
_BOLUS_BANNERS = ("DUAL_BOLUS", "SQUARE_BOLUS")
_MOST_IOB_U = 1000
_MOST_BASAL_U_H = 100


def read_device(patient: Mapping[str, Any]) -> Device:
    """The device of an answer; the serial is what the source shows of it."""
    info = mapping(patient.get("medicalDeviceInformation"))
    return Device(
        manufacturer=text(info.get("manufacturer")) or MAKER,
        model=text(info.get("modelNumber")) or text(patient.get("pumpModelNumber")),
        serial=text(info.get("deviceSerialNumber")) or text(patient.get("medicalDeviceSerialNumber")),
        family=text(patient.get("medicalDeviceFamily")),
    )


def read_mode(patient: Mapping[str, Any]) -> str | None:
    """`auto`, `safe_basal` or `manual`; None when the answer does not say."""
    state = mapping(patient.get("therapyAlgorithmState")).get("autoModeShieldState")
    return _MODES.get(str(text(state)))


def status_row(patient: Mapping[str, Any], clocks: Clocks) -> Row | None:
    """The status at the last upload (never at the time of the request); None without such a time."""
    updated = clocks.updated_at
    if updated is None or (clocks.now and updated > clocks.now + AHEAD_LIMIT):
        return None
    return _at_upload(updated, clocks, f"STATUS:{to_ms(updated)}", PumpStatus, _status(patient, clocks))


def mode_row(mode: str, clocks: Clocks) -> Row | None:
    """A change of mode that the status shows, dated by the upload; None while no wall clock is known."""
    updated = clocks.updated_at
    if updated is None or clocks.offset_min is None:
        return None
    wall = updated.replace(tzinfo=None) + timedelta(minutes=clocks.offset_min)
    body = {"event": "mode_change", "mode": mode}
    return _at_upload(updated, clocks, f"MODE_CHANGE:{iso_wall(wall)}", DeviceEvent, body)


def _at_upload(
    updated: datetime, clocks: Clocks, source_key: str, model: type[PumpStatus | DeviceEvent], body: dict[str, Any]
) -> Row:
    offset = clocks.offset_min
    wall = updated.replace(tzinfo=None) + timedelta(minutes=offset or 0)
    row = Row("STATUS", wall, model=model, body=body)
    row.time, row.source_key, row.offset_min = updated.astimezone(UTC), source_key, offset
    row.device_time = None if offset is None else wall.replace(microsecond=0)
    return row


def _status(patient: Mapping[str, Any], clocks: Clocks) -> dict[str, Any]:
    """The body of a `pump_status`; placeholders are None, never 0."""
    insulin = mapping(patient.get("activeInsulin"))
    has_pump = text(patient.get("medicalDeviceFamily")) not in _WITHOUT_PUMP
    iob = amount(insulin.get("amount"))
    return {
        "iob_u": iob if iob is not None and iob <= _MOST_IOB_U else None,
        "iob_time": _iob_time(insulin, clocks) if iob is not None else None,
        **(_reservoir(patient) if has_pump else {}),
        "suspended": _first_flag(patient, "pumpSuspended", "medicalDeviceSuspended"),
        "bolusing": _is_bolusing(patient),
        "mode": read_mode(patient),
        "active_basal_u_h": _basal_u_h(mapping(patient.get("basal"))),
        "sensor_minutes_left": _sensor_minutes(patient),
        "sensor_state": text(patient.get("sensorState")),
        "transmitter_battery_pct": level(patient.get("gstBatteryLevel")),
        "uploader_battery_pct": level(patient.get("conduitBatteryLevel")),
        "in_range": _in_range(patient),
    }


def _iob_time(insulin: Mapping[str, Any], clocks: Clocks) -> datetime | None:
    moment = stamp(insulin.get("datetime")) or stamp(insulin.get("timestamp"))
    if moment is None or moment.tzinfo:
        return moment.astimezone(UTC) if moment else None
    return None if clocks.offset_min is None else Zone(clocks.offset_min).utc(moment)


def _reservoir(patient: Mapping[str, Any]) -> dict[str, Any]:
    """Reservoir and battery. `reservoirAmount` is what is left on old pumps only; on others it is the size."""
    left = amount(patient.get("reservoirRemainingUnits"))
    if left is None and text(patient.get("medicalDeviceFamily")) == "PARADIGM":
        left = amount(patient.get("reservoirAmount"))
    battery = level(patient.get("pumpBatteryLevelPercent"))
    return {
        "reservoir_u": left if left is not None and left <= 1000 else None,
        "reservoir_pct": level(patient.get("reservoirLevelPercent")),
        "battery_pct": level(patient.get("medicalDeviceBatteryLevelPercent")) if battery is None else battery,
    }


def _is_bolusing(patient: Mapping[str, Any]) -> bool | None:
    """True while the pump's banner shows a long bolus; nothing tells of the others."""
    banners = [mapping(banner).get("type") for banner in listed(patient.get("pumpBannerState"))]
    return True if any(banner in _BOLUS_BANNERS for banner in banners) else None


def _basal_u_h(basal: Mapping[str, Any]) -> float | None:
    """The running rate: a temp's where it has one. None while the closed loop doses."""
    temp, scheduled = amount(basal.get("tempBasalRate")), amount(basal.get("basalRate"))
    running = (number(basal.get("tempBasalDurationRemaining")) or 0) > 0
    rate = temp if running and temp is not None else scheduled
    return rate if rate is not None and rate <= _MOST_BASAL_U_H else None


def _sensor_minutes(patient: Mapping[str, Any]) -> int | None:
    minutes, hours = whole(patient.get("sensorDurationMinutes")), whole(patient.get("sensorDurationHours"))
    if minutes is not None and 0 <= minutes <= _LONGEST_LIFE_MIN:
        return minutes
    return hours * 60 if hours is not None and 0 <= hours < _UNKNOWN_HOURS else None


def _in_range(patient: Mapping[str, Any]) -> bool | None:
    """Whether phone and pump were heard."""
    heard = [flag(patient.get(name)) for name in ("conduitInRange", "conduitMedicalDeviceInRange")]
    return None if heard == [None, None] else False not in heard


def _first_flag(patient: Mapping[str, Any], *names: str) -> bool | None:
    return next((found for name in names if (found := flag(patient.get(name))) is not None), None)
