"""Whatever the order in which sources are read, the same events come out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count, permutations
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.contracts import DeliveryState, Destination, Settled, Settlement
from bridge.journal import SqliteJournal, open_journal
from bridge.journal.sources import rank
from bridge.model import Bolus, MeterGlucose, Record, record_id
from tests.contracts.journal_records import (
    CLOUD,
    FILE,
    METER,
    NOW,
    PUMP,
    USB,
    batch,
    bolus,
    glucose,
    meter,
)
from tests.support.clock import FakeClock

READERS = (CLOUD, FILE, USB)
APART_MIN = 3
"""Events stand further apart than any two sightings of one event."""


@dataclass(frozen=True)
class Told:
    """One sighting of event number `event`."""

    event: int
    record: Bolus


@st.composite
def sightings(draw: st.DrawFn) -> list[Told]:
    """Up to six boluses, each seen by some of three sources, some seconds and thousandths of a unit apart."""
    told = []
    for event in range(draw(st.integers(1, 6))):
        for reader in draw(st.sets(st.sampled_from(READERS), min_size=1)):
            shift = draw(st.integers(-15, 15)) / 60
            units = 1 + draw(st.integers(0, 12)) / 1000
            told.append(Told(event, bolus(APART_MIN * event + shift, units, reader, key=f"{event}")))
    return told


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteJournal]:
    """One journal for all examples: each has a profile of its own."""
    path = tmp_path_factory.mktemp("order") / "journal.db"
    opened = asyncio.run(open_journal(path, clock=FakeClock(NOW)))
    yield opened
    asyncio.run(opened.close())


_numbers = count()


def fresh() -> str:
    """A profile no example has used."""
    return f"profile {next(_numbers)}"


def of(profile: str, record: Bolus) -> Bolus:
    """The same sighting in another profile."""
    own = record_id(profile, f"feed of {record.reader}", record.kind, record.source_key)
    return record.model_copy(update={"profile": profile, "id": own})


async def kept(journal: SqliteJournal, profile: str) -> list[Record]:
    return [record async for record in journal.records(profile)]


@settings(max_examples=40, deadline=None)
@given(sightings(), st.data())
def test_sightings_of_an_event_become_one_record_in_any_order(
    journal: SqliteJournal, told: list[Told], data: st.DataObject
) -> None:
    profile = fresh()
    order = [Told(each.event, of(profile, each.record)) for each in data.draw(st.permutations(told))]
    again = data.draw(st.lists(st.sampled_from(order), max_size=4))
    asyncio.run(_check_one_record_per_event(journal, profile, order, again))


async def _check_one_record_per_event(
    journal: SqliteJournal, profile: str, order: Sequence[Told], again: Sequence[Told]
) -> None:
    for each in [*order, *again]:
        await journal.append(batch(each.record, profile=profile))
    records = {record.id: record for record in await kept(journal, profile)}
    aliases = await journal.aliases(profile)
    names = {each.record.id: aliases.get(each.record.id, each.record.id) for each in order}
    assert set(names.values()) == records.keys()
    for event in {each.event for each in order}:
        seen = [each.record for each in order if each.event == event]
        record = records[names[seen[0].id]]
        best = max(seen, key=lambda one: rank(one.reader))
        assert isinstance(record, Bolus)
        assert {names[one.id] for one in seen} == {seen[0].id}
        assert (record.time, record.delivered_u) == (seen[0].time, best.delivered_u)


@settings(max_examples=25, deadline=None)
@given(sightings(), st.data())
def test_whole_reads_in_any_order_pair_the_same_rows(
    journal: SqliteJournal, told: list[Told], data: st.DataObject
) -> None:
    """Also where rows stand close: one reader's window is one set, whichever of two comes first."""
    rows = [
        bolus(0.2 * each.event, each.record.delivered_u, each.record.reader, key=f"{each.event}") for each in told
    ]
    cloud, pump = ([row for row in rows if row.reader == reader] for reader in (CLOUD, USB))
    shuffled = data.draw(st.permutations(cloud)), data.draw(st.permutations(pump))
    pairs = [asyncio.run(_pairs_after(journal, reads)) for reads in ([cloud, pump], [pump, cloud], shuffled)]
    assert pairs[0] == pairs[1] == pairs[2]


async def _pairs_after(journal: SqliteJournal, reads: Sequence[Sequence[Bolus]]) -> set[frozenset[str]]:
    profile, keys = fresh(), dict[str, str]()
    for read in reads:
        rows = [of(profile, row) for row in read]
        keys.update({row.id: f"{row.reader} {row.source_key}" for row in rows})
        await journal.append(batch(*rows, reader=rows[0].reader if rows else CLOUD, profile=profile))
    return {frozenset(keys[name] for name in pair) for pair in (await journal.aliases(profile)).items()}


# --- one finger-stick ---------------------------------------------------------------------------------

