"""Credentials and rights, as recorded, and the delay after failed logins."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from bridge.simulators.nightscout import NightscoutSim, SimSettings
from tests.simulators.nightscout.conftest import ADMIN, Site, site_of
from tests.support import vectors
from tests.support.clock import FakeClock

_AUTH = vectors.document("nightscout", "auth.json")
_SECRET = _AUTH["api_secret"]
_SHA1 = _AUTH["api_secret_sha1"]


def _recorded_site(clock: FakeClock, **settings: Any) -> NightscoutSim:
    sim = NightscoutSim(_SECRET, clock, SimSettings(**settings))
    sim.authority.roles["r"] = {"_id": "r", "name": "reader", "permissions": ["*:*:read"]}
    for subject in _AUTH["subjects"]:
        sim.authority.add_subject(subject["_id"], subject["name"], ["reader"])
    return sim


def test_tokens_are_derived_as_recorded(clock: FakeClock) -> None:
    sim = _recorded_site(clock)
    for subject in _AUTH["subjects"]:
        assert sim.authority.subjects[subject["_id"]].token == subject["accessToken"]
    assert sim.authority.is_secret(_AUTH["api_secret_sha512"])
    readonly = next(one for one in _AUTH["subjects"] if one["name"] == "readonly")
    digest = hashlib.sha1(readonly["accessToken"].encode(), usedforsecurity=False).hexdigest()
    assert digest == _AUTH["readonly_token_sha1"]
    assert sim.authority.by_token(digest) is sim.authority.subjects[readonly["_id"]]


@pytest.mark.parametrize("row", _AUTH["accepted"], ids=lambda row: f"{row['api']} {row['where']} {row['value']}")
async def test_where_each_credential_is_accepted(row: dict[str, Any], clock: FakeClock) -> None:
    async with site_of(_recorded_site(clock, default_roles=())) as site:
        token = _AUTH["subjects"][0]["accessToken"]
        jwt = (await site.bearer(token))["Authorization"].removeprefix("Bearer ")
        value = {
            "api_secret_sha1": _SHA1,
            "api_secret_sha1 in upper case": _SHA1.upper(),
            "api_secret_sha512": _AUTH["api_secret_sha512"],
            "access token": token,
            "sha1 of access token": hashlib.sha1(token.encode(), usedforsecurity=False).hexdigest(),
            "token=<access token>": f"token={token}",
            "JWT": jwt,
            "expired JWT": jwt,
            "plain api_secret": _SECRET,
        }[row["value"]]
        if row["value"] == "expired JWT":
            clock.advance(8 * 3600)
        place = row["where"]
        headers = {}
        if place == "header api-secret":
            headers["api-secret"] = value
        elif place.startswith("Authorization"):
            headers["Authorization"] = f"{place.split()[1]} {value}"
        params = {place.split()[1]: value} if place.startswith("query") else {}
        path = "/api/v1/entries.json" if row["api"] == "v1" else "/api/v3/entries"
        async with site.request("GET", path, headers=headers, params=params) as answer:
            assert answer.status == row["status"]
            body = await answer.json()
        if "message" in row:
            assert body["message"] == row["message"]
        if "penalty" in row:
            assert bool(site.sim.penalties.failures) == row["penalty"]


async def test_the_exchange_answers_as_recorded(clock: FakeClock) -> None:
    example = _AUTH["exchange_example"]
    sim = NightscoutSim(_SECRET, clock, SimSettings(default_roles=()))
    rights = example["response"]["permissionGroups"][0]
    sim.authority.roles["r"] = {"_id": "r", "name": "upload", "permissions": rights}
    subject = _AUTH["subjects"][0]
    sim.authority.add_subject(subject["_id"], subject["name"], ["upload"])
    async with site_of(sim) as site:
        path = f"/api/v2/authorization/request/{subject['accessToken']}"
        async with site.request("GET", path, headers={}) as answer:
            body = await answer.json()
        assert {name: body[name] for name in ("sub", "permissionGroups")} == {
            name: example["response"][name] for name in ("sub", "permissionGroups")
        }
        assert body["exp"] - body["iat"] == example["response"]["exp"] - example["response"]["iat"] == 28800
        head, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in body["token"].split(".")[:2])
        assert head == example["jwt_header"]
        assert set(claims) == set(example["jwt_payload"])
        assert claims["accessToken"] == subject["accessToken"]
        async with site.request("GET", "/api/v2/authorization/request/nobody-0123456789abcdef", headers={}) as no:
            assert no.status == 401
        assert site.sim.penalties.failures == 0


_ENTRY = {"type": "sgv", "sgv": 120, "date": 1795000300000, "dateString": "2026-11-18T11:11:40.000Z"}
_TREATMENT = {"eventType": "Note", "created_at": "2026-11-17T13:50:00.000Z", "identifier": "n:1"}
_STATUS = {"created_at": "2026-11-17T13:50:00.000Z", "device": "x"}
_DOCUMENTS = {"entries": _ENTRY, "treatments": _TREATMENT, "devicestatus": _STATUS, "profile": {}}


def _rights(row: dict[str, Any]) -> list[str]:
    if "<c>" not in row["permissions"][0]:
        return list(row["permissions"])
    verbs = row["permissions"][0].split(":")[2].split(" ")[0]
    return [f"api:{name}:{verbs}" for name in ("entries", "treatments", "devicestatus")]


@pytest.mark.parametrize("row", _AUTH["roles_matrix"], ids=lambda row: "+".join(row["permissions"]))
async def test_roles(row: dict[str, Any], clock: FakeClock) -> None:
    default = () if row["default_roles"] == "none" else (row["default_roles"],)
    sim = NightscoutSim(_SECRET, clock, SimSettings(default_roles=default))
    token = sim.add_subject("tester", _rights(row))
    async with site_of(sim) as site:
        mine, bearer = {"api-secret": token}, await site.bearer(token)
        for name, status in row.get("v1_post", {}).items():
            async with site.request("POST", f"/api/v1/{name}.json", json=[_DOCUMENTS[name]], headers=mine) as answer:
                assert answer.status == status, name
        if "v1_repost_entries" in row:
            async with site.request("POST", "/api/v1/entries.json", json=[_ENTRY], headers=mine) as answer:
                assert answer.status == row["v1_repost_entries"]
        if "v1_delete" in row:
            async with site.request("DELETE", "/api/v1/treatments/6b0300000000000000000099", headers=mine) as answer:
                assert answer.status == row["v1_delete"]
        if "v3_create_new" in row or "v3_create_existing" in row:
            await _v3_creations(site, row, bearer)
        if "v3_status_apiPermissions" in row:
            async with site.request("GET", "/api/v3/status", headers=bearer) as answer:
                shown = (await answer.json())["result"]["apiPermissions"]
            expected = row["v3_status_apiPermissions"]
            assert {name: shown[name] for name in expected} == expected if expected else shown == {}


async def _v3_creations(site: Site, row: dict[str, Any], bearer: dict[str, str]) -> None:
    document = {"date": 1795000900000, "app": "x", "type": "sgv", "sgv": 100, "device": "v3"}
    allowed = row.get("v3_create_new", 201)
    for status in (allowed, row.get("v3_create_existing")):
        if status is not None:
            async with site.request("POST", "/api/v3/entries", json=document, headers=bearer) as answer:
                assert answer.status == status


@pytest.mark.parametrize("name", ["entries", "treatments", "devicestatus", "profile"])
async def test_an_empty_array_probes_the_right_to_create(name: str, site: Site) -> None:
    may, may_not = (site.sim.add_subject(f"s{n}", rights) for n, rights in enumerate((["api:*:*"], ["*:*:read"])))
    for token, status in ((may, 200), (may_not, 401)):
        async with site.request("POST", f"/api/v1/{name}.json", json=[], headers={"api-secret": token}) as answer:
            assert answer.status == status
    assert site.sim.penalties.failures == 0
    assert len(site.sim.collections[name]) == 0


async def test_a_wrong_credential_delays_everybody_behind_the_address(clock: FakeClock) -> None:
    sim = NightscoutSim(_SECRET, clock, SimSettings(auth_fail_delay_s=5))
    async with site_of(sim) as site:
        for _ in range(2):
            async with site.request("GET", "/api/v1/entries.json", headers={"api-secret": "wrong"}) as answer:
                assert answer.status == 401
        assert clock.slept == [5.0], "the second failure waits for the first"
        async with site.request("GET", "/api/v1/entries.json", headers={}) as answer:
            assert answer.status == 200
        assert clock.slept[-1] == pytest.approx(5.0)
        async with site.request("GET", "/api/v1/entries.json", headers={"api-secret": _SHA1}) as answer:
            assert answer.status == 200
        other = {"api-secret": "wrong", "X-Forwarded-For": "10.0.0.9"}
        async with site.request("GET", "/api/v1/entries.json", headers=other) as answer:
            assert answer.status == 401
        slept = len(clock.slept)
        async with site.request("GET", "/api/v1/entries.json", headers={"api-secret": _SHA1}) as answer:
            assert answer.status == 200
        assert len(clock.slept) == slept, "another address is not punished"


async def test_credentials_in_the_body_are_taken_out_before_storing(site: Site) -> None:
    document = {**_ENTRY, "secret": ADMIN["api-secret"]}
    async with site.request("POST", "/api/v1/entries.json", json=[document], headers={}) as answer:
        assert answer.status == 200
    assert "secret" not in next(iter(site.sim.collections["entries"]))


async def test_verifyauth_and_check(site: Site) -> None:
    token = site.sim.add_subject("up", ["api:entries:create"])
    async with site.request("GET", "/api/v1/verifyauth", headers={"api-secret": token}) as answer:
        message = (await answer.json())["message"]
    assert (message["rolefound"], message["canWrite"]) == ("FOUND", False)
    async with site.request("GET", "/api/v1/verifyauth", headers={"api-secret": "wrong"}) as answer:
        assert answer.status == 200
        assert (await answer.json())["message"]["rolefound"] == "NOTFOUND"
    for permission, status in (("api:entries:create", 200), ("api:entries:delete", 401)):
        path = f"/api/v2/authorization/debug/check/{permission}"
        async with site.request("GET", path, headers={"api-secret": token}) as answer:
            assert answer.status == status


async def test_roles_and_subjects_are_kept(site: Site) -> None:
    base = "/api/v2/authorization"
    async with site.request("POST", f"{base}/roles", json={"name": "r", "permissions": ["a:b:c"]}) as answer:
        role = (await answer.json())[0]
    async with site.request("POST", f"{base}/subjects", json={"name": "Some One", "roles": ["r"]}) as answer:
        subject = (await answer.json())[0]
    assert "accessToken" not in subject
    async with site.request("GET", f"{base}/subjects") as answer:
        listed = next(one for one in await answer.json() if one["_id"] == subject["_id"])
    assert listed["accessToken"].startswith("someone-")
    async with site.request("PUT", f"{base}/roles", json={**role, "permissions": ["x:y:z"]}) as answer:
        assert answer.status == 200
    async with site.request("GET", f"{base}/roles") as answer:
        roles = await answer.json()
    assert {"name": "admin", "permissions": ["*"]} in roles
    assert [one["permissions"] for one in roles if one["name"] == "r"] == [["x:y:z"]]
    for path, status in ((f"{base}/subjects/{subject['_id']}", 200), (f"{base}/subjects/nonsense", 500)):
        async with site.request("DELETE", path) as answer:
            assert answer.status == status
    async with site.request("GET", f"{base}/subjects", headers={"api-secret": listed["accessToken"]}) as answer:
        assert answer.status == 401, "the token died with its subject"
