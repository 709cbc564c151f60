"""Reading back: pages, our own set only, values in the reading model's units, and a month of foreign data."""

from __future__ import annotations

import gzip
import itertools
import json
import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.tidepool import TidepoolAdapter
from adapters.tidepool.readback import kind_of, pages, stored_item, time_of, value_of
from bridge.contracts import Interval, StoredItem
from bridge.simulators.tidepool import TidepoolSim
from tests.adapters.tidepool.support import (
    OWNER,
    START,
    SimSession,
    adapter_for,
    document,
    documents,
    records,
)
from tests.support import vectors
from tests.support.clock import FakeClock

ALL = records(vectors.rows("mapping", "records.ndjson"))
SEED = json.loads(gzip.decompress(vectors.path("tidepool", "viz_seed_30d.json.gz").read_bytes()))
STATS = vectors.document("tidepool", "viz_seed_30d.expected_stats.json")
FACTOR = 18.01559


def _hours(start: float, end: float) -> Interval:
    return Interval(START + timedelta(hours=start), START + timedelta(hours=end))


async def test_values_come_back_as_they_were(adapter: TidepoolAdapter) -> None:
    wanted = adapter.desired(ALL).documents
    await adapter.deliver(list(wanted.values()), [])
    times = [each.time for each in ALL]
    inventory = await adapter.stored(Interval(min(times), max(times) + timedelta(seconds=1)))
    items = {item.key: item for item in inventory.items}
    assert set(items) == {key for each in wanted.values() for key in (each.key, *each.books)}
    assert inventory.foreign == 0
    by_id = {each.id: each for each in ALL}
    checked = Counter[str]()
    for item in items.values():
        record = by_id[item.record_id or ""]
        assert item.path == "/v1/data_sets/{dataSet}/data"
        if item.kind in ("pump_status", "device_event", "basal") or record.kind == "device_event":
            continue
        assert (item.kind, item.time) == (record.kind, record.time)
        expected = _value(record)
        if expected is not None:
            assert item.value == pytest.approx(expected, abs=0.0006)
            checked[str(item.kind)] += 1
    assert {"sensor_glucose", "meter_glucose", "calibration", "ketone", "bolus", "injection", "carbs"} <= set(checked)


def _value(record: Any) -> float | None:
    match record.kind:
        case "sensor_glucose" | "meter_glucose" | "calibration":
            return float(record.mgdl)
        case "ketone":
            return float(record.mmol_l)
        case "injection":
            return float(record.dose_u)
        case "carbs":
            return float(record.grams)
        case "bolus" if record.completed and record.shape == "normal":
            return float(record.delivered_u)
    return None


async def test_the_window_is_closed_at_its_start_and_open_at_its_end(adapter: TidepoolAdapter) -> None:
    await adapter.deliver(documents(13), [])
    inventory = await adapter.stored(Interval(START, START + timedelta(minutes=60)))
    assert len(inventory.items) == 12
    inventory = await adapter.stored(Interval(START + timedelta(minutes=5), START + timedelta(minutes=5)))
    assert inventory.items == []


def test_pages_are_short_and_leave_no_hole() -> None:
    window = Interval(datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 12, 31, 13, 7, tzinfo=UTC))
    found = [tuple(map(datetime.fromisoformat, page.values())) for page in pages(window)]
    assert found[0][0] == window.start
    assert found[-1][1] == window.end - timedelta(milliseconds=1)
    for (start, end), (following, _) in itertools.pairwise(found):
        assert end - start <= timedelta(days=90)
        assert following - end == timedelta(milliseconds=1)


