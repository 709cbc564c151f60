"""Saved databases, one of each schema version: `python -m tests.journal.saved_versions` writes the newest one.

A saved version is never written again once its schema is released.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from bridge.contracts import DeliveryState, Journal, Settled, Settlement, Sighting
from bridge.journal import open_journal
from bridge.journal.sqlite.migration import APPLICATION_ID, schema_files
from bridge.model.health import Health, State
from tests.contracts.journal_records import (
    CLOUD,
    NIGHTSCOUT,
    NOW,
    TIDEPOOL,
    USB,
    at,
    batch,
    bolus,
    capture,
    carbs,
    document,
    glucose,
)
from tests.support.clock import FakeClock

SAVED = Path(__file__).parent / "saved"


async def fill(journal: Journal) -> None:
    """A bit of everything that a journal can hold."""
    await journal.register([NIGHTSCOUT, TIDEPOOL])
    meal, shot = carbs(0, 30), bolus(0, 2, carbs_id=carbs(0, 30).id)
    read = batch(
        glucose(-5), glucose(0), meal, shot, covered=(-60, 0), sightings={"SG 1": Sighting(NOW, "SG:1")},
        state={"offset": 60}, raw=capture(0, b"answer"),
    )  # fmt: skip
    await journal.append(read)
    await journal.append(batch(bolus(0.2, 2.01, USB), glucose(-4.5, 121, USB), raw=capture(1, b"read", USB)))
    settled = {
        meal.id: Settled(DeliveryState.ACCEPTED, revision=1),
        glucose(0).id: Settled(DeliveryState.QUARANTINED, "refused", revision=1),
        shot.id: Settled(DeliveryState.PENDING, "503", at(9)),
    }
    await journal.settle(NIGHTSCOUT, Settlement(settled, [document(meal, slot="Carb Correction|1")]))
    await journal.report(NIGHTSCOUT, Health(State.UNREACHABLE, "No answer."), {"route": "v3"})


async def told(journal: Journal) -> list[object]:
    """What the faces show of it."""
    return [
        [record async for record in journal.records("p1")], await journal.aliases("p1"), await journal.readers(),
        await journal.destinations(), await journal.quarantine(), await journal.captures("p1"),
        await journal.memory("p1", CLOUD), await journal.recall(NIGHTSCOUT),
        await journal.ledger(NIGHTSCOUT, [carbs(0, 30).id]), await journal.context("p1", [carbs(0, 30)]),
    ]  # fmt: skip


def restore(version: int, path: Path) -> None:
    """Make the saved database of that version at `path`."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript((SAVED / f"version_{version}.sql").read_text("utf-8"))
        db.execute(f"PRAGMA user_version = {version}")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")


async def _made(path: Path) -> None:
    journal = await open_journal(path, clock=FakeClock(NOW))
    await fill(journal)
    await journal.close()


def save() -> None:
    """Write the newest version's dump."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        asyncio.run(_made(path))
        with closing(sqlite3.connect(path)) as db:
            dump = "\n".join(db.iterdump())
    (SAVED / f"version_{max(schema_files())}.sql").write_text(dump + "\n", "utf-8")


if __name__ == "__main__":
    save()
