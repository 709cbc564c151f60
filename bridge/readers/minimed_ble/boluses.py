"""Boluses: two events when one is programmed, two when it has been delivered, one record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from bridge.contracts import Diagnostic
from bridge.model.records import Bolus
from bridge.readers.minimed_ble import history
from bridge.readers.minimed_ble.drafts import Draft, draft
from bridge.readers.minimed_ble.timeline import Dated, Timeline

_NEIGHBOURS = 8
"""How many numbers lie at most between the two parts."""
_LONGEST, _SLACK = timedelta(hours=24), timedelta(minutes=30)
_SHAPES = {"fast": "normal", "extended": "square", "multiwave": "dual"}
_REQUESTED_BY = {"manual": "manual", "recommended": "wizard", "changed_recommended": "wizard"}


@dataclass(slots=True)
class _Given:
    """What is known of one bolus."""

    programmed: Dated | None = None
    programmed_more: Dated | None = None
    delivered: Dated | None = None
    delivered_more: Dated | None = None

    @property
    def parts(self) -> list[Dated]:
        every = (self.programmed, self.programmed_more, self.delivered, self.delivered_more)
        return [part for part in every if part is not None]


@dataclass(slots=True)
class Boluses:
    """Drafts, the number of the first bolus that still runs, and what could not be told."""

    drafts: list[Draft] = field(default_factory=list)
    open_since: int | None = None
    diagnostics: list[Diagnostic] = field(default_factory=list)


def boluses(line: Timeline) -> Boluses:
    """All boluses of a read."""
    said = Boluses()
    newest = line.newest
    for given in _paired(line.events):
        if given.delivered is not None:
            said.drafts.append(_delivered(given))
        elif given.programmed is not None and newest is not None:
            _running(said, given, given.programmed, newest)
    return said


def _paired(events: Sequence[Dated]) -> list[_Given]:
    found: list[_Given] = []
    for each in events:
        match each.event.type:
            case history.PROGRAMMED_1:
                found.append(_Given(programmed=each))
            case history.DELIVERED_1:
                _deliver(found, each)
            case history.PROGRAMMED_2 | history.DELIVERED_2:
                _second_part(found, each)
    return found


def _deliver(found: list[_Given], each: Dated) -> None:
    for given in reversed(found):
        first = given.programmed
        if first is None or given.delivered is not None or first.event["bolus_id"] != each.event["bolus_id"]:
            continue
        if each.wall - first.wall <= _LONGEST:
            given.delivered = each
            return
    found.append(_Given(delivered=each))


def _second_part(found: list[_Given], each: Dated) -> None:
    of_programmed = each.event.type == history.PROGRAMMED_2
    for given in reversed(found):
        first = given.programmed if of_programmed else given.delivered
        taken = given.programmed_more if of_programmed else given.delivered_more
        if first is not None and taken is None and 0 < each.sequence - first.sequence <= _NEIGHBOURS:
            if of_programmed:
                given.programmed_more = each
            else:
                given.delivered_more = each
            return


def _running(said: Boluses, given: _Given, first: Dated, newest: Dated) -> None:
    if newest.wall - first.wall > timedelta(minutes=first.event["duration_min"]) + _SLACK:
        text = f"What was delivered of bolus {first.event['bolus_id']} is not in the history."
        said.diagnostics.append(Diagnostic("bolus/unfinished", text))
        return
    made = draft(Bolus, first, given.parts[1:], delivered_u=0, completed=False, **_plan(given, first))
    made.note("bolus/provisional")
    said.drafts.append(made)
    said.open_since = first.sequence if said.open_since is None else said.open_since


def _delivered(given: _Given) -> Draft:
    first, *parts = given.parts
    end = given.delivered
    plan = _plan(given, given.programmed or first)
    values = end.event if end is not None else first.event
    fast, extended = _units(values["fast_u"]), _units(values["extended_u"])
    body: dict[str, Any] = {"delivered_u": float(fast + extended), "completed": True}
    if plan["shape"] != "normal":
        body |= {"extended_u": float(extended), "delivered_duration_min": values["duration_min"]}
    if plan["shape"] == "dual":
        body["immediate_u"] = float(fast)
    made = draft(Bolus, first, parts, **(plan | body))
    more = given.delivered_more
    if given.programmed is None and more is not None:
        made.wall -= timedelta(seconds=more.event["start_offset_s"])
    if more is not None:
        made.raw["end"] = more.event["end"]
    return made


def _plan(given: _Given, first: Dated) -> dict[str, Any]:
    """Shape, who asked, and, where it is known, what was programmed."""
    event = first.event
    fast, extended = _units(event["fast_u"]), _units(event["extended_u"])
    shape = _SHAPES.get(event["bolus_type"] or "") or _shape_of(fast, extended)
    plan: dict[str, Any] = {"shape": shape, "requested_by": _REQUESTED_BY.get(_activation(given) or "")}
    if given.programmed is None:
        return plan
    plan["programmed_u"] = float(fast + extended)
    if shape != "normal":
        plan |= {"programmed_extended_u": float(extended), "duration_min": event["duration_min"]}
    if shape == "dual":
        plan["programmed_immediate_u"] = float(fast)
    return plan


def _shape_of(fast: Decimal, extended: Decimal) -> str:
    if not extended:
        return "normal"
    return "dual" if fast else "square"


def _activation(given: _Given) -> str | None:
    for part in (given.delivered_more, given.programmed_more):
        if part is not None and part.event["activation"] is not None:
            return str(part.event["activation"])
    return None


def _units(amount: Decimal | None) -> Decimal:
    return amount or Decimal(0)
