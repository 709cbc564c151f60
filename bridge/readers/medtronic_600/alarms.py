"""Alarms: one event each, from its first notification until it is cleared."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.model.records import DeviceEvent
from bridge.readers.medtronic_600.alarm_table import SILENCED, describe
from bridge.readers.medtronic_600.drafts import Draft, draft
from bridge.readers.medtronic_600.history import Event

NOTIFIED, CLEARED = 0x28, 0x2A


def alarms(events: Sequence[Event], *, reaches_now: bool) -> list[Draft]:
    """One draft an alarm; the pump repeats a notification until the alarm is cleared.

    In a stretch that does not reach the present nothing is said about an alarm whose end is not in it.
    """
    drafts: list[Draft] = []
    active: dict[int, Draft] = {}
    for event in events:
        if event.type == NOTIFIED and event.known:
            _notify(event, active, drafts)
        elif event.type == CLEARED and event.known:
            one = active.pop(event["fault"], None)
            if one is not None:
                one.body["state"] = "cleared"
                one.events = (*one.events, event)
    for one in active.values():
        one.body["state"] = "active" if reaches_now else None
    return _without_silenced(drafts)


def _notify(event: Event, active: dict[int, Draft], drafts: list[Draft]) -> None:
    code = event["fault"]
    if code in active:
        return
    active[code] = made = alarm_draft(code, event)
    drafts.append(made)


def alarm_draft(code: int, event: Event) -> Draft:
    """An alarm that a notification tells of."""
    data = bytes.fromhex(event["data"])
    severity, text = describe(code, data)
    made = draft(DeviceEvent, event, event="alarm", code=code, severity=severity, text=text)
    made.raw["data"] = event["data"]
    return made


def status_alarm(code: int, rtc: int, offset: int) -> Draft:
    """The alarm that the status shows, under the key of its notification."""
    severity, text = describe(code)
    body = {"event": "alarm", "code": code, "severity": severity, "text": text, "state": "active"}
    return Draft(DeviceEvent, f"{rtc}:{NOTIFIED:02X}", rtc, offset, body)


def _without_silenced(drafts: Sequence[Draft]) -> list[Draft]:
    """That an alert came while silenced is told by the alert of the same second."""
    others = {one.rtc: one for one in drafts if one.body["code"] != SILENCED}
    kept = []
    for one in drafts:
        companion = others.get(one.rtc) if one.body["code"] == SILENCED else None
        if companion is None:
            kept.append(one)
        else:
            companion.raw["silenced"] = True
    return kept


def open_alarms(events: Sequence[Event]) -> list[Event]:
    """First notifications that were not cleared yet."""
    active: dict[int, Event] = {}
    for event in events:
        if event.type == NOTIFIED and event.known:
            active.setdefault(event["fault"], event)
        elif event.type == CLEARED and event.known:
            active.pop(event["fault"], None)
    return list(active.values())