async def test_a_long_window_is_read_in_pages(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    far = document(0, key="far:cbg", time="2025-12-01T00:00:00.000Z")
    await adapter.deliver([far, document(1)], [])
    sim.seen.clear()
    inventory = await adapter.stored(Interval(datetime(2025, 11, 1, tzinfo=UTC), START + timedelta(days=1)))
    assert {item.key for item in inventory.items} == {"far:cbg", "r1:cbg"}
    assert sim.count("GET", "/data/") == 5


async def test_only_our_own_set_is_read(
    adapter: TidepoolAdapter, session: SimSession, base: str, clock: FakeClock
) -> None:
    await adapter.deliver(documents(3), [])
    other = adapter_for(session, base, clock, installation="zzz")
    await other.deliver([document(number) for number in range(5, 9)], [])
    assert len((await adapter.stored(_hours(-1, 5))).items) == 3
    nobody = adapter_for(session, base, clock, installation="none")
    assert (await nobody.stored(_hours(-1, 5))).items == []


async def test_former_sets_are_read_too(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    await adapter.deliver(documents(3), [])
    sim.close_data_set(sim.data_sets(OWNER)[0].id)
    await adapter.deliver([document(9)], [])
    inventory = await adapter.stored(_hours(-1, 5))
    assert {item.key for item in inventory.items} == {"r0:cbg", "r1:cbg", "r2:cbg", "r9:cbg"}


async def test_what_was_deleted_there_is_gone(adapter: TidepoolAdapter, session: SimSession, base: str) -> None:
    outcomes = await adapter.deliver(documents(3), [])
    path = f"{base}/v1/data_sets/{outcomes[0].server_id}/data"
    await session.request("DELETE", path, json=[{"origin": {"id": "r1:cbg"}}])
    assert {item.key for item in (await adapter.stored(_hours(-1, 5))).items} == {"r0:cbg", "r2:cbg"}


# --- a month of synthetic data from elsewhere ------------------------------------------------------


def _keyed() -> list[dict[str, Any]]:
    """The month as if it were ours: the set bears our name, every datum an origin id."""
    client = {"name": "org.glucobridge.abc123", "version": "1.0.0"}
    return [
        {**each, "client": client} if each["type"] == "upload"
        else {**each, "origin": {"id": f"{each['id']}:{each['type']}"}}
        for each in SEED
    ]  # fmt: skip


async def test_a_month_of_9142_documents_is_read_back_whole(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    assert len(SEED) == 9142
    sim.load(OWNER, _keyed())
    window = Interval(datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 3, 31, tzinfo=UTC))
    inventory = await adapter.stored(window)
    assert (len(inventory.items), inventory.foreign) == (9141, 0)
    kinds = Counter(item.kind for item in inventory.items)
    assert kinds == {
        "sensor_glucose": 8640, "basal": 180, "bolus": 90, "bolus_calculation": 90, "meter_glucose": 90,
        "carbs": 30, "device_event": 20, "pump_settings": 1,
    }  # fmt: skip
    assert all(item.time is not None for item in inventory.items)
    _check_statistics([item for item in inventory.items if item.kind == "sensor_glucose"])


def _check_statistics(readings: list[StoredItem]) -> None:
    """Mean, SD, CV, GMI and time in range of the last 14 days; whole mg/dL may move the mean by half a unit."""
    since = datetime(2024, 3, 17, tzinfo=UTC)
    values = [
        item.value for item in readings if item.value is not None and item.time is not None and item.time >= since
    ]
    agp = STATS["agp"]
    assert len(values) == agp["averageGlucose"]["total"] == 4032
    mean = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    assert mean == pytest.approx(agp["averageGlucose"]["averageGlucose"], abs=0.5)
    assert 100 * deviation / mean == pytest.approx(agp["coefficientOfVariation"]["coefficientOfVariation"], abs=0.1)
    gmi = agp["glucoseManagementIndicator"]["glucoseManagementIndicator"]
    assert 3.31 + 0.02392 * mean == pytest.approx(gmi, abs=0.02)
    counts = agp["timeInRange"]["counts"]
    assert sum(70 <= value <= 180 for value in values) == counts["target"]
    assert sum(180 < value <= 250 for value in values) == counts["high"]


async def test_the_months_statistics_are_exact_in_what_the_simulator_serves(
    session: SimSession, base: str, sim: TidepoolSim
) -> None:
    sim.load(OWNER, SEED)
    query = {"type": "cbg", "startDate": "2024-03-17T00:00:00Z", "endDate": "2024-03-30T23:59:59.999Z"}
    answer = await session.request("GET", f"{base}/data/{OWNER}", params=query, limit_bytes=1 << 26)
    values = [each["value"] * FACTOR for each in answer.json()]
    stats = STATS["basics"]
    mean = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    assert mean == pytest.approx(stats["averageGlucose"]["averageGlucose"], abs=1e-6)
    assert deviation == pytest.approx(stats["standardDev"]["standardDeviation"], abs=1e-6)
    assert 3.31 + 0.02392 * mean == pytest.approx(
        stats["glucoseManagementIndicator"]["glucoseManagementIndicator"], abs=1e-6
    )
    assert (min(values), max(values)) == pytest.approx((stats["bgExtents"]["bgMin"], stats["bgExtents"]["bgMax"]))


async def test_documents_without_an_origin_id_are_not_ours(adapter: TidepoolAdapter, sim: TidepoolSim) -> None:
    keyed = _keyed()
    sim.load(OWNER, [*keyed[:5], *SEED[5:10]])
    window = Interval(datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 3, 2, tzinfo=UTC))
    inventory = await adapter.stored(window)
    assert (len(inventory.items), inventory.foreign) == (4, 5)


def test_odd_documents() -> None:
    assert stored_item({"type": "upload", "origin": {"id": "x"}}) is None
    odd = stored_item({"type": "alert", "time": "never", "origin": {"id": "plain"}})
    assert odd == StoredItem("plain", "/v1/data_sets/{dataSet}/data")
    assert time_of({}) is None
    assert kind_of({"type": "deviceEvent", "subType": "status"}) == "basal"
    assert value_of({"type": "basal", "deliveryType": "automated", "rate": 1.2, "duration": 300_000}) == 0.1
    assert value_of({"type": "basal", "deliveryType": "scheduled", "rate": 1.2, "duration": 300_000}) is None
    assert value_of({"type": "smbg", "value": 120, "units": "mg/dL"}) == 120
