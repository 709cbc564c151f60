"""What a batch changes in a journal, decided without any storage: new, revised, another name for a known one.

A storage hands in what it holds near the batch and writes the `Plan` it gets back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from bridge.contracts import Batch, StoredItem
from bridge.journal.content import content_hash, filled, merged, same_content
from bridge.journal.matching import Devices, Likeness, item_likeness, likeness, pairs
from bridge.journal.sources import weight
from bridge.model import Record

_S = TypeVar("_S")


@dataclass(frozen=True, slots=True)
class Seen:
    """One record of a batch, as its reader gave it."""

    record: Record
    hash: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """One record of the journal with all that was ever seen of it. `key`: order of first sight."""

    key: int
    record: Record
    rank: int
    readers: frozenset[str]


@dataclass(slots=True)
class Draft:
    """A journal record while a batch is worked into it."""

    held: Held
    record: Record
    rank: int
    seen: dict[str, Seen] = field(default_factory=dict)
    """Names under which it was seen now."""
    absorbed: list[Held] = field(default_factory=list)
    """Records that turned out to be this one."""

    @classmethod
    def of(cls, held: Held) -> Draft:
        """Nothing worked in yet."""
        return cls(held, held.record, held.rank)

    @property
    def revised(self) -> bool:
        """Whether the body changed, or what stands for it elsewhere must be looked at again."""
        return bool(self.absorbed) or not same_content(self.held.record, self.record)

    def work_in(self, seen: Seen) -> None:
        """Take a sighting in: of an equal or higher rank it is the next body, of a lower one it fills gaps."""
        self.seen[seen.record.id] = seen
        body = self._weighed(seen.record, weight(seen.record))
        if not same_content(self.record, body):
            self.record = body

    def absorb(self, other: Draft) -> None:
        """Take another record in, with all its names."""
        self.absorbed += [other.held, *other.absorbed]
        self.seen.update(other.seen)
        self.record = self._weighed(other.record, other.rank)

    def _weighed(self, body: Record, its_rank: int) -> Record:
        if its_rank < self.rank:
            return filled(self.record, body)
        self.rank = its_rank
        return merged(self.record, body)


@dataclass(frozen=True, slots=True)
class New:
    """A record at first sight. `seen.record.id` is its own name; `record.id` differs when one was adopted."""

    record: Record
    seen: Seen


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write. `drafts` are known records that were seen differently or under a new name."""

    new: Sequence[New]
    drafts: Sequence[Draft]
    used: Sequence[str | None]
    """Adopted identifiers that found their record."""

    @property
    def revised(self) -> list[Draft]:
        """Drafts with a new body."""
        return [draft for draft in self.drafts if draft.revised]


@dataclass(frozen=True, slots=True)
class Nearby:
    """What the journal holds that a batch may meet. `by_name`: records seen under an id of the batch with
    another content; `others`: records near in time under no id of the batch; `items`: adopted, unused."""

    by_name: Mapping[str, Held]
    others: Sequence[Held]
    items: Sequence[StoredItem]
    devices: Devices


def sightings(records: Iterable[Record]) -> dict[str, Seen]:
    """A batch by id: of several records of one id the highest revision counts, of equal ones the last."""
    last: dict[str, Record] = {}
    for record in records:
        if record.id not in last or record.revision >= last[record.id].revision:
            last[record.id] = record
    return {name: Seen(record, content_hash(record)) for name, record in last.items()}


def reread(batch: Batch, seen: Iterable[Seen]) -> Callable[[datetime], bool]:
    """Whether the batch shows again what its source holds at a time: only then a missing id was renamed there."""
    if batch.covered is not None:
        start, end = batch.covered.start, batch.covered.end
        return lambda moment: start <= moment < end
    times = [each.record.time for each in seen]
    return lambda moment: bool(times) and min(times) <= moment <= max(times)


