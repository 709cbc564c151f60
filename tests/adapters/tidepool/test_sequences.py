"""Real sequences of records through desired, ledger and service: what grows replaces, nothing is doubled."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import aiohttp
import pytest

from adapters.tidepool import TidepoolAdapter
from bridge.contracts import Interval, LedgerDocument
from bridge.errors import Transient
from bridge.model import Basal, Bolus, BolusCalculation, Carbs, Device, Record, SensorGlucose, bolus_datum_id
from bridge.model.identity import record_id
from bridge.simulators.tidepool import TidepoolSim
from tests.adapters.tidepool.support import (
    OWNER,
    START,
    Ledger,
    SimSession,
    active,
    adapter_for,
    duplicates,
    records,
)
from tests.support import vectors
from tests.support.clock import FakeClock

ALL = records(vectors.rows("mapping", "records.ndjson"))
DAY = records(vectors.rows("mapping", "780g.records.ndjson"))
PUMP = Device(manufacturer="Medtronic", model="MMT-1884", serial="NG1", family="NGP")


def _envelope(kind: str, source_key: str, minute: float, revision: int = 1) -> dict[str, Any]:
    return {
        "id": record_id("p1", "carelink", kind, source_key), "time": START + timedelta(minutes=minute),
        "device_time": None, "utc_offset_min": 120, "profile": "p1", "device": PUMP, "reader": "carelink-cloud",
        "source_key": source_key, "revision": revision,
    }  # fmt: skip


def reading(minute: float, mgdl: int = 120) -> SensorGlucose:
    return SensorGlucose(**_envelope("sensor_glucose", f"SG:{minute}", minute), mgdl=mgdl)


def running(minute: float, revision: int = 1, duration_min: float | None = None) -> Basal:
    return Basal(
        **_envelope("basal", f"B:{minute}", minute, revision), delivery="scheduled", rate_u_h=0.8,
        duration_min=duration_min, schedule="Normal",
    )  # fmt: skip


def bolus(revision: int, delivered: float, *, completed: bool, **more: Any) -> Bolus:
    return Bolus(
        **_envelope("bolus", "BOLUS:1", 3, revision), delivered_u=delivered, programmed_u=4.0, completed=completed,
        requested_by="wizard", **more,
    )  # fmt: skip


def calculation(revision: int = 1) -> BolusCalculation:
    return BolusCalculation(
        **_envelope("bolus_calculation", "CALC:1", 3, revision), carbs_g=40, bg_mgdl=180,
        bolus_id=bolus(1, 0, completed=False).id,
    )  # fmt: skip


async def test_a_growing_basal_is_one_datum_that_grows(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    ledger, known = Ledger(), [running(0)]
    lengths = []
    for minute in (5, 10, 15, 30):
        known.append(reading(minute))  # type: ignore[arg-type]
        await ledger.deliver(adapter, known)
        (basal,) = [each for each in sim.documents(OWNER) if each["type"] == "basal"]
        lengths.append(basal["duration"] / 60_000)
    assert lengths == [5, 10, 15, 30]
    known += [running(42), reading(45)]  # type: ignore[list-item]
    await ledger.deliver(adapter, known)
    basals = [each for each in sim.documents(OWNER) if each["type"] == "basal"]
    assert [each["duration"] / 60_000 for each in basals] == [42, 3]
    assert duplicates(sim) == []


async def test_a_provisional_bolus_grows_and_changes_its_shape(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    ledger = Ledger()
    steps = [
        bolus(1, 0.0, completed=False), bolus(2, 1.5, completed=False), bolus(3, 4.0, completed=True),
        bolus(4, 4.5, completed=True, shape="dual", immediate_u=4.0, extended_u=0.5, duration_min=30,
              programmed_immediate_u=4.0, programmed_extended_u=0.5),
    ]  # fmt: skip
    seen = []
    for step in steps:
        await ledger.deliver(adapter, [step])
        found = [(each["subType"], each["normal"], each.get("extended")) for each in sim.documents(OWNER)]
        seen.append(found)
    assert seen == [[], [("normal", 1.5, None)], [("normal", 4.0, None)], [("dual/square", 4.0, 0.5)]]
    assert sim.documents(OWNER)[0]["id"] == bolus_datum_id(steps[0].id)


async def test_a_wizard_takes_its_bolus_in_and_a_later_bolus_keeps_it_whole(
    adapter: TidepoolAdapter, sim: TidepoolSim
) -> None:
    ledger = Ledger()
    await ledger.deliver(adapter, [bolus(1, 2.0, completed=False)])
    await ledger.deliver(adapter, [bolus(2, 4.0, completed=True), calculation()])
    found = {each["type"]: each for each in sim.documents(OWNER)}
    assert set(found) == {"bolus", "wizard"}
    assert found["wizard"]["bolus"] == found["bolus"]["id"] == bolus_datum_id(bolus(1, 0, completed=False).id)
    assert found["bolus"]["normal"] == 4.0
    assert duplicates(sim) == []
    assert set(ledger.documents) == {each["origin"]["id"] for each in sim.documents(OWNER)}


async def test_a_cancelled_bolus_is_taken_back(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    ledger = Ledger()
    carbs = Carbs(**_envelope("carbs", "MEAL:1", 3), grams=40)
    await ledger.deliver(adapter, [carbs, bolus(1, 1.0, completed=False), calculation()])
    assert {each["type"] for each in sim.documents(OWNER)} >= {"wizard", "bolus"}
    await ledger.deliver(adapter, [carbs, bolus(2, 0.0, completed=True), calculation()])
    assert [each["type"] for each in sim.documents(OWNER)] == ["food"]
    assert len(ledger.documents) == 1


async def _deliver_through_anything(
    ledger: Ledger, adapter: TidepoolAdapter, known: list[Record], random: Random, *, tries: int = 30
) -> None:
    for _ in range(tries):
        try:
            if not await ledger.deliver(adapter, known, random):
                return
        except Transient:
            continue
    raise AssertionError("never came through")


@pytest.mark.proof
async def test_any_order_batches_faults_and_restarts_end_the_same(
    session: SimSession, base: str, clock: FakeClock, sim: TidepoolSim, http: aiohttp.ClientSession
) -> None:
    """Records arrive in random batches; requests are cut before and after; the bridge restarts, sometimes
    without its state; at the end the service holds exactly what sending once would have left."""
    rounds = 40 if os.environ.get("GLUCOBRIDGE_PROOF") == "long" else 4
    seed = int(os.environ.get("GLUCOBRIDGE_SEED", "0")) or Random().randrange(1 << 32)
    print(f"seed {seed}")
    random = Random(seed)
    for turn in range(rounds):
        pool = list(ALL if turn % 2 else DAY)
        expected = adapter_for(session, base, clock).desired(pool)
        user = f"{turn:010x}"
        sim.add_account(user, f"{user}@example.org", "x")
        mine = SimSession(http, sim, user)
        adapter = adapter_for(mine, base, clock, user_id=user)
        ledger, known = Ledger(), []  # type: ignore[var-annotated]
        random.shuffle(pool)
        while pool:
            size = random.randrange(1, 120)
            known, pool = known + pool[:size], pool[size:]
            for _ in range(random.randrange(3)):
                sim.fail(random.choice((0, 503, 504)), after=random.random() < 0.6, path="/v1/")
            if random.random() < 0.3:
                state = adapter.state if random.random() < 0.5 else {}
                adapter = adapter_for(mine, base, clock, user_id=user)
                adapter.state = state
            adapter.batch = random.choice((7, 60, 1000))
            await _deliver_through_anything(ledger, adapter, known, random)
        await _deliver_through_anything(ledger, adapter, known, random)
        _check_end(sim, user, expected.documents)
        assert len(sim.data_sets(user)) == 1


def _check_end(sim: TidepoolSim, user: str, wanted: Any) -> None:
    keys = {key for each in wanted.values() for key in (each.key, *each.books)}
    found = active(sim, user)
    assert set(found) == keys
    assert duplicates(sim, user) == []
    boluses = {each[0]["id"] for each in found.values() if each[0]["type"] == "bolus"}
    wizards = [each[0] for each in found.values() if each[0]["type"] == "wizard"]
    assert all(each.get("bolus") in boluses for each in wizards if "bolus" in each)
    for key, each in wanted.items():
        assert found[key][0]["type"] == each.body["type"]


async def test_a_lost_ledger_finds_everything_again_and_doubles_nothing(
    adapter: TidepoolAdapter, session: SimSession, base: str, clock: FakeClock, sim: TidepoolSim
) -> None:
    await Ledger().deliver(adapter, DAY)
    before = {key: each[0] for key, each in active(sim).items()}
    fresh = adapter_for(session, base, clock)
    times = [each.time for each in DAY]
    window = Interval(min(times) - timedelta(days=1), max(times) + timedelta(days=1))
    inventory = await fresh.stored(window)
    assert {item.key for item in inventory.items} == set(before)
    assert inventory.foreign == 0
    by_id = {each.id: each for each in DAY}
    for item in inventory.items:
        assert item.record_id in by_id
        assert item.time == by_id[item.record_id].time
    adopted = Ledger({item.key: _adopted(item.key, item.path, item.time) for item in inventory.items})
    await adopted.deliver(fresh, DAY)
    assert set(active(sim)) == set(before)
    assert duplicates(sim) == []
    assert len(sim.data_sets(OWNER)) == 1


def _adopted(key: str, path: str, time: datetime | None) -> LedgerDocument:
    return LedgerDocument(key, key.partition(":")[0], "", path, 0 if time is None else int(time.timestamp() * 1000))


async def test_quarantined_poison_of_a_real_day_leaves_the_rest(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    wanted = adapter.desired(DAY).documents
    victim = next(each for each in wanted.values() if each.body["type"] == "cbg")
    posts = [replace(each, body={**each.body, "value": 4000}) if each is victim else each for each in wanted.values()]
    outcomes = await adapter.deliver(posts, [])
    refused = [(post.key, outcome.reason) for post, outcome in zip(posts, outcomes, strict=True) if outcome.reason]
    assert refused == [(victim.key, "value: 4000 is not between 0 and 1000 mg/dL")]
    keys = {key for each in posts for key in (each.key, *each.books)}
    assert set(active(sim)) == keys - {victim.key}
