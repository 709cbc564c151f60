"""The basal line: rates, micro-doses of the closed loop, and stops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from bridge.model.records import Basal
from bridge.readers.minimed_ble import history
from bridge.readers.minimed_ble.drafts import Draft, draft
from bridge.readers.minimed_ble.timeline import Dated, Timeline

DOSE_MIN = 5
_CLOSED_LOOP = "closed_loop"
_REASONS: Mapping[str, str] = {
    "user_suspended": "user",
    "low_sg_suspended": "on_low",
    "before_low_suspended": "before_low",
    "alarm_suspended": "alarm",
    "auto_suspended": "alarm",
    "not_seated": "alarm",
}


@dataclass(frozen=True, slots=True)
class Running:
    """What is known of the line at some event: the rate in U/h, and whether the closed loop doses."""

    rate_u_h: Decimal | None = None
    auto: bool | None = None

    def after(self, event: history.Event) -> Running:
        """What is known after it."""
        match event.type:
            case history.BASAL_CHANGED if event["context"] != _CLOSED_LOOP:
                return Running(event["new_u_h"], self.auto)
            case history.LOOP:
                return Running(self.rate_u_h, event["to"] == "auto")
            case history.CONTEXT:
                rate = self.rate_u_h if event["rate_u_h"] is None or event["stopped"] else event["rate_u_h"]
                return Running(rate, event["auto"])
            case history.AUTO_BASAL:
                return Running(self.rate_u_h, auto=True)
        return self


@dataclass(slots=True)
class Basals:
    """Drafts, the number of the last one while it runs on, and what was known before each event."""

    drafts: list[Draft] = field(default_factory=list)
    open_since: int | None = None
    running: dict[int, Running] = field(default_factory=dict)


def basals(line: Timeline, running: Running) -> Basals:
    """The line of a read; `running` is what was known before it."""
    said = Basals()
    last: Draft | None = None
    for each in line.events:
        said.running[each.sequence] = running
        running = running.after(each.event)
        if each.event.type not in _LINE:
            continue
        _close(last, each)
        body = _LINE[each.event.type](each.event, running)
        last = None
        said.open_since = None
        if body is not None:
            last = draft(Basal, each, **body)
            said.drafts.append(last)
            if "duration_min" not in body:
                said.open_since = each.sequence
    return said


def _close(last: Draft | None, each: Dated) -> None:
    """A segment lasts until the next begins; a micro-dose is a fact and is not cut."""
    if last is not None and "duration_min" not in last.body and each.wall >= last.wall:
        last.body["duration_min"] = (each.wall - last.wall).total_seconds() / 60


def _rate(event: history.Event, running: Running) -> dict[str, Any] | None:
    if event["context"] == _CLOSED_LOOP or event["new_u_h"] is None:
        return None
    return {"delivery": "scheduled", "rate_u_h": float(event["new_u_h"])}


def _dose(event: history.Event, running: Running) -> dict[str, Any] | None:
    units = event["units"]
    if units is None:
        return None
    rate = float(units * 60 / DOSE_MIN)
    return {"delivery": "automatic", "dose_u": float(units), "rate_u_h": rate, "duration_min": DOSE_MIN}


def _stop(event: history.Event, running: Running) -> dict[str, Any]:
    return {"delivery": "suspended", "rate_u_h": 0.0, "suspend_reason": _REASONS.get(event["reason"])}


def _restart(event: history.Event, running: Running) -> dict[str, Any] | None:
    """The rate from before; in the closed loop its doses tell."""
    if running.auto or running.rate_u_h is None:
        return None
    return {"delivery": "scheduled", "rate_u_h": float(running.rate_u_h)}


_LINE = {
    history.BASAL_CHANGED: _rate,
    history.AUTO_BASAL: _dose,
    history.STOPPED: _stop,
    history.RESTARTED: _restart,
}
