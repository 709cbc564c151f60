"""No round of a reader or deliverer looks through a whole collection."""

from __future__ import annotations

from typing import Any

from bridge.contracts import Interval, Settled, Settlement, Sighting, StoredItem
from bridge.contracts.journal import DeliveryState
from bridge.journal.mongo.connection import APP
from bridge.journal.mongo.journal import MongoJournal
from bridge.model import Record
from bridge.model.health import Health
from tests.contracts.journal_records import (
    CLOUD,
    NIGHTSCOUT,
    NOW,
    TIDEPOOL,
    USB,
    accepted,
    at,
    basal,
    batch,
    bolus,
    capture,
    carbs,
    document,
    glucose,
    status,
)

ASKED = {"planSummary": {"$exists": True}, "appName": {"$regex": f"^{APP}"}}
"""By us: the nodes of the set ask each other, too."""


async def test_every_question_of_a_round_finds_its_key(journal: MongoJournal) -> None:
    await journal.register([NIGHTSCOUT, TIDEPOOL])
    await journal.adopt("p1", [StoredItem("x", "/x", "x", "bolus", at(), 2.0)])
    await journal.db.command("profile", 2)
    try:
        await _round(journal)
    finally:
        await journal.db.command("profile", 0)
    told = await journal.db["system.profile"].find(ASKED).to_list()
    await journal.db.drop_collection("system.profile")
    assert len(told) > 40
    assert [_shown(each) for each in told if "COLLSCAN" in each["planSummary"]] == []
    assert [_shown(each) for each in told if each.get("docsExamined", 0) > 2 * each.get("nreturned", 0) + 30] == []


def _shown(row: dict[str, Any]) -> tuple[str, str, Any]:
    return row["ns"], row["planSummary"], row["command"]


async def _round(journal: MongoJournal) -> None:
    rows: list[Record] = [glucose(-5 * number) for number in range(300)]
    meal = carbs(-3, 30, CLOUD)
    rows += [meal, bolus(-3, 3, carbs_id=meal.id), basal(-60), status(-1)]
    sightings = {f"{number}": Sighting(at(), "x") for number in range(5)}
    await journal.append(batch(*rows, reader=CLOUD, covered=(-1500, 0), raw=capture(), sightings=sightings))
    await journal.append(batch(*rows[:20], glucose(0, 90), reader=CLOUD, covered=(-1500, 5), raw=capture(5)))
    await journal.append(batch(bolus(-3, 3.01, USB), carbs(-3, 30.1, USB), reader=USB, raw=capture(1, b"x", USB)))
    due = await journal.due(NIGHTSCOUT, NOW, 20, 60)
    records = [each.record for each in due]
    ids = [each.id for each in records]
    await journal.context("p1", [*records, meal])
    await journal.ledger(NIGHTSCOUT, ids)
    await journal.slots(NIGHTSCOUT, ["sgv|1"])
    await journal.newest_accepted(NIGHTSCOUT, "pump_status")
    await journal.states(NIGHTSCOUT, ids)
    documents = [document(each, slot=f"sgv|{each.id}") for each in records]
    await journal.settle(NIGHTSCOUT, accepted(*records, documents=documents))
    bad = {ids[0]: Settled(DeliveryState.QUARANTINED, "no", revision=9)}
    await journal.settle(TIDEPOOL, Settlement(bad, removed=[documents[0].key]))
    await journal.report(NIGHTSCOUT, Health())
    await journal.recall(NIGHTSCOUT)
    await journal.quarantine("p1")
    await journal.unhold("p1", Interval(at(-60), at()))
    await journal.inventory(NIGHTSCOUT, Interval(at(-60), at()))
    await journal.memory("p1", CLOUD)
    await journal.missing("p1", CLOUD, Interval(at(-60), at()))
    await journal.captures("p1", CLOUD)
    async for _ in journal.records("p1", Interval(at(-60), at())):
        pass
