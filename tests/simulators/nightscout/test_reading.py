"""Queries, deletes, alarms and pages, as recorded; and what a bad day looks like."""

from __future__ import annotations

import io
import json
import time
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from bridge.model import from_ms, iso_ms, to_ms
from bridge.simulators.nightscout import Fault, NightscoutSim
from tests.simulators.nightscout.conftest import ADMIN, ALL_RIGHTS, SECRET, Site, site_of
from tests.support import vectors
from tests.support.clock import FakeClock

_QUERIES = vectors.rows("nightscout", "queries.jsonl")
_ALARMS = vectors.rows("nightscout", "alarms.jsonl")
_DISPLAY = vectors.rows("nightscout", "display.jsonl")


def _ago(clock: FakeClock, **span: float) -> str:
    return iso_ms(clock.now() - timedelta(**span))


async def _fill(site: Site, clock: FakeClock) -> None:
    """2880 readings, 5 min apart over 10 days, of two devices in turn; 240 notes an hour apart."""
    now = to_ms(clock.now())
    readings = [
        {"type": "sgv", "sgv": 100 + n % 50, "date": now - n * 300_000, "dateString": _ago(clock, minutes=5 * n),
         "device": "dev-A" if n % 2 else "dev-B"}
        for n in range(2880)
    ]  # fmt: skip
    notes = [
        {"eventType": "Note", "created_at": _ago(clock, hours=n), "identifier": f"id:{n}", "notes": "x",
         "enteredBy": "openaps://x"}
        for n in range(240)
    ]  # fmt: skip
    for path, documents in (("entries", readings), ("treatments", notes)):
        async with site.request("POST", f"/api/v1/{path}.json", json=documents) as answer:
            assert answer.status == 200


async def test_recorded_queries(site: Site, clock: FakeClock) -> None:
    await _fill(site, clock)
    nine, eight = (to_ms(clock.now() - timedelta(days=days)) for days in (9, 8))
    clock.advance(10)
    bearer = await site.bearer(site.sim.add_subject("v3", ALL_RIGHTS))
    for row in _QUERIES:
        path = row["path"].replace("<now-9d>", str(nine)).replace("<now-8d>", str(eight))
        headers = bearer if "/v3/" in path else ADMIN
        async with site.request("GET", path, headers=headers) as answer:
            assert answer.status == row["status"], path
            body = await answer.json()
        if row["count"] is not None:
            found = body["result"] if "/v3/" in path else body
            assert len(found) == row["count"], path


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/api/v1/treatments.json?find[enteredBy]=openaps://x&find[created_at][$gte]=2020-01-01", 200, None),
        ("/api/v1/treatments.json?find[created_at][$gte]=yesterday", 200, None),
        ("/api/v1/entries/6b0300000000000000000099", 500, ...),
        ("/api/v1/entries.json?find[date][$in][]=1", 500, ...),
        ("/api/v1/nothing.json", 404, ...),
    ],
)
async def test_odd_reads(site: Site, path: str, status: int, body: Any) -> None:
    async with site.request("GET", path) as answer:
        assert answer.status == status
        if body is None:
            assert await answer.json() is None


async def test_a_pattern_finds_what_a_literal_cannot(site: Site, clock: FakeClock) -> None:
    await _fill(site, clock)
    path = "/api/v1/treatments.json?find[enteredBy]=/^openaps:..x/&find[created_at][$gte]=2020-01-01"
    async with site.request("GET", path) as answer:
        assert len(await answer.json()) == 240


async def test_reads_without_json_in_mind_are_tab_separated(site: Site, clock: FakeClock) -> None:
    await _fill(site, clock)
    async with site.request("GET", "/api/v1/entries?count=1", headers={**ADMIN, "Accept": "*/*"}) as answer:
        assert answer.content_type == "text/plain"
        assert (await answer.text()).count("\t") == 4


async def test_deletes(site: Site, clock: FakeClock) -> None:
    await _fill(site, clock)
    find = "/api/v1/treatments?find[identifier]=id:200"
    for path, deleted in ((find, 0), (find + "&find[created_at][$gte]=2020-01-01&count=9", 1)):
        async with site.request("DELETE", path) as answer:
            assert await answer.json() == {"acknowledged": True, "deletedCount": deleted}
    date = to_ms(clock.now()) - 300_000
    async with site.request("DELETE", f"/api/v1/entries/sgv?find[date]={date}") as answer:
        assert (await answer.json())["deletedCount"] == 1
    async with site.request("DELETE", f"/api/v1/entries?find[date]={date}") as answer:
        assert answer.status == 404
    clock.advance(1)
    async with site.request("DELETE", "/api/v1/treatments") as answer:
        assert answer.status == 500, "and yet"
    assert len(site.sim.collections["treatments"]) == 239 - 96


