"""Finger-sticks as the pump stored them."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.model.records import MeterGlucose
from bridge.readers.medtronic_600.drafts import Draft, draft
from bridge.readers.medtronic_600.history import Event

BG, LOOP_BG = 0x32, 0x82
SAME_S = 15 * 60
"""An equal value within this is the same finger-stick, shown again."""
_TWICE_S = 60
_BY_HAND = 8
"""From this context on a value was typed in by a person."""
_RADIO_CONTEXT = 0


def meter_values(events: Sequence[Event]) -> list[Draft]:
    """One draft a finger-stick: the pump writes it again for calibrations, the calculator and questions."""
    found: list[Draft] = []
    for event in events:
        if event.known and event.type in (BG, LOOP_BG) and event["bg_mgdl"]:
            again = _again(event, found)
            if again is not None:
                _tell_more(again, event)
            elif event.type == BG or _is_first(event):
                found.append(_value(event))
    return found


def _is_first(event: Event) -> bool:
    """Whether this is how a value reached the pump, and not what was then asked about it."""
    context = event["context"]
    return bool(context == _RADIO_CONTEXT if event["radio"] else context >= _BY_HAND)


def _again(event: Event, found: Sequence[Draft]) -> Draft | None:
    near = (one for one in reversed(found) if event.rtc - one.rtc < SAME_S)
    return next((one for one in near if one.body["mgdl"] == event["bg_mgdl"] and _same(event, one)), None)


def _same(event: Event, one: Draft) -> bool:
    first = one.events[0]
    if event.type == LOOP_BG:
        return first.type == LOOP_BG or event.rtc - one.rtc <= _TWICE_S
    if first.type == LOOP_BG:
        return event.rtc - one.rtc <= _TWICE_S
    if event["meter"]:
        return event.rtc == first.rtc and event["meter"] == first["meter"]
    return bool(first["meter"])


def _tell_more(one: Draft, event: Event) -> None:
    """The first sighting makes the record; what came after it stands beside it."""
    if event.type == BG and event["cal"]:
        one.raw["calibration"] = True
    if event.type == LOOP_BG:
        one.raw.setdefault("contexts", []).append(event["context"])


def _value(event: Event) -> Draft:
    linked = event["radio"] if event.type == LOOP_BG else bool(event["meter"])
    made = draft(MeterGlucose, event, mgdl=event["bg_mgdl"], entry="linked" if linked else "manual")
    if event.type == BG:
        made.raw |= {"meter": event["meter"]} if event["meter"] else {}
        made.raw |= {"calibration": True} if event["cal"] else {}
    else:
        made.raw["contexts"] = [event["context"]]
    return made
