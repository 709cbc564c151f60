"""Every recorded exchange, sent to the simulator: status, answer and stored documents must equal the site's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.simulators.nightscout import NightscoutSim, identifier_of
from tests.simulators.nightscout.conftest import ADMIN, ALL_RIGHTS, Site
from tests.support import vectors

_ENTRIES = vectors.rows("nightscout", "v1_entries.jsonl")
_TREATMENTS = vectors.rows("nightscout", "v1_treatments.jsonl")
_OTHERS = vectors.rows("nightscout", "v1_devicestatus_profile.jsonl")
_V3 = vectors.rows("nightscout", "v3_documents.jsonl")

_NOW_FIELDS = ("srvModified", "srvCreated", "lastModified")
_SERVER_NOW = {"tr-no-created", "ds-no-created", "ds-empty-object", "food-post"}
"""Rows whose created_at is the moment of the request."""
_CLIENT_IDS = "6b0300"


def _comparable(value: Any, *, now: bool) -> Any:
    """Without what differs on every run: generated ids, modification times, `now`."""
    if isinstance(value, list):
        return [_comparable(one, now=now) for one in value]
    if not isinstance(value, dict):
        return value
    plain = {name: inner for name, inner in value.items() if name not in _NOW_FIELDS}
    if not str(plain.get("_id", "")).startswith(_CLIENT_IDS):
        plain["_id"] = "_id" in plain
    if len(str(plain.get("deduplicatedIdentifier", ""))) == 24:
        plain["deduplicatedIdentifier"] = "an id"
    if now and "created_at" in plain:
        plain["created_at"] = "now"
    return plain


def _collection(sim: NightscoutSim, path: str) -> list[dict[str, Any]]:
    name = path.split("/")[3].split(".")[0].split("?")[0]
    return list(sim.collections[name]) if name in sim.collections else []


class Recorded(dict[str, str]):
    """Recorded `_id` -> ours: a document that was the same one there must be the same one here."""

    def check(self, rows: list[dict[str, Any]], documents: list[dict[str, Any]], *, now: bool) -> None:
        for row in rows:
            twins = [one for one in documents if _comparable(one, now=now) == _comparable(row, now=now)]
            if len(twins) == 1 and "_id" in row:
                assert self.setdefault(row["_id"], twins[0]["_id"]) == twins[0]["_id"]


async def _exchange(site: Site, row: dict[str, Any], headers: dict[str, str], ids: Recorded) -> None:
    options: dict[str, Any] = {"headers": headers}
    if isinstance(row["request"], str):
        options |= {"data": row["request"], "headers": {**headers, "Content-Type": "application/json"}}
    elif row["request"] is not None:
        options["json"] = row["request"]
    now = row["id"] in _SERVER_NOW or row["path"].startswith("/api/v1/profile")
    expected = _comparable(row["stored"] or [], now=now)
    before = _comparable(_collection(site.sim, row["path"]), now=now)
    async with site.request(row["method"], row["path"], **options) as answer:
        status, text = answer.status, await answer.text()
    assert status == row["status"], (row["id"], text)
    assert _comparable(json.loads(text), now=now) == _comparable(row["response"], now=now), row["id"]
    after = _comparable(_collection(site.sim, row["path"]), now=now)
    for document in after:
        written = document not in before
        assert not written or row["stored"] in (None, []) or document in expected, (row["id"], document)
    for document in expected:
        assert after.count(document) == expected.count(document), (row["id"], document)
    ids.check(row["stored"] or [], _collection(site.sim, row["path"]), now=now)


@pytest.mark.parametrize("rows", [_ENTRIES, _TREATMENTS], ids=["entries", "treatments"])
async def test_v1_entries_and_treatments(site: Site, rows: list[dict[str, Any]]) -> None:
    ids = Recorded()
    for row in rows:
        await _exchange(site, row, ADMIN, ids)
    assert len(ids) > 20


async def test_v1_devicestatus_profile_food_activity(site: Site) -> None:
    ids = Recorded()
    for row in _OTHERS:
        if row["id"] != "ds-pred-trunc":
            await _exchange(site, row, ADMIN, ids)


async def test_predictions_are_cut(site: Site) -> None:
    row = next(row for row in _OTHERS if row["id"] == "ds-pred-trunc")
    assert "288" in row["stored"]
    status = {"created_at": "2026-11-17T07:50:00.000Z", "openaps": {"suggested": {"predBGs": {"IOB": [100] * 400}}}}
    async with site.request("POST", "/api/v1/devicestatus.json", json=[status]) as answer:
        assert answer.status == row["status"]
    stored = next(iter(site.sim.collections["devicestatus"]))
    assert len(stored["openaps"]["suggested"]["predBGs"]["IOB"]) == 288


async def test_v3_documents(site: Site) -> None:
    token = site.sim.add_subject("bridge-v3", ALL_RIGHTS)
    bearer = await site.bearer(token)
    ids = Recorded()
    for row in _V3:
        headers = dict(ADMIN if row["api"] == "v1" else bearer)
        if row["id"] == "v3-patch-unmod":
            headers["If-Unmodified-Since"] = "Mon, 01 Jan 2024 00:00:00 GMT"
        await _exchange(site, row, headers, ids)


def test_v3_identifiers() -> None:
    for row in vectors.document("nightscout", "v3_identifier.json")["vectors"]:
        assert identifier_of(row["device"], row["date"], row["eventType"]) == row["identifier"]
