"""Alarms and notifications: one event each, known by its GUID, active until a cleared row repeats it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bridge.model.records import DeviceEvent
from bridge.readers.carelink_cloud.catalogue import look_up
from bridge.readers.carelink_cloud.rows import Row, moment_of, plain
from bridge.readers.carelink_cloud.values import number, text

_SEVERITIES = {"ALARM": "high", "ALERT": "normal", "MESSAGE": "low", "REMINDER": "reminder"}
_CODES = ("faultId", "code", "kind", "messageId")
_NO_CODE = ("alarm", "alert", "message", "notification")
"""Flat answers of pumps name the row itself in `kind`."""


def notification_lists(patient: Mapping[str, Any]) -> Iterator[tuple[object, str | None]]:
    """The lists with their state, cleared ones first (they know both times); answers without a history have at
    least the last alarm."""
    history = patient.get("notificationHistory")
    if isinstance(history, dict):
        yield history.get("clearedNotifications"), "cleared"
        yield history.get("activeNotifications"), "active"
    elif history is not None:
        yield history, None
    elif patient.get("lastAlarm"):
        yield [patient["lastAlarm"]], None


def read_notification(row: Mapping[str, Any], state: str | None, family: str | None) -> Row:
    """The row of one notification. Raises InvalidRecord when it has no time."""
    moment = moment_of("device_event", row, "triggeredDateTime", "dateTime", "datetime")
    kind = text(row.get("type")) or "ALERT"
    code = code_of(row)
    entry = look_up(code, family)
    body = {
        "event": "alarm",
        "code": code,
        "severity": "critical" if entry.critical else _SEVERITIES.get(kind, "normal"),
        "text": entry.text,
        "state": state,
    }
    guid = text(row.get("referenceGUID"), 128) or text(row.get("GUID"), 128)
    return Row(plain(kind), moment, plain(code), DeviceEvent, body, guid=guid and plain(guid))


def code_of(row: Mapping[str, Any]) -> str | None:
    """The id of an alarm as text, whatever field the generation has it in."""
    for name in _CODES:
        value = row.get(name)
        found = text(value) if isinstance(value, str) else None
        if found is None and (as_number := number(value)) is not None:
            found = f"{as_number:g}"
        if found and found.lower() not in _NO_CODE:
            return found
    return None
