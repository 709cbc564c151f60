"""Alarms as the cloud shows them: active, cleared and the last one, nested and flat."""

from __future__ import annotations

from typing import Any

from bridge.simulators.carelink_cloud.uploads import Picture
from bridge.simulators.carelink_cloud.wire import Stamp
from bridge.simulators.patient import Alarm

Row = dict[str, Any]


def nested_history(picture: Picture, stamp: Stamp) -> Row:
    """`notificationHistory` of version 13."""
    return _history(picture, stamp, _nested)


def nested_last(picture: Picture, stamp: Stamp) -> Row | None:
    """`lastAlarm` of version 13; None when there was none."""
    last = _last(picture)
    if last is None:
        return None
    row = _nested(last, _cleared(last, picture), stamp)
    return {
        "faultId": row["faultId"], "version": "1", "GUID": last.guid, "dateTime": row["dateTime"], "type": last.kind,
        "additionalInfo": {name: value for name, value in row["additionalInfo"].items() if name in _LAST_INFO},
    }  # fmt: skip


_LAST_INFO = ("sg", "pumpDeliverySuspendState", "alertSilenced")


def flat_history(picture: Picture, stamp: Stamp) -> Row:
    """`notificationHistory` of the flat answers."""
    return _history(picture, stamp, _flat)


def flat_last(picture: Picture, stamp: Stamp) -> Row | None:
    """`lastAlarm` of the flat answers; None when there was none."""
    last = _last(picture)
    if last is None:
        return None
    row = _flat(last, _cleared(last, picture), stamp)
    return {
        "code": last.fault_id, "datetime": row["dateTime"], "type": last.kind, "flash": False, "kind": "Alarm",
        "version": 1, "instanceId": int(last.guid[:4], 16), "messageId": row["messageId"],
        "pumpDeliverySuspendState": False, "referenceGUID": last.guid, **_seen(last),
    }  # fmt: skip


def _history(picture: Picture, stamp: Stamp, write: Any) -> Row:
    alarms = picture.of(Alarm)
    return {
        "activeNotifications": [write(one, False, stamp) for one in alarms if not _cleared(one, picture)],
        "clearedNotifications": [write(one, True, stamp) for one in alarms if _cleared(one, picture)],
    }


def _last(picture: Picture) -> Alarm | None:
    return next((one for one in reversed(picture.of(Alarm)) if one.time <= picture.taken_at), None)


def _cleared(alarm: Alarm, picture: Picture) -> bool:
    return alarm.cleared <= picture.taken_at


def _seen(alarm: Alarm) -> Row:
    return {} if alarm.mgdl is None else {"sg": alarm.mgdl}


def _nested(alarm: Alarm, cleared: bool, stamp: Stamp) -> Row:
    info: Row = {**_seen(alarm), "pumpDeliverySuspendState": False, "alertSilenced": False}
    model = ""
    if alarm.kind == "REMINDER" and not cleared:
        model = "780."
        info |= {"pnpId": "1.3", "secondaryTime": stamp(alarm.time)[11:16]}
    info["resourceBundleKey"] = f"page.connect.sms.content.ble.{model}alarm.{alarm.fault_id}"
    return {
        "faultId": str(alarm.fault_id), "version": "1", "referenceGUID": alarm.guid,
        "dateTime": stamp(alarm.cleared if cleared else alarm.time), "type": alarm.kind,
        "triggeredDateTime": stamp(alarm.time), "additionalInfo": info,
    }  # fmt: skip


def _flat(alarm: Alarm, cleared: bool, stamp: Stamp) -> Row:
    return {
        "faultId": alarm.fault_id, "referenceGUID": alarm.guid, "type": alarm.kind, "version": 1,
        "instanceId": int(alarm.guid[:4], 16), "messageId": f"BC_SID_{alarm.fault_id}", "index": 0,
        "dateTime": stamp(alarm.cleared if cleared else alarm.time), "triggeredDateTime": stamp(alarm.time),
        "pumpDeliverySuspendState": False, "alertSilenced": False, **_seen(alarm),
    }  # fmt: skip
