"""What else happened to the pump, and what a person logged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from bridge.model.records import DeviceEvent, Exercise, Injection, Note
from bridge.readers.medtronic_600.clock import is_set, wall
from bridge.readers.medtronic_600.drafts import Draft, draft
from bridge.readers.medtronic_600.history import Event

_Reading: TypeAlias = Callable[[Event], list[Draft]]
TIME_RESET, TIME_CHANGED = 0x02, 0x03
_CANNULA = 1
_INTO_AUTO = {0: "calibration"}
_OUT_OF_AUTO = {1: "user", 2: "alarm", 3: "safe basal timed out", 4: "prolonged high sensor glucose"}


def happenings(events: Sequence[Event]) -> list[Draft]:
    """Device events, exercise, injections and notes of a stretch."""
    found: list[Draft] = []
    after_reset = False
    for event in events:
        if event.type == TIME_RESET:
            after_reset = True
        elif event.type == TIME_CHANGED and event.known:
            found += [] if after_reset else _time_change(event)
            after_reset = False
        elif event.known and event.type in _READINGS:
            found += _READINGS[event.type](event)
    return found


def _time_change(event: Event) -> list[Draft]:
    rtc, offset = event["new_rtc"], event["new_offset"]
    if not is_set(rtc, offset):
        return []
    return [
        draft(
            DeviceEvent, event, event="time_change", clock_from=event.wall, clock_to=wall(rtc, offset), agent="manual"
        )
    ]


def _plain(name: str) -> _Reading:
    return lambda event: [draft(DeviceEvent, event, event=name)]


def _fill(event: Event) -> list[Draft]:
    """A fill of 0 U was skipped. A filled cannula is a new site."""
    if not event["amount_u"]:
        return []
    target = "cannula" if event["kind"] == _CANNULA else "tubing"
    prime = draft(DeviceEvent, event, event="prime", target=target, volume_u=event["amount_u"])
    prime.raw["remaining_u"] = event["remaining_u"]
    return [prime, draft(DeviceEvent, event, nth=2, event="site_change")] if target == "cannula" else [prime]


def _rewind(event: Event) -> list[Draft]:
    """The pump is rewound to take a new reservoir."""
    return [draft(DeviceEvent, event, event="rewind"), draft(DeviceEvent, event, nth=2, event="reservoir_change")]


def _transition(event: Event) -> list[Draft]:
    into = event["into_auto"]
    reason = (_INTO_AUTO if into else _OUT_OF_AUTO).get(event["reason"])
    return [draft(DeviceEvent, event, event="mode_change", mode="auto" if into else "manual", text=reason)]


def _low_reservoir(event: Event) -> list[Draft]:
    left = f"{event['hours']} h {event['minutes']} min" if event["by_time"] else f"{event['remaining_u']:g} U"
    return [draft(DeviceEvent, event, event="low_reservoir", severity="normal", text=f"Low reservoir, {left} left")]


def _entry(made: Draft, event: Event) -> list[Draft]:
    """A marker is dated by the person who entered it."""
    made.rtc, made.offset = event["entry_rtc"], event["entry_offset"]
    return [made]


def _exercise(event: Event) -> list[Draft]:
    return _entry(draft(Exercise, event, duration_min=event["minutes"] or None), event)


def _injection(event: Event) -> list[Draft]:
    return _entry(draft(Injection, event, dose_u=event["dose_u"]), event)


def _other(event: Event) -> list[Draft]:
    return _entry(draft(Note, event, text="Event marked on the pump"), event)


_READINGS: Mapping[int, _Reading] = {
    0x1A: _fill,
    0x2B: _low_reservoir,
    0x2C: _plain("battery_change"),
    0x2F: _exercise,
    0x30: _injection,
    0x31: _other,
    0x36: _rewind,
    0x37: _plain("battery_removed"),
    0xCE: _plain("sensor_start"),
    0xCF: _plain("calibration_rejected"),
    0xDF: _transition,
}
