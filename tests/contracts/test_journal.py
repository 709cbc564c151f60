"""What every journal keeps, whatever it stores in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.contracts import (
    Batch,
    DeliveryState,
    Destination,
    Interval,
    Journal,
    Memory,
    Settled,
    Settlement,
    Sighting,
    Standing,
    StoredItem,
)
from bridge.errors import BridgeError, ContractViolation, VaultLocked
from bridge.journal import Retention
from bridge.model import Bolus, Carbs, Record, SensorGlucose
from bridge.model.health import Health, State
from tests.contracts.journal_backends import BACKENDS, MaskingSealer, Opener
from tests.contracts.journal_records import (
    CLOUD,
    FILE,
    NIGHTSCOUT,
    NOW,
    PUMP,
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
def opener(request: pytest.FixtureRequest) -> Opener:
    return BACKENDS[request.param](request)


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
    records: list[Record] = [
        glucose(),
        bolus(carbs_id=carbs().id),
        carbs(),
        dose(),
        alarm(),
        status(),
        basal(-60),
        meter(),
    ]
    told = batch(
        *records, reader=CLOUD, covered=(-60, 0), raw=capture(), state={"offset": 60},
        sightings={"SG 1": Sighting(at(), "SG:1")},
    )  # fmt: skip
    await journal.append(told)
    await journal.settle(NIGHTSCOUT, accepted(*records))

    async def whole() -> list[object]:
        return [
            await everything(journal), await journal.readers(), await journal.destinations(),
            await journal.aliases("p1"), await journal.captures("p1"), await journal.memory("p1", CLOUD),
        ]  # fmt: skip

    before = await whole()
    again = await journal.append(told)
    assert (list(again.new), list(again.revised), again.known) == ([], [], len(records))
    assert await whole() == before


async def test_two_bodies_of_one_id_in_a_batch_count_once(journal: Journal) -> None:
    told = batch(bolus(units=1.0, key="a"), bolus(units=2.0, key="a"))
    assert len((await journal.append(told)).new) == 1
    again = await journal.append(told)
    assert (list(again.revised), await everything(journal)) == ([], [bolus(units=2.0, key="a")])


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
    assert isinstance(kept, Bolus)
    assert (kept.id, kept.time, kept.source_key, kept.revision) == (first.id, first.time, first.source_key, 2)
    assert (kept.delivered_u, kept.completed) == (2.5, True)


@pytest.mark.parametrize(
    "envelope",
    [{"raw": {"version": 9}}, {"utc_offset_min": 120}, {"device_time": at(60).replace(tzinfo=None)}, {"time": at(9)}],
)
async def test_the_envelope_makes_no_revision(journal: Journal, envelope: dict[str, Any]) -> None:
    await journal.append(batch(glucose(key="a")))
    done = await journal.append(batch(glucose(key="a", **envelope)))
    assert (list(done.revised), done.known) == ([], 1)
    assert await everything(journal) == [glucose(key="a")]


async def test_an_unknown_value_never_hides_a_known_one(journal: Journal) -> None:
    await journal.append(batch(glucose(trend="flat", key="a"), bolus(carbs_id="meal", key="b")))
    done = await journal.append(batch(glucose(trend=None, key="a"), bolus(carbs_id=None, units=3, key="b")))
    shot, reading = sorted(await everything(journal), key=lambda each: each.kind)
    assert isinstance(shot, Bolus)
    assert reading == glucose(trend="flat", key="a")
    assert (shot.revision, shot.carbs_id, shot.delivered_u) == (2, "meal", 3)
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


# --- one event, one record -------------------------------------------------------------------------


async def test_another_readers_sighting_is_another_name(journal: Journal) -> None:
    cloud, device = bolus(0, 2.0), bolus(0.5, 2.01, USB, requested_by="wizard")
    await journal.append(batch(cloud))
    done = await journal.append(batch(device))
    (kept,) = await everything(journal)
    assert (list(done.new), list(done.revised)) == ([], [cloud.id])
    assert (kept.id, kept.time, kept.revision) == (cloud.id, cloud.time, 2)
    assert await journal.aliases("p1") == {device.id: cloud.id}
    assert (await journal.append(batch(device))).known == (await journal.append(batch(cloud))).known == 1
    assert await everything(journal) == [kept]


@pytest.mark.parametrize("order", [(CLOUD, FILE, USB), (USB, CLOUD, FILE), (FILE, USB, CLOUD)])
async def test_the_best_source_gives_the_body_and_the_first_the_name(journal: Journal, order: Sequence[str]) -> None:
    amounts = {CLOUD: 2.0, FILE: 2.01, USB: 2.02}
    told = [bolus(0.1 * place, amounts[reader], reader) for place, reader in enumerate(order)]
    for one in told:
        await journal.append(batch(one))
    (kept,) = await everything(journal)
    assert isinstance(kept, Bolus)
    assert (kept.id, kept.time, kept.delivered_u, kept.reader) == (told[0].id, told[0].time, 2.02, USB)
    assert await journal.aliases("p1") == {each.id: told[0].id for each in told[1:]}


async def test_a_lesser_source_fills_what_the_best_leaves_open(journal: Journal) -> None:
    await journal.append(batch(glucose(0, 120, USB)))
    done = await journal.append(batch(glucose(1, 121, CLOUD, trend="flat")))
    (kept,) = await everything(journal)
    assert isinstance(kept, SensorGlucose)
    assert (kept.mgdl, kept.trend, kept.reader) == (120, "flat", USB)
    assert list(done.revised) == [kept.id]


async def test_a_lesser_source_changes_its_mind_without_effect(journal: Journal) -> None:
    await journal.append(batch(carbs(0, 30, CLOUD, key="a")))
    await journal.append(batch(carbs(0, 30.2, USB)))
    done = await journal.append(batch(carbs(0, 50, CLOUD, key="a")))
    (kept,) = await everything(journal)
    assert isinstance(kept, Carbs)
    assert (kept.grams, list(done.revised)) == (30.2, [])


async def test_two_boluses_in_one_second_stay_two(journal: Journal) -> None:
    twins = [bolus(0, 1.0, key="INSULIN"), bolus(0, 1.0, key="INSULIN#2")]
    assert len((await journal.append(batch(*twins))).new) == 2
    assert (await journal.append(batch(*twins))).known == 2
    seen_by_pump = [bolus(0, 1.0, USB, key="15"), bolus(0, 1.0, USB, key="15:2"), bolus(0, 1.0, USB, key="15:3")]
    assert len((await journal.append(batch(*seen_by_pump))).new) == 1
    assert len(await everything(journal)) == 3


async def test_a_row_that_the_batch_names_is_no_candidate(journal: Journal) -> None:
    await journal.append(batch(bolus(0, 1.0, key="first")))
    done = await journal.append(batch(bolus(0, 1.0, key="first"), bolus(0.5, 1.0, key="second")))
    assert (len(done.new), len(await everything(journal))) == (1, 2)


async def test_a_renamed_row_is_found_where_its_source_was_read_again(journal: Journal) -> None:
    await journal.append(batch(bolus(0, 1.0, key="06:00:00"), covered=(-60, 5)))
    done = await journal.append(batch(bolus(0.5, 1.0, key="06:00:30"), covered=(-60, 10)))
    assert (list(done.new), len(await everything(journal))) == ([], 1)


async def test_the_next_row_of_one_source_is_the_next_event(journal: Journal) -> None:
    """Only what came after is read: the first is not missing from the answer, it was not asked for."""
    await journal.append(batch(bolus(0, 1.0, USB), covered=(-60, 0.2)))
    done = await journal.append(batch(bolus(0.5, 1.0, USB), covered=(0.2, 5)))
    assert (len(done.new), len(await everything(journal))) == (1, 2)


async def test_an_alarm_that_sounds_again_is_another_alarm(journal: Journal) -> None:
    await journal.append(batch(alarm(0, key="a"), covered=(-60, 5)))
    assert len((await journal.append(batch(alarm(0.5, key="b"), covered=(-60, 5)))).new) == 1


async def test_wall_clocks_are_compared_where_both_have_one(journal: Journal) -> None:
    wall = (NOW + timedelta(hours=1)).replace(tzinfo=None)
    await journal.append(batch(bolus(0, 2, device_time=wall)))
    assert list((await journal.append(batch(bolus(60, 2, USB, device_time=wall)))).new) == []
    an_hour_on = bolus(0, 2, FILE, device_time=wall + timedelta(hours=1))
    assert len((await journal.append(batch(an_hour_on))).new) == 1


async def test_a_second_pump_is_a_second_device(journal: Journal) -> None:
    await journal.append(batch(bolus()))
    other = PUMP.model_copy(update={"serial": "NG7654321H"})
    assert len((await journal.append(batch(bolus(reader=USB, device=other)))).new) == 1
    nameless = PUMP.model_copy(update={"serial": None})
    assert len((await journal.append(batch(bolus(reader=FILE, device=nameless)))).new) == 1


async def test_two_records_that_a_revision_shows_to_be_one(journal: Journal) -> None:
    """Both were sent: the later one's document is the first one's to delete."""
    cloud, device = bolus(0, 1.0), bolus(0.2, 3.0, USB)
    await journal.append(batch(cloud))
    await journal.append(batch(device))
    both = [document(cloud), document(device)]
    await journal.settle(NIGHTSCOUT, accepted(cloud, device, documents=both))
    await journal.append(batch(bolus(0, 3.0)))
    (kept,) = await everything(journal)
    assert isinstance(kept, Bolus)
    assert (kept.id, kept.delivered_u, kept.reader) == (cloud.id, 3.0, USB)
    assert await journal.aliases("p1") == {device.id: cloud.id}
    assert {each.key for each in await journal.ledger(NIGHTSCOUT, [cloud.id])} == {cloud.id, device.id}
    assert await leased(journal) == [cloud.id]
    assert [await count(journal, each) for each in (LEASED, PENDING, ACCEPTED)] == [1, 0, 0]


async def test_a_document_of_a_record_that_became_another_name_is_booked_with_that_one(journal: Journal) -> None:
    cloud, device = bolus(0, 1.0), bolus(0.2, 3.0, USB)
    await journal.append(batch(cloud))
    await journal.append(batch(device))
    await leased(journal)
    await journal.append(batch(bolus(0, 3.0)))
    await journal.settle(NIGHTSCOUT, accepted(cloud, device, documents=[document(cloud), document(device)]))
    assert {each.key for each in await journal.ledger(NIGHTSCOUT, [cloud.id])} == {cloud.id, device.id}
    assert await state(journal, cloud) == PENDING


async def test_links_are_read_through_aliases(journal: Journal) -> None:
    meal, shot = carbs(0, 30, CLOUD), bolus(0.1, 3, CLOUD, carbs_id=carbs(0, 30, CLOUD).id)
    await journal.append(batch(carbs(0.3, 30, USB), bolus(0.4, 3, USB)))
    await journal.append(batch(meal, shot))
    pair = {each.kind: each for each in await everything(journal)}
    assert isinstance(pair["bolus"], Bolus)
    assert pair["bolus"].carbs_id == pair["carbs"].id == carbs(0.3, 30, USB).id


# --- adoption --------------------------------------------------------------------------------------


def found(record_id: str, minutes: float, value: float | None, kind: str = "bolus") -> StoredItem:
    return StoredItem(record_id, "/api/v1/treatments", record_id, kind, at(minutes), value)


async def test_an_adopted_identifier_is_given_once(journal: Journal) -> None:
    await journal.adopt("p1", [found("there", 0.5, 2.0)])
    shot, next_shot = bolus(0, 2.0, key="a"), bolus(0.8, 2.0, key="b")
    assert list((await journal.append(batch(shot))).new) == ["there"]
    (kept,) = await everything(journal)
    assert (kept.id, kept.time) == ("there", at(0.5))
    assert await journal.aliases("p1") == {shot.id: "there"}
    assert (await journal.append(batch(shot))).known == 1
    assert list((await journal.append(batch(shot, next_shot))).new) == [next_shot.id]


async def test_an_identifier_the_record_has_anyway_changes_nothing(journal: Journal) -> None:
    shot, other = bolus(0, 2.0, key="a"), bolus(0.5, 2.0, key="b")
    await journal.adopt("p1", [found(shot.id, 0.2, 2.0)])
    await journal.append(batch(other, shot))
    assert {(each.id, each.time) for each in await everything(journal)} == {(shot.id, at(0)), (other.id, at(0.5))}


async def test_a_record_found_by_its_own_identifier_takes_no_other(journal: Journal) -> None:
    shot, other = bolus(0, 2.0, key="a"), bolus(0.9, 2.0, key="b")
    await journal.adopt("p1", [found("x", 0.1, 2.0), found(shot.id, 0, 2.0)])
    assert list((await journal.append(batch(shot, other))).new) == [shot.id, "x"]


@pytest.mark.parametrize(
    "item", [found("x", 0, 2.1), found("x", 2, 2.0), found("x", 0, None), found("x", 0, 2.0, "carbs")]
)
async def test_an_identifier_of_something_else_is_left_alone(journal: Journal, item: StoredItem) -> None:
    await journal.adopt("p1", [item])
    assert list((await journal.append(batch(bolus(0, 2.0)))).new) == [bolus(0, 2.0).id]


async def test_an_identifier_the_journal_knows_is_not_adopted(journal: Journal) -> None:
    await journal.append(batch(bolus(0, 2.0)))
    await journal.adopt("p1", [found(bolus(0, 2.0).id, 0, 2.0)])
    other = bolus(0.5, 2.0, key="b")
    assert list((await journal.append(batch(bolus(0, 2.0), other))).new) == [other.id]


async def test_adopted_identifiers_expire(journal: Journal) -> None:
    await journal.adopt("p1", [found("there", 0, 2.0)])
    assert await journal.compact(NOW + timedelta(days=39)) == 0
    assert await journal.compact(NOW + timedelta(days=41)) == 1
    assert list((await journal.append(batch(bolus(0, 2.0)))).new) == [bolus(0, 2.0).id]


# --- deliveries ------------------------------------------------------------------------------------


async def test_fresh_records_go_newest_first_then_history_oldest_first(journal: Journal) -> None:
    minutes = [-300, -14, -2, -20, -8, -60]
    await journal.append(batch(*(glucose(each) for each in minutes)))
    order = [glucose(each).id for each in (-2, -8, -14, -300, -60, -20)]
    assert await leased(journal, limit=4) == order[:4]
    assert await leased(journal) == order[4:]
    assert await leased(journal) == []


async def test_a_lease_ends_by_itself_or_by_release(journal: Journal) -> None:
    await journal.append(batch(glucose()))
    assert await leased(journal) == await leased(journal, minutes=1.1) == [glucose().id]
    assert await leased(journal, minutes=1.2) == []
    assert await journal.release(NIGHTSCOUT) == 1
    ((due,),) = [await journal.due(NIGHTSCOUT, at(1.3), 10, 60)]
    assert (due.attempts, await journal.release(TIDEPOOL)) == (2, 0)


async def test_destinations_do_not_share_leases(journal: Journal) -> None:
    await journal.append(batch(glucose()))
    await leased(journal)
    assert [due.record for due in await journal.due(TIDEPOOL, NOW, 10, 60)] == [glucose()]


async def test_a_delivery_handed_back_waits_for_its_time(journal: Journal) -> None:
    await journal.append(batch(glucose()))
    await leased(journal)
    back = Settled(PENDING, "503", not_before=at(10))
    await journal.settle(NIGHTSCOUT, Settlement({glucose().id: back}))
    assert (await leased(journal, minutes=9), await leased(journal, minutes=10)) == ([], [glucose().id])


async def test_a_withheld_delivery_is_due_when_its_grace_ends(journal: Journal) -> None:
    await journal.append(batch(glucose(), glucose(-5)))
    grace = Settled(DeliveryState.WITHHELD, not_before=at(1))
    await journal.settle(
        NIGHTSCOUT, Settlement({glucose().id: grace, glucose(-5).id: Settled(DeliveryState.WITHHELD)})
    )
    assert (await leased(journal), await leased(journal, minutes=1)) == ([], [glucose().id])
    assert await journal.requeue(NIGHTSCOUT, [glucose(-5).id]) == 1
    assert await leased(journal, minutes=1) == [glucose(-5).id]


async def test_settled_without_a_revision_is_not_settled(journal: Journal) -> None:
    await journal.append(batch(glucose()))
    await journal.settle(NIGHTSCOUT, Settlement({glucose().id: Settled(ACCEPTED)}))
    assert await state(journal, glucose()) == PENDING


async def test_what_a_person_removed_is_never_sent_again(journal: Journal) -> None:
    await journal.append(batch(glucose(key="a")))
    await journal.settle(NIGHTSCOUT, Settlement({glucose(key="a").id: Settled(REMOVED)}))
    await journal.settle(NIGHTSCOUT, accepted(glucose(key="a")))
    await journal.append(batch(glucose(mgdl=130, key="a")))
    assert await journal.requeue(NIGHTSCOUT, [glucose(key="a").id]) == 0
    assert (await state(journal, glucose(key="a")), await leased(journal)) == (REMOVED, [])


async def test_quarantine_is_shown_retried_and_given_up(journal: Journal, clock: FakeClock) -> None:
    await journal.append(batch(glucose(), glucose(-5)))
    clock.advance(60)
    bad = {each.id: Settled(QUARANTINED, "no such unit", revision=1) for each in (glucose(), glucose(-5))}
    await journal.settle(NIGHTSCOUT, Settlement(bad))
    first, second = await journal.quarantine("p1")
    assert (first.destination, first.reason, first.since) == (NIGHTSCOUT, "no such unit", at(1))
    assert {first.record.id, second.record.id} == set(bad)
    assert await journal.quarantine("p2") == []
    assert await journal.requeue(NIGHTSCOUT, [glucose().id]) == await journal.drop(NIGHTSCOUT, list(bad)) == 1
    assert await journal.quarantine() == []
    assert await state(journal, glucose(-5)) == DeliveryState.NOT_APPLICABLE
    assert [await count(journal, each) for each in (PENDING, QUARANTINED, DeliveryState.NOT_APPLICABLE)] == [1, 0, 1]


async def test_states_leave_unknown_ids_out(journal: Journal) -> None:
    await journal.append(batch(glucose()))
    assert await journal.states(NIGHTSCOUT, [glucose().id, "unknown"]) == {glucose().id: PENDING}


async def test_a_new_destination_gets_all_that_is_there(journal: Journal) -> None:
    await journal.append(batch(glucose(), glucose(-5)))
    await journal.append(batch(glucose(profile="p2"), profile="p2"))
    third = Destination("p1", "second-site")
    await journal.register([NIGHTSCOUT, third])
    assert {due.record.id for due in await journal.due(third, NOW, 10, 60)} == {glucose().id, glucose(-5).id}
    await journal.append(batch(glucose(5)))
    assert [each.destination for each in await journal.destinations()] == [NIGHTSCOUT, third]
    await journal.register([NIGHTSCOUT, TIDEPOOL, third])
    assert [each.counts[PENDING] for each in await journal.destinations()] == [3, 1, 3]


async def test_registering_again_changes_nothing(journal: Journal) -> None:
    await journal.append(batch(glucose()))
    await journal.settle(NIGHTSCOUT, accepted(glucose()))
    before = await journal.destinations()
    await journal.register([TIDEPOOL, NIGHTSCOUT])
    assert await journal.destinations() == before


async def test_an_unregistered_destination_has_nothing_and_takes_nothing(journal: Journal) -> None:
    stranger = Destination("p9", "nowhere")
    assert (await journal.due(stranger, NOW, 10, 60), await journal.ledger(stranger, ["x"])) == ([], [])
    with pytest.raises(ContractViolation):
        await journal.settle(stranger, Settlement())


async def test_status_of_a_destination(journal: Journal) -> None:
    await journal.append(batch(glucose(-10), glucose(-5), glucose()))
    await journal.settle(NIGHTSCOUT, accepted(glucose(-5)))
    await journal.settle(NIGHTSCOUT, accepted(glucose(-10)))
    await journal.report(NIGHTSCOUT, Health(State.UNREACHABLE, "No answer."), {"route": "v3"})
    await journal.report(NIGHTSCOUT, Health(State.RATE_LIMITED, "Slow down."))
    one, other = await journal.destinations()
    assert (one.destination, one.health, one.last_accepted) == (
        NIGHTSCOUT,
        Health(State.RATE_LIMITED, "Slow down."),
        at(-5),
    )
    assert (one.oldest_pending, one.counts[ACCEPTED], one.counts[PENDING]) == (at(0), 2, 1)
    assert (other.health.state, other.last_accepted, other.counts[PENDING]) == (State.STARTING, None, 3)
    assert (await journal.recall(NIGHTSCOUT), await journal.recall(TIDEPOOL)) == ({"route": "v3"}, {})


# --- the ledger's documents ------------------------------------------------------------------------


async def test_documents_are_booked_replaced_and_removed(journal: Journal) -> None:
    await journal.append(batch(glucose(), dose()))
    zero = document(dose(), key="zero of the dose")
    first = [document(glucose(), slot="sgv|1", server_id="abc"), document(dose()), zero]
    await journal.settle(NIGHTSCOUT, Settlement(documents=first))
    assert sorted(await journal.ledger(NIGHTSCOUT, [glucose().id, dose().id]), key=str) == sorted(first, key=str)
    changed = replace(first[0], content_hash="1" * 32)
    await journal.settle(NIGHTSCOUT, Settlement(documents=[changed], removed=[zero.key]))
    assert await journal.ledger(NIGHTSCOUT, [glucose().id]) == [changed]
    assert await journal.ledger(NIGHTSCOUT, [dose().id]) == [first[1]]
    assert await journal.ledger(TIDEPOOL, [glucose().id]) == []


async def test_a_slot_holds_one_document(journal: Journal) -> None:
    one, two = document(glucose(), slot="sgv|1"), document(glucose(1), slot="sgv|2")
    await journal.settle(NIGHTSCOUT, Settlement(documents=[one, two]))
    assert await journal.slots(NIGHTSCOUT, ["sgv|1", "sgv|3"]) == {"sgv|1": one.key}
    swapped = [replace(one, slot="sgv|2"), replace(two, slot="sgv|1")]
    await journal.settle(NIGHTSCOUT, Settlement(documents=swapped))
    assert await journal.slots(NIGHTSCOUT, ["sgv|1", "sgv|2"]) == {"sgv|1": two.key, "sgv|2": one.key}
    with pytest.raises(ContractViolation):
        await journal.settle(NIGHTSCOUT, Settlement(documents=[document(glucose(2), slot="sgv|1")]))
    assert await journal.ledger(NIGHTSCOUT, [glucose(2).id]) == []
    await journal.settle(TIDEPOOL, Settlement(documents=[document(glucose(2), slot="sgv|1")]))


async def test_standing_tells_documents_states_and_places_of_one_moment(journal: Journal) -> None:
    await journal.append(batch(glucose(0), bolus(10), carbs(20)))
    booked = [document(glucose(0), slot="sgv|1"), document(bolus(10))]
    await journal.settle(NIGHTSCOUT, accepted(glucose(0), documents=booked))
    asked = [glucose(0).id, bolus(10).id, carbs(20).id, glucose(99).id]
    found = await journal.standing(NIGHTSCOUT, asked, ["sgv|1", "sgv|2"])
    assert sorted(found.documents, key=lambda each: each.key) == sorted(booked, key=lambda each: each.key)
    pending = DeliveryState.PENDING
    assert found.states == {asked[0]: DeliveryState.ACCEPTED, asked[1]: pending, asked[2]: pending}
    assert found.slots == {"sgv|1": glucose(0).id}
    other = await journal.standing(TIDEPOOL, asked, ["sgv|1"])
    assert (list(other.documents), set(other.states.values()), dict(other.slots)) == ([], {pending}, {})
    assert await journal.standing(NIGHTSCOUT, [], []) == Standing([], {}, {})


async def test_when_the_next_delivery_is_due(journal: Journal) -> None:
    assert await journal.next_due(NIGHTSCOUT) is None
    assert await journal.next_due(Destination("nobody", "nightscout")) is None
    await journal.append(batch(glucose(0), glucose(5)))
    assert (await journal.next_due(NIGHTSCOUT) or NOW) < NOW
    await journal.due(NIGHTSCOUT, NOW, 10, 60)
    assert await journal.next_due(NIGHTSCOUT) == NOW + timedelta(seconds=60)
    later = NOW + timedelta(seconds=30)
    await journal.settle(NIGHTSCOUT, Settlement({glucose(0).id: Settled(DeliveryState.PENDING, not_before=later)}))
    assert await journal.next_due(NIGHTSCOUT) == later
    await journal.settle(NIGHTSCOUT, accepted(glucose(0), glucose(5)))
    assert await journal.next_due(NIGHTSCOUT) is None


async def test_inventory_is_the_ledger_in_a_window(journal: Journal) -> None:
    await journal.append(batch(glucose(0), bolus(10)))
    booked = [document(glucose(0)), document(bolus(10)), document(carbs(20)), document(glucose(30))]
    await journal.settle(NIGHTSCOUT, Settlement(documents=booked))
    assert await journal.inventory(NIGHTSCOUT, Interval(at(0), at(30))) == booked[:3]


async def test_the_newest_accepted_record_of_a_kind(journal: Journal) -> None:
    await journal.append(batch(status(-5), status(0), status(5), glucose(9)))
    assert await journal.newest_accepted(NIGHTSCOUT, "pump_status") is None
    booked = [document(status(0)), document(status(-5)), document(glucose(9))]
    await journal.settle(NIGHTSCOUT, Settlement(documents=booked))
    assert await journal.newest_accepted(NIGHTSCOUT, "pump_status") == status(0)


# --- context ---------------------------------------------------------------------------------------


async def around(journal: Journal, *records: Record) -> set[str]:
    return {each.id for each in await journal.context("p1", records)}


async def test_context_holds_a_day_of_events_and_less_of_what_is_frequent(journal: Journal) -> None:
    inside: list[Record] = [
        bolus(-26 * 60),
        alarm(26 * 60),
        status(-10),
        glucose(-380),
        glucose(380),
        basal(-400),
        basal(-401),  # the one before
        basal(400),
        basal(401),  # the next one
        basal(80 * 60),  # the newest
        carbs(),
        glucose(),
    ]
    outside: list[Record] = [
        bolus(-26 * 60 - 1), alarm(26 * 60 + 1), status(11), glucose(-381), glucose(381), basal(-402), basal(402),
    ]  # fmt: skip
    newest = glucose(90 * 60)
    await journal.append(batch(*inside, *outside, newest, reader=CLOUD))
    assert await around(journal, carbs()) == {each.id for each in [*inside, newest]}


async def test_context_of_scattered_days_leaves_out_what_lies_between(journal: Journal) -> None:
    days = [glucose(day * 24 * 60) for day in range(0, 31, 10)]
    between = [bolus(day * 24 * 60) for day in (5, 15, 25)]
    await journal.append(batch(*days, *between, reader=CLOUD))
    assert await around(journal, *days) == {each.id for each in days}


async def test_context_follows_links_wherever_they_lead(journal: Journal) -> None:
    week = 7 * 24 * 60
    meal, sum_ = carbs(0), calculation(-week)
    shots = [bolus(week, carbs_id=meal.id), bolus(2 * week, carbs_id=meal.id, calculation_id=sum_.id)]
    back = calculation(3 * week, bolus_id=shots[0].id)
    group: list[Record] = [meal, sum_, *shots, back]
    await journal.append(batch(*group, bolus(-2 * week), reader=CLOUD))
    for each in group:
        assert await around(journal, each) == {one.id for one in group}


async def test_context_follows_links_that_a_revision_brought(journal: Journal) -> None:
    week = 7 * 24 * 60
    await journal.append(batch(carbs(0), bolus(week, key="a"), bolus(2 * week), reader=CLOUD))
    await journal.append(batch(bolus(week, key="a", carbs_id=carbs(0).id), bolus(2 * week, units=1)))
    pair = {carbs(0).id, bolus(week, key="a").id}
    assert await around(journal, carbs(0)) == pair | {bolus(2 * week).id}


async def test_context_follows_links_to_an_alias(journal: Journal) -> None:
    week = 7 * 24 * 60
    await journal.append(batch(carbs(0, 30, USB)))
    await journal.append(batch(carbs(0.5, 30, CLOUD), bolus(week, carbs_id=carbs(0.5, 30, CLOUD).id)))
    kept = {carbs(0, 30, USB).id, bolus(week).id}
    assert await around(journal, bolus(week)) == await around(journal, carbs(0, 30, USB)) == kept
    assert await around(journal, carbs(0.5, 30, CLOUD)) == kept


async def test_context_knows_the_basal_line_of_each_device(journal: Journal) -> None:
    other = PUMP.model_copy(update={"serial": "NG7654321H"})
    hour = 60
    needed = [
        basal(-30 * hour), basal(30 * hour), basal(99 * hour, None),
        basal(-40 * hour, device=other), basal(40 * hour, device=other), basal(98 * hour, device=other),
    ]  # fmt: skip
    further = [basal(-31 * hour), basal(31 * hour), basal(-41 * hour, device=other), basal(41 * hour, device=other)]
    await journal.append(batch(glucose(), *needed, *further, reader=CLOUD))
    assert await around(journal, glucose()) == {each.id for each in [glucose(), *needed]}


async def test_context_gives_the_journals_records_not_the_given(journal: Journal) -> None:
    await journal.append(batch(bolus(units=1, key="a")))
    await journal.append(batch(bolus(units=2, key="a")))
    (kept,) = await journal.context("p1", [bolus(units=1, key="a")])
    assert isinstance(kept, Bolus)
    assert (kept.delivered_u, kept.revision) == (2, 2)
    assert await journal.context("p1", [carbs(60 * 24 * 9)]) == [kept]
    assert await journal.context("nobody", [kept]) == await journal.context("p1", []) == []


# --- reading ---------------------------------------------------------------------------------------


async def test_records_come_by_time_in_a_window_of_some_kinds(journal: Journal) -> None:
    await journal.append(batch(*(glucose(each) for each in range(600, 0, -1)), bolus(3.5), carbs(2.5), reader=CLOUD))
    whole = await everything(journal)
    assert (len(whole), whole) == (602, sorted(whole, key=lambda each: each.time))
    some = [each async for each in journal.records("p1", Interval(at(2), at(4)), ["carbs", "sensor_glucose"])]
    assert some == [glucose(2), carbs(2.5), glucose(3)]
    assert [each async for each in journal.records("nobody")] == []


# --- readers ---------------------------------------------------------------------------------------


async def test_memory_keeps_first_sightings_for_36_hours(journal: Journal, clock: FakeClock) -> None:
    first, late = Sighting(at(-60), "SG:05:00"), Sighting(at(0), "SG:06:00")
    await journal.append(batch(reader=CLOUD, sightings={"a": first}, state={"offset": 60}))
    await journal.append(batch(reader=CLOUD, sightings={"a": late, "b": late}, state={"offset": 120}))
    memory = await journal.memory("p1", CLOUD)
    assert (memory.sightings, memory.state) == ({"a": first, "b": late}, {"offset": 120})
    assert await journal.memory("p1", USB) == await journal.memory("p2", CLOUD) == Memory()
    clock.advance(35.5 * 3600)
    assert (await journal.memory("p1", CLOUD)).sightings == {"b": late}
    assert await journal.compact(clock.now()) == 1


async def test_an_outage_changes_health_and_nothing_else(journal: Journal) -> None:
    await journal.append(batch(glucose(-5), raw=capture(-1), state={"offset": 60}))
    away = Health(State.UNREACHABLE, "No answer.")
    await journal.append(Batch("p1", CLOUD, at(30), away))
    (one,) = await journal.readers()
    assert (one.profile, one.reader, one.health) == ("p1", CLOUD, away)
    assert (one.last_read, one.last_record, one.next_due) == (at(-1), at(-5), at(30))
    assert (await journal.memory("p1", CLOUD)).state == {"offset": 60}


async def test_readers_of_one_person(journal: Journal) -> None:
    other = carbs().model_copy(update={"profile": "p2"})
    for profile, record in (("p1", carbs()), ("p2", other)):
        read = batch(record, reader=CLOUD, covered=(0, 5))
        await journal.append(replace(read, profile=profile))
        await journal.append(Batch(profile, CLOUD, at(30), Health(), covered=Interval(at(9), at(10))))
    (one,) = await journal.readers("p2")
    assert (one.profile, one.reader, [*one.gaps]) == ("p2", CLOUD, [Interval(at(5), at(9))])
    assert [each.profile for each in await journal.readers()] == ["p1", "p2"]
    assert await journal.readers("nobody") == []


async def test_coverage_has_holes_until_they_are_read(journal: Journal) -> None:
    for covered in ((0, 10), (20, 30), (10, 12), (50, 60)):
        await journal.append(batch(reader=CLOUD, covered=covered))
    holes = [Interval(at(-5), at(0)), Interval(at(12), at(20)), Interval(at(30), at(40))]
    assert await journal.missing("p1", CLOUD, Interval(at(-5), at(40))) == holes
    assert await journal.missing("p1", CLOUD, Interval(at(1), at(11))) == []
    assert await journal.missing("p1", USB, Interval(at(0), at(1))) == [Interval(at(0), at(1))]
    assert [*(await journal.readers())[0].gaps] == [Interval(at(12), at(20)), Interval(at(30), at(50))]
    await journal.append(batch(reader=CLOUD, covered=(-10, 70)))
    assert await journal.missing("p1", CLOUD, Interval(at(-5), at(40))) == []


# --- captures --------------------------------------------------------------------------------------


async def test_of_polled_answers_few_are_kept(opener: Opener, clock: FakeClock) -> None:
    journal = await opener(clock=clock, keep=Retention(answer_last=3))
    odd = 40
    for number in range(100):  # every 15 min, 25 h
        raw = capture(15 * number, f"answer {number}".encode())
        await journal.append(batch(reader=CLOUD, raw=raw, understood=number != odd))
    await journal.append(Batch("p1", CLOUD, at(), Health(State.MALFORMED), None, capture(1501, b"refused")))
    kept = [each.body.decode() for each in await journal.captures("p1")]
    assert kept == ["refused", "answer 99", "answer 98", "answer 96", "answer 48", "answer 40", "answer 0"]
    assert await journal.compact(at(15 * 50) + timedelta(days=14)) == 3
    await journal.close()


async def test_device_captures_are_all_kept_for_long(journal: Journal) -> None:
    for number in range(60):
        await journal.append(batch(reader=USB, raw=capture(number, b"read %d" % number, USB)))
    assert len(await journal.captures("p1", USB)) == 60
    assert await journal.compact(NOW + timedelta(days=399)) == 0
    assert await journal.compact(NOW + timedelta(days=400, minutes=30)) == 30


async def test_captures_come_back_whole_and_sealed(opener: Opener, clock: FakeClock, tmp_path: Path) -> None:
    sealed = await opener(clock=clock, sealer=MaskingSealer())
    told = [capture(0, b'{"firstName": "Invented"}' * 50), capture(1, b"\x00\x01", USB)]
    for one in told:
        await sealed.append(batch(reader=one.reader, raw=one))
    assert await sealed.captures("p1") == told[::-1]
    assert await sealed.captures("p1", CLOUD) == told[:1]
    assert await sealed.captures("p2") == []
    await sealed.close()
    for sealer in (None, MaskingSealer(0x11)):
        other = await opener(clock=clock, sealer=sealer)
        with pytest.raises(VaultLocked):
            await other.captures("p1")
        await other.close()


# --- life ------------------------------------------------------------------------------------------


async def test_all_is_there_after_opening_again(opener: Opener, clock: FakeClock) -> None:
    first = await opener(clock=clock)
    await first.register([NIGHTSCOUT])
    await first.append(batch(glucose(), covered=(0, 5), state={"offset": 60}))
    await first.settle(NIGHTSCOUT, accepted(glucose(), documents=[document(glucose())]))
    before = [await everything(first), await first.destinations(), await first.readers()]
    await first.close()
    again = await opener(clock=clock)
    assert [await everything(again), await again.destinations(), await again.readers()] == before
    assert await again.ledger(NIGHTSCOUT, [glucose().id]) == [document(glucose())]
    await again.close()


async def test_a_closed_journal_refuses(opener: Opener, clock: FakeClock) -> None:
    journal = await opener(clock=clock)
    await journal.close()
    await journal.close()
    with pytest.raises(BridgeError):
        await journal.readers()


async def test_another_writer_is_noticed(opener: Opener, journal: Journal, clock: FakeClock) -> None:
    other = await opener(clock=clock)
    before = await journal.version()
    await journal.append(batch(glucose()))
    assert await journal.version() == before
    await other.append(batch(glucose(5)))
    assert await journal.version() != before
    assert len(await everything(journal)) == 2
    await other.close()


async def test_a_read_only_journal_sees_and_does_not_write(
    opener: Opener, journal: Journal, clock: FakeClock
) -> None:
    watcher = await opener(clock=clock, read_only=True)
    await journal.append(batch(glucose()))
    assert await everything(watcher) == [glucose()]
    assert [each.counts[PENDING] for each in await watcher.destinations()] == [1, 1]
    with pytest.raises(BridgeError):
        await watcher.append(batch(glucose(5)))
    await watcher.close()
