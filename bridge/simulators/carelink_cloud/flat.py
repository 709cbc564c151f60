"""Flat answers: version 6 for pumps, Guardian Connect, old Connect, and the stub of an account without uploads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import fmean
from typing import Any

from bridge.simulators.carelink_cloud import notices
from bridge.simulators.carelink_cloud.markers import Moved
from bridge.simulators.carelink_cloud.uploads import Picture
from bridge.simulators.carelink_cloud.wire import (
    MAX_AUTO_U_H,
    SERVER_MS,
    WALL_ENGLISH,
    WALL_FLAT,
    Stamp,
    arrow,
    english,
    minus_zero,
    ms,
    single,
)
from bridge.simulators.patient import (
    Bolus,
    Calibration,
    FingerStick,
    Meal,
    MicroDose,
    ModeChange,
    SensorReading,
    TimeChange,
)

Row = dict[str, Any]
_NO_TIME = "1970-01-01T00:00:00.000-00:00"
_NEWEST = 287
"""Index of the newest five minutes of the day that a flat answer shows."""


def flat_pump(picture: Picture, moved: Moved) -> Row:
    """The whole flat answer for a 780G."""
    stamp = _stamp(picture)
    body = _head(picture, "NGP", WALL_FLAT, minus_zero) | _pump(picture, stamp) | _readings(picture, stamp)
    body["markers"] = _markers(picture, stamp, moved)
    body["notificationHistory"] = notices.flat_history(picture, stamp)
    if (last := notices.flat_last(picture, stamp)) is not None:
        body["lastAlarm"] = last
    return body


def guardian(picture: Picture) -> Row:
    """The whole answer for Guardian Connect: its calibrations have an index instead of a time."""
    stamp = _stamp(picture)
    body = _head(picture, "GUARDIAN", WALL_FLAT, minus_zero) | _readings(picture, stamp)
    body["calibStatus"], body["timeToNextCalibHours"] = "LESS_THAN_SIX_HRS", 5
    body["markers"] = [
        {"type": "CALIBRATION", "index": _index(one.time, picture), "value": one.mgdl, "kind": "Marker",
         "version": 1, "calibrationSuccess": True}
        for one in picture.of(Calibration)
    ]  # fmt: skip
    return body


def paradigm(picture: Picture) -> Row:
    """The whole answer for an old pump: English dates, a trailing empty reading, no markers."""
    wall = picture.person.patient.pump.wall
    body = _head(picture, "PARADIGM", WALL_ENGLISH, english) | {
        "conduitSerialNumber": "0", "reservoirAmount": int(picture.status.reservoir_u),
        "reservoirLevelPercent": int(picture.status.reservoir_u / 3), "sensorState": "NORMAL", "lastSensorTS": 0,
        "activeInsulin": {"version": 1, "amount": picture.status.iob_u, "kind": "Insulin",
                          "datetime": english(wall(picture.taken_at))},
    }  # fmt: skip
    rows = [
        {"timeChange": False, "sg": row.mgdl or 0, "kind": "SG", "version": 1, "datetime": english(wall(row.time))}
        for row in picture.of(SensorReading)
    ]
    body["lastSG"] = rows[-1] if rows else {"kind": "SG", "version": 1, "sg": 0}
    body["sgs"] = [*rows, {"kind": "SG", "sg": 0, "version": 1}]
    body["limits"] = _limits()
    return body


def stub(now: datetime) -> Row:
    """What a web endpoint says for someone whose device uploads elsewhere."""
    nonsense = "Feb 20, 2072 22:53:56"
    return {
        "lastSensorTSAsString": nonsense, "kind": "Main", "version": 1, "currentServerTime": ms(now),
        "lastConduitTime": 0, "lastConduitUpdateServerTime": 0, "lastMedicalDeviceDataUpdateServerTime": 0,
        "medicalDeviceFamily": "PARADIGM", "sMedicalDeviceTime": nonsense, "lastSGTrend": "NONE",
        "sgs": [], "markers": [], "limits": [],
    }  # fmt: skip


def _stamp(picture: Picture) -> Stamp:
    wall = picture.person.patient.pump.wall
    return lambda instant: minus_zero(wall(instant))


def _index(when: datetime, picture: Picture) -> int:
    """Place on the 24-hour graph, counted back from the newest reading."""
    return min(max(_NEWEST - int((picture.newest - when) // timedelta(minutes=5)), 0), _NEWEST)


def _head(picture: Picture, family: str, clock: str, write: Any) -> Row:
    person, status, stored_ms = picture.person, picture.status, ms(picture.stored_at)
    last = write(person.patient.pump.wall(picture.newest))
    shown = "MMOL_L" if person.display_mmol else "MGDL"
    return {
        "kind": "Main", "version": 1, "medicalDeviceFamily": family, "firstName": person.first_name,
        "lastName": person.last_name, "currentServerTime": SERVER_MS, "lastConduitTime": 0,
        "lastConduitUpdateServerTime": stored_ms, "lastMedicalDeviceDataUpdateServerTime": stored_ms,
        "medicalDeviceTime": 0, "sMedicalDeviceTime": clock, "medicalDeviceTimeAsString": clock,
        "lastSensorTime": 0, "sLastSensorTime": last, "lastSensorTSAsString": last,
        "medicalDeviceSerialNumber": f"NG{person.patient.seed % 10**7:07d}H",
        "medicalDeviceBatteryLevelPercent": status.pump_battery_pct, "medicalDeviceSuspended": False,
        "conduitBatteryLevel": status.phone_battery_pct, "conduitBatteryStatus": "MEDIUM",
        "conduitInRange": True, "conduitMedicalDeviceInRange": True, "conduitSensorInRange": True,
        "sensorState": status.sensor_state, "sensorDurationHours": min(status.sensor_minutes_left // 60, 254),
        "calibStatus": "UNKNOWN", "timeToNextCalibHours": 255, "timeFormat": "HR_24",
        "lastSGTrend": arrow(picture.of(SensorReading)), "bgUnits": shown, "bgunits": shown,
    }  # fmt: skip


def _pump(picture: Picture, stamp: Stamp) -> Row:
    status = picture.status
    return {
        "kind": "BLENGP", "version": 2, "pumpModelNumber": "MMT-1884", "appModelType": "BLE_20_COMM",
        "clientTimeZoneName": picture.person.zone_name,
        "lastConduitDateTime": minus_zero(picture.person.patient.phone_wall(picture.stored_at)),
        "reservoirLevelPercent": int(status.reservoir_u / 3), "reservoirAmount": 300,
        "reservoirRemainingUnits": status.reservoir_u, "pumpCommunicationState": True,
        "gstCommunicationState": True, "gstBatteryLevel": 255, "maxAutoBasalRate": MAX_AUTO_U_H,
        "maxBolusAmount": 25.0, "sensorDurationMinutes": status.sensor_minutes_left, "calFreeSensor": True,
        "systemStatusMessage": status.sensor_state, "pumpBannerState": [],
        "therapyAlgorithmState": {
            "autoModeShieldState": "AUTO_BASAL" if status.auto else "FEATURE_OFF",
            "autoModeReadinessState": "NO_ACTION_REQUIRED", "plgmLgsState": "FEATURE_OFF",
            "safeBasalDuration": 0, "waitToCalibrateDuration": 0,
        },
        "activeInsulin": {"amount": single(status.iob_u), "datetime": stamp(picture.taken_at), "kind": "Insulin",
                          "version": 1, "precision": "THOUSANDS"},
        "basal": None if status.auto else {"activeBasalPattern": "BASAL1", "basalRate": 0.8, "kind": "Basal",
                                           "version": 1},
    }  # fmt: skip


def _readings(picture: Picture, stamp: Stamp) -> Row:
    readings = picture.of(SensorReading)
    values = [row.mgdl for row in readings if row.mgdl is not None]
    changes = [change.time for change in picture.of(TimeChange)]
    rows = [_reading(row, stamp, picture, changes) for row in readings]
    return {
        "sgs": rows, "lastSG": rows[-1] if rows else {"kind": "SG", "version": 1, "sg": 0},
        "averageSG": int(fmean(values)) if values else 0, "limits": _limits(),
    }  # fmt: skip


def _reading(row: SensorReading, stamp: Stamp, picture: Picture, changes: Sequence[datetime]) -> Row:
    """A row; one without a value has no time either."""
    moved = any(timedelta() <= row.time - change < timedelta(minutes=5) for change in changes)
    return {
        "sg": row.mgdl or 0, "datetime": _NO_TIME if row.mgdl is None else stamp(row.time), "timeChange": moved,
        "kind": "SG", "version": 1, "sensorState": row.state,
        "relativeOffset": round((row.time - picture.taken_at).total_seconds()),
    }  # fmt: skip


def _limits() -> list[Row]:
    return [
        {"index": 0, "lowLimit": 70, "highLimit": 180, "kind": "Limits", "version": 1},
        {"index": _NEWEST, "lowLimit": 0, "highLimit": 0, "kind": "Limits", "version": 1},
    ]


# --- markers ---------------------------------------------------------------------------------------


def _markers(picture: Picture, stamp: Stamp, moved: Moved) -> list[Row]:
    def rows(kind: str, found: Sequence[tuple[datetime, Row]]) -> list[Row]:
        return [_marker(kind, moved(when), picture, stamp) | values for when, values in found]

    suspended: Row = {"deliverySuspended": False}
    modes = [(picture.start, {"autoModeOn": True})]
    modes += [(change.time, {"autoModeOn": change.auto}) for change in picture.of(ModeChange)]
    return [
        *rows("AUTO_MODE_STATUS", modes),
        *rows("AUTO_BASAL_DELIVERY", [(one.time, {"bolusAmount": single(one.dose_u)})
                                      for one in picture.of(MicroDose)]),
        *rows("MEAL", [(one.time, {"amount": one.carbs_g}) for one in picture.of(Meal)]),
        *rows("LOW_GLUCOSE_SUSPENDED", [(picture.start, suspended)]),
        *rows("INSULIN", [(one.time, _bolus(one, picture.taken_at)) for one in picture.of(Bolus)]),
        *rows("BG_READING", [(one.time, {"value": one.mgdl}) for one in picture.of(FingerStick)]),
        *rows("CALIBRATION", [(one.time, {"value": one.mgdl, "calibrationSuccess": True})
                              for one in picture.of(Calibration)]),
        *rows("TIME_CHANGE", [(one.time, {"offset": one.to_offset_min - one.from_offset_min})
                              for one in picture.of(TimeChange)]),
    ]  # fmt: skip


def _marker(kind: str, when: datetime, picture: Picture, stamp: Stamp) -> Row:
    return {
        "type": kind, "index": _index(when, picture), "kind": "Marker", "version": 1, "dateTime": stamp(when),
        "relativeOffset": round((when - picture.taken_at).total_seconds()),
    }  # fmt: skip


def _bolus(bolus: Bolus, at: datetime) -> Row:
    given = bolus.delivered(at)
    return {
        "programmedFastAmount": bolus.fast_u, "deliveredFastAmount": given.fast_u,
        "programmedExtendedAmount": bolus.extended_u, "deliveredExtendedAmount": given.extended_u,
        "programmedDuration": bolus.duration_min, "effectiveDuration": given.minutes,
        "activationType": bolus.activation, "completed": given.completed, "bolusType": bolus.shape,
    }  # fmt: skip
