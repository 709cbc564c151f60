"""What every journal keeps, whatever it stores in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bridge.contracts import (
    Batch,
    DeliveryState,
    Destination,
    Interval,
    Journal,
    Settled,
    Settlement,
    Sighting,
    StoredItem,
)
from bridge.errors import BridgeError, ContractViolation, VaultLocked
from bridge.journal import Retention
from bridge.model import Record
from bridge.model.health import Health, State
from tests.contracts.journal_backends import BACKENDS, MaskingSealer, Opener
from tests.contracts.journal_records import (
    CLOUD,
    FILE,
    NIGHTSCOUT,
    NOW,
    OFFSET,
    TIDEPOOL,
    USB,
    accepted,
    alarm,
    at,
    basal,
    batch,
    bolus,
    calculation,
    capture,
    carbs,
    document,
    dose,
    glucose,
    meter,
    status,
)
from tests.support.clock import FakeClock

PENDING, LEASED, ACCEPTED = DeliveryState.PENDING, DeliveryState.LEASED, DeliveryState.ACCEPTED
QUARANTINED, REMOVED = DeliveryState.QUARANTINED, DeliveryState.REMOVED_THERE


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture(params=sorted(BACKENDS))
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    return BACKENDS[request.param](tmp_path)


@pytest.fixture
async def journal(opener: Opener, clock: FakeClock) -> AsyncIterator[Journal]:
    opened = await opener(clock=clock)
    await opened.register([NIGHTSCOUT, TIDEPOOL])
    yield opened
    await opened.close()


async def everything(journal: Journal, profile: str = "p1") -> list[Record]:
    return [record async for record in journal.records(profile)]


async def state(journal: Journal, record: Record, destination: Destination = NIGHTSCOUT) -> DeliveryState:
    return (await journal.states(destination, [record.id]))[record.id]


async def leased(journal: Journal, limit: int = 100, minutes: float = 0) -> list[str]:
    return [due.record.id for due in await journal.due(NIGHTSCOUT, at(minutes), limit, 60)]


async def count(journal: Journal, which: DeliveryState, destination: Destination = NIGHTSCOUT) -> int:
    (one,) = [each for each in await journal.destinations() if each.destination == destination]
    return one.counts[which]


# --- append ----------------------------------------------------------------------------------------


async def test_a_record_and_its_deliveries_are_there_after_one_append(journal: Journal) -> None:
    done = await journal.append(batch(glucose()))
    assert (done.new, done.revised, done.known) == ([glucose().id], [], 0)
    assert await everything(journal) == [glucose()]
    assert [await state(journal, glucose(), each) for each in (NIGHTSCOUT, TIDEPOOL)] == [PENDING, PENDING]


async def test_appending_twice_changes_nothing(journal: Journal) -> None:
    records = [glucose(), bolus(carbs_id=carbs().id), carbs(), dose(), alarm(), status(), basal(-60), meter()]
    told = batch(
        *records, reader=CLOUD, covered=(-60, 0), raw=capture(), state={"offset": 60},
        sightings={"SG 1": Sighting(at(), "SG:1")},
    )  # fmt: skip
    await journal.append(told)
    await journal.settle(NIGHTSCOUT, accepted(*records))

    async def whole() -> list[object]:
        return [
            await everything(journal), await journal.readers(), await journal.destinations(), await journal.aliases("p1"),
            await journal.captures("p1"), await journal.memory("p1", CLOUD),
        ]  # fmt: skip

    before = await whole()
    again = await journal.append(told)
    assert (list(again.new), list(again.revised), again.known) == ([], [], len(records))
    assert await whole() == before


async def test_two_bodies_of_one_id_in_a_batch_count_once(journal: Journal) -> None:
    told = batch(bolus(units=1.0, key="a"), bolus(units=2.0, key="a"))
    assert len((await journal.append(told)).new) == 1
    again = await journal.append(told)
    assert (list(again.revised), [each.delivered_u for each in await everything(journal)]) == ([], [2.0])  # type: ignore[union-attr]


async def test_a_batch_may_hold_no_other_profiles_record(journal: Journal) -> None:
    with pytest.raises(ContractViolation):
        await journal.append(batch(glucose(), glucose(5, profile="p2")))
    assert await everything(journal) == []


async def test_profiles_do_not_meet(journal: Journal) -> None:
    await journal.append(batch(bolus()))
    await journal.append(batch(bolus(profile="p2", reader=USB), profile="p2"))
    assert (len(await everything(journal)), len(await everything(journal, "p2"))) == (1, 1)


# --- revisions -------------------------------------------------------------------------------------


async def test_a_changed_body_is_a_revision_under_the_first_time(journal: Journal) -> None:
    first = bolus(units=1.0, key="a", device_time=None, completed=False)
    await journal.append(batch(first))
    grown = bolus(7, units=2.5, key="a", completed=True)
    assert list((await journal.append(batch(grown))).revised) == [first.id]
    (kept,) = await everything(journal)
    assert (kept.id, kept.time, kept.source_key, kept.revision) == (first.id, first.time, first.source_key, 2)
    assert (kept.delivered_u, kept.completed) == (2.5, True)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "envelope",
    [{"raw": {"version": 9}}, {"utc_offset_min": 120}, {"device_time": at(60).replace(tzinfo=None)}, {"time": at(9)}],
)
async def test_the_envelope_makes_no_revision(journal: Journal, envelope: dict[str, object]) -> None:
    await journal.append(batch(glucose(key="a")))
    done = await journal.append(batch(glucose(key="a", **envelope)))
    assert (list(done.revised), done.known) == ([], 1)
    assert await everything(journal) == [glucose(key="a")]


async def test_an_unknown_value_never_hides_a_known_one(journal: Journal) -> None:
    await journal.append(batch(glucose(trend="flat", key="a"), bolus(carbs_id="meal", key="b")))
    done = await journal.append(batch(glucose(trend=None, key="a"), bolus(carbs_id=None, units=3, key="b")))
    shot, reading = sorted(await everything(journal), key=lambda each: each.kind)
    assert (reading.revision, reading.trend) == (1, "flat")  # type: ignore[union-attr]
    assert (shot.revision, shot.carbs_id, shot.delivered_u) == (2, "meal", 3)  # type: ignore[union-attr]
    assert (list(done.revised), done.known) == ([shot.id], 1)


async def test_annotations_follow_the_newer_body(journal: Journal) -> None:
    await journal.append(batch(glucose(key="a", annotations=({"code": "backfilled"},))))
    await journal.append(batch(glucose(key="a")))
    (kept,) = await everything(journal)
    assert (kept.annotations, kept.revision) == ((), 2)


@pytest.mark.parametrize(
    ("settled", "after"),
    [
        (ACCEPTED, PENDING), (QUARANTINED, PENDING), (DeliveryState.NOT_APPLICABLE, PENDING),
        (DeliveryState.SUPERSEDED, PENDING), (DeliveryState.WITHHELD, DeliveryState.WITHHELD), (REMOVED, REMOVED),
    ],
)  # fmt: skip
async def test_a_revision_is_sent_again_unless_a_person_removed_it(
    journal: Journal, settled: DeliveryState, after: DeliveryState
) -> None:
    first = bolus(units=1, key="a")
    await journal.append(batch(first))
    await journal.settle(NIGHTSCOUT, Settlement({first.id: Settled(settled, revision=1)}))
    assert await state(journal, first) == settled
    await journal.append(batch(bolus(units=2, key="a")))
    assert await state(journal, first) == after


async def test_a_revision_during_delivery_stays_pending(journal: Journal) -> None:
    first = bolus(units=1, key="a")
    await journal.append(batch(first))
    assert await leased(journal) == [first.id]
    await journal.append(batch(bolus(units=2, key="a")))
    assert (await state(journal, first), await leased(journal)) == (LEASED, [])
    await journal.settle(NIGHTSCOUT, accepted(first, revision=1))
    assert await state(journal, first) == PENDING
    ((again,),) = [await journal.due(NIGHTSCOUT, NOW, 10, 60)]
    assert (again.record.revision, again.attempts) == (2, 0)
    await journal.settle(NIGHTSCOUT, accepted(first, revision=2))
    assert await state(journal, first) == ACCEPTED


# --- matching --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cloud", "device"),
    [
        (glucose(0, 120), glucose(2.5, 121, USB)),
        (meter(0, 120, CLOUD, entry="linked"), meter(1, 120)),
        (bolus(0, 2), bolus(0.9, 2.025, USB)),
        (dose(0, 0.1), dose(-1, 0.125, USB)),
        (carbs(0, 30), carbs(1, 30.5, USB)),
        (alarm(0, "7"), alarm(1, 7, USB)),
    ],
    ids=lambda record: record.kind,
)
async def test_another_readers_sighting_is_the_same_event(journal: Journal, cloud: Record, device: Record) -> None:
    await journal.append(batch(cloud))
    done = await journal.append(batch(device))
    (kept,) = await everything(journal)
    assert (kept.id, kept.time, list(done.new)) == (cloud.id, cloud.time, [])
    assert await journal.aliases("p1") == {device.id: cloud.id}
    assert (await journal.append(batch(device))).known == (await journal.append(batch(cloud))).known == 1
    assert await everything(journal) == [kept]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (glucose(0, 120), glucose(2.6, 120, USB)),
        (glucose(0, 120), glucose(0, 122, USB)),
        (glucose(0, None), glucose(0, 120, USB)),
        (meter(0, 120, CLOUD), meter(0, 121)),
        (meter(0, 120, CLOUD), meter(0, 120, control_solution=True)),
        (bolus(0, 2), bolus(1.1, 2, USB)),
        (bolus(0, 2), bolus(0, 2.03, USB)),
        (bolus(0, 2), bolus(0, 2, USB, device=replace_serial("NG7654321H"))) if False else (bolus(0), bolus(9, reader=USB)),
        (carbs(0, 30), carbs(0, 30.6, USB)),
        (alarm(0, "7"), alarm(0, "8", USB)),
        (alarm(0, "7"), alarm(0.5, "7", key="b")),
        (status(0), status(0, USB)),
        (basal(0), basal(0, reader=USB)),
    ],
)  # fmt: skip
async def test_beyond_the_tolerances_they_are_two_events(journal: Journal, one: Record, other: Record) -> None:
    await journal.append(batch(one))
    await journal.append(batch(other))
    assert {each.id for each in await everything(journal)} == {one.id, other.id}
