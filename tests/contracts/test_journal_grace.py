"""What waits for a verified upload: held, mirrored after its grace, and at once when the upload is verified."""

from __future__ import annotations

from dataclasses import replace

from bridge.contracts import DeliveryState, Grace, Interval, Journal
from tests.contracts.journal_records import NIGHTSCOUT, TIDEPOOL, at, batch, glucose
from tests.contracts.test_journal import clock, count, journal, leased, opener, state  # noqa: F401 - fixtures

WITHHELD, PENDING = DeliveryState.WITHHELD, DeliveryState.PENDING
GRACE = Grace(until=at(15), fresh_since=at(-15), fresh_until=at(1))
OLD, FRESH = glucose(-60), glucose(-5)


async def held(journal: Journal) -> None:  # noqa: F811
    await journal.append(replace(batch(OLD, FRESH), grace=GRACE))


async def test_records_wait_for_their_upload_and_are_counted(journal: Journal) -> None:  # noqa: F811
    await held(journal)
    assert [await state(journal, each) for each in (OLD, FRESH)] == [WITHHELD, WITHHELD]
    assert await count(journal, WITHHELD) == 2
    assert await count(journal, WITHHELD, TIDEPOOL) == 2
    assert await count(journal, PENDING) == 0
    assert await leased(journal) == []


async def test_a_fresh_record_waits_a_minute_and_history_its_grace(journal: Journal) -> None:  # noqa: F811
    await held(journal)
    assert await leased(journal, minutes=1) == [FRESH.id]
    assert await leased(journal, minutes=14) == [FRESH.id]  # leased again: its first lease ran out
    assert set(await leased(journal, minutes=16)) == {FRESH.id, OLD.id}


async def test_a_verified_upload_lets_its_window_go(journal: Journal) -> None:  # noqa: F811
    await held(journal)
    assert await journal.unhold("p1", Interval(at(-70), at(-50))) == 2
    assert [await state(journal, each) for each in (OLD, FRESH)] == [PENDING, WITHHELD]
    assert await count(journal, WITHHELD) == 1
    assert await count(journal, PENDING) == 1
    assert await leased(journal) == [OLD.id]
    assert await journal.unhold("p2", Interval(at(-700), at(500))) == 0
    assert NIGHTSCOUT.profile == "p1"


async def test_late_verification_sends_nothing_again(journal: Journal) -> None:  # noqa: F811
    await held(journal)
    await leased(journal, minutes=16)
    assert await journal.unhold("p1", Interval(at(-700), at(500))) == 2  # the two at Tidepool, still held there
    assert await journal.unhold("p1", Interval(at(-700), at(500))) == 0