def plan(changed: Sequence[Seen], unknown: Sequence[Seen], near: Nearby, again: Callable[[datetime], bool]) -> Plan:
    """Work a batch into what the journal holds.

    `changed` have an id the journal knows (in `near.by_name`) and another content; `unknown` have a new id;
    `again` is `reread`.
    """
    drafts = {held.key: Draft.of(held) for held in near.by_name.values()}
    for seen in changed:
        drafts[near.by_name[seen.record.id].key].work_in(seen)
    others = [Draft.of(held) for held in near.others if held.key not in drafts]
    met = _met(unknown, others, near.devices, again)
    for seen, other in met:
        other.work_in(seen)
        drafts[other.held.key] = other
    free = [other for other in others if other.held.key not in drafts]
    _reunite(drafts, free, near.devices)
    matched = {seen.record.id for seen, _ in met}
    new = _adopted([seen for seen in unknown if seen.record.id not in matched], near.items)
    known_now = matched | {each.record.id for each in new}
    return Plan(new, list(drafts.values()), [item.record_id for item in near.items if item.record_id in known_now])


def _met(
    unknown: Sequence[Seen], others: Sequence[Draft], devices: Devices, again: Callable[[datetime], bool]
) -> list[tuple[Seen, Draft]]:
    """New ids that are further names of journal records."""

    def fits(seen: Seen, other: Draft) -> bool:
        one, held = seen.record, other.held
        renamed = one.reader in held.readers
        if renamed and (one.kind == "device_event" or not again(held.record.time)):
            return False
        return devices.same(one, other.record)

    return _paired(unknown, [seen.record for seen in unknown], others, fits)


def _reunite(drafts: dict[int, Draft], free: Sequence[Draft], devices: Devices) -> None:
    """Two journal records of two readers that a revision shows to be one: the first seen takes the other in."""

    def fits(draft: Draft, other: Draft) -> bool:
        return not draft.held.readers & other.held.readers and devices.same(draft.record, other.record)

    grown = [draft for draft in drafts.values() if draft.revised]
    for draft, other in _paired(grown, [draft.record for draft in grown], free, fits):
        first, second = sorted((draft, other), key=lambda each: each.held.key)
        first.absorb(second)
        drafts.pop(second.held.key, None)
        drafts[first.held.key] = first


def _paired(
    seekers: Sequence[_S], records: Sequence[Record], others: Sequence[Draft], fits: Callable[[_S, Draft], bool]
) -> list[tuple[_S, Draft]]:
    """Seekers (with the record each stands for) and the journal records they are, one to one."""
    if not others:
        return []
    here = [(seeker, alike) for seeker, record in zip(seekers, records, strict=True) if (alike := likeness(record))]
    there = [(other, alike) for other in others if (alike := likeness(other.record))]
    found = pairs(_second(here), _second(there), lambda i, j: fits(here[i][0], there[j][0]))
    return [(here[i][0], there[j][0]) for i, j in found]


def _adopted(unknown: Sequence[Seen], items: Sequence[StoredItem]) -> list[New]:
    """First sights; one that a destination already has takes the identifier and time it has there."""
    if not items:
        return [New(seen.record, seen) for seen in unknown]
    own = {seen.record.id for seen in unknown}
    here = [(seen, alike) for seen in unknown if (alike := likeness(seen.record))]
    there = [(item, alike) for item in items if item.record_id not in own and (alike := item_likeness(item))]
    named = {item.record_id for item in items}
    found = pairs(_second(here), _second(there), lambda i, _: here[i][0].record.id not in named)
    taken = {here[i][0].record.id: there[j][0] for i, j in found}
    return [New(_renamed(seen.record, taken.get(seen.record.id)), seen) for seen in unknown]


def _renamed(record: Record, item: StoredItem | None) -> Record:
    return record if item is None else record.model_copy(update={"id": item.record_id, "time": item.time})


def _second(rows: Sequence[tuple[object, Likeness]]) -> list[Likeness]:
    return [alike for _, alike in rows]
