"""Posts and deletes against the simulator: batches, bad datums, outages, and what stays after each."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from adapters.tidepool import TidepoolAdapter
from bridge.contracts import Verdict
from bridge.errors import Forbidden, Incompatible, Throttled, Transient, Unauthorised
from bridge.simulators.tidepool import TidepoolSim
from tests.adapters.tidepool.support import (
    CAREGIVER,
    OWNER,
    VIEWER,
    SimSession,
    active,
    adapter_for,
    document,
    documents,
    duplicates,
    to_delete,
    verdicts,
)
from tests.support.clock import FakeClock


def _posts(sim: TidepoolSim) -> list[int]:
    return [each.datums for each in sim.seen if each.method == "POST" and each.path.endswith("/data")]


async def test_all_is_stored_and_told(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    posts = documents(2500)
    outcomes = await adapter.deliver(posts, [])
    assert set(verdicts(outcomes)) == {"accepted"}
    (data_set,) = sim.data_sets(OWNER)
    assert {outcome.server_id for outcome in outcomes} == {data_set.id}
    assert len(active(sim)) == 2500
    assert _posts(sim) == [1000, 1000, 500]


async def test_sending_twice_and_shuffled_changes_nothing(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    posts = documents(60)
    await adapter.deliver(posts, [])
    before = {key: each[0]["value"] for key, each in active(sim).items()}
    for seed in range(3):
        shuffled = Random(seed).sample(posts, 37)
        assert set(verdicts(await adapter.deliver(shuffled, []))) == {"accepted"}
    assert {key: each[0]["value"] for key, each in active(sim).items()} == before
    assert duplicates(sim) == []


async def test_oldest_first_but_outcomes_in_the_order_given(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    adapter.batch = 2
    posts = [document(3), document(1, value=2000), document(2), document(0)]
    outcomes = await adapter.deliver(posts, [])
    assert verdicts(outcomes) == ["accepted", "quarantined", "accepted", "accepted"]
    assert outcomes[1].reason == "value: 2000 is not between 0 and 1000 mg/dL"
    assert list(active(sim)) == ["r0:cbg", "r2:cbg", "r3:cbg"]


async def test_nothing_to_do_asks_nothing(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    assert await adapter.deliver([], []) == []
    assert sim.seen == []


# --- size of a request -----------------------------------------------------------------------------


def _decision(number: int) -> Any:
    units = {"bg": "mg/dL", "carb": "grams", "insulin": "Units"}
    return document(number, key=f"r{number}:dosingDecision", type="dosingDecision", reason="loop", units=units)


async def test_heavy_types_fill_a_request_sooner(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    await adapter.deliver([_decision(number) for number in range(120)], [])
    settings: dict[str, Any] = {
        "type": "pumpSettings",
        "activeSchedule": "Normal",
        "units": {"bg": "mg/dL", "carb": "grams"},
    }
    await adapter.deliver([document(number, key=f"r{number}:pumpSettings", **settings) for number in range(500)], [])
    assert _posts(sim) == [50, 50, 20, 400, 100]


async def test_a_body_too_large_is_halved_for_good(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    sim.knobs.body_limit = 60_000
    assert set(verdicts(await adapter.deliver(documents(1000), []))) == {"accepted"}
    assert adapter.batch < 1000
    refused = [each.status for each in sim.seen].count(413)
    sim.seen.clear()
    await adapter.deliver(documents(1000), [])
    assert [each.status for each in sim.seen].count(413) == 0
    assert refused >= 2
    assert len(active(sim)) == 1000


async def test_one_datum_too_large_is_quarantined_alone(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    sim.knobs.body_limit = 1500
    posts = [document(0), document(1, notes=["n" * 900, "m" * 900]), document(2)]
    outcomes = await adapter.deliver(posts, [])
    assert verdicts(outcomes) == ["accepted", "quarantined", "accepted"]
    assert "413" in outcomes[1].reason


async def test_a_timeout_halves_the_next_request_and_success_grows_it_back(
    adapter: TidepoolAdapter, sim: TidepoolSim
) -> None:
    posts = documents(300)
    await adapter.prepare()
    sim.fail(504, path="/v1/data_sets")
    with pytest.raises(Transient):
        await adapter.deliver(posts, [])
    assert adapter.batch == 150
    assert set(verdicts(await adapter.deliver(posts, []))) == {"accepted"}
    assert adapter.batch > 150


# --- bad datums ------------------------------------------------------------------------------------


def _curse(number: int) -> Any:
    return lambda datum: "it is cursed" if datum["origin"]["id"] == f"r{number}:cbg" else None


@pytest.mark.parametrize("bad", [0, 1, 499, 500, 617, 998, 999])
async def test_poison_with_pointers_costs_one_more_request(
    bad: int, adapter: TidepoolAdapter, sim: TidepoolSim
) -> None:
    sim.knobs.poison = _curse(bad)
    outcomes = await adapter.deliver(documents(1000), [])
    assert verdicts(outcomes).count("accepted") == 999
    assert outcomes[bad].verdict is Verdict.QUARANTINED
    assert outcomes[bad].reason == "datum: it is cursed (value-not-valid)"
    assert len(_posts(sim)) == 2
    assert len(active(sim)) == 999


@pytest.mark.parametrize("bad", [0, 1, 499, 500, 617, 998, 999])
async def test_poison_without_pointers_is_found_within_21_requests(
    bad: int, adapter: TidepoolAdapter, sim: TidepoolSim
) -> None:
    sim.knobs.poison, sim.knobs.pointers = _curse(bad), False
    outcomes = await adapter.deliver(documents(1000), [])
    assert verdicts(outcomes).count("accepted") == 999
    assert outcomes[bad].reason == "datum: it is cursed (value-not-valid)"
    assert len(_posts(sim)) <= 21
    assert len(active(sim)) == 999
    print(f"poison at {bad}: {len(_posts(sim))} posts")


async def test_poison_that_ends_in_server_errors_is_found_too(
    adapter: TidepoolAdapter, sim: TidepoolSim, clock: FakeClock
) -> None:
    sim.knobs.poison, sim.knobs.poison_status = _curse(0), 500
    outcomes = await adapter.deliver(documents(1000), [])
    assert verdicts(outcomes).count("accepted") == 999
    assert outcomes[0].reason == "HTTP 500, internal-server-failure"
    assert len(_posts(sim)) <= 25
    assert clock.slept


async def test_many_bad_ones_with_pointers_still_cost_one_more_request(
    adapter: TidepoolAdapter, sim: TidepoolSim
) -> None:
    sim.knobs.poison = lambda datum: "odd" if int(datum["origin"]["id"][1:-4]) % 2 else None
    outcomes = await adapter.deliver(documents(400), [])
    assert verdicts(outcomes) == ["accepted", "quarantined"] * 200
    assert len(_posts(sim)) == 2


async def test_a_parse_error_hides_validation_errors_so_two_rounds_are_gone(
    adapter: TidepoolAdapter, sim: TidepoolSim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.tidepool.delivery.problems", lambda datum: [])
    posts = [document(0), document(1, value="100"), document(2, value=2000), document(3)]
    outcomes = await adapter.deliver(posts, [])
    assert verdicts(outcomes) == ["accepted", "quarantined", "quarantined", "accepted"]
    assert outcomes[1].reason == "value: type is not float64, but string (type-not-float64)"
    assert outcomes[2].reason == "value: value 2000 is not between 0 and 1000 (value-out-of-range)"
    assert _posts(sim) == [4, 3, 2]


async def test_an_outage_of_500s_quarantines_nothing(
    adapter: TidepoolAdapter, sim: TidepoolSim, clock: FakeClock
) -> None:
    sim.fail(500, times=10_000, path="/v1/data_sets")
    with pytest.raises(Transient, match="fails on"):
        await adapter.deliver(documents(1000), [])
    assert len(sim.seen) < 40
    sim.knobs.outages.clear()
    assert set(verdicts(await adapter.deliver(documents(1000), []))) == {"accepted"}


async def test_an_outage_that_begins_midway_quarantines_nothing(
    adapter: TidepoolAdapter, sim: TidepoolSim, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last request falls into it, whole or one datum large."""
    monkeypatch.setattr("adapters.tidepool.delivery.MOST", 1)
    posted = 0

    def fails(datum: Any) -> str | None:
        nonlocal posted
        posted += 1
        return "down" if posted > 2 else None

    sim.knobs.poison, sim.knobs.poison_status = fails, 500
    outcomes = await adapter.deliver(documents(3), [])
    assert verdicts(outcomes) == ["accepted", "accepted", "retry"]
    sim.knobs.poison = None
    assert set(verdicts(await adapter.deliver(documents(3), []))) == {"accepted"}


