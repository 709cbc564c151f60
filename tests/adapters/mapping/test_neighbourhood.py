"""What a change touches lies near it, and its context is enough to map it: recomputing everything gives the same.

The context is that of `Journal.context`: 26 h around, links both ways, each device's previous and next basal record,
the newest record. The neighbourhood is 190 minutes around the change, plus what `_reached` names.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from adapters.preparation.nearby import device_key
from bridge.contracts import Desired
from tests.adapters.mapping.made import BOTH, life, to_tidepool
from tests.adapters.mapping.test_vectors import read

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
SEEDS = range(200 if LONG else 4)
INNER, OUTER = timedelta(minutes=190), timedelta(hours=26)


def within(records: Iterable[Any], changed: list[Any], span: timedelta) -> set[str]:
    return {one.id for one in records if any(abs(one.time - other.time) <= span for other in changed)}


def linked(records: list[Any], ids: set[str]) -> set[str]:
    """Ids that these name, and of those that name them."""
    names = {one.id: _pointers(one) for one in records}
    forward = {target for one in ids for target in names.get(one, ())}
    backward = {one for one, targets in names.items() if targets & ids}
    return forward | backward


def _pointers(record: Any) -> set[str]:
    fields = ("carbs_id", "calculation_id", "bolus_id")
    return {value for name in fields if (value := getattr(record, name, None)) is not None}


def basal_neighbours(records: list[Any], ids: set[str]) -> set[str]:
    """The records before the first and after the last of these on each device's basal line."""
    lines: dict[Any, list[Any]] = defaultdict(list)
    for one in sorted(records, key=lambda record: (record.time, record.id)):
        if one.kind == "basal":
            lines[device_key(one)].append(one)
    found: set[str] = set()
    for line in lines.values():
        inside = [index for index, one in enumerate(line) if one.id in ids]
        if inside:
            found |= {one.id for one in line[max(0, inside[0] - 1) : inside[-1] + 2]}
    return found


def context(records: list[Any], changed: list[Any]) -> list[Any]:
    ids = within(records, changed, OUTER)
    ids |= linked(records, ids)
    ids |= basal_neighbours(records, ids)
    ids |= {max(records, key=lambda one: (one.time, one.id)).id}
    return [one for one in records if one.id in ids]


def of(desired: Desired, record_id: str) -> tuple[Any, ...]:
    documents = {key: one for key, one in desired.documents.items() if one.record_id == record_id}
    return desired.fates[record_id], documents


def sample(seed: int) -> tuple[list[Any], list[Any]]:
    random = Random(seed)
    records = life(random, 5)
    at = random.choice(records)
    near = [one for one in records if abs(one.time - at.time) <= timedelta(minutes=random.choice([0, 5, 60]))]
    return records, random.sample(near, min(len(near), random.randrange(1, 12)))


@pytest.mark.proof
@pytest.mark.parametrize("seed", SEEDS)
def test_the_context_is_enough(seed: int) -> None:
    records, changed = sample(seed)
    inner = within(records, changed, INNER)
    some = context(records, changed)
    assert len(some) < len(records)
    for become in BOTH:
        everything, part = become(records), become(some)
        for record_id in inner:
            assert of(part, record_id) == of(everything, record_id)


@pytest.mark.proof
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_beyond_the_neighbourhood_changes(seed: int) -> None:
    records, changed = sample(seed)
    gone = {one.id for one in changed}
    before = [one for one in records if one.id not in gone]
    for become in BOTH:
        earlier, later = become(before), become(records)
        touched = {one.id for one in before if of(earlier, one.id) != of(later, one.id)}
        assert touched <= _reached(records, changed) | _open_ends(become, later)


def _reached(records: list[Any], changed: list[Any]) -> set[str]:
    ids = {one.id for one in changed}
    return within(records, changed, INNER) | linked(records, ids) | basal_neighbours(records, ids)


def _open_ends(become: Any, desired: Desired) -> set[str]:
    """Tidepool's running segments grow with the newest record, wherever they began."""
    if become is not to_tidepool:
        return set()
    newest = max(one.instant_ms for one in desired.documents.values())
    ends = {
        one.record_id: one.instant_ms + one.body["duration"]
        for one in desired.documents.values()
        if one.body["type"] == "basal"
    }
    return {record_id for record_id, end in ends.items() if end >= newest}


def arrive(become: Any, batches: list[list[Any]]) -> dict[str, tuple[Any, ...]]:
    """A ledger after batches that were each mapped within their context, for their neighbourhood alone."""
    ledger: dict[str, tuple[Any, ...]] = {}
    known: dict[str, Any] = {}
    for batch in batches:
        known |= {one.id: one for one in batch}
        records = list(known.values())
        part = become(context(records, batch))
        ledger |= {one: of(part, one) for one in _reached(records, batch) if one in part.fates}
    return ledger


def assert_as_if_sent_once(become: Any, records: list[Any], batches: list[list[Any]]) -> None:
    ledger, whole = arrive(become, batches), become(records)
    statuses = {one.id for one in records if one.kind == "pump_status"}
    differing = {one.id for one in records if ledger[one.id] != of(whole, one.id)}
    assert differing - statuses <= _open_ends(become, whole)


def cut(records: list[Any], random: Random, most: int) -> list[list[Any]]:
    """Batches of any size, with repeats of what came before."""
    batches, start = [], 0
    while start < len(records):
        end = start + random.randrange(1, most)
        repeats = random.sample(records[:start], min(start, 3))
        batches.append(repeats + records[start:end])
        start = end
    return batches


@pytest.mark.parametrize("become", BOTH)
def test_three_days_in_batches_end_as_if_sent_once(become: Any) -> None:
    records = sorted(life(Random(7), 3), key=lambda one: one.time)
    assert_as_if_sent_once(become, records, cut(records, Random(1), 240))


@pytest.mark.parametrize("become", BOTH)
@pytest.mark.parametrize("name", ["records.ndjson", "780g.records.ndjson"])
def test_the_shared_sets_in_any_order_and_batches_end_as_if_sent_once(name: str, become: Any) -> None:
    records = read(name)
    for seed in range(20 if LONG else 2):
        random = Random(seed)
        shuffled = random.sample(records, len(records))
        assert_as_if_sent_once(become, records, cut(shuffled, random, 120))
