"""Whatever is done to an embedded journal and to this one, both say the same afterwards."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from bridge.contracts import DeliveryState, Interval, Journal, Settled, Settlement
from bridge.journal import open_journal
from bridge.model import Record
from tests.contracts.journal_records import (
    CLOUD,
    FILE,
    NIGHTSCOUT,
    TIDEPOOL,
    USB,
    at,
    batch,
    bolus,
    carbs,
    document,
    glucose,
)
from tests.journal.mongo.conftest import Opener
from tests.support.clock import FakeClock

STEPS = 40
SETTLED = [state for state in DeliveryState if state is not DeliveryState.LEASED]


@pytest.mark.parametrize("example", range(4))
async def test_both_journals_stay_alike(opened: Opener, tmp_path: Path, clock: FakeClock, example: int) -> None:
    seed = random.randrange(1 << 32)
    print(f"example {example}, seed {seed}")
    journals: list[Journal] = [await open_journal(tmp_path / "journal.db", clock=clock), await opened()]
    for each in journals:
        await each.register([NIGHTSCOUT, TIDEPOOL])
    for step in range(STEPS):
        clock.advance(1)
        answers = [await _step(each, random.Random(f"{seed} {step}")) for each in journals]
        assert answers[0] == answers[1]
    shown = [await _whole(each) for each in journals]
    assert shown[0] == shown[1]
    await journals[0].close()


async def _step(journal: Journal, chance: random.Random) -> Any:
    ledger = chance.choice([NIGHTSCOUT, TIDEPOOL])
    ids = [each.id for each in _rows(chance, 6)] + sorted((await journal.aliases("p1")).values())
    match chance.choice(["append"] * 5 + ["due", "settle", "settle", "requeue", "drop", "release", "unhold"]):
        case "append":
            rows = _rows(chance, 5)
            done = await journal.append(batch(*rows, reader=rows[0].reader, covered=(-30, chance.randint(-5, 20))))
            return sorted(done.new), sorted(done.revised), done.known
        case "due":
            return [
                (each.record, each.attempts) for each in await journal.due(ledger, at(chance.randint(0, 5)), 4, 60)
            ]
        case "settle":
            settled = {name: Settled(chance.choice(SETTLED), "why", at(2), chance.randint(1, 3)) for name in ids}
            rows = _rows(chance, 2)
            documents = {each.id: document(each, slot=f"slot {each.id}") for each in rows}
            return await journal.settle(ledger, Settlement(settled, list(documents.values()), ids[:1]))
        case "requeue":
            return await journal.requeue(ledger, ids)
        case "drop":
            return await journal.drop(ledger, ids)
        case "release":
            return await journal.release(ledger)
        case _:
            return await journal.unhold("p1", Interval(at(-3), at(3)))


def _rows(chance: random.Random, most: int) -> list[Record]:
    """Sightings of a few events by one of three sources, seconds and thousandths apart, that change their mind."""
    reader, rows = chance.choice([CLOUD, FILE, USB]), list[Record]()
    apart = [0, 1, 2][[CLOUD, FILE, USB].index(reader)] / 6000  # which of two at one instant is due first is not said
    for _ in range(chance.randint(1, most)):
        event, shift = chance.randint(-2, 2), chance.randint(-15, 15) / 60
        key = f"{event}"
        meal = carbs(2 * event + apart, 30, reader, key)
        units, mgdl = chance.choice([2.0, 2.01, 3.0]), chance.choice([120, 121, 130])
        shot = bolus(2 * event + shift + apart + 1 / 1000, units, reader, key, carbs_id=meal.id)
        either: list[Record] = [meal, shot, glucose(5 * event + shift + apart + 2 / 1000, mgdl, reader, key)]
        rows.append(chance.choice(either))
    return rows


async def _whole(journal: Journal) -> list[Any]:
    records = [each async for each in journal.records("p1")]
    ids = [each.id for each in records]
    whole: list[Any] = [records, await journal.aliases("p1"), await journal.readers(), await journal.destinations()]
    for ledger in (NIGHTSCOUT, TIDEPOOL):
        whole += [await journal.states(ledger, ids), sorted(map(str, await journal.ledger(ledger, ids)))]
        whole += [await journal.inventory(ledger, Interval(at(-999), at(999)))]
    return [*whole, await journal.quarantine(), await journal.context("p1", records[:2])]
