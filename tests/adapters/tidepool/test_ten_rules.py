"""The rules that keep uploads whole, each with something that would show if it were broken."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from adapters.tidepool import TidepoolAdapter, TidepoolLinking
from bridge.simulators.tidepool import TidepoolSim
from tests.adapters.tidepool.support import (
    OWNER,
    SimSession,
    active,
    document,
    documents,
    duplicates,
    records,
    verdicts,
)
from tests.support import vectors

ALL = records([*vectors.rows("mapping", "records.ndjson"), *vectors.rows("mapping", "780g.records.ndjson")])


@pytest.fixture
def mapped(adapter: TidepoolAdapter) -> list[Any]:
    return list(adapter.desired(ALL).documents.values())


def _posted(sim: TidepoolSim) -> list[int]:
    return [each.datums for each in sim.seen if each.method == "POST" and each.path.endswith("/data")]


async def test_1_one_continuous_set_found_by_name(adapter: TidepoolAdapter, sim: TidepoolSim, mapped: Any) -> None:
    await adapter.deliver(mapped, [])
    (data_set,) = sim.data_sets(OWNER)
    assert data_set.continuous
    assert data_set.deduplicator == "org.tidepool.deduplicator.dataset.delete.origin"
    made = next(index for index, each in enumerate(sim.seen) if each.status == 201)
    assert any(each.method == "GET" and each.path.endswith("/data_sets") for each in sim.seen[:made])
    assert adapter.state["upload_id"] == data_set.id


async def test_2_every_datum_has_its_own_stable_origin_id(
    adapter: TidepoolAdapter, sim: TidepoolSim, mapped: list[Any]
) -> None:
    ids = [each.body["origin"]["id"] for each in mapped]
    assert len(set(ids)) == len(ids)
    assert all(key == each.key and len(key) <= 100 for key, each in zip(ids, mapped, strict=True))
    again = adapter.desired(reversed(ALL)).documents
    assert {key: each.encoded for key, each in again.items()} == {each.key: each.encoded for each in mapped}
    await adapter.deliver(mapped, [])
    await adapter.deliver(mapped, [])
    assert duplicates(sim) == []


async def test_3_no_key_twice_in_a_request_and_no_two_requests_at_once(
    adapter: TidepoolAdapter, sim: TidepoolSim
) -> None:
    await adapter.deliver([document(0, key="x:cbg"), document(1, key="x:cbg")], [])
    assert duplicates(sim) == []
    assert _posted(sim) == [1, 1]


async def test_4_one_bad_datum_harms_only_itself(
    adapter: TidepoolAdapter, sim: TidepoolSim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.tidepool.delivery.problems", lambda datum: [])
    outcomes = await adapter.deliver([*documents(50), document(50, value=5000), document(51, value="x")], [])
    assert verdicts(outcomes) == ["accepted"] * 50 + ["quarantined"] * 2
    assert _posted(sim) == [52, 51, 50]


async def test_5_batches_are_small_serial_and_oldest_first(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    await adapter.deliver(list(reversed(documents(1500))), [])
    assert _posted(sim) == [1000, 500]
    (data_set,) = sim.data_sets(OWNER)
    assert list(data_set.documents) == [each.key for each in documents(1500)]


def test_6_native_units_go_out_unconverted(mapped: list[Any]) -> None:
    by_id = {each.id: each for each in ALL}
    readings = [each for each in mapped if each.body["type"] in ("cbg", "smbg")]
    assert readings
    for each in readings:
        record: Any = by_id[each.record_id]
        assert (each.body["value"], each.body["units"]) == (record.mgdl, "mg/dL")
    assert {each.body["units"] for each in mapped if each.body["type"] == "wizard"} == {"mg/dL"}


async def test_7_carbs_alone_are_food_and_a_wizard_holds_its_bolus(
    adapter: TidepoolAdapter, sim: TidepoolSim, mapped: list[Any]
) -> None:
    wizards = [each for each in mapped if each.body["type"] == "wizard"]
    assert wizards
    for each in wizards:
        assert each.books == (each.body["bolus"]["origin"]["id"],)
        assert each.body["bolus"]["type"] == "bolus"
    await adapter.deliver(mapped, [])
    stored = active(sim)
    for each in wizards:
        bolus = stored[each.books[0]][0]
        if bolus["subType"] != "automated":
            assert stored[each.key][0]["bolus"] == bolus["id"]
    assert any(each.body["type"] == "food" for each in mapped)


async def test_8_nothing_hides_what_was_uploaded(
    adapter: TidepoolAdapter, sim: TidepoolSim, session: SimSession, base: str, mapped: list[Any]
) -> None:
    await adapter.deliver(mapped, [])
    normal = {
        "dataSetType": "normal", "deviceId": "d", "deviceManufacturers": ["Medtronic"], "deviceModel": "1780",
        "deduplicator": {"name": "org.tidepool.deduplicator.device.deactivate.hash"},
    }  # fmt: skip
    made = await session.request("POST", f"{base}/v1/users/{OWNER}/data_sets", json=normal)
    sim.close_data_set(made.json()["data"]["uploadId"])
    answer = await session.request("GET", f"{base}/data/{OWNER}", limit_bytes=1 << 26)
    seen = {each["origin"]["id"] for each in answer.json() if each["type"] != "upload"}
    assert seen == set(active(sim))
    text = json.dumps([each.body for each in mapped])
    assert '"source"' not in text
    assert not any("device" in each.body["origin"].get("payload", {}) for each in mapped)


async def test_9_the_session_header_carries_the_token(
    sim: TidepoolSim, base: str, http: aiohttp.ClientSession
) -> None:
    step: Any = await TidepoolLinking().begin(
        SimSession(http, sim, None), {"api_url": base, "client_id": "bridge"}, {}
    )
    assert (step.header, step.scope) == ("X-Tidepool-Session-Token", "openid offline_access")
    assert step.client_secret is None
    bearer = {"Authorization": f"Bearer {sim.token(OWNER)}"}
    async with http.get(f"{base}/data/{OWNER}", headers=bearer) as answer:
        assert answer.status == 403


async def test_10_the_pumps_model_is_not_faked(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    await adapter.deliver([document(0, deviceId="MMT-1885:NG9")], [])
    body = sim.data_sets(OWNER)[0].body
    assert (body["deviceManufacturers"], body["deviceModel"]) == (["Medtronic"], "1885")
