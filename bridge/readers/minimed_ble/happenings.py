"""What happened to the pump: alerts, changes of mode, of the clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.model.records import DeviceEvent
from bridge.readers.minimed_ble import history
from bridge.readers.minimed_ble.alert_table import describe
from bridge.readers.minimed_ble.drafts import Draft, draft
from bridge.readers.minimed_ble.timeline import Dated, Timeline

_MODES = {"auto": "auto", "safe_basal_time_out": "safe_basal"}
_CLOCK_CHANGED = ("set", "loss")


@dataclass(slots=True)
class Happenings:
    """Drafts, and the number of the first event of each alert: the pump tells of one again until it is cleared."""

    drafts: list[Draft] = field(default_factory=list)
    alerts: dict[str, int] = field(default_factory=dict)


def happenings(line: Timeline, known_alerts: Mapping[str, int]) -> Happenings:
    """All of a read. Of an alert that an earlier read told, nothing is said again."""
    said = Happenings()
    active: dict[str, Draft] = {}
    for each in line.events:
        match each.event.type:
            case history.ALERT:
                _alert(said, active, each, known_alerts)
            case history.ALERT_CLEARED:
                made = active.get(_instance(each))
                if made is not None:
                    made.body["state"] = "cleared"
            case history.LOOP:
                to = each.event["to"]
                mode = _MODES.get(to, "manual")
                said.drafts.append(draft(DeviceEvent, each, event="mode_change", mode=mode, text=to))
            case history.REFERENCE if each.event["reason"] in _CLOCK_CHANGED:
                said.drafts.append(draft(DeviceEvent, each, event="time_change", clock_to=each.wall))
    return said


def _alert(said: Happenings, active: dict[str, Draft], each: Dated, known: Mapping[str, int]) -> None:
    instance, number = _instance(each), each.event["fault"]
    first = said.alerts.setdefault(instance, known.get(instance, each.sequence))
    if first != each.sequence or not number:
        return
    severity, text = describe(number)
    made = draft(DeviceEvent, each, event="alarm", code=number, severity=severity, text=text, state="active")
    active[instance] = made
    said.drafts.append(made)


def _instance(each: Dated) -> str:
    return f"{each.event['fault']}:{each.event['instance']}"