@pytest.mark.parametrize("row", _ALARMS, ids=lambda row: row["id"])
async def test_recorded_alarms(row: dict[str, Any], site: Site, clock: FakeClock) -> None:
    treatments = [
        {name: value for name, value in one.items() if name != "age_s"}
        | {"created_at": _ago(clock, seconds=one["age_s"])}
        for one in row["treatments"]
    ]
    entries = [{"type": "sgv", "sgv": row["sgv"], "date": to_ms(clock.now()) - 1000}]
    if row["mbg_age_s"] is not None:
        at = to_ms(clock.now()) - row["mbg_age_s"] * 1000
        entries.append({"type": "mbg", "mbg": 60, "date": at})
    for path, documents in (("treatments", treatments), ("entries", entries)):
        async with site.request("POST", f"/api/v1/{path}.json", json=documents) as answer:
            assert answer.status == 200
    assert site.sim.urgent_low_fires() == (row["urgent_low_alarm"] == "fires")


@pytest.mark.parametrize(("sgv", "age_s"), [(44, 660), (60, 0), (39, 0)])
async def test_no_alarm_for_old_or_odd_readings(sgv: int, age_s: int, site: Site, clock: FakeClock) -> None:
    entry = {"type": "sgv", "sgv": sgv, "date": to_ms(clock.now()) - age_s * 1000}
    async with site.request("POST", "/api/v1/entries.json", json=[entry]) as answer:
        assert answer.status == 200
    assert not site.sim.urgent_low_fires()


_PROFILE = {
    "defaultProfile": "P", "startDate": "2026-01-01T00:00:00.000Z",
    "store": {"P": {"basal": [{"time": "00:00", "timeAsSeconds": 0, "value": 0.8}]}},
}  # fmt: skip
_NOT_COMPUTED = {"meal-bolus-10min"}
"""Insulin and carbs on board of treatments need the site's curves; the adapter's tests assert what is sent."""


async def _upload(site: Site, row: dict[str, Any], clock: FakeClock) -> None:
    uploaded = row["uploaded"]
    treatments = [dict(one) for one in uploaded.get("treatments", [uploaded.get("treatment")]) if one]
    for treatment in treatments:
        age = timedelta(hours=treatment.pop("age_h", 0), seconds=treatment.pop("age_s", 0))
        treatment["created_at"] = iso_ms(clock.now() - age)
    now = _ago(clock)
    status = [_now_filled(uploaded["devicestatus"], now) | {"created_at": now}] if "devicestatus" in uploaded else []
    entries = [uploaded["entry"] | {"date": to_ms(clock.now())}] if "entry" in uploaded else []
    profile = [_PROFILE] if "profile_basal" in uploaded or "profile" in uploaded else []
    for name, documents in (
        ("treatments", treatments), ("devicestatus", status), ("entries", entries), ("profile", profile),
    ):  # fmt: skip
        async with site.request("POST", f"/api/v1/{name}.json", json=documents) as answer:
            assert answer.status == 200


def _now_filled(value: Any, now: str) -> Any:
    if isinstance(value, dict):
        return {name: _now_filled(inner, now) for name, inner in value.items()}
    return now if value == "<now>" else value


def _dig(properties: Any, path: str) -> Any:
    """`a.b c.d` walks down; what is missing is None."""
    node = properties
    for part in path.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node


@pytest.mark.parametrize(
    "row", [row for row in _DISPLAY if row["id"] not in _NOT_COMPUTED], ids=lambda row: row["id"]
)
async def test_recorded_pages(row: dict[str, Any], site: Site, clock: FakeClock) -> None:
    if "after" in row["uploaded"]:
        await _upload(site, next(one for one in _DISPLAY if one["id"] == row["uploaded"]["after"]), clock)
        clock.advance(60)
    await _upload(site, row, clock)
    async with site.request("GET", "/api/v2/properties") as answer:
        properties = await answer.json()
    for path, expected in row["properties"].items():
        assert _dig(properties, path) == expected, path


@pytest.mark.parametrize("name", ["entries", "treatments", "devicestatus", "profile"])
async def test_a_null_kills_the_server(name: str, site: Site) -> None:
    with pytest.raises(aiohttp.ClientError):
        async with site.request("POST", f"/api/v1/{name}.json", json=[None]):
            pass
    assert site.sim.crashes == 1


async def test_a_bare_string_kills_only_through_entries(site: Site) -> None:
    with pytest.raises(aiohttp.ClientError):
        async with site.request("POST", "/api/v1/entries.json", json=["x"]):
            pass
    async with site.request("POST", "/api/v1/treatments.json", json=["x"]) as answer:
        assert answer.status == 500


