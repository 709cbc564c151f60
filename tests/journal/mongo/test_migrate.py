"""An embedded journal and its copy say the same."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.contracts import DeliveryState, Destination, Interval, Journal, Settled, Settlement, Sighting, StoredItem
from bridge.errors import JournalUnusable, Transient
from bridge.journal import SqliteJournal, open_journal
from bridge.journal.migrate import migrate
from bridge.journal.mongo import captures, receiving
from bridge.model import Record
from bridge.model.health import Health, State
from tests.contracts.journal_backends import MaskingSealer
from tests.contracts.journal_records import (
    CLOUD,
    NIGHTSCOUT,
    NOW,
    TIDEPOOL,
    USB,
    accepted,
    alarm,
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
from tests.contracts.test_journal_uploads import upload
from tests.journal.mongo.conftest import Opener
from tests.support.clock import FakeClock

OTHER = Destination("p2", "nightscout")
ALL: Sequence[Destination] = (NIGHTSCOUT, TIDEPOOL, OTHER)
EVER = Interval(NOW - timedelta(days=99), NOW + timedelta(days=99))


async def filled(path: Path, clock: FakeClock, sealer: MaskingSealer | None = None) -> SqliteJournal:
    """A journal in which every table holds something."""
    journal = await open_journal(path, clock=clock, sealer=sealer)
    await journal.register([*ALL, Destination("p1", "gone")])
    await journal.register(ALL)
    await journal.adopt("p1", [StoredItem("there", "/x", "there", "bolus", at(900), 2.0), StoredItem("y", "/", "y")])
    meal = carbs(0, 30)
    rows: list[Record] = [glucose(-5 * number) for number in range(700)]
    rows += [meal, bolus(0, 2, carbs_id=meal.id), basal(-60), alarm(), status(-5)]
    sightings = {"SG 1": Sighting(at(), "SG:1")}
    await journal.append(batch(*rows, covered=(-60, 0), sightings=sightings, state={"offset": 60}, raw=capture()))
    await journal.append(batch(bolus(0.2, 2.01, USB), covered=(5, 9), raw=capture(1, b"device" * 99, USB)))
    await journal.append(batch(glucose(profile="p2"), profile="p2", raw=capture(2, b"two", CLOUD, "p2")))
    leased = [due.record for due in await journal.due(NIGHTSCOUT, NOW, 6, 60)]
    await journal.settle(
        NIGHTSCOUT, accepted(*leased[:2], documents=[document(leased[0], slot="sgv|1", server_id="z")])
    )
    bad = Settled(DeliveryState.QUARANTINED, "refused", revision=1)
    await journal.settle(NIGHTSCOUT, Settlement({leased[2].id: bad, leased[3].id: Settled(DeliveryState.WITHHELD)}))
    await journal.report(NIGHTSCOUT, Health(State.UNREACHABLE, "No answer."), {"route": "v3"})
    await journal.note_upload(upload())
    return journal


async def told(journal: Journal) -> list[Any]:
    """All that the contract shows."""
    everything: list[Any] = [await journal.readers(), await journal.destinations(), await journal.uploads()]
    for profile in ("p1", "p2"):
        everything += [[each async for each in journal.records(profile)], await journal.aliases(profile)]
        everything += [await journal.captures(profile), await journal.quarantine(profile)]
        everything += [await journal.memory(profile, reader) for reader in (CLOUD, USB)]
    for ledger in ALL:
        ids = [each.id async for each in journal.records(ledger.profile)]
        everything += [await journal.states(ledger, ids), await journal.inventory(ledger, EVER)]
        everything += [await journal.recall(ledger), await journal.slots(ledger, ["sgv|1"])]
    everything.append(await journal.context("p1", [bolus(0.2, 2.01, USB)]))
    return everything


async def moves(journal: Journal) -> list[Any]:
    """What it does from there on."""
    done: list[Any] = [
        [due.record.id for due in await journal.due(NIGHTSCOUT, at(minutes), 9, 9)] for minutes in (0, 2)
    ]
    done.append(list((await journal.append(batch(bolus(900, 2.0)))).new))
    done.append(list((await journal.append(batch(glucose(0, 140), glucose(5)))).revised))
    return [*done, await journal.compact(NOW + timedelta(days=39)), *await told(journal)]


async def test_the_copy_says_and_does_the_same(opened: Opener, tmp_path: Path, clock: FakeClock) -> None:
    source, target = await filled(tmp_path / "journal.db", clock), await opened()
    done = await migrate(source, target)
    assert (done.counts["records"], done.counts["captures"], len(done.digest)) == (706, 3, 32)
    assert min(done.counts.values()) > 0
    assert await told(target) == await told(source)
    assert await moves(target) == await moves(source)
    await source.close()


async def test_what_is_done_is_not_done_again(opened: Opener, tmp_path: Path, clock: FakeClock) -> None:
    source, target = await filled(tmp_path / "journal.db", clock), await opened()
    done = await migrate(source, target)
    await target.settle(NIGHTSCOUT, accepted(glucose(-3000)))
    after = await told(target)
    assert await migrate(source, target) == done
    assert await told(target) == after
    await source.close()


async def test_an_interrupted_copy_goes_on(
    opened: Opener, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = await filled(tmp_path / "journal.db", clock), await opened()
    seed, copied, left = random.randrange(1 << 32), list[str](), 0
    print(f"seed {seed}")
    receive = receiving.receive

    async def failing(db: Any, name: str, docs: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise Transient("The network is away.")
        copied.append(name)
        await receive(db, name, docs)

    monkeypatch.setattr(receiving, "receive", failing)
    left = random.Random(seed).randint(2, 9)
    with pytest.raises(Transient):
        await migrate(source, target)
    whole = copied[:-1]
    await source.append(batch(glucose(15), covered=(9, 15)))
    await migrate(source, target)
    assert await told(target) == await told(source)
    assert copied.count("revisions") <= 1 + ("revisions" not in whole)
    await source.close()


async def test_a_copy_that_came_out_different_is_refused(
    opened: Opener, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = await filled(tmp_path / "journal.db", clock), await opened()
    receive = receiving.receive

    async def losing(db: Any, name: str, docs: Any) -> None:
        await receive(db, name, docs[1:] if name == "deliveries" else docs)

    monkeypatch.setattr(receiving, "receive", losing)
    with pytest.raises(JournalUnusable, match="deliveries"):
        await migrate(source, target)
    await source.close()


async def test_a_journal_in_use_is_not_written_over(opened: Opener, tmp_path: Path, clock: FakeClock) -> None:
    source, target = await filled(tmp_path / "journal.db", clock), await opened()
    await target.append(batch(glucose()))
    with pytest.raises(JournalUnusable, match="holds data"):
        await migrate(source, target)
    await source.close()


@pytest.mark.parametrize("sealed", [True, False])
async def test_captures_arrive_sealed_and_whole(
    opened: Opener, tmp_path: Path, clock: FakeClock, sealed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captures, "LARGE_BYTES", 100)
    monkeypatch.setattr(receiving, "LARGE_BYTES", 100)
    source = await filled(tmp_path / "journal.db", clock, MaskingSealer() if sealed else None)
    await source.append(batch(reader=USB, raw=capture(3, random.Random(1).randbytes(5000), USB)))
    target = await opened(sealer=MaskingSealer())
    assert (await migrate(source, target)).counts["captures"] == 4
    assert await target.captures("p1") == await source.captures("p1")
    assert await target.db["captures"].count_documents({"sealed": False}) == 0
    assert await target.db["captures"].count_documents({"file": {"$exists": True}}) > 0
    await source.close()
