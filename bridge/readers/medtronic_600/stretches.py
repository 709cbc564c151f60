"""What of the history hangs together, and what is kept for the next read.

A read brings the newest days, or days far back; between two stretches nothing is known, so nothing is paired or
measured across. Some events wait for the next read as partners: those that a later one completes, and ends whose
beginning lies further back than was read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bridge.errors import Malformed
from bridge.readers.medtronic_600.alarms import CLEARED, NOTIFIED, open_alarms
from bridge.readers.medtronic_600.basals import TYPES as BASAL_TYPES
from bridge.readers.medtronic_600.basals import open_events
from bridge.readers.medtronic_600.boluses import (
    CANCELED,
    DUAL,
    DUAL_DONE,
    MICRO,
    NORMAL,
    NORMAL_DONE,
    SQUARE,
    SQUARE_DONE,
)
from bridge.readers.medtronic_600.calculations import MEAL_WIZARD, WIZARD
from bridge.readers.medtronic_600.history import Event, read_event
from bridge.readers.medtronic_600.meters import BG

GAP_S = 25 * 3600
"""A pump writes several events a day; a longer silence is a part that was not read."""
TAIL_S = 33 * 3600
"""A later read begins a day before this one's end, and a bolus takes eight hours at most."""
_KEPT_S = 91 * 86_400
_MOST_ORPHANS, _MOST_OPEN, _MOST_TAIL = 50, 40, 600
_CARRIED = frozenset(
    (*BASAL_TYPES, NORMAL, SQUARE, DUAL, NORMAL_DONE, SQUARE_DONE, DUAL_DONE, CANCELED, WIZARD, MEAL_WIZARD, NOTIFIED,
     CLEARED, BG)
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stretch:
    """Events that follow one another without a hole, in order of the counter."""

    events: tuple[Event, ...]
    reaches_now: bool


@dataclass(frozen=True, slots=True)
class Carried:
    """Events of earlier reads: the last hours, what is still open however old, ends without a beginning."""

    tail: tuple[Event, ...] = ()
    open: tuple[Event, ...] = ()
    orphans: tuple[Event, ...] = ()

    def dump(self) -> dict[str, list[str]]:
        """As small JSON."""
        return {name: [event.raw.hex() for event in getattr(self, name)] for name in ("tail", "open", "orphans")}

    @classmethod
    def restore(cls, kept: object) -> Carried:
        """The inverse of `dump`; what is not understood is forgotten."""
        if not isinstance(kept, Mapping):
            return cls()
        return cls(*(tuple(_events(kept.get(name))) for name in ("tail", "open", "orphans")))


def _events(kept: object) -> list[Event]:
    found = []
    for text in kept if isinstance(kept, list) else ():
        try:
            event = read_event(bytes.fromhex(text))
        except (TypeError, ValueError, Malformed):
            continue
        event.carried = True
        found.append(event)
    return found


def unite(events: Iterable[Event], carried: Carried) -> list[Event]:
    """Read and carried events in order of the counter, each once, as read where both have it."""
    found: dict[bytes, Event] = {}
    for event in (*events, *carried.tail, *carried.orphans):
        found.setdefault(event.raw, event)
    return sorted(found.values(), key=_rtc)


def stretches(
    events: Sequence[Event], pump_rtcs: Sequence[int], carried: Carried, now_rtc: int | None
) -> list[Stretch]:
    """Split where the pump's own history (`pump_rtcs`) is silent for too long.

    `now_rtc` is the counter at the read; None for a file, whose end stands for the present.
    """
    pump_rtcs = sorted([*pump_rtcs, *(event.rtc for event in (*carried.tail, *carried.orphans))])
    starts = [after for before, after in pairwise(pump_rtcs) if after - before > GAP_S]
    groups: list[list[Event]] = [[] for _ in range(len(starts) + 1)]
    for event in events:
        groups[bisect_right(starts, event.rtc)].append(event)
    last_rtc = pump_rtcs[-1] if pump_rtcs else 0
    current = bool(pump_rtcs) and (now_rtc is None or now_rtc - last_rtc <= GAP_S)
    if any(event.rtc >= (starts[-1] if starts else 0) for event in carried.tail):
        groups[-1] = _with_open(groups[-1], carried.open)
    return [Stretch(tuple(group), current and group is groups[-1]) for group in groups if group]


def _with_open(events: list[Event], still_open: Sequence[Event]) -> list[Event]:
    known = {event.raw for event in events}
    return sorted([*(event for event in still_open if event.raw not in known), *events], key=_rtc)


def carry(last: Stretch | None, before: Carried, orphans: Sequence[Event], now_rtc: int) -> Carried:
    """What the next read needs. Without a stretch that reaches the present the tail stays what it was."""
    waiting = {event.raw: event for event in (*before.orphans, *orphans) if now_rtc - event.rtc < _KEPT_S}
    kept = tuple(waiting.values())[-_MOST_ORPHANS:]
    if last is None or not last.reaches_now:
        return Carried(before.tail, before.open, kept)
    end = last.events[-1].rtc
    tail = [event for event in last.events if event.rtc > end - TAIL_S and _is_partner(event)]
    opened = [*open_events(last.events), *open_alarms(last.events)]
    older = [event for event in opened if event.rtc <= end - TAIL_S]
    return Carried(tuple(tail[-_MOST_TAIL:]), tuple(older[-_MOST_OPEN:]), kept)


def _is_partner(event: Event) -> bool:
    return event.type in _CARRIED and event.known and event.values.get("bolus_source") != MICRO


def _rtc(event: Event) -> int:
    return event.rtc


def remembered(pumps: object, pump: str | None) -> Mapping[str, Any]:
    """What earlier decodes left for one of the pumps."""
    own = pumps.get(pump) if isinstance(pumps, Mapping) and pump else None
    return own if isinstance(own, Mapping) else {}