@pytest.mark.parametrize("event_type", [7, True, {"a": 1}])
async def test_a_number_as_event_type_crash_loops_the_server(event_type: object, site: Site) -> None:
    treatment = {"eventType": event_type, "created_at": "2026-03-10T05:00:00.000Z"}
    async with site.request("POST", "/api/v1/treatments.json", json=[treatment]) as answer:
        assert answer.status == 200
    assert site.sim.crash_looping
    with pytest.raises(aiohttp.ClientError):
        async with site.request("GET", "/api/v3/version"):
            pass
    site.sim.collections["treatments"].clear()
    async with site.request("GET", "/api/v3/version") as answer:
        assert (await answer.json())["result"]["version"] == "15.0.7"


async def test_bodies_have_limits(site: Site) -> None:
    big = [{"created_at": "2026-03-10T05:00:00.000Z", "x": "y" * 1024 * 1024}]
    headers = {**ADMIN, "Content-Type": "application/json"}
    for name, status in (("devicestatus", 413), ("treatments", 200)):
        data = io.BytesIO(json.dumps(big).encode())
        async with site.request("POST", f"/api/v1/{name}.json", data=data, headers=headers) as answer:
            assert answer.status == status
            assert status == 200 or (await answer.json())["error"]["message"] == "request entity too large"


async def test_other_media_types(site: Site) -> None:
    for kind, data, stored in (
        ("text/plain", "[{}]", 0),
        ("application/x-www-form-urlencoded", "type=sgv&date=1", 1),
    ):
        headers = {**ADMIN, "Content-Type": kind}
        async with site.request("POST", "/api/v1/entries.json", data=data, headers=headers) as answer:
            assert answer.status == 200
        assert len(site.sim.collections["entries"]) == stored
    assert next(iter(site.sim.collections["entries"]))["date"] == "1"


async def test_a_refused_document_stops_the_ordered_bulk(site: Site) -> None:
    site.sim.validator = lambda _name, document: "bad" if document.get("sgv") == 13 else None
    entries = [{"type": "sgv", "sgv": sgv, "date": 1795000300000 + sgv} for sgv in (100, 13, 101)]
    async with site.request("POST", "/api/v1/entries.json", json=entries) as answer:
        assert answer.status == 500
        assert (await answer.json())["description"]["writeErrors"][0]["index"] == 1
    assert [one["sgv"] for one in site.sim.collections["entries"]] == [100]
    site.sim.validator = lambda _name, _document: "bad"
    async with site.request("POST", "/api/v1/devicestatus.json", json=[{}]) as answer:
        assert isinstance((await answer.json())["description"], str)


async def test_markup_is_escaped_and_scripts_go(site: Site) -> None:
    note = {"eventType": "Note", "created_at": "2026-03-10T05:00:00.000Z", "notes": "<script>x</script>a & b < c"}
    async with site.request("POST", "/api/v1/treatments.json", json=[note]) as answer:
        assert (await answer.json())[0]["notes"] == "a &amp; b &lt; c"


async def test_the_database_may_be_down(site: Site) -> None:
    site.sim.database_up = False
    async with site.request("GET", "/api/v1/treatments.json?find[created_at][$gte]=2020-01-01") as answer:
        assert (answer.status, await answer.json()) == (200, None)
    for method, path in (("GET", "/api/v1/entries.json?find[date][$gte]=0"), ("POST", "/api/v1/entries.json")):
        async with site.request(method, path, json=[]) as answer:
            assert answer.status == 500
    async with site.request("GET", "/api/v3/version") as answer:
        assert answer.status == 200


@pytest.mark.parametrize(("kind", "stored"), [("cut", 0), ("lost_answer", 1), ("error_after", 1), ("status", 0)])
async def test_faults(kind: Any, stored: int, site: Site) -> None:
    site.sim.faults.append(Fault(kind, path="/entries"))
    entry = {"type": "sgv", "sgv": 100, "date": 1795000300000}
    try:
        async with site.request("POST", "/api/v1/entries.json", json=[entry]) as answer:
            assert answer.status == 503
    except aiohttp.ClientError:
        assert kind in ("cut", "lost_answer")
    assert len(site.sim.collections["entries"]) == stored
    async with site.request("POST", "/api/v1/entries.json", json=[entry]) as answer:
        assert answer.status == 200, "a fault befalls as often as it says"
    assert len(site.sim.collections["entries"]) == 1


