"""Which data set takes data: found before made, kept, checked again, never doubled."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from adapters.tidepool import TidepoolAdapter
from bridge import __version__
from bridge.contracts import Setup
from bridge.simulators.tidepool import TidepoolSim
from tests.adapters.tidepool.support import (
    CAREGIVER,
    OWNER,
    SimSession,
    active,
    adapter_for,
    document,
    documents,
    duplicates,
    verdicts,
)
from tests.support.clock import FakeClock

DAY_S = 86_400.0


async def test_made_once_with_the_pump_of_the_first_delivery(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    assert (await adapter.prepare()).state == "ok"
    assert sim.data_sets(OWNER) == []
    meter = document(0, key="m:smbg", type="smbg", deviceId="Contour:7")
    await adapter.deliver([meter, document(1)], [])
    (data_set,) = sim.data_sets(OWNER)
    body = {name: value for name, value in data_set.body.items() if not name.endswith(("Time", "UserId"))}
    upload_id = body.pop("id")
    assert body == {
        "uploadId": upload_id, "type": "upload", "byUser": OWNER, "dataSetType": "continuous",
        "client": {"name": "org.glucobridge.abc123", "version": __version__, "private": {"installation": "abc123"}},
        "deduplicator": {"name": "org.tidepool.deduplicator.dataset.delete.origin", "version": "1.0.0"},
        "deviceId": "MMT-1884:NG1", "deviceManufacturers": ["Medtronic"], "deviceModel": "1884",
        "deviceSerialNumber": "NG1", "deviceTags": ["bgm", "cgm", "insulin-pump"], "time": "2026-03-10T06:00:00Z",
        "timeProcessing": "none", "timezone": "Europe/Helsinki", "version": __version__,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("device_id", "setting", "model"),
    [("NGP:NG7", None, None), ("MMT-723K:5", None, "723K"), ("1780:5", None, "1780"), ("MMT-1884:5", "1780", "1780")],
)
async def test_the_model_is_the_pumps_own_unless_set(
    device_id: str, setting: str | None, model: str | None, session: SimSession, base: str, clock: FakeClock,
    sim: TidepoolSim,
) -> None:  # fmt: skip
    adapter = adapter_for(session, base, clock, device_model=setting)
    await adapter.deliver([document(0, deviceId=device_id)], [])
    assert sim.data_sets(OWNER)[0].body.get("deviceModel") == model


async def test_a_lost_state_finds_the_set_again(
    adapter: TidepoolAdapter, session: SimSession, base: str, clock: FakeClock, sim: TidepoolSim
) -> None:
    await adapter.deliver(documents(20), [])
    again = adapter_for(session, base, clock)
    assert set(verdicts(await again.deliver(documents(20), []))) == {"accepted"}
    assert len(sim.data_sets(OWNER)) == 1
    assert duplicates(sim) == []
    assert again.state == adapter.state


async def test_a_lost_acknowledgement_of_the_creation_makes_no_second_set(
    adapter: TidepoolAdapter, sim: TidepoolSim
) -> None:
    sim.fail(0, path="/v1/users", method="POST", after=True)
    health = await adapter.prepare()
    assert health.state == "ok"
    with pytest.raises(Exception, match="while asking"):
        await adapter.deliver(documents(3), [])
    await adapter.deliver(documents(3), [])
    assert len(sim.data_sets(OWNER)) == 1


async def test_restart_keeps_the_set_of_its_state_even_when_a_newer_one_exists(
    adapter: TidepoolAdapter, session: SimSession, base: str, clock: FakeClock, sim: TidepoolSim
) -> None:
    await adapter.deliver(documents(2), [])
    first = adapter.state["upload_id"]
    clock.advance(60)
    await _make_set(session, base, sim.data_sets(OWNER)[0].body["client"])
    again = adapter_for(session, base, clock)
    again.state = adapter.state
    outcomes = await again.deliver([document(0, value=70)], [])
    assert outcomes[0].server_id == first
    fresh = adapter_for(session, base, clock)
    outcomes = await fresh.deliver([document(0, value=71)], [])
    assert outcomes[0].server_id != first
    assert duplicates(sim) == []


async def _make_set(session: SimSession, base: str, client: dict[str, Any], **change: Any) -> None:
    body = {
        "client": client, "dataSetType": "continuous",
        "deduplicator": {"name": "org.tidepool.deduplicator.dataset.delete.origin"}, **change,
    }  # fmt: skip
    answer = await session.request("POST", f"{base}/v1/users/{OWNER}/data_sets", json=body)
    assert answer.status == 201


async def test_only_a_continuous_set_of_the_exact_name_will_do(
    adapter: TidepoolAdapter, session: SimSession, base: str, sim: TidepoolSim
) -> None:
    mine = {"name": "org.glucobridge.abc123", "version": "0.0.9"}
    await _make_set(session, base, {**mine, "name": "org.glucobridge"})
    normal = {"dataSetType": "normal", "deviceId": "d", "deviceManufacturers": ["Medtronic"], "deviceModel": "1780"}
    hashed = {"deduplicator": {"name": "org.tidepool.deduplicator.device.deactivate.hash"}}
    await _make_set(session, base, mine, **normal, **hashed)
    sim.close_data_set(next(each for each in sim._store.data_sets.values() if not each.continuous).id)
    await adapter.deliver(documents(1), [])
    assert len(sim.data_sets(OWNER)) == 3
    assert 409 not in [each.status for each in sim.seen]


async def test_a_listed_set_that_was_deleted_will_not_do(
    adapter: TidepoolAdapter, session: SimSession, base: str, sim: TidepoolSim, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _make_set(session, base, {"name": "org.glucobridge.abc123", "version": "0.0.9"})
    (deleted,) = sim.data_sets(OWNER)
    listed = sim._store.listed
    monkeypatch.setattr(sim._store, "listed", lambda user, **_: listed(user, deleted=True))
    sim.delete_data_set(deleted.id, OWNER)
    outcomes = await adapter.deliver(documents(1), [])
    assert outcomes[0].server_id not in (None, deleted.id)
    assert "former" not in adapter.state


async def test_a_deleted_set_is_noticed_at_the_start_and_daily(
    adapter: TidepoolAdapter, session: SimSession, base: str, sim: TidepoolSim, clock: FakeClock
) -> None:
    await adapter.deliver(documents(3), [])
    first = adapter.state["upload_id"]
    sim.delete_data_set(first, OWNER)
    await adapter.deliver([document(3)], [])
    assert adapter.state["upload_id"] == first
    clock.advance(DAY_S + 1)
    outcomes = await adapter.deliver([document(4)], [])
    assert outcomes[0].server_id != first
    sim.delete_data_set(str(outcomes[0].server_id), OWNER)
    again = adapter_for(session, base, clock)
    again.state = adapter.state
    await again.prepare()
    assert "upload_id" not in again.state


async def test_looking_is_cheap_for_a_day(session: SimSession, base: str, sim: TidepoolSim, clock: FakeClock) -> None:
    sim.tokens.life_s = 10 * DAY_S
    adapter = adapter_for(SimSession(session.client, sim), base, clock)
    for _ in range(5):
        await adapter.prepare()
    await adapter.deliver(documents(1), [])
    lists = sim.count("GET", "/v1/users")
    for _ in range(5):
        await adapter.prepare()
        await adapter.deliver(documents(1), [])
    assert (lists, sim.count("GET", "/v1/users")) == (2, 2)
    clock.advance(DAY_S + 1)
    await adapter.prepare()
    assert sim.count("GET", "/v1/users") == 3


async def test_two_installations_do_not_share_a_set(
    adapter: TidepoolAdapter, session: SimSession, base: str, clock: FakeClock, sim: TidepoolSim
) -> None:
    await adapter.deliver(documents(1), [])
    other = adapter_for(session, base, clock, installation="zzz")
    await other.deliver([document(5)], [])
    names = {each.body["client"]["name"] for each in sim.data_sets(OWNER)}
    assert names == {"org.glucobridge.abc123", "org.glucobridge.zzz"}
    plain = adapter_for(session, base, clock, installation="")
    await plain.deliver([document(9)], [])
    newest = sim.data_sets(OWNER)[0].body["client"]
    assert newest == {"name": "org.glucobridge", "version": __version__}


async def test_whose_data(sim: TidepoolSim, base: str, clock: FakeClock, http: Any) -> None:
    giver = SimSession(http, sim, CAREGIVER)
    await adapter_for(giver, base, clock).deliver(documents(2), [])
    own = adapter_for(giver, base, clock, user_id=None)
    await own.deliver(documents(2), [])
    assert own.state["user_id"] == CAREGIVER
    assert (len(active(sim, OWNER)), len(active(sim, CAREGIVER))) == (2, 2)
    moved = adapter_for(giver, base, clock)
    moved.state = own.state
    await moved.deliver([document(3)], [])
    assert (moved.state["user_id"], len(active(sim, OWNER))) == (OWNER, 3)


async def test_without_a_link(clock: FakeClock) -> None:
    adapter = TidepoolAdapter(Setup("p1", {}, clock, Random(1)))
    assert (await adapter.prepare()).state == "not_linked"
    with pytest.raises(Exception, match="not linked"):
        await adapter.deliver(documents(1), [])
    assert adapter.desired([]).documents == {}
    adapter.state = {"upload_id": "x"}
    assert adapter.state == {"upload_id": "x"}


async def test_health_names_an_outage(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    sim.fail(503, path="/v1/users")
    assert (await adapter.prepare()).state == "unreachable"
    sim.fail(429, path="/v1/users")
    assert (await adapter.prepare()).state == "rate_limited"
    assert (await adapter.prepare()).state == "ok"


async def test_answers_that_are_no_tidepool(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    sim.fail(200, path="/v1/users")
    assert (await adapter.prepare()).state == "incompatible"
