"""The pure decoder: one capture and what was remembered in, records and what to remember out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bridge.contracts import Decoded, Memory
from bridge.errors import Malformed
from bridge.model.capture import Capture
from bridge.model.health import Health, State
from bridge.model.records import Device
from bridge.readers.medtronic_600.clock import FileClock, is_set
from bridge.readers.medtronic_600.conversation import Conversation, read_conversation
from bridge.readers.medtronic_600.doubts import Doubts
from bridge.readers.medtronic_600.glucose import readings
from bridge.readers.medtronic_600.happenings import TIME_CHANGED
from bridge.readers.medtronic_600.history import Event
from bridge.readers.medtronic_600.making import Maker
from bridge.readers.medtronic_600.payloads import read_time
from bridge.readers.medtronic_600.reconstruction import Told, gather, rebuild
from bridge.readers.medtronic_600.stretches import Carried
from bridge.readers.medtronic_600.visit_records import Visited, visited

FEED = "medtronic"
"""The feed of a file that does not name its pump."""
FAMILY = "600"
MAKER = "Medtronic"
_DEVICES = 0x04
_CLOCK_NOT_SET = Health(State.named("clock_not_set"), "The pump's clock is not set. Set the pump's time and date.")


def decode(capture: Capture, memory: Memory) -> Decoded:
    """Records of a capture in order of time. Raises Malformed for what is not one; never another type."""
    said, doubts = read_conversation(capture.body), Doubts()
    told = gather(said.history, doubts)
    zone = _zone(capture, doubts)
    if said.host_utc is None:
        return _decode_file(capture, memory, told, zone, doubts)
    return _decode_visit(capture, memory, said, said.host_utc, told, zone, doubts)


def _zone(capture: Capture, doubts: Doubts) -> ZoneInfo | None:
    name = capture.context.get("timezone")
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        doubts.say("clock/unknown-zone", "The time zone of this reading is not known here.")
        return None


def _device(serial: str | None, model: str | None) -> Device:
    return Device(manufacturer=MAKER, model=model, serial=serial, family=FAMILY)


def _feed(capture: Capture, serial: str | None) -> str:
    """The capture's own, which names the pump; that of a file where its pump is known."""
    return capture.feed if ":" in capture.feed or serial is None else f"{FEED}:{serial}"


def _decode_visit(
    capture: Capture,
    memory: Memory,
    said: Conversation,
    host_utc: datetime,
    told: Told,
    zone: ZoneInfo | None,
    doubts: Doubts,
) -> Decoded:
    time = doubts.answer(dict(said.answers), "0407", read_time)
    if time is None:
        raise Malformed("This reading of a MiniMed 600 pump lacks the pump's time.")
    if not time.is_set:
        return Decoded((), state=memory.state, health=_CLOCK_NOT_SET)
    seen = visited(said, host_utc, time, told, memory, zone, doubts)
    maker = Maker(capture, _feed(capture, said.pump), _device(said.pump, said.model), seen.clock, memory)
    return _decoded(maker, seen, doubts)


def _decoded(maker: Maker, seen: Visited, doubts: Doubts) -> Decoded:
    made = maker.make(seen.drafts)
    return Decoded(
        made.records,
        sightings=made.sightings,
        state=seen.state,
        diagnostics=[*doubts.diagnostics, *made.diagnostics],
        health=seen.health,
        understood=doubts.understood and not made.refused,
    )


def _decode_file(capture: Capture, memory: Memory, told: Told, zone: ZoneInfo | None, doubts: Doubts) -> Decoded:
    """History alone: instants by the wall clock in the person's zone; its end stands for the present."""
    if doubts.damaged:
        raise Malformed(doubts.diagnostics[0].text)
    events = sorted([*told.others, *told.readings], key=lambda event: event.rtc)
    if zone is None and events:
        doubts.say("clock/no-zone", "The pump's time zone is not named: its clock is taken as UTC.")
    clock = FileClock(events[-1].rtc if events else 0, zone, _last_change(told.others))
    serial, model = _told_device(told.others)
    drafts = [*readings(told.readings, None), *rebuild(told, Carried(), None, None, doubts, defer=False).drafts]
    maker = Maker(capture, _feed(capture, serial), _device(serial, model), clock, memory)
    return _decoded(maker, Visited(drafts, clock, memory.state), doubts)


def _last_change(events: Sequence[Event]) -> tuple[int, int] | None:
    changes = [event for event in events if event.type == TIME_CHANGED and event.known]
    newest = max(changes, key=lambda event: event.rtc, default=None)
    if newest is None or not is_set(newest["new_rtc"], newest["new_offset"]):
        return None
    return newest["new_rtc"], newest["new_offset"]


def _told_device(events: Sequence[Event]) -> tuple[str | None, str | None]:
    """Serial and model of the pump, as its daily list of devices names them."""
    for event in reversed(events):
        if event.type == _DEVICES and event.known:
            own: Mapping[str, str] = next((each for each in event["devices"] if each["index"] == 0), {})
            if own.get("serial"):
                return own["serial"], own["model"] or None
    return None, None
