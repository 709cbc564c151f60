"""Checks a run's history: what the source offered, what the journal has, what each destination stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bridge.contracts import Document, Interval
from bridge.engine.engine import Engine
from bridge.model import Record
from tests.support.house import KINDS, THINNED, House, _coarse, records

PROVISIONAL = "bolus/provisional"
"""A bolus that still runs has not its amount yet."""
_UNKEYED = {"upload", "pumpStatus", "controllerStatus"}


@dataclass
class History:
    """`lost`: offered and not in the journal, or in the journal and not at a destination. `doubled`: there more
    than once, or there and nowhere else. `stale`: there with another content than the newest."""

    facts: int = 0
    records: int = 0
    documents: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.facts} facts offered, {self.records} records, {self.documents} documents stored: "
            f"lost {len(self.lost)}, doubled {len(self.doubled)}, stale {len(self.stale)}, "
            f"quarantined {len(self.quarantined)}, open {len(self.open)}"
        )

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.stale or self.quarantined or self.open)

    def examples(self) -> str:
        """The first few of each fault."""
        faults = (self.lost, self.doubled, self.stale, self.quarantined, self.open)
        return "\n".join(line for each in faults for line in each[:5])

    def compare(self, where: str, wanted: Iterable[str], stored: Sequence[str]) -> None:
        """Each key that is wanted is stored once, and no other."""
        have, want = Counter(stored), Counter(list(wanted))
        self.documents += len(stored)
        self.lost += [f"{where}: {key} is not there" for key in want - have]
        self.doubled += [f"{where}: {key} is there {have[key]} times, wanted {want[key]}" for key in have - want]


def shown(house: House) -> list[set[int]]:
    """Of everybody, the seconds that the source shows something of: a sensor may be silent for longer than `LATE`."""
    pictures = [house.world.carelink.picture(person.username) for person in house.world.people]
    return [{round(e.time.timestamp()) for e in picture.events} if picture else set() for picture in pictures]


async def examined(
    house: House, engine: Engine, start: datetime, end: datetime, offered: Sequence[set[int]]
) -> History:
    """Everybody's history; facts from `start` to `end` that the source had `shown` before it was read last."""
    history = History()
    for number in range(len(house.world.people)):
        found = await records(engine.journal, f"p{number + 1}")
        history.records += len(found)
        _offered(history, house, number, found, Interval(start, end), offered[number])
        _stored(history, house, number, engine, found)
    held = await engine.journal.quarantine()
    history.quarantined += [f"{each.destination.profile} {each.destination.name}: {each.reason}" for each in held]
    for status in await engine.journal.destinations():
        waiting = {state: status.counts.get(state, 0) for state in ("pending", "leased", "withheld")}  # type: ignore[call-overload]
        if any(waiting.values()):
            history.open.append(f"{status.destination.profile} {status.destination.name}: {waiting}")
    return history


def _offered(
    history: History, house: House, number: int, found: Sequence[Record], window: Interval, offered: set[int]
) -> None:
    patient = house.world.people[number].patient
    running = {
        round(each.time.timestamp()) for each in found if any(a["code"] == PROVISIONAL for a in each.annotations)
    }
    for kind in KINDS:
        facts = [
            fact
            for fact in patient.facts(window.start, window.end, [kind])
            if round(fact.time.timestamp()) in offered
        ]
        want = Counter((round(fact.time.timestamp()), round(fact.value, 2)) for fact in facts)
        have = Counter(_coarse(record) for record in found if record.kind == kind)
        history.facts += len(facts)
        missing = [fact for fact in want - have if not (kind == "bolus" and fact[0] in running)]
        history.lost += [f"p{number + 1} {kind} {fact}: not in the journal" for fact in missing]


def _stored(history: History, house: House, number: int, engine: Engine, found: Sequence[Record]) -> None:
    profile = f"p{number + 1}"
    lasting = [record for record in found if record.kind not in THINNED]
    wanted = {
        destination.name: dict(sink.adapter.desired(lasting).documents.items())
        for destination, sink in engine.sinks.items()
        if destination.profile == profile
    }
    site = house.site(number)
    docs = [doc for name in ("entries", "treatments") for doc in site[name]]
    stored = [doc["identifier"] for doc in docs] + [doc["_id"] for doc in site.get("profile", ())]
    history.compare(f"{profile} nightscout", wanted["nightscout"], stored)
    history.stale += _stale(profile, wanted["nightscout"], docs)
    datums = [datum for datum in house.datums(number) if datum["type"] not in _UNKEYED]
    keys = set(wanted["tidepool"]) | {key for doc in wanted["tidepool"].values() for key in doc.books}
    history.compare(f"{profile} tidepool", keys, [datum["origin"]["id"] for datum in datums])


def _stale(profile: str, wanted: Mapping[str, Document], docs: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    for doc in docs:
        want = wanted.get(doc["identifier"])
        for name, value in want.body.items() if want else ():
            if name not in (*want.moves, "_id") and doc.get(name) != value:  # type: ignore[union-attr]
                yield f"{profile} nightscout {doc['identifier']}: {name} is {doc.get(name)!r}, newest {value!r}"


LATE = timedelta(minutes=45)
"""So long after the fact the source may still be silent about it."""
