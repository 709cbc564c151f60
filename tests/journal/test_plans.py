"""No statement walks over a whole big table: a journal of years answers like a new one."""

from __future__ import annotations

import os
import random
import re
import sqlite3
import time
from datetime import timedelta
from pathlib import Path

import pytest

from bridge.contracts import DeliveryState, Destination, Interval, Settled, Settlement, StoredItem
from bridge.journal import SqliteJournal, open_journal
from tests.contracts.journal_records import (
    CLOUD,
    NIGHTSCOUT,
    NOW,
    TIDEPOOL,
    USB,
    accepted,
    at,
    batch,
    bolus,
    capture,
    carbs,
    document,
    glucose,
)
from tests.support.clock import FakeClock

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
BIG = "records|deliveries|documents|aliases|links|revisions|sightings|adopted"
FEW = "deliveries_quarantined"
"""An index that holds only what a person must look at."""
WHOLE_BY_NATURE = ("INSERT OR IGNORE INTO deliveries", "DELETE FROM adopted WHERE seen_ms")
"""A new ledger gets every record; adopted identifiers are few and expire once a day."""


async def use_everything(journal: SqliteJournal) -> None:
    """Walk every path of the journal once."""
    await journal.register([NIGHTSCOUT, TIDEPOOL])
    await journal.adopt("p1", [StoredItem("k", "p", "there", "bolus", at(60), 2.0)])
    await journal.append(batch(carbs(), bolus(carbs_id=carbs().id), glucose(key="a"), covered=(0, 5), raw=capture()))
    await journal.append(
        batch(glucose(key="a", mgdl=130), bolus(0.1, reader=USB), bolus(60.2), glucose(1, reader=USB))
    )
    await journal.append(batch(bolus(90, 1)))
    await journal.append(batch(bolus(90, 3, USB)))
    await journal.append(batch(bolus(90, 3)))
    due = [each.record for each in await journal.due(NIGHTSCOUT, NOW, 10, 60)]
    await journal.context("p1", due)
    await journal.context("p1", [bolus(0.1, reader=USB)])
    await journal.settle(NIGHTSCOUT, accepted(*due, documents=[document(each, slot=each.id) for each in due]))
    await journal.settle(TIDEPOOL, Settlement({due[0].id: Settled(DeliveryState.QUARANTINED, "x", revision=9)}))
    ids = [each.id for each in due]
    await journal.ledger(NIGHTSCOUT, ids)
    await journal.states(NIGHTSCOUT, ids)
    await journal.slots(NIGHTSCOUT, ids)
    await journal.newest_accepted(NIGHTSCOUT, "bolus")
    await journal.inventory(NIGHTSCOUT, Interval(at(-9), at(9)))
    await journal.quarantine()
    await journal.drop(TIDEPOOL, ids)
    await journal.requeue(NIGHTSCOUT, ids)
    await journal.release(NIGHTSCOUT)
    await journal.destinations()
    await journal.readers()
    await journal.memory("p1", CLOUD)
    await journal.missing("p1", CLOUD, Interval(at(-9), at(9)))
    await journal.captures("p1")
    await journal.aliases("p1")
    _ = [each async for each in journal.records("p1", None, ["bolus", "carbs"])]
    await journal.compact(NOW)


async def test_no_statement_scans_a_big_table(tmp_path: Path) -> None:
    journal = await open_journal(tmp_path / "journal.db", clock=FakeClock(NOW))
    statements = list[str]()
    journal._db.set_trace_callback(statements.append)
    await use_everything(journal)
    journal._db.set_trace_callback(None)
    scans = {statement: _scans(journal._db, statement) for statement in set(statements)}
    await journal.close()
    assert len(scans) > 60
    assert {text: found for text, found in scans.items() if found and not text.startswith(WHOLE_BY_NATURE)} == {}


def _scans(db: sqlite3.Connection, statement: str) -> list[str]:
    if statement.startswith(("BEGIN", "COMMIT", "PRAGMA", "--")):
        return []
    aliases = {name for _, name in re.findall(rf"\b({BIG})\s+(?:AS\s+)?([a-z])\b", statement)}
    plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}") if FEW not in row[3]]
    scanned = [match[1] for step in plan if (match := re.match(r"SCAN (\w+)", step))]
    return [name for name in scanned if name in BIG.split("|") or name in aliases]


@pytest.mark.proof
async def test_a_journal_of_years_answers_like_a_new_one(tmp_path: Path) -> None:
    """20,000 records here, a million in the long run."""
    number, seed = (1_000_000 if LONG else 20_000), random.randrange(1 << 32)
    print(f"seed {seed}, {number} records")
    journal = await open_journal(tmp_path / "journal.db", clock=FakeClock(NOW))
    ledger = Destination("p1", "nightscout")
    await journal.register([ledger])
    for first in range(0, number, 4000):
        await journal.append(batch(*(glucose(-5 * n - 5) for n in range(first, first + 4000))))
    middle = -5 * random.Random(seed).randrange(number)
    took = {
        "append": await _took(journal.append(batch(glucose(0)))),
        "due": await _took(journal.due(ledger, NOW, 100, 60)),
        "context": await _took(journal.context("p1", [glucose(middle)])),
        "destinations": await _took(journal.destinations()),
        "newest": await _took(journal.newest_accepted(ledger, "pump_status")),
        "inventory": await _took(journal.inventory(ledger, Interval(NOW - timedelta(days=1), NOW))),
        "states": await _took(journal.states(ledger, [glucose(middle).id])),
    }
    print({name: f"{1000 * each:.1f} ms" for name, each in took.items()})
    await journal.close()
    assert max(took.values()) < 2  # a full scan of a million takes longer


async def _took(work: object) -> float:
    started = time.perf_counter()
    await work  # type: ignore[misc]
    return time.perf_counter() - started
