"""What a write must know is read before its transaction; when somebody writes in between, it is read again inside."""

from __future__ import annotations

import pytest

from bridge.contracts import DeliveryState, Settled, Settlement
from bridge.journal.mongo.journal import MongoJournal
from bridge.journal.mongo.visiting import Answers, Ask
from bridge.model import Record
from tests.contracts.journal_records import (
    CLOUD,
    NIGHTSCOUT,
    TIDEPOOL,
    accepted,
    batch,
    bolus,
    document,
    glucose,
)
from tests.journal.mongo.conftest import Opener


class Meddling:
    """Reads ahead as the journal does, after which somebody else writes, once."""

    def __init__(self, journal: MongoJournal, other: MongoJournal, *records: Record) -> None:
        self._ahead, self._other, self._records = journal._ahead, other, records

    async def __call__(self, profile: str, asks: tuple[Ask | None, ...]) -> tuple[str | None, Answers]:
        found = await self._ahead(profile, asks)
        records, self._records = self._records, ()
        if records:
            await self._other.append(batch(*records, reader=CLOUD))
        return found


@pytest.fixture
async def pair(opened: Opener) -> tuple[MongoJournal, MongoJournal]:
    first = await opened()
    await first.register([NIGHTSCOUT, TIDEPOOL])
    return first, await opened()


async def test_an_append_sees_what_came_between(
    pair: tuple[MongoJournal, MongoJournal], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, other = pair
    monkeypatch.setattr(journal, "_ahead", Meddling(journal, other, glucose(0), bolus(5)))
    appended = await journal.append(batch(glucose(0), bolus(5), glucose(5), reader=CLOUD))
    assert list(appended.new) == [glucose(5).id]
    assert appended.known == 2
    assert await journal.db["records"].count_documents({}) == 3
    assert await journal.db["deliveries"].count_documents({}) == 6


async def test_a_settlement_sees_what_came_between(
    pair: tuple[MongoJournal, MongoJournal], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, other = pair
    await journal.append(batch(bolus(0, 1, CLOUD, "a"), reader=CLOUD))
    grown = bolus(0, 2, CLOUD, "a")
    monkeypatch.setattr(journal, "_ahead", Meddling(journal, other, grown))
    await journal.settle(NIGHTSCOUT, accepted(grown, documents=[document(grown)]))
    assert await journal.states(NIGHTSCOUT, [grown.id]) == {grown.id: DeliveryState.PENDING}
    monkeypatch.undo()
    done = Settlement(
        {grown.id: Settled(DeliveryState.ACCEPTED, revision=2)}, [document(grown, content_hash="1" * 32)]
    )
    await journal.settle(NIGHTSCOUT, done)
    assert [each.content_hash for each in await journal.ledger(NIGHTSCOUT, [grown.id])] == ["1" * 32]
    assert await journal.states(NIGHTSCOUT, [grown.id]) == {grown.id: DeliveryState.ACCEPTED}


async def test_undisturbed_nothing_is_looked_up_inside_a_settlement(
    pair: tuple[MongoJournal, MongoJournal],
) -> None:
    journal, _ = pair
    await journal.append(batch(glucose(0), reader=CLOUD))
    await journal.db.command("profile", 2)
    await journal.settle(NIGHTSCOUT, accepted(glucose(0), documents=[document(glucose(0))]))
    await journal.db.command("profile", 0)
    inside = {"command.txnNumber": {"$exists": True}, "command.find": {"$exists": True}}
    assert await journal.db["system.profile"].count_documents(inside) == 0
    assert await journal.db["system.profile"].count_documents({"command.aggregate": "profiles"}) == 1
    await journal.db.drop_collection("system.profile")
