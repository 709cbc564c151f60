"""Boluses, and the calculations and carbohydrates behind them.

A bolus is known by the event that programmed it; its amounts come from the events that delivered it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.contracts import Diagnostic
from bridge.model.records import Bolus
from bridge.readers.medtronic_600.calculations import Calculations
from bridge.readers.medtronic_600.drafts import Draft, draft
from bridge.readers.medtronic_600.history import Event

NORMAL, SQUARE, DUAL = 0x15, 0x16, 0x17
NORMAL_DONE, SQUARE_DONE, DUAL_DONE = 0xDC, 0xDD, 0xDE
PROGRAMMED_AS: Mapping[int, int] = {NORMAL_DONE: NORMAL, SQUARE_DONE: SQUARE, DUAL_DONE: DUAL}
CANCELED = 0x27
MICRO = 5
"""Source of an automatic micro-bolus: basal insulin, not a bolus."""
REACH_S = 8 * 3600
"""Longest from programming to the end of delivery."""
_SLACK_S = 3600
_WIZARD = (1, 6, 7, 8)
_REQUESTED_BY = {0: "manual", 2: "easy", 4: "manual", **dict.fromkeys(_WIZARD, "wizard")}
_SHAPES = {NORMAL: "normal", SQUARE: "square", DUAL: "dual"}
_SQUARE_PART = 2


@dataclass(frozen=True, slots=True)
class Running:
    """What the status says about a bolus that is being delivered."""

    number: int
    delivered_u: float


@dataclass(slots=True)
class Boluses:
    """What a stretch of history says. `orphans`: deliveries near its start whose programming lies before it."""

    drafts: list[Draft] = field(default_factory=list)
    orphans: list[Event] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)


@dataclass(slots=True)
class _Given:
    """One bolus: how it was programmed and what was delivered (a dual one in two parts)."""

    programmed: Event | None
    parts: list[Event]

    @property
    def first(self) -> Event:
        """The event it is known by."""
        return self.programmed or self.parts[0]


def is_micro(event: Event) -> bool:
    """Whether this is a delivered micro-bolus of the closed loop."""
    return event.type == NORMAL_DONE and event.known and event["bolus_source"] == MICRO


def boluses(
    events: Sequence[Event], calculations: Calculations, now_rtc: int | None, running: Running | None, defer: bool
) -> Boluses:
    """All boluses of a stretch in order of the counter.

    `now_rtc` is None for a stretch that does not reach the present: what has no end there ends elsewhere.
    `defer`: a delivery near the start that nothing programmed waits for an older stretch.
    """
    said = Boluses()
    canceled = {event["bolus_number"]: event.rtc for event in events if event.type == CANCELED and event.known}
    for given in _paired(events):
        if not given.parts:
            _unfinished(said, given, now_rtc, running)
        elif defer and given.programmed is None and given.first.rtc - events[0].rtc < REACH_S:
            said.orphans += given.parts
        else:
            said.drafts.append(_delivered(given, canceled, now_rtc))
    for made in said.drafts:
        if made.events[0]["bolus_source"] in _WIZARD:
            calculations.claim(made)
    return said


def _paired(events: Iterable[Event]) -> list[_Given]:
    """Programmed with delivered by type and number, the latest within reach first."""
    open_ones: list[_Given] = []
    found: list[_Given] = []
    for event in events:
        if not event.known or event.values.get("bolus_source") == MICRO:
            continue
        if event.type in _SHAPES:
            found.append(_Given(event, []))
            open_ones.append(found[-1])
        elif event.type in PROGRAMMED_AS:
            given = _waiting(open_ones, event)
            if given is None:
                given = _Given(None, [])
                found.append(given)
                open_ones.append(given)
            given.parts.append(event)
    return found


def _waiting(open_ones: Sequence[_Given], event: Event) -> _Given | None:
    for given in reversed(open_ones):
        first = given.first
        if event.rtc - first.rtc > REACH_S + _SLACK_S:
            return None
        if first["bolus_number"] == event["bolus_number"] and _takes(given, event):
            return given
    return None


def _takes(given: _Given, event: Event) -> bool:
    kind = PROGRAMMED_AS.get(given.first.type, given.first.type)
    if kind != PROGRAMMED_AS[event.type]:
        return False
    if kind != DUAL:
        return not given.parts
    return all(part["part"] < event["part"] for part in given.parts)


def _unfinished(said: Boluses, given: _Given, now_rtc: int | None, running: Running | None) -> None:
    """Programmed, not delivered: still running, or its end is in a part of the history not read."""
    event = given.first
    if now_rtc is None:
        return
    if now_rtc - event.rtc > event.values.get("prog_minutes", 0) * 60 + _SLACK_S:
        text = f"What was delivered of bolus {event['bolus_number']} is not in the history."
        said.diagnostics.append(Diagnostic("bolus/unfinished", text))
        return
    so_far = running.delivered_u if running and running.number == event["bolus_number"] else 0.0
    made = _bolus(event, (), delivered_u=so_far, completed=False)
    made.note("bolus/provisional")
    said.drafts.append(made)


def _delivered(given: _Given, canceled: Mapping[int, int], now_rtc: int | None) -> Draft:
    parts = given.parts
    delivered_u = round(sum(part["delivered_u"] for part in parts), 4)
    made = _bolus(given.first, parts, delivered_u=delivered_u)
    shape = made.body["shape"]
    if shape == "square":
        made.body |= {"extended_u": delivered_u, "delivered_duration_min": parts[0]["actual_minutes"]}
    elif shape == "dual":
        _give_dual(made, given, canceled, now_rtc)
    return made


def _give_dual(made: Draft, given: _Given, canceled: Mapping[int, int], now_rtc: int | None) -> None:
    """The square part comes hours after the normal one; until then the bolus is provisional."""
    extended = next((part for part in given.parts if part["part"] == _SQUARE_PART), None)
    made.body["immediate_u"] = next(
        (part["delivered_u"] for part in given.parts if part["part"] < _SQUARE_PART), None
    )
    if extended is not None:
        made.body |= {"extended_u": extended["delivered_u"], "delivered_duration_min": extended["actual_minutes"]}
        return
    last = given.parts[-1]
    if canceled.get(last["bolus_number"], -1) < given.first.rtc:
        made.body["completed"] = False
        if now_rtc is not None:
            made.note("bolus/provisional")


def _bolus(event: Event, parts: Sequence[Event], *, delivered_u: float, completed: bool = True) -> Draft:
    shape = _SHAPES[PROGRAMMED_AS.get(event.type, event.type)]
    made = draft(
        Bolus, event, *parts, shape=shape, delivered_u=delivered_u, programmed_u=_programmed_u(event, shape),
        automatic=False, completed=completed, requested_by=_REQUESTED_BY.get(event["bolus_source"]),
    )  # fmt: skip
    if shape != "normal":
        made.body["duration_min"] = event["prog_minutes"]
        made.body["programmed_extended_u"] = event["programmed_u" if shape == "square" else "square_u"]
    if shape == "dual":
        made.body["programmed_immediate_u"] = event["normal_u"]
    made.raw["number"] = event["bolus_number"]
    made.raw |= {"preset": event["preset"]} if event["preset"] else {}
    return made


def _programmed_u(event: Event, shape: str) -> float:
    return round(event["normal_u"] + event["square_u"], 4) if shape == "dual" else float(event["programmed_u"])
