"""What arrives, in which order, and that sending again changes nothing."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from adapters.nightscout import NightscoutAdapter
from adapters.nightscout.bulk import _server_id
from adapters.nightscout.pace import LARGEST, Pace, array_of, chunks
from bridge.contracts import Verdict
from bridge.errors import Forbidden
from bridge.simulators.nightscout import Fault
from tests.adapters.nightscout.conftest import Rig, entry, ledger, made_documents, note, rig_of, status, verdicts
from tests.support import vectors
from tests.support.clock import FakeClock

_, DOCUMENTS = made_documents()
ACCEPTED, RETRY, QUARANTINED = Verdict.ACCEPTED, Verdict.RETRY, Verdict.QUARANTINED
_ADDED = {"_id", "utcOffset", "sysTime", "srvModified", "srvCreated", "subject", "isAnnouncement"}


async def test_every_kind_arrives_once_whatever_the_order_and_number_of_sendings(
    rig: Rig, ready: NightscoutAdapter
) -> None:
    assert set(verdicts(await ready.deliver(DOCUMENTS, ()))) == {ACCEPTED}
    once = {name: rig.stored(name) for name in ("entries", "treatments", "devicestatus", "profile")}
    assert {name: len(found) for name, found in once.items()} == {
        "entries": 16, "treatments": 82, "devicestatus": 5, "profile": 1,
    }  # fmt: skip
    shuffled = list(DOCUMENTS)
    random.Random(7).shuffle(shuffled)
    assert set(verdicts(await ready.deliver(DOCUMENTS, ()))) == {ACCEPTED}
    assert set(verdicts(await ready.deliver(shuffled, ()))) == {ACCEPTED}
    for document in DOCUMENTS:
        _same_as_sent(rig, document.path, dict(document.body))
    assert rig.counts() == {name: len(found) for name, found in once.items()}


def _same_as_sent(rig: Rig, path: str, body: dict[str, Any]) -> None:
    name = path.split("/")[3].split(".")[0]
    key = "_id" if name == "profile" else "identifier"
    stored = [one for one in rig.stored(name) if one.get(key) == body[key]]
    assert len(stored) == 1, body
    kept = {field: value for field, value in stored[0].items() if field not in _ADDED - {key} - body.keys()}
    if body.get("eventType") == "Announcement":
        kept.pop("isAnnouncement", None)
    assert kept == body


async def test_outcomes_are_in_request_order_with_the_ids_of_the_site(rig: Rig, ready: NightscoutAdapter) -> None:
    posts = [note(1), entry(1), note(2), status(1), entry(2)]
    outcomes = await ready.deliver(posts, [ledger(note(9))])
    assert verdicts(outcomes) == [ACCEPTED] * 6
    ids = {one["identifier"]: one["_id"] for name in ("entries", "treatments") for one in rig.stored(name)}
    assert [one.server_id for one in outcomes[:3]] == [ids[one.key] for one in posts[:3]]
    assert outcomes[4].server_id == ids[posts[4].key]


async def test_entries_go_first_then_deletes_then_treatments_statuses_profile(
    rig: Rig, ready: NightscoutAdapter
) -> None:
    await ready.deliver([note(9)], ())
    rig.sim.log.clear()
    profile = next(one for one in DOCUMENTS if one.op == "put")
    await ready.deliver([profile, status(1), note(1), entry(1)], [ledger(note(9)), ledger(entry(9))])
    asked = [f"{method} {path.split('?')[0]}" for method, path, _ in rig.sim.log if "authorization" not in path]
    assert asked == [
        "DELETE /api/v1/entries/sgv",
        "DELETE /api/v1/entries/mbg",
        "POST /api/v1/entries.json",
        f"DELETE /api/v1/treatments/{note(9).key}",
        "POST /api/v1/treatments.json",
        "POST /api/v3/devicestatus",
        "GET /api/v1/profile.json",
        "PUT /api/v1/profile.json",
    ]


async def test_deletes_take_away_what_is_named_and_nothing_else(rig: Rig, ready: NightscoutAdapter) -> None:
    await ready.deliver([entry(1), entry(2), note(1), note(2), status(1)], ())
    gone = [ledger(entry(1)), ledger(note(1)), ledger(note(7)), ledger(status(1))]
    assert verdicts(await ready.deliver([], gone)) == [ACCEPTED] * 4
    assert [one["identifier"] for one in rig.stored("entries")] == [entry(2).key]
    assert [one["identifier"] for one in rig.stored("treatments")] == [note(2).key]
    assert len(rig.stored("devicestatus")) == 1, "a status is never deleted"


@pytest.mark.parametrize("key", ["", "x", "../entries", "0000"])
async def test_no_delete_leaves_without_a_key(rig: Rig, ready: NightscoutAdapter, key: str) -> None:
    rig.sim.log.clear()
    for document in (entry(1), note(1)):
        outcome = (await ready.deliver([], [replace(ledger(document), key=key)]))[0]
        assert outcome.verdict is QUARANTINED
    assert not rig.sim.log


async def test_a_revised_treatment_replaces_itself_even_under_another_type_and_time(
    rig: Rig, ready: NightscoutAdapter
) -> None:
    await ready.deliver([note(1, "Bolus", insulin=1.5)], ())
    moved = note(1, "Meal Bolus", insulin=2.5, carbs=30, created_at="2026-03-09T08:00:00.000Z")
    await ready.deliver([moved], ())
    assert [(one["eventType"], one["insulin"], one["created_at"]) for one in rig.stored("treatments")] == [
        ("Meal Bolus", 2.5, "2026-03-09T08:00:00.000Z")
    ]


async def test_carbs_go_before_their_meal_comes_and_are_never_doubled(rig: Rig, ready: NightscoutAdapter) -> None:
    carbs, meal = note(1, "Carb Correction", carbs=30), note(2, "Meal Bolus", carbs=30, insulin=3)
    await ready.deliver([carbs], ())
    rig.sim.faults.append(Fault("status", "DELETE", times=1))
    outcomes = await ready.deliver([meal, entry(1)], [ledger(carbs)])
    assert verdicts(outcomes) == [RETRY, ACCEPTED, RETRY]
    assert sum(one.get("carbs", 0) for one in rig.stored("treatments")) == 30
    assert verdicts(await ready.deliver([meal], [ledger(carbs)])) == [ACCEPTED, ACCEPTED]
    assert [one["eventType"] for one in rig.stored("treatments")] == ["Meal Bolus"]


async def test_without_the_right_to_delete_doses_wait_and_the_rest_goes_on(clock: FakeClock) -> None:
    async with rig_of(clock) as rig:
        token = rig.sim.add_subject("weak", ["api:entries,treatments,devicestatus,profile:create,read"])
        rig.session.tokens = [token]
        adapter = rig.adapter()
        await adapter.deliver([note(1, "Carb Correction", carbs=30)], ())
        outcomes = await adapter.deliver(
            [note(2, "Meal Bolus", carbs=30, insulin=3), note(3), entry(1)], [ledger(note(1))]
        )
        assert verdicts(outcomes) == [RETRY, ACCEPTED, ACCEPTED, RETRY]
        assert "api:treatments:delete" in outcomes[3].reason
        with pytest.raises(Forbidden, match="api:treatments:delete"):
            await adapter.deliver([], [ledger(note(1))])


async def test_what_lies_ahead_waits(rig: Rig, ready: NightscoutAdapter, clock: FakeClock) -> None:
    ahead_ms = round(clock.now().timestamp() * 1000) + 6 * 60_000
    future = entry(1, date=ahead_ms)
    future = replace(future, instant_ms=ahead_ms)
    assert verdicts(await ready.deliver([future, entry(2)], ())) == [RETRY, ACCEPTED]
    assert len(rig.stored("entries")) == 1
    clock.advance(120)
    outcome = (await ready.deliver([future], ()))[0]
    assert outcome.verdict is ACCEPTED


_BAD = [
    {"sgv": None}, {"sgv": "120"}, {"type": 7}, {"direction": "a < b"}, {"dateString": "2026-03-09T08:00:00"},
    {"unknown": 1}, {"sgv": 5000},
]  # fmt: skip


@pytest.mark.parametrize("change", _BAD, ids=str)
async def test_a_damaging_document_never_leaves(rig: Rig, ready: NightscoutAdapter, change: dict[str, Any]) -> None:
    outcomes = await ready.deliver([entry(1, **change), entry(2)], ())
    assert verdicts(outcomes) == [QUARANTINED, ACCEPTED]
    assert outcomes[0].reason
    assert [one["identifier"] for one in rig.stored("entries")] == [entry(2).key]
    assert rig.sim.crashes == 0


async def test_too_large_a_body_is_halved_and_the_size_learnt(rig: Rig, ready: NightscoutAdapter) -> None:
    rig.sim.settings.body_limits["entries"] = 20_000
    outcomes = await ready.deliver([entry(n) for n in range(400)], ())
    assert set(verdicts(outcomes)) == {ACCEPTED}
    assert 413 in rig.posts("entries")
    assert ready.batch <= 100
    rig.sim.log.clear()
    await ready.deliver([entry(n) for n in range(400)], ())
    assert set(rig.posts("entries")) == {200}


async def test_batches_hold_at_most_so_many_documents_and_bytes() -> None:
    plain = [entry(n) for n in range(2500)]
    assert [len(chunk) for chunk in chunks(plain, LARGEST)] == [1000, 1000, 500]
    wordy = [note(n, notes="x" * 1000) for n in range(2000)]
    assert all(len(array_of(chunk)) < 900_100 for chunk in chunks(wordy, LARGEST))
    assert [one for chunk in chunks(wordy, LARGEST) for one in chunk] == wordy


async def test_the_pace_follows_the_site(rig: Rig, clock: FakeClock) -> None:
    pace = Pace(500)
    pace.took(0.2, 500)
    assert pace.size == 1000
    pace.took(0.2, 1000)
    assert pace.size == 1000, "more than a thousand gains nothing"
    pace.took(6.0, 1000)
    assert pace.size == 500
    pace.took(0.2, 3)
    assert pace.size == 500, "a small request proves nothing"
    for _ in range(10):
        pace.took(30.0, pace.size)
    assert pace.size == 20
    adapter = rig.adapter(batch=100)
    await adapter.prepare()
    rig.sim.faults.append(Fault("wait", path="/entries", wait_s=8))
    await adapter.deliver([entry(n) for n in range(100)], ())
    assert adapter.batch == 50


def test_our_batches_lie_in_the_sweet_spot_that_was_measured() -> None:
    lines = vectors.path("nightscout", "throughput.csv").read_text("utf-8").splitlines()
    rows = [line.split(",") for line in lines[1:]]
    for name in ("entries", "treatments"):
        alone = {
            int(row[2]): (float(row[4]), float(row[5])) for row in rows if row[:2] == ["v1", name] and row[3] == "1"
        }
        fastest = max(rate for rate, _ in alone.values())
        assert alone[LARGEST][0] > 0.9 * fastest, "a thousand at once is as fast as it gets"
        assert alone[LARGEST][1] < 1000, "and answered within the second after which we grow no more"
        ours = min(NightscoutAdapter.Settings().batch, LARGEST)
        below = max(count for count in alone if count <= ours)
        assert alone[below][0] > 0.6 * fastest
        assert alone[1][0] < 0.1 * fastest
    v3 = max(float(row[4]) for row in rows if row[0] == "v3")
    assert v3 < 0.15 * fastest, "which is why only statuses go that way"


async def test_the_way_of_statuses_is_chosen_once(rig: Rig, ready: NightscoutAdapter) -> None:
    assert ready.state["status_route"] == "v3"
    await ready.deliver([status(1)], ())
    assert rig.stored("devicestatus")[0]["srvModified"]
    rig.session.tokens = [rig.sim.add_subject("v1", ["api:*:create,read,delete"])]
    later = rig.adapter()
    later.state = dict(ready.state)
    await later.prepare()
    assert later.state["status_route"] == "v3"
    with pytest.raises(Forbidden, match="devicestatus"):
        await later.deliver([status(1)], ())
    other_site = rig.adapter(url=rig.base.replace("127.0.0.1", "localhost"))
    other_site.state = dict(ready.state)
    await other_site.prepare()
    assert other_site.state["status_route"] == "v1", "another address is another site"


async def test_a_status_that_v3_cannot_change_is_set_aside_in_the_sites_words(
    rig: Rig, ready: NightscoutAdapter
) -> None:
    await ready.deliver([status(1)], ())
    other = replace(status(1), body={**status(1).body, "device": "carelink://OTHER"})
    outcomes = await ready.deliver([other, status(2)], ())
    assert verdicts(outcomes) == [QUARANTINED, ACCEPTED]
    assert "Field device cannot be modified" in outcomes[0].reason


def test_an_id_is_taken_only_from_the_echo_of_the_document() -> None:
    own, other = note(1), note(2)
    assert _server_id(own, {"_id": "a", "identifier": own.key}) == "a"
    assert _server_id(own, {"_id": "b", "identifier": other.key}) is None
    assert _server_id(own, None) is None


async def test_a_profile_is_put_on_change_and_never_over_somebody_elses(rig: Rig, ready: NightscoutAdapter) -> None:
    profile = next(one for one in DOCUMENTS if one.op == "put")
    assert verdicts(await ready.deliver([profile], ())) == [ACCEPTED]
    assert rig.stored("profile")[0]["_id"] == profile.key
    await ready.deliver([profile], ())
    assert rig.asked("profile", "PUT") == 1
    foreign = {**profile.body, "startDate": "2026-03-11T00:00:00.000Z", "enteredBy": "Mother"}
    del foreign["_id"]
    rig.sim.collections["profile"].insert({**foreign, "_id": "6b0300000000000000000077"})
    changed = type(profile)(
        profile.key, profile.record_id, "put", profile.path, {**profile.body, "units": "mmol"}, profile.instant_ms
    )
    outcome = (await ready.deliver([changed], ()))[0]
    assert outcome.verdict is QUARANTINED
    assert "entered by Mother" in outcome.reason
    assert "allow_foreign_profile = true" in outcome.reason
    assert rig.asked("profile", "PUT") == 1
    allowed = rig.adapter(allow_foreign_profile=True)
    assert verdicts(await allowed.deliver([changed], ())) == [ACCEPTED]
    assert len(rig.stored("profile")) == 2
    assert next(one for one in rig.stored("profile") if one["_id"] == profile.key)["units"] == "mmol"


async def test_before_15_0_7_what_moved_goes_before_it_comes_again(clock: FakeClock) -> None:
    async with rig_of(clock, version="14.2.6", identifier_is_key=False) as rig:
        adapter = rig.adapter()
        await adapter.deliver([note(1, "Bolus", insulin=1.5), note(2)], ())
        moved = note(1, "Meal Bolus", insulin=2.5, carbs=30)
        assert verdicts(await adapter.deliver([moved, note(2)], ())) == [ACCEPTED, ACCEPTED]
        assert sorted(one["eventType"] for one in rig.stored("treatments")) == ["Meal Bolus", "Note"]
        assert verdicts(await adapter.deliver([], [ledger(moved)])) == [ACCEPTED]
        assert [one["eventType"] for one in rig.stored("treatments")] == ["Note"]


async def test_an_old_announcement_goes_as_a_note(rig: Rig, ready: NightscoutAdapter) -> None:
    old = note(1, "Announcement", notes="Low reservoir", enteredBy="glucobridge")
    await ready.deliver([old], ())
    assert [(one["eventType"], one["enteredBy"]) for one in rig.stored("treatments")] == [
        ("Note", "openaps://glucobridge")
    ]
