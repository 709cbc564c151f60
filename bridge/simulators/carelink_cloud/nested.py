"""Answers of version 13: a wrapped, nested document for pumps with a phone and for a sensor alone."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from bridge.simulators.carelink_cloud import notices
from bridge.simulators.carelink_cloud.markers import Moved, pen_markers, pump_markers
from bridge.simulators.carelink_cloud.uploads import Picture
from bridge.simulators.carelink_cloud.wire import MAX_AUTO_U_H, SERVER_MS, WALL_MS, Stamp, arrow, bare, ms, single
from bridge.simulators.patient import SensorReading

Row = dict[str, Any]


def nested(picture: Picture, moved: Moved) -> Row:
    """The whole answer for a 780G; open places are filled by a Template."""
    stamp = _stamp(picture)
    body = _head(picture) | _pump(picture) | _sensor(picture) | _insulin(picture, stamp)
    body |= _glucose(picture, stamp)
    body["markers"] = pump_markers(picture, stamp, moved)
    body["notificationHistory"] = notices.nested_history(picture, stamp)
    if (last := notices.nested_last(picture, stamp)) is not None:
        body["lastAlarm"] = last
    return _wrapped(picture, body)


def sensor_alone(picture: Picture, moved: Moved) -> Row:
    """The whole answer for a person with a sensor and pens."""
    stamp = _stamp(picture)
    body = _head(picture) | _no_pump(picture, stamp) | _sensor(picture) | _glucose(picture, stamp)
    body["markers"] = pen_markers(picture, stamp, moved)
    body["notificationHistory"] = {"activeNotifications": [], "clearedNotifications": []}
    return _wrapped(picture, body)


def _stamp(picture: Picture) -> Stamp:
    wall = picture.person.patient.pump.wall
    return lambda instant: bare(wall(instant))


def _wrapped(picture: Picture, body: Row) -> Row:
    clock = bare(picture.person.patient.phone_wall(picture.stored_at))
    metadata = {"kind": "synthetic", "version": 1, "typeCast": True, "clientDateTime": clock}
    return {"metadata": metadata, "patientData": body}


def _head(picture: Picture) -> Row:
    person, stored_ms = picture.person, ms(picture.stored_at)
    level = picture.status.phone_battery_pct
    return {
        "clientTimeZoneName": person.zone_name, "lastName": person.last_name, "firstName": person.first_name,
        "appModelType": "BLE_20_COMM", "appModelNumber": "NA", "currentServerTime": SERVER_MS,
        "conduitSerialNumber": f"00000000-0000-4000-8000-{person.patient.seed % 10**12:012d}",
        "conduitBatteryLevel": level,
        "conduitBatteryStatus": "FULL" if level > 75 else "MEDIUM" if level > 25 else "LOW",
        "lastConduitDateTime": bare(person.patient.phone_wall(picture.stored_at)),
        "lastConduitUpdateServerDateTime": stored_ms, "medicalDeviceTime": WALL_MS,
        "lastMedicalDeviceDataUpdateServerTime": stored_ms,
        "conduitInRange": True, "conduitMedicalDeviceInRange": True, "conduitSensorInRange": True,
        "timeFormat": "HR_24" if person.display_mmol else "HR_12",
        "bgUnits": "MMOL_L" if person.display_mmol else "MGDL",
        "pumpBannerState": [], "pumpSuspended": False, "reservoirAmount": 300, "gstBatteryLevel": 255,
    }  # fmt: skip


def _pump(picture: Picture) -> Row:
    status, seed = picture.status, picture.person.patient.seed
    return {
        "medicalDeviceFamily": "NGP",
        "medicalDeviceInformation": {
            "manufacturer": "Medtronic", "modelNumber": "MMT-1884", "hardwareRevision": "A2.01",
            "firmwareRevision": "24.11.9", "softwareRevision": "6.60U", "systemId": "000000000000 0000",
            "pnpId": "01.3.0", "deviceSerialNumber": f"NG{seed % 10**7:07d}H",
        },
        "therapyAlgorithmState": {
            "autoModeShieldState": "AUTO_BASAL" if status.auto else "FEATURE_OFF",
            "autoModeReadinessState": "NO_ACTION_REQUIRED" if status.auto else "BG_RECOMMENDED",
            "plgmLgsState": "FEATURE_OFF" if status.auto else "MONITORING",
            "waitToCalibrateDuration": 0, "safeBasalDuration": 0,
        },
        "reservoirLevelPercent": int(status.reservoir_u / 3), "reservoirRemainingUnits": status.reservoir_u,
        "pumpBatteryLevelPercent": status.pump_battery_pct, "pumpCommunicationState": True,
        "maxAutoBasalRate": MAX_AUTO_U_H, "maxBolusAmount": 25.0,
    }  # fmt: skip


def _no_pump(picture: Picture, stamp: Stamp) -> Row:
    return {
        "medicalDeviceFamily": "CGM", "pumpModelNumber": "MMT-5100J", "pumpCommunicationState": False,
        "activeInsulin": {"amount": -1, "datetime": stamp(picture.taken_at), "kind": "INSULIN", "version": 1,
                          "precision": "THOUSANDS"},
        "basal": None, "reservoirRemainingUnits": -1, "reservoirLevelPercent": -1, "reservoirAmount": -1,
        "pumpBatteryLevelPercent": -1, "maxAutoBasalRate": -1, "maxBolusAmount": -1,
    }  # fmt: skip


def _sensor(picture: Picture) -> Row:
    status = picture.status
    return {
        "cgmInfo": {
            "sensorType": "DISPOSABLE", "sensorSerialNumber": status.sensor_serial,
            "sensorSoftwareRevision": "2.3C.297", "sensorFirmwareRevision": "01.30",
            "sensorProductModel": "MMT-5120       ",
        },
        "calFreeSensor": True, "calibStatus": "UNKNOWN", "calibrationIconId": "NO_ICON",
        "timeToNextEarlyCalibrationMinutes": 15555, "timeToNextCalibrationMinutes": -1,
        "timeToNextCalibrationRecommendedMinutes": -1, "timeToNextCalibHours": 255, "finalCalibration": True,
        "sensorDurationMinutes": status.sensor_minutes_left, "sensorDurationHours": status.sensor_minutes_left // 60,
        "transmitterPairedTime": "NA", "systemStatusTimeRemaining": -1, "systemStatusMessage": status.sensor_state,
        "sensorState": status.sensor_state, "gstCommunicationState": True,
        "sensorLifeText": "LS_DayHoursGracePeriod", "sensorLifeIcon": "ic_calendar_normal@3x.png",
    }  # fmt: skip


def _insulin(picture: Picture, stamp: Stamp) -> Row:
    status = picture.status
    manual = {
        "activeBasalPattern": "BASAL1", "basalRate": 0.8, "tempBasalRate": -1, "tempBasalPercentage": 0,
        "tempBasalType": "NONE", "presetTempName": "NONE", "tempBasalDurationRemaining": -1,
    }  # fmt: skip
    return {
        "activeInsulin": {"amount": single(status.iob_u), "datetime": stamp(picture.taken_at), "kind": "INSULIN",
                          "version": 1, "precision": "THOUSANDS"},
        "basal": None if status.auto else manual,
    }  # fmt: skip


def _glucose(picture: Picture, stamp: Stamp) -> Row:
    readings = picture.of(SensorReading)
    values = [row.mgdl for row in readings if row.mgdl is not None]
    mean = fmean(values) if values else 0.0
    share = _shares(values)
    return {
        "sgBelowLimit": 50, "approvedForTreatment": False, "lastSensorTime": 0,
        "lastSG": _reading(readings[-1], stamp) if readings else {"kind": "SG", "version": 1, "sg": 0},
        "lastSGTrend": arrow(readings),
        "limits": [
            {"timestamp": stamp(picture.start), "highLimit": 165, "lowLimit": 80, "kind": "LIMITS", "version": 1},
        ],
        "belowHypoLimit": share[0], "aboveHyperLimit": share[1], "timeInRange": 100 - share[0] - share[1],
        "averageSGFloat": round(mean, 5), "averageSG": int(mean),
        "sgs": [_reading(row, stamp) | {"isBackfill": _late(row, picture)} for row in readings],
    }  # fmt: skip


def _shares(values: Sequence[int]) -> tuple[int, int]:
    count = max(len(values), 1)
    return sum(v < 70 for v in values) * 100 // count, sum(v > 180 for v in values) * 100 // count


def _late(row: SensorReading, picture: Picture) -> bool:
    """True when the row reached the cloud long after it was made."""
    return row.backfilled or any(start <= row.time < end for start, end in picture.person.offline)


def _reading(row: SensorReading, stamp: Stamp) -> Row:
    return {
        "kind": "SG", "version": 1, "sg": row.mgdl or 0, "sensorState": row.state, "timestamp": stamp(row.time)
    }  # fmt: skip
