"""Bad days: lost answers, refusals, dead tokens, missing rights, outages. Nothing is lost, doubled or hammered."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.nightscout import NightscoutAdapter
from adapters.nightscout.suspicion import Suspicion
from bridge.contracts import Outcome, Verdict
from bridge.errors import Forbidden, Incompatible, Throttled, Transient, Unauthorised
from bridge.simulators.nightscout import Fault
from bridge.simulators.nightscout.answers import ServerDied
from tests.adapters.nightscout.conftest import Rig, entry, made_documents, note, rig_of, status, verdicts
from tests.support.clock import FakeClock

_, DOCUMENTS = made_documents()
ACCEPTED, RETRY, QUARANTINED = Verdict.ACCEPTED, Verdict.RETRY, Verdict.QUARANTINED


async def test_the_element_the_site_names_is_set_aside_and_the_rest_goes_on(
    rig: Rig, ready: NightscoutAdapter
) -> None:
    bad = {entry(3).key, entry(7).key}
    rig.sim.validator = lambda _, one: "Document failed validation" if one.get("identifier") in bad else None
    outcomes = await ready.deliver([entry(n) for n in range(10)], ())
    assert [n for n, one in enumerate(outcomes) if one.verdict is QUARANTINED] == [3, 7]
    assert verdicts(outcomes).count(ACCEPTED) == 8
    assert "Document failed validation" in outcomes[3].reason
    assert len(rig.stored("entries")) == 8
    assert rig.posts("entries")[-3:] == [500, 500, 200], "one request more for each refused one"


async def test_many_refused_elements_do_not_exhaust_anything(rig: Rig, ready: NightscoutAdapter) -> None:
    rig.sim.validator = lambda _, one: "no" if one.get("sgv", 0) % 2 else None
    outcomes = await ready.deliver([entry(n) for n in range(400)], ())
    assert verdicts(outcomes).count(QUARANTINED) == 200


async def test_without_an_index_halves_find_the_one(clock: FakeClock) -> None:
    async with rig_of(clock) as rig:
        rig.session.tokens = [rig.sim.add_subject("v1", ["api:*:create,read"])]
        adapter = rig.adapter()
        rig.sim.validator = lambda name, one: (
            "no" if name == "devicestatus" and one.get("identifier") == status(11).key else None
        )
        outcomes = await adapter.deliver([status(n) for n in range(16)], ())
        assert [n for n, one in enumerate(outcomes) if one.verdict is not ACCEPTED] == [11]
        assert outcomes[11].verdict is QUARANTINED
        assert len(rig.stored("devicestatus")) == 15, "what stood before it in a failed request is not doubled"


async def test_one_refused_alone_is_retried_until_others_go_through(clock: FakeClock) -> None:
    async with rig_of(clock) as rig:
        rig.session.tokens = [rig.sim.add_subject("v1", ["api:*:create,read"])]
        adapter = rig.adapter()
        bad = status(1).key
        rig.sim.validator = lambda name, one: "no" if one.get("identifier") == bad else None
        for _ in range(3):
            assert verdicts(await adapter.deliver([status(1)], ())) == [RETRY]
        assert verdicts(await adapter.deliver([status(1), status(2)], ())) == [QUARANTINED, ACCEPTED]


async def test_a_site_that_refuses_everything_is_not_hammered(rig: Rig, ready: NightscoutAdapter) -> None:
    rig.sim.faults.append(Fault("status", path="/entries", times=1000, status=400))
    with pytest.raises(Incompatible, match="every document"):
        await ready.deliver([entry(n) for n in range(400)], ())
    assert len(rig.posts("entries")) < 30


@pytest.mark.parametrize("kind", ["cut", "lost_answer", "error_after"])
@pytest.mark.parametrize("path", ["/entries", "/treatments", "/devicestatus", "/profile"])
async def test_a_lost_answer_doubles_nothing(kind: Any, path: str, rig: Rig, ready: NightscoutAdapter) -> None:
    method = "PUT" if path == "/profile" else "POST"
    rig.sim.faults.append(Fault(kind, method, path, status=500))
    try:
        outcomes = list(await ready.deliver(DOCUMENTS, ()))
    except Transient:
        outcomes = [Outcome(RETRY)]
    assert RETRY in verdicts(outcomes) or path == "/profile", "an idempotent PUT may be repeated by the client itself"
    assert set(verdicts(await rig.settled(ready, DOCUMENTS))) == {ACCEPTED}
    assert rig.counts() == {"entries": 16, "treatments": 82, "devicestatus": 5, "profile": 1}


async def test_statuses_by_v1_are_not_doubled_by_a_lost_answer_or_a_lost_memory(clock: FakeClock) -> None:
    async with rig_of(clock) as rig:
        rig.session.tokens = [rig.sim.add_subject("v1", ["api:*:create,read"])]
        adapter = rig.adapter()
        rig.sim.faults.append(Fault("lost_answer", path="/v1/devicestatus", times=1))
        with pytest.raises(Transient):
            await _unprobed(adapter, rig)
        assert len(rig.stored("devicestatus")) == 150
        assert set(verdicts(await adapter.deliver([status(n) for n in range(150)], ()))) == {ACCEPTED}
        assert set(verdicts(await rig.adapter().deliver([status(n) for n in range(150)], ()))) == {ACCEPTED}
        assert len(rig.stored("devicestatus")) == 150
        assert not any("/v3/devicestatus" in path for _, path, _ in rig.sim.log)


async def _unprobed(adapter: NightscoutAdapter, rig: Rig) -> None:
    """The probe's empty array must not use the fault up."""
    fault, rig.sim.faults[:] = rig.sim.faults[0], []
    await adapter.prepare()
    await adapter.deliver([status(n) for n in range(100)], ())
    rig.sim.faults.append(fault)
    await adapter.deliver([status(n) for n in range(100, 150)], ())


