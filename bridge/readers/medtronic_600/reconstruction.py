"""From the events of a capture to drafts of records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bridge.errors import Malformed
from bridge.readers.medtronic_600.alarms import alarms
from bridge.readers.medtronic_600.basals import basals, lengths
from bridge.readers.medtronic_600.boluses import Running, boluses
from bridge.readers.medtronic_600.calculations import Calculations, food_markers
from bridge.readers.medtronic_600.clock import is_set
from bridge.readers.medtronic_600.doubts import Doubts
from bridge.readers.medtronic_600.drafts import Draft
from bridge.readers.medtronic_600.glucose import READINGS, calibrations
from bridge.readers.medtronic_600.happenings import happenings
from bridge.readers.medtronic_600.history import PUMP_DATA, Event, read_payload
from bridge.readers.medtronic_600.meters import meter_values
from bridge.readers.medtronic_600.stretches import Carried, Stretch, stretches, unite


@dataclass(slots=True)
class Told:
    """Events with a known date: sensor readings, all others, and the counters of the pump's own history."""

    readings: list[Event] = field(default_factory=list)
    others: list[Event] = field(default_factory=list)
    pump_rtcs: list[int] = field(default_factory=list)


def gather(history: Mapping[int, Sequence[bytes]], doubts: Doubts) -> Told:
    """All events. A data type with a damaged answer is left out whole and named by `history/malformed-<type>`:
    it must be read again."""
    told = Told()
    for data_type, answers in history.items():
        try:
            events = [event for answer in answers for event in _events(answer, data_type)]
        except Malformed as why:
            doubts.damaged = True
            doubts.say(f"history/malformed-{data_type:02x}", why.message, understood=False)
            continue
        doubts.look_at(events)
        dated = [event for event in events if is_set(event.rtc, event.offset)]
        told.readings += [event for event in dated if event.type == READINGS]
        told.others += [event for event in dated if event.type != READINGS]
        if data_type == PUMP_DATA:
            told.pump_rtcs += [event.rtc for event in dated]
    return told


def _events(answer: bytes, data_type: int) -> list[Event]:
    payload = read_payload(answer)
    if payload.data_type != data_type:
        raise Malformed("The pump sent another part of its history than was asked for.")
    return list(payload.events())


@dataclass(slots=True)
class Rebuilt:
    """Drafts of all kinds but sensor readings. `last`: the stretch that reaches the present, if one does."""

    drafts: list[Draft] = field(default_factory=list)
    orphans: list[Event] = field(default_factory=list)
    last: Stretch | None = None


def rebuild(
    told: Told, carried: Carried, now_rtc: int | None, running: Running | None, doubts: Doubts, *, defer: bool
) -> Rebuilt:
    """Stretch by stretch. `now_rtc` is None for a file; `defer`: ends without a beginning wait for a later read."""
    rebuilt = Rebuilt()
    events = unite(told.others, carried)
    for stretch in stretches(events, told.pump_rtcs, carried, now_rtc):
        _rebuild_one(rebuilt, stretch, now_rtc, running, doubts, defer=defer)
        rebuilt.last = stretch if stretch.reaches_now else None
    return rebuilt


def _rebuild_one(
    rebuilt: Rebuilt, stretch: Stretch, now_rtc: int | None, running: Running | None, doubts: Doubts, *, defer: bool
) -> None:
    events, current = stretch.events, stretch.reaches_now
    end_rtc = (now_rtc or events[-1].rtc) if current else None
    calculations = Calculations(events)
    given = boluses(events, calculations, end_rtc, running, defer)
    line = basals(events, reaches_now=current)
    doubts.diagnostics += given.diagnostics
    rebuilt.drafts += [
        *given.drafts, *calculations.drafts(), *food_markers(events), *lengths(line.drafts), *meter_values(events),
        *calibrations(events), *alarms(events, reaches_now=current), *happenings(events),
    ]  # fmt: skip
    if defer:
        rebuilt.orphans += [*given.orphans, *line.orphans]