async def test_an_outage_that_ends_midway_quarantines_nothing(
    adapter: TidepoolAdapter, sim: TidepoolSim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.tidepool.delivery.MOST", 1)
    sim.fail(500, times=3, path="/v1/data_sets", method="POST")
    assert set(verdicts(await adapter.deliver(documents(3), []))) == {"accepted"}


async def test_server_errors_on_a_lone_datum_prove_nothing(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    sim.knobs.poison, sim.knobs.poison_status = _curse(0), 500
    with pytest.raises(Transient, match="HTTP 500"):
        await adapter.deliver([document(0)], [])
    assert verdicts(await adapter.deliver([document(0), document(1)], [])) == ["quarantined", "accepted"]


async def test_refusals_of_everything_without_a_reason_quarantine_nothing(
    adapter: TidepoolAdapter, sim: TidepoolSim
) -> None:
    sim.fail(400, times=10_000, path="/v1/data_sets")
    with pytest.raises(Transient):
        await adapter.deliver(documents(1000), [])


async def test_a_short_500_is_waited_out(adapter: TidepoolAdapter, sim: TidepoolSim, clock: FakeClock) -> None:
    sim.fail(500, times=2, path="/v1/data_sets")
    assert set(verdicts(await adapter.deliver(documents(10), []))) == {"accepted"}
    assert clock.slept == [1.0, 2.0]


# --- rights and outages ----------------------------------------------------------------------------


async def test_401_renews_once_and_tries_once(
    adapter: TidepoolAdapter, sim: TidepoolSim, session: SimSession
) -> None:
    await adapter.deliver(documents(3), [])
    sim.expire_access()
    assert set(verdicts(await adapter.deliver(documents(5), []))) == {"accepted"}
    assert len(session.renewals) == 1
    sim.fail(401, times=2, path="/v1/data_sets")
    with pytest.raises(Unauthorised, match="no longer accepts"):
        await adapter.deliver(documents(5), [])
    assert len(session.renewals) == 2


async def test_a_dead_grant_says_how_to_link_again(
    adapter: TidepoolAdapter, sim: TidepoolSim, session: SimSession
) -> None:
    session.refuses = [Unauthorised("The grant is dead."), Unauthorised("The grant is dead.")]
    sim.expire_access()
    with pytest.raises(Unauthorised, match="glucobridge link") as caught:
        await adapter.deliver(documents(3), [])
    assert caught.value.state == "login_required"
    health = await adapter.prepare()
    assert health.state == "login_required"


async def test_403_is_a_missing_right(
    sim: TidepoolSim, session: SimSession, base: str, clock: FakeClock, http: Any
) -> None:
    viewer = adapter_for(SimSession(http, sim, VIEWER), base, clock)
    with pytest.raises(Forbidden, match="upload permission"):
        await viewer.deliver(documents(3), [])
    sim.share(OWNER, VIEWER)
    assert (await adapter_for(SimSession(http, sim, VIEWER), base, clock).prepare()).state == "permission_denied"
    giver = adapter_for(SimSession(http, sim, CAREGIVER), base, clock)
    assert set(verdicts(await giver.deliver(documents(3), []))) == {"accepted"}


async def test_what_was_confirmed_before_an_outage_stays_confirmed(
    adapter: TidepoolAdapter, sim: TidepoolSim
) -> None:
    adapter.batch = 10
    posts = documents(30)

    def cut(datum: Any) -> None:
        if datum["origin"]["id"] == "r10:cbg":
            sim.fail(503, times=100, path="/v1/data_sets")

    sim.knobs.poison = cut
    outcomes = await adapter.deliver(posts, [to_delete(document(99))])
    assert verdicts(outcomes)[:10] == ["accepted"] * 10
    assert verdicts(outcomes)[20:] == ["retry"] * 11
    assert "503" in outcomes[25].reason


async def test_429_is_passed_on_and_waited_for(adapter: TidepoolAdapter, sim: TidepoolSim, clock: FakeClock) -> None:
    await adapter.prepare()
    sim.fail(429, path="/v1/data_sets", headers={"Retry-After": "30"})
    with pytest.raises(Throttled) as caught:
        await adapter.deliver(documents(3), [])
    assert caught.value.retry_after_s == 30
    assert adapter.batch == 1000


async def test_429_in_the_middle_holds_the_next_delivery_back(
    adapter: TidepoolAdapter, sim: TidepoolSim, clock: FakeClock
) -> None:
    await adapter.deliver(documents(1), [])
    adapter.batch = 2
    sim.knobs.poison = lambda datum: (
        sim.fail(429, path="/v1/data_sets", headers={"Retry-After": "30"}) if datum["value"] == 101 else None
    )
    outcomes = await adapter.deliver(documents(6), [])
    assert verdicts(outcomes) == ["accepted"] * 2 + ["retry"] * 4
    sim.seen.clear()
    with pytest.raises(Throttled) as caught:
        await adapter.deliver(documents(6), [])
    assert caught.value.retry_after_s == 30
    assert (await adapter.prepare()).state == "rate_limited"
    assert sim.seen == []
    clock.advance(31)
    assert (await adapter.prepare()).state == "ok"
    sim.knobs.poison = None
    assert set(verdicts(await adapter.deliver(documents(6), []))) == {"accepted"}


async def test_retry_after_as_a_date(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    await adapter.prepare()
    headers = {"Retry-After": "Tue, 10 Mar 2026 06:02:00 GMT", "Date": "Tue, 10 Mar 2026 06:00:30 GMT"}
    sim.fail(429, path="/v1/data_sets", headers=headers)
    with pytest.raises(Throttled) as caught:
        await adapter.deliver(documents(1), [])
    assert caught.value.retry_after_s == 90


@pytest.mark.parametrize("status", [0, 502, 503, 504])
async def test_outages_raise_and_the_same_again_is_safe(
    status: int, adapter: TidepoolAdapter, sim: TidepoolSim
) -> None:
    await adapter.prepare()
    sim.fail(status, path="/v1/data_sets", after=True)
    with pytest.raises(Transient):
        await adapter.deliver(documents(20), [])
    assert len(active(sim)) == 20
    assert set(verdicts(await adapter.deliver(documents(20), []))) == {"accepted"}
    assert duplicates(sim) == []


async def test_one_delivery_at_a_time(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    together = 0
    most = 0
    original = SimSession.request

    async def counting(self: SimSession, *args: Any, **kwargs: Any) -> Any:
        nonlocal together, most
        together += 1
        most = max(most, together)
        try:
            return await original(self, *args, **kwargs)
        finally:
            together -= 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SimSession, "request", counting)
        await asyncio.gather(*(adapter.deliver(documents(200), []) for _ in range(5)), adapter.prepare())
    assert most == 1
    assert duplicates(sim) == []


# --- keys and deletes ------------------------------------------------------------------------------


async def test_equal_keys_never_share_a_request(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    posts = [document(0, key="same:cbg", value=90), document(1, key="same:cbg", value=91), document(2)]
    assert verdicts(await adapter.deliver(posts, [])) == ["accepted"] * 3
    assert duplicates(sim) == []
    assert active(sim)["same:cbg"][0]["value"] == pytest.approx(91 / 18.01559, abs=1e-5)
    assert _posts(sim) == [1, 2]


def _wizard(number: int) -> Any:
    bolus = {
        "type": "bolus", "subType": "normal", "normal": 2, "time": "2026-03-10T06:00:00.000Z",
        "origin": {"id": f"b{number}:bolus"}, "id": f"{number:032d}",
    }  # fmt: skip
    body = {"type": "wizard", "carbInput": 30, "bolus": bolus}
    return document(number, key=f"w{number}:wizard", books=[f"b{number}:bolus"], **body)


async def test_a_wizards_bolus_counts_as_a_key(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    alone = document(0, key="b0:bolus", type="bolus", subType="normal", normal=1, id="0" * 32)
    assert verdicts(await adapter.deliver([alone, _wizard(0)], [])) == ["accepted", "accepted"]
    assert _posts(sim) == [1, 1]
    assert duplicates(sim) == []
    assert active(sim)["w0:wizard"][0]["bolus"] == "0" * 32


async def test_deletes_come_after_posts_and_in_thousands(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    posts = documents(1200)
    outcomes = await adapter.deliver(posts, [])
    gone = [to_delete(post, outcome.server_id) for post, outcome in zip(posts, outcomes, strict=True)]
    sim.seen.clear()
    again = await adapter.deliver([document(2000)], gone)
    assert verdicts(again) == ["accepted"] * 1201
    assert [each.method for each in sim.seen] == ["POST", "DELETE", "DELETE"]
    assert list(active(sim)) == ["r2000:cbg"]


async def test_what_a_wizard_carries_is_not_deleted(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    alone = document(0, key="b0:bolus", type="bolus", subType="normal", normal=1, id="0" * 32)
    await adapter.deliver([alone], [])
    sim.seen.clear()
    outcomes = await adapter.deliver([_wizard(0)], [to_delete(alone), to_delete(document(7))])
    assert verdicts(outcomes) == ["accepted"] * 3
    assert active(sim)["b0:bolus"][0]["normal"] == 2
    assert sim.count("DELETE") == 1


async def test_a_carried_key_waits_when_its_carrier_was_refused(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    alone = document(0, key="b0:bolus", type="bolus", subType="normal", normal=1, id="0" * 32)
    await adapter.deliver([alone], [])
    bad = replace(_wizard(0), body={**_wizard(0).body, "carbInput": 5000})
    assert verdicts(await adapter.deliver([bad], [to_delete(alone)])) == ["quarantined", "retry"]
    assert "b0:bolus" in active(sim)


async def test_a_delete_that_fails_is_tried_again(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    outcomes = await adapter.deliver(documents(2), [])
    assert set(verdicts(outcomes)) == {"accepted"}
    sim.fail(500, path="/v1/data_sets", method="DELETE")
    outcomes = await adapter.deliver([document(5)], [to_delete(document(0))])
    assert verdicts(outcomes) == ["accepted", "retry"]
    sim.fail(500, path="/v1/data_sets", method="DELETE")
    with pytest.raises(Transient):
        await adapter.deliver([], [to_delete(document(0))])
    assert verdicts(await adapter.deliver([], [to_delete(document(0)), to_delete(document(77))])) == ["accepted"] * 2
    assert "r0:cbg" not in active(sim)


# --- data sets that go away ------------------------------------------------------------------------


async def test_a_closed_set_is_left_and_its_history_stays_there(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    await adapter.deliver(documents(10), [])
    (first,) = sim.data_sets(OWNER)
    sim.close_data_set(first.id)
    sim.seen.clear()
    assert set(verdicts(await adapter.deliver([document(10), document(11)], []))) == {"accepted"}
    second, _ = sim.data_sets(OWNER)
    assert (second.id != first.id, len(active(sim)), duplicates(sim)) == (True, 12, [])
    assert adapter.state == {"user_id": OWNER, "upload_id": second.id, "former": [first.id], "closed": [first.id]}


async def test_a_correction_leaves_no_copy_in_a_former_set(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    await adapter.deliver(documents(10), [])
    sim.close_data_set(sim.data_sets(OWNER)[0].id)
    await adapter.deliver([document(3, value=77)], [])
    assert duplicates(sim) == []
    assert active(sim)["r3:cbg"][0]["value"] == pytest.approx(77 / 18.01559, abs=1e-5)
    sim.fail(503, path="/v1/data_sets", method="DELETE")
    with pytest.raises(Transient):
        await adapter.deliver([document(4, value=78)], [])
    await adapter.deliver([document(4, value=78)], [])
    assert duplicates(sim) == []


async def test_a_set_that_is_gone_is_made_again(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    await adapter.deliver(documents(4), [])
    sim.lose_data_set(sim.data_sets(OWNER)[0].id)
    assert set(verdicts(await adapter.deliver([document(4)], []))) == {"accepted"}
    assert list(active(sim)) == ["r4:cbg"]


async def test_a_service_that_loses_every_set_is_given_up(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    sim.fail(404, times=100, path="/v1/data_sets", method="POST")
    with pytest.raises(Incompatible):
        await adapter.deliver(documents(2), [])
    assert len(sim.seen) < 20


async def test_a_delete_goes_where_the_original_went(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    outcomes = await adapter.deliver([document(0)], [])
    first = str(outcomes[0].server_id)
    sim.close_data_set(first)
    await adapter.deliver([document(1)], [])
    assert verdicts(await adapter.deliver([], [to_delete(document(0), first)])) == ["accepted"]
    assert list(active(sim)) == ["r1:cbg"]


async def test_a_delete_reaches_a_set_of_an_earlier_name(
    session: SimSession, base: str, clock: FakeClock, sim: TidepoolSim
) -> None:
    earlier = adapter_for(session, base, clock, installation="old")
    outcomes = await earlier.deliver([document(0)], [])
    renamed = adapter_for(session, base, clock, installation="new")
    await renamed.deliver([document(1)], [])
    await renamed.deliver([], [to_delete(document(0), outcomes[0].server_id)])
    assert list(active(sim)) == ["r1:cbg"]
