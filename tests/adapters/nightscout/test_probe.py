"""What `prepare` finds out, what it calls it, and how often it asks."""

from __future__ import annotations

import random
from typing import Any

import pytest

from adapters.nightscout import NightscoutAdapter
from adapters.nightscout.permissions import ROLE, allows, implies, listed, missing, needed
from bridge.contracts import Setup
from bridge.errors import ContractViolation, SettingsInvalid
from bridge.model.health import State
from bridge.simulators.nightscout import Fault
from tests.adapters.nightscout.conftest import Rig, made_documents, rig_of
from tests.support.clock import FakeClock


async def test_a_good_site_is_remembered(rig: Rig) -> None:
    adapter = rig.adapter()
    health = await adapter.prepare()
    assert (health.state, health.text) == (State.OK, "")
    assert adapter.state["version"] == "15.0.7"
    assert adapter.state["careportal"] is True
    assert adapter.state["skew_s"] == 0
    assert adapter.state["groups"] == [list(ROLE), []]
    assert adapter.state["status_route"] == "v3"
    assert all(not rig.stored(name) for name in ("entries", "treatments", "devicestatus", "profile"))
    assert rig.session.tokens[0] not in str(adapter.state)


async def test_it_asks_at_the_start_and_every_six_hours(rig: Rig) -> None:
    adapter = rig.adapter()
    await adapter.prepare()
    asked = len(rig.sim.log)
    rig.clock.advance(5.9 * 3600)
    await adapter.prepare()
    assert len(rig.sim.log) == asked
    rig.clock.advance(0.2 * 3600)
    await adapter.prepare()
    assert len(rig.sim.log) == 2 * asked


async def test_the_units_of_the_site_reach_the_mapping(clock: FakeClock) -> None:
    records, _ = made_documents()
    async with rig_of(clock, units="mmol", default_roles=("readable",)) as rig:
        adapter = rig.adapter()
        before = [one.body["units"] for one in adapter.desired(records).documents.values() if one.op == "put"]
        await adapter.prepare()
        after = [one.body["units"] for one in adapter.desired(records).documents.values() if one.op == "put"]
    assert (before, after) == (["mg/dl"], ["mmol"])


async def test_a_clock_that_is_off_is_mentioned(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = rig.adapter()
    later = FakeClock(rig.clock.now())
    later.advance(95)
    rig.sim.clock = later
    health = await adapter.prepare()
    assert health.state is State.OK
    assert "95 s ahead" in health.text


@pytest.mark.parametrize(
    ("rights", "named"),
    [
        (
            ["*:*:read"],
            ["entries:create", "treatments:create,update,delete", "devicestatus:create", "profile:create"],
        ),
        (["api:entries,devicestatus,profile:*"], ["treatments:create,read,update,delete"]),
        (["api:*:create"], ["api:entries:read", "api:profile:read"]),
    ],
)
async def test_missing_rights_are_named(rights: list[str], named: list[str], clock: FakeClock) -> None:
    async with rig_of(clock) as rig:
        rig.session.tokens = [rig.sim.add_subject("weak", rights)]
        health = await rig.adapter().prepare()
        assert health.state is State.PERMISSION_DENIED
        for one in named:
            assert one in health.text
        assert rig.sim.penalties.failures == 0


async def test_lesser_gaps_are_mentioned_and_harmless(clock: FakeClock) -> None:
    async with rig_of(clock) as rig:
        rig.session.tokens = [rig.sim.add_subject("weak", ["api:*:create,read"])]
        health = await rig.adapter().prepare()
        assert health.state is State.OK
        assert "api:treatments:update,delete" in health.text


async def test_streams_switched_off_need_nothing(clock: FakeClock) -> None:
    off = dict.fromkeys(("bolus", "basal", "carbs", "events", "notes", "alarms", "profile", "devicestatus"), False)
    async with rig_of(clock) as rig:
        rig.session.tokens = [rig.sim.add_subject("glucose", ["api:entries:create,read,delete"])]
        adapter = rig.adapter(streams=off, meter="mbg")
        assert (await adapter.prepare()).state is State.OK
        assert {path for method, path, _ in rig.sim.log if method == "POST"} == {"/api/v1/entries.json"}


async def test_a_refused_token_is_asked_about_rarely(rig: Rig) -> None:
    rig.session.tokens = ["nobody-0123456789abcdef"]
    adapter = rig.adapter()
    assert (await adapter.prepare()).state is State.LOGIN_REQUIRED
    assert rig.sim.penalties.failures == 0
    for pause, again in ((299, False), (2, True), (890, False), (20, True), (3590, False), (20, True), (3590, False)):
        rig.sim.log.clear()
        rig.clock.advance(pause)
        assert (await adapter.prepare()).state is State.LOGIN_REQUIRED
        assert bool(rig.asked("authorization/request")) is again
        assert again or not rig.sim.log, "nothing at all is asked in between"
    assert rig.sim.penalties.failures == 0


@pytest.mark.parametrize(
    ("fault", "state"), [("cut", "unreachable"), ("page", "unreachable"), ("null", "unreachable")]
)
async def test_a_site_that_does_not_start(fault: Any, state: str, rig: Rig) -> None:
    rig.sim.faults.append(Fault(fault, "GET", "/version", status=200, times=2))
    adapter = rig.adapter()
    assert (await adapter.prepare()).state == state
    rig.sim.faults.clear()
    assert (await adapter.prepare()).state is State.OK, "a failed survey is made again at once"


async def test_a_filling_database_is_mentioned(clock: FakeClock) -> None:
    async with rig_of(clock, database_percent=81, default_roles=("readable",)) as rig:
        health = await rig.adapter().prepare()
        assert health.state is State.OK
        assert "81 % full" in health.text


async def test_a_site_before_api_v3(rig: Rig) -> None:
    rig.sim.faults.append(Fault("status", "GET", "/api/v3/version", status=404, times=9))
    adapter = rig.adapter()
    assert (await adapter.prepare()).state is State.OK
    assert adapter.state["status_route"] == "v1"


async def test_without_url_or_session(clock: FakeClock) -> None:
    offline = NightscoutAdapter(Setup("p1", {}, clock, random.Random(1)))
    with pytest.raises(ContractViolation):
        await offline.prepare()
    async with rig_of(clock) as rig:
        with pytest.raises(SettingsInvalid):
            await rig.adapter(url="").deliver([], ())


@pytest.mark.parametrize(
    ("granted", "wanted", "covered"),
    [
        ("*", "api:entries:create", True),
        ("*:*:read", "api:entries:read", True),
        ("*:*:read", "api:entries:create", False),
        ("api:entries:create,read", "api:entries:read", True),
        ("api:entries", "api:entries:read", True),
        ("api:entries,treatments:*", "api:treatments:delete", True),
        ("api:entries:create", "api:treatments:create", False),
        ("api:entries:create:extra", "api:entries:create", False),
    ],
)
def test_permissions(granted: str, wanted: str, covered: bool) -> None:
    assert implies(granted, wanted) is covered
    assert allows([["x"], [granted]], wanted) is covered


def test_the_role_is_exactly_what_is_needed() -> None:
    collections = ("entries", "treatments", "devicestatus", "profile")
    assert not missing([list(ROLE)], collections)
    assert listed(needed(collections)).split(", ") == list(ROLE)
    assert not any("*" in one or "admin" in one or "food" in one for one in ROLE)