async def test_a_jwt_is_renewed_before_the_server_lets_it_expire(rig: Rig, ready: NightscoutAdapter) -> None:
    await ready.deliver([status(1)], ())
    rig.sim.log.clear()
    for hour in range(1, 25):
        rig.clock.advance(3600)
        await ready.deliver([status(hour)], ())
    assert rig.sim.penalties.failures == 0, "an expired one counts as a failed login"
    assert 3 <= rig.asked("authorization/request") <= 4
    rig.clock.jump(-5 * 3600)
    await ready.deliver([status(30)], ())
    assert rig.sim.penalties.failures == 0


async def test_a_jwt_of_a_shorter_life_is_renewed_in_time(
    rig: Rig, ready: NightscoutAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.simulators.nightscout.authority.JWT_LIFE_S", 1800)
    ready._access.forget_jwt()
    for n in range(40):
        await ready.deliver([status(n)], ())
        rig.clock.advance(117)
    assert rig.sim.penalties.failures == 0


async def test_by_v3_the_jwt_goes_alone(rig: Rig, ready: NightscoutAdapter) -> None:
    await ready.deliver([status(1)], ())
    assert "Authorization" in rig.session.sent_headers[-1]
    assert "api-secret" not in rig.session.sent_headers[-1]


async def test_a_server_built_anew_costs_one_renewal(rig: Rig, ready: NightscoutAdapter) -> None:
    await ready.deliver([status(1)], ())
    rig.sim.authority.rebuild()
    assert verdicts(await ready.deliver([status(2)], ())) == [ACCEPTED]


async def test_a_dead_token_is_tried_once_and_then_left_alone(rig: Rig, ready: NightscoutAdapter) -> None:
    rig.sim.authority.subjects.clear()
    rig.sim.authority._by_digest.clear()
    rig.sim.log.clear()
    with pytest.raises(Unauthorised):
        await ready.deliver([entry(1), note(1), status(1)], ())
    assert rig.sim.penalties.failures == 1
    asked = len(rig.sim.log)
    assert asked == 2, "the refused write, and one exchange that costs nothing"
    for _ in range(5):
        with pytest.raises(Unauthorised):
            await ready.deliver([entry(1)], ())
        rig.clock.advance(50)
    assert len(rig.sim.log) == asked
    rig.clock.advance(60)
    assert (await rig.adapter().prepare()).state == "login_required"
    assert rig.sim.penalties.failures == 1, "looking again costs no penalty"


async def test_a_missing_right_names_itself_and_stops_only_its_collection(clock: FakeClock) -> None:
    async with rig_of(clock) as rig:
        rig.session.tokens = [rig.sim.add_subject("weak", ["api:entries,devicestatus:create,read,update"])]
        adapter = rig.adapter()
        outcomes = await adapter.deliver([entry(1), note(1), status(1)], ())
        assert verdicts(outcomes) == [ACCEPTED, RETRY, ACCEPTED]
        assert "api:treatments:create" in outcomes[1].reason
        with pytest.raises(Forbidden) as caught:
            await adapter.deliver([note(1)], ())
        assert caught.value.state == "permission_denied"
        assert rig.sim.penalties.failures == 0


async def test_careportal_off_is_named(clock: FakeClock) -> None:
    async with rig_of(clock, careportal=False) as rig:
        adapter = rig.adapter()
        assert (await adapter.prepare()).state == "careportal_off"
        assert verdicts(await adapter.deliver([entry(1), note(1)], ())) == [ACCEPTED, RETRY]
        with pytest.raises(Forbidden) as caught:
            await adapter.deliver([note(1)], ())
        assert caught.value.state == "careportal_off"
        assert (await rig.adapter(streams={"glucose": True} | _ONLY_GLUCOSE, meter="mbg").prepare()).state == "ok"


_ONLY_GLUCOSE = dict.fromkeys(
    ("bolus", "basal", "carbs", "events", "notes", "alarms", "profile", "devicestatus"), False
)


@pytest.mark.parametrize(
    ("status_code", "error"), [(502, Transient), (503, Transient), (504, Transient), (429, Throttled)]
)
async def test_outages_are_transient(
    status_code: int, error: type[Exception], rig: Rig, ready: NightscoutAdapter
) -> None:
    rig.sim.faults.append(Fault("status", path="/entries", status=status_code, headers={"Retry-After": "120"}))
    with pytest.raises(error) as caught:
        await ready.deliver([entry(1), note(1)], ())
    if isinstance(caught.value, Throttled):
        assert caught.value.retry_after_s == 120
    assert rig.posts("treatments")[1:] == [], "nothing more is asked of a site that is not there"


@pytest.mark.parametrize("kind", ["null", "page"])
async def test_a_page_or_a_null_is_no_success(kind: Any, rig: Rig, ready: NightscoutAdapter) -> None:
    rig.sim.faults.append(Fault(kind, path="/entries", status=200))
    with pytest.raises(Transient, match="without the data"):
        await ready.deliver([entry(1)], ())


async def test_a_full_database_is_named(rig: Rig, ready: NightscoutAdapter) -> None:
    rig.sim.validator = lambda *_: "you are over your space quota, using 513 MB of 512 MB"
    with pytest.raises(Transient) as caught:
        await ready.deliver([entry(1)], ())
    assert caught.value.state == "site_full"


async def test_a_database_that_is_down_is_an_outage(rig: Rig, ready: NightscoutAdapter) -> None:
    rig.sim.database_up = False
    with pytest.raises(Transient):
        await ready.deliver([entry(n) for n in range(50)], ())
    assert len(rig.posts("entries")) <= 2, "it is not looked for among the documents"
    rig.sim.database_up = True
    assert set(verdicts(await ready.deliver([entry(n) for n in range(50)], ()))) == {ACCEPTED}


async def test_partly_known_is_told_partly(rig: Rig) -> None:
    adapter = rig.adapter(batch=10)
    await adapter.prepare()
    adapter._pace.took = lambda *_: None  # type: ignore[method-assign]
    rig.sim.faults.append(Fault("status", path="/v3/devicestatus", status=503))
    outcomes = await adapter.deliver([*(entry(n) for n in range(25)), note(1), status(1)], ())
    assert verdicts(outcomes) == [ACCEPTED] * 26 + [RETRY]


async def test_a_request_that_breaks_off_twice_is_halved_until_the_one_is_found(
    rig: Rig, ready: NightscoutAdapter
) -> None:
    """A server that dies of one document. Ours never send such; a proxy may still choke on one."""
    killer = entry(13).key
    sizes: list[int] = []

    def choke(name: str, one: Any) -> str | None:
        if one.get("identifier") == killer:
            raise ServerDied
        return None

    rig.sim.validator = choke
    waiting = {one.key: one for one in (entry(n) for n in range(32))}
    quarantined: list[str] = []
    for _ in range(20):
        sizes.append(len(waiting))
        try:
            outcomes = await ready.deliver(list(waiting.values()), ())
        except Transient:
            continue
        for document, outcome in zip(list(waiting.values()), outcomes, strict=True):
            if outcome.verdict is not RETRY:
                del waiting[document.key]
            if outcome.verdict is QUARANTINED:
                quarantined.append(document.key)
        if not waiting:
            break
    assert quarantined == [killer]
    assert not waiting
    assert len(rig.stored("entries")) == 31
    assert rig.sim.crashes <= 2 + 5 + 1, "twice whole, then halves"


async def test_an_outage_convicts_nobody(rig: Rig, ready: NightscoutAdapter) -> None:
    row = [entry(n) for n in range(40)]
    rig.sim.faults += [Fault("cut", path="/entries", times=99), Fault("cut", "GET", "/version", times=99)]
    for _ in range(6):
        with pytest.raises(Transient):
            await ready.deliver(row, ())
    rig.sim.faults.clear()
    rig.sim.log.clear()
    assert set(verdicts(await ready.deliver(row, ()))) == {ACCEPTED}
    assert rig.posts("entries") == [200], "nothing was halved for what was no document's fault"


def test_the_least_suspicious_go_first() -> None:
    suspicion = Suspicion()
    row = [entry(n) for n in range(8)]
    for chunk in (row, row, row[:4]):
        suspicion.failed(chunk)
    suspicion.cleared(row[6:])
    assert suspicion.groups(row) == [(None, row[6:]), (4, row[4:6]), (2, row[:4])]


async def test_an_early_end_of_the_round_keeps_what_is_known(rig: Rig) -> None:
    adapter = rig.adapter(batch=50)
    await adapter.prepare()
    rig.sim.faults.append(Fault("wait", path="/entries", times=100, wait_s=55))
    outcomes = await adapter.deliver([entry(n) for n in range(400)], ())
    assert verdicts(outcomes)[0] is ACCEPTED
    assert verdicts(outcomes)[-1] is RETRY
    assert "slow" in outcomes[-1].reason