async def test_history_shows_what_was_deleted(site: Site, clock: FakeClock) -> None:
    bearer = await site.bearer(site.sim.add_subject("v3", ALL_RIGHTS))
    document = {"date": 1795000300000, "app": "x", "eventType": "Note", "identifier": "n:1"}
    start = to_ms(clock.now()) - 1
    async with site.request("POST", "/api/v3/treatments", json=document, headers=bearer) as answer:
        assert answer.status == 201
    clock.advance(1)
    async with site.request("DELETE", "/api/v3/treatments/n:1", headers=bearer) as answer:
        assert answer.status == 200
    async with site.request("GET", f"/api/v3/treatments/history/{start}", headers=bearer) as answer:
        assert [one["isValid"] for one in (await answer.json())["result"]] == [False]
        assert answer.headers["ETag"] == f'W/"{to_ms(clock.now())}"'
    async with site.request("POST", "/api/v3/treatments", json=document, headers=bearer) as answer:
        assert answer.status == 200, "a post revives it"
    async with site.request("GET", "/api/v3/treatments?identifier$eq=n:1", headers=bearer) as answer:
        assert len((await answer.json())["result"]) == 1
    async with site.request("GET", "/api/v3/lastModified", headers=bearer) as answer:
        assert (await answer.json())["result"]["collections"]["treatments"] == to_ms(clock.now())


_THREE = [
    {"date": 1795000300000 + n * 60_000, "app": "x", "identifier": f"n:{n}", "eventType": "Note",
     "duration": n * 10.4, "notes": text}
    for n, text in enumerate(("one", "two", "three"))
]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("sort=date", ["n:0", "n:1", "n:2"]),
        ("sort$desc=date&limit=2", ["n:2", "n:1"]),
        ("sort=date&skip=1&limit=1", ["n:1"]),
        ("identifier$in=n:0|n:2&sort=date", ["n:0", "n:2"]),
        ("identifier$nin=n:0|n:2", ["n:1"]),
        ("date$gt=2026-11-18T11:12:40.000Z&sort=date", ["n:2"]),
        ("date$lte=1795000360000&sort=date", ["n:0", "n:1"]),
        ("notes$re=^t&sort=date", ["n:1", "n:2"]),
        ("notes$ne=one&sort=date", ["n:1", "n:2"]),
        ("duration$lt=15&sort=date", ["n:0", "n:1"]),
    ],
)
async def test_v3_searches(query: str, found: list[str], site: Site) -> None:
    bearer = await site.bearer(site.sim.add_subject("v3", ALL_RIGHTS))
    for document in _THREE:
        async with site.request("POST", "/api/v3/treatments", json=document, headers=bearer) as answer:
            assert answer.status == 201
    async with site.request("GET", f"/api/v3/treatments?{query}&fields=identifier", headers=bearer) as answer:
        assert (await answer.json())["result"] == [{"identifier": one} for one in found]


async def test_v3_rounds_a_duration_it_replaces_and_guards_read_only_documents(site: Site) -> None:
    bearer = await site.bearer(site.sim.add_subject("v3", ALL_RIGHTS))
    for _ in range(2):
        async with site.request("POST", "/api/v3/treatments", json=_THREE[1], headers=bearer) as answer:
            assert answer.status in (200, 201)
    stored = next(iter(site.sim.collections["treatments"]))
    assert (stored["duration"], stored["durationInMilliseconds"]) == (10, 10.4 * 60_000)
    locked = {**_THREE[2], "isReadOnly": True}
    for status in (201, 422):
        async with site.request("POST", "/api/v3/treatments", json=locked, headers=bearer) as answer:
            assert answer.status == status


async def test_dotted_keys_and_sorting_by_v1(site: Site) -> None:
    entries = [{"type": "sgv", "sgv": n, "date": 1795000300000 + n, "a.b": n} for n in (2, 1, 3)]
    async with site.request("POST", "/api/v1/entries.json", json=entries) as answer:
        assert answer.status == 200
    assert [one["a"] for one in site.sim.collections["entries"]] == [{"b": 2}, {"b": 1}, {"b": 3}]
    for query, found in (("sort[sgv]=1", [1, 2, 3]), ("find[a.b]=2", []), ("find[sgv][$ne]=2", [3, 1])):
        async with site.request("GET", f"/api/v1/entries.json?find[date][$gte]=1&{query}") as answer:
            assert [one["sgv"] for one in await answer.json()] == found, query


async def test_it_is_fast_enough_for_a_bench() -> None:
    sim = NightscoutSim(SECRET)
    async with site_of(sim) as site:
        spans = []
        for batch in range(52):
            start = 1_790_000_000_000 + batch * 500 * 300_000
            documents = [
                {"type": "sgv", "sgv": 120, "date": at, "dateString": iso_ms(from_ms(at)), "device": "carelink://NGP",
                 "identifier": str(at), "noise": 1}
                for at in range(start, start + 500 * 300_000, 300_000)
            ]  # fmt: skip
            begun = time.process_time()
            async with site.request("POST", "/api/v1/entries.json", json=documents) as answer:
                await answer.read()
            spans.append(time.process_time() - begun)
        assert len(sim.collections["entries"]) == 26_000
        late, early = sorted(spans[-20:])[10], sorted(spans[:20])[10]
        assert late < 3 * early + 0.005, "it must not slow down as it fills"