OF_THE_METER, OF_THE_PUMP = -25, 54
"""Seconds that a clock is off; each reader corrects it by its own reckoning."""


def sticks() -> list[MeterGlucose]:
    """One test, as the meter tells it in two ways, the pump that it told in two, the cloud, and an export file."""
    wall = NOW.replace(tzinfo=None)
    of_meter, of_pump = wall + timedelta(seconds=OF_THE_METER), wall + timedelta(seconds=OF_THE_PUMP)
    return [
        meter(-25 / 60, 126, "ble-glucose", device_time=of_meter, meal="after"),
        meter(-20 / 60, 126, "contour-usb", device_time=of_meter, meal="after"),
        meter(0, 126, USB, device=PUMP, entry="linked", device_time=of_pump),
        meter(4 / 60, 126, "minimed-ble", device=PUMP, entry="linked", device_time=of_pump),
        meter(2 / 60, 126, CLOUD, device=PUMP, device_time=of_pump),
        meter(0, 126, FILE, device=PUMP, entry="linked", device_time=of_pump),
    ]


@pytest.mark.proof
def test_a_finger_stick_of_six_tellers_is_one_record_with_the_meters_body(journal: SqliteJournal) -> None:
    """All 720 orders, in short a tenth of them."""
    seed, orders = Random().randrange(2**32), list(permutations(sticks()))
    if os.environ.get("GLUCOBRIDGE_PROOF") != "long":
        orders = Random(seed).sample(orders, 72)
    print(f"seed {seed}: {len(orders)} orders")
    for order in orders:
        asyncio.run(_check_one_stick(journal, fresh(), order))


async def _check_one_stick(journal: SqliteJournal, profile: str, order: Sequence[MeterGlucose]) -> None:
    for each in order:
        own = record_id(profile, f"feed of {each.reader}", each.kind, each.source_key)
        await journal.append(batch(each.model_copy(update={"profile": profile, "id": own}), profile=profile))
    names = [each.reader for each in order]
    (record,) = await kept(journal, profile)
    assert isinstance(record, MeterGlucose)
    assert (record.time, record.entry, record.meal, record.device.serial) == (
        order[0].time, "meter", "after", METER.serial
    ), names  # fmt: skip
    assert record.reader in {"ble-glucose", "contour-usb"}, names


# --- counts ----------------------------------------------------------------------------------------

STEP = st.one_of(
    st.tuples(st.just("append"), st.lists(st.tuples(st.integers(0, 5), st.integers(100, 102)), max_size=4)),
    st.tuples(st.just("match"), st.lists(st.integers(0, 5), max_size=3)),
    st.tuples(st.just("due"), st.integers(0, 4)),
    st.tuples(st.just("settle"), st.tuples(st.sets(st.integers(0, 5)), st.sampled_from(sorted(DeliveryState)))),
    st.tuples(st.sampled_from(["release", "requeue", "drop", "register"]), st.sets(st.integers(0, 5))),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(STEP, max_size=12))
def test_counts_always_equal_what_stands_in_the_ledger(journal: SqliteJournal, steps: list[tuple[str, Any]]) -> None:
    asyncio.run(_check_counts(journal, steps))


async def _check_counts(journal: SqliteJournal, steps: list[tuple[str, Any]]) -> None:
    ledger = Destination(fresh(), "nightscout")
    await journal.register([ledger])
    for number, (name, detail) in enumerate(steps):
        await _step(journal, ledger, name, detail, number)
        ((one,), ids) = await journal.destinations(), [record.id for record in await kept(journal, ledger.profile)]
        states = list((await journal.states(ledger, ids)).values())
        assert len(states) == len(ids)
        assert one.counts == {which: states.count(which) for which in DeliveryState}


async def _step(journal: SqliteJournal, ledger: Destination, name: str, detail: Any, number: int) -> None:
    match name:
        case "append":
            rows = [glucose(minutes, mgdl, key=f"{minutes}", profile=ledger.profile) for minutes, mgdl in detail]
            await journal.append(batch(*rows, profile=ledger.profile))
        case "match":
            rows = [glucose(minutes, 101, USB, profile=ledger.profile) for minutes in detail]
            await journal.append(batch(*rows, profile=ledger.profile))
        case "due":
            await journal.due(ledger, NOW, detail, 60)
        case "settle" if detail[1] is not DeliveryState.LEASED:
            settled = {_id(ledger, each): Settled(detail[1], revision=1 + number % 3) for each in detail[0]}
            await journal.settle(ledger, Settlement(settled))
        case "release":
            await journal.release(ledger)
        case "requeue":
            await journal.requeue(ledger, [_id(ledger, each) for each in detail])
        case "drop":
            await journal.drop(ledger, [_id(ledger, each) for each in detail])
        case "register":
            await journal.register([])
            await journal.register([ledger])


def _id(ledger: Destination, minutes: int) -> str:
    return glucose(minutes, key=f"{minutes}", profile=ledger.profile).id
