"""Discovery with its traps, the sign-in page, PKCE, rotation and the one session per account."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from bridge.simulators.carelink_cloud import CARER, PASSWORD, challenge_of
from tests.simulators.carelink.cloud import REDIRECT, VERIFIER, Client, challenge, client_of, cloud
from tests.support import vectors

DISCOVER = "/connect/carepartner/{base}/discover/android/{version}"
KNOWN = vectors.document("carelink-cloud", "discovery-android-3.8.synthetic.json")
TRAP = vectors.document("carelink-cloud", "discovery-android-3.5-trap.synthetic.json")
OLD = vectors.document("carelink-cloud", "discovery-android-3.2.json")
SSO = vectors.document("carelink-cloud", "sso-auth0-eu.synthetic.json")


async def _json(client: Client, path: str) -> Any:
    async with client.get(path) as answer:
        assert answer.status == 200, path
        return json.loads(await answer.read())


def _eu(document: Any) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in document["CP"] if row["region"] == "EU")
    return found


@pytest.mark.parametrize(
    ("version", "track", "auth0"),
    [
        ("3.8", 13, True), ("3.7", 13, True), ("3.6", 13, True), ("3.5", 11, True), ("3.4", 11, False),
        ("3.2", 11, False), ("3.1", 6, False), ("3.9", 2, False), ("3.10", 2, False), ("10.0", 2, False),
        ("1.0", 2, False),
    ],
)  # fmt: skip
async def test_each_app_version_gets_its_document(version: str, track: int, auth0: bool) -> None:
    async with client_of(cloud()[0]) as client:
        entry = _eu(await _json(client, DISCOVER.format(base="v13", version=version)))
    assert entry["baseUrlCumulus"] == f"{client.base}/connect/carepartner/v{track}"
    assert ("UseSSOConfiguration" in entry) is auth0


@pytest.mark.parametrize(("version", "vector"), [("3.8", KNOWN), ("3.5", TRAP), ("3.2", OLD)])
async def test_documents_have_the_keys_of_the_real_ones(version: str, vector: Any) -> None:
    async with client_of(cloud()[0]) as client:
        document = await _json(client, DISCOVER.format(base="v13", version=version))
    assert set(document) >= set(vector)
    assert set(_eu(document)) >= set(_eu(vector)) - {"baseUrlAem"}


@pytest.mark.parametrize(("base", "status"), [("v10", 204), ("v12", 401), ("v14", 403), ("v20", 403), ("v3", 404)])
async def test_other_base_paths_serve_nothing(base: str, status: int) -> None:
    async with client_of(cloud()[0]) as client, client.get(DISCOVER.format(base=base, version="3.8")) as answer:
        assert answer.status == status


async def test_the_old_base_path_knows_nothing_of_carers() -> None:
    async with client_of(cloud()[0]) as client:
        assert "CP" not in await _json(client, DISCOVER.format(base="v11", version="3.8"))


async def test_the_sign_in_configuration_leads_to_this_address() -> None:
    async with client_of(cloud()[0]) as client:
        entry = _eu(await _json(client, DISCOVER.format(base="v13", version="3.8")))
        found = await _json(client, urlsplit(entry[entry["UseSSOConfiguration"]]).path)
        async with client.get("/configs/v1/legacy.json") as gone:
            assert gone.status == 404
    assert {key: set(part) for key, part in found.items()} == {key: set(part) for key, part in SSO.items()}
    assert client.base == f"http://{found['server']['hostname']}:{found['server']['port']}"


def _authorize(**changed: str) -> str:
    asked = {
        "client_id": "simulated-eu", "response_type": "code", "scope": "profile openid offline_access",
        "audience": "carepartner.patient.ous", "redirect_uri": REDIRECT, "code_challenge": challenge(),
        "code_challenge_method": "S256", "state": "my state", **changed,
    }  # fmt: skip
    return f"/authorize?{urlencode(asked)}"


async def _code(client: Client, username: str = CARER, password: str = PASSWORD) -> str:
    """Through the page, as a person does it; empty when the page says no."""
    async with client.get(_authorize()) as first:
        page = first.headers["Location"]
    async with client.get(page) as form:
        assert 'name="password"' in await form.text()
    ticket = parse_qs(urlsplit(page).query)["state"][0]
    sent = {"username": username, "password": password, "action": "default", "state": ticket}
    async with client.http.post(client.base + page, data=sent, allow_redirects=False) as done:
        if done.status == 200:
            assert "Wrong username or password" in await done.text()
            return ""
        return _returned(done.headers["Location"])


def _returned(location: str) -> str:
    assert location.startswith(f"{REDIRECT}?")
    query = parse_qs(urlsplit(location).query)
    assert query["state"] == ["my state"]
    return query["code"][0]


async def test_a_person_signs_in_and_the_code_becomes_tokens() -> None:
    sim, clock = cloud()
    async with client_of(sim) as client:
        form = {"grant_type": "authorization_code", "code": await _code(client), "redirect_uri": REDIRECT}
        async with client.grant(**form, code_verifier=VERIFIER) as answer:
            tokens = await answer.json()
        async with client.grant(**form, code_verifier=VERIFIER) as again:
            assert (again.status, (await again.json())["error"]) == (403, "invalid_grant")
        client.token = tokens["access_token"]
        async with client.message() as data:
            assert data.status == 200
    assert set(tokens) == {"access_token", "refresh_token", "id_token", "scope", "expires_in", "token_type"}
    assert "offline_access" in tokens["scope"]
    claims = json.loads(base64.urlsafe_b64decode(tokens["access_token"].split(".")[1] + "=="))
    assert claims["exp"] == int(clock.now().timestamp()) + tokens["expires_in"]


async def test_a_wrong_password_stays_on_the_page_and_may_be_corrected() -> None:
    async with client_of(cloud()[0]) as client:
        assert await _code(client, password="wrong") == ""
        assert await _code(client, username="nobody") == ""
        assert await _code(client)


async def test_an_expired_page_says_so() -> None:
    async with client_of(cloud()[0]) as client:
        async with client.get("/u/login?state=unknown") as form:
            assert form.status == 400
        async with client.http.post(f"{client.base}/u/login", data={"state": "unknown"}) as sent:
            assert sent.status == 400


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"client_id": "another"}, 403), ({"redirect_uri": "https://example.org/"}, 403),
        ({"response_type": "token"}, 403), ({"code_challenge_method": "plain"}, 400),
    ],
)  # fmt: skip
async def test_authorize_refuses_what_it_does_not_know(changed: dict[str, str], status: int) -> None:
    async with client_of(cloud()[0]) as client, client.get(_authorize(**changed)) as answer:
        assert answer.status == status


async def test_consent_may_be_automatic() -> None:
    sim, _ = cloud(auto_consent=CARER)
    async with client_of(sim) as client:
        async with client.get(_authorize()) as answer:
            code = _returned(answer.headers["Location"])
        body = {"grant_type": "authorization_code", "client_id": "simulated-eu", "code": code,
                "redirect_uri": REDIRECT, "code_verifier": VERIFIER}  # fmt: skip
        async with client.http.post(f"{client.base}/oauth/token", json=body) as tokens:
            assert tokens.status == 200


@pytest.mark.parametrize("changed", [{"code_verifier": "another" * 8}, {"redirect_uri": "other:/sso"}])
async def test_a_code_needs_its_verifier_and_its_address(changed: dict[str, str]) -> None:
    async with client_of(cloud()[0]) as client:
        form = {"code": await _code(client), "redirect_uri": REDIRECT, "code_verifier": VERIFIER, **changed}
        async with client.grant(grant_type="authorization_code", **form) as answer:
            assert (answer.status, (await answer.json())["error"]) == (403, "invalid_grant")


def test_the_challenge_is_that_of_the_rfc() -> None:
    assert (
        challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    )
    assert challenge_of(VERIFIER) == challenge()


async def test_a_refresh_token_works_once_and_its_reuse_ends_the_session() -> None:
    sim, clock = cloud()
    async with client_of(sim) as client:
        first = client.sign_in(CARER)
        async with client.refresh(first["refresh_token"]) as answer:
            second = await answer.json()
        assert second["refresh_token"] != first["refresh_token"]
        client.token = second["access_token"]
        clock.advance(1)
        async with client.refresh(first["refresh_token"]) as reused:
            assert (reused.status, (await reused.json())["error"]) == (403, "invalid_grant")
        async with client.refresh(second["refresh_token"]) as family:
            assert family.status == 403
        async with client.message() as data:
            assert data.status == 401
    assert (sim.tokens.refreshes, sim.tokens.reuses) == (1, 1)


async def test_reuse_within_the_leeway_is_forgiven() -> None:
    sim, clock = cloud()
    sim.tokens.reuse_leeway_s = 10
    async with client_of(sim) as client:
        token = client.sign_in(CARER)["refresh_token"]
        for wait_s, status in ((0, 200), (5, 200), (6, 403)):
            clock.advance(wait_s)
            async with client.refresh(token) as answer:
                assert answer.status == status
    assert sim.tokens.reuses == 1


async def test_access_ends_with_its_time_and_comes_back_by_refresh() -> None:
    sim, clock = cloud()
    sim.tokens.expires_in_s = 600
    async with client_of(sim) as client:
        tokens = client.sign_in(CARER)
        clock.advance(601)
        async with client.message() as late:
            assert late.status == 401
        async with client.refresh(tokens["refresh_token"]) as answer:
            client.token = (await answer.json())["access_token"]
        async with client.message() as fresh:
            assert fresh.status == 200
        sim.tokens.expire_access()
        async with client.message() as early:
            assert early.status == 401


async def test_a_second_sign_in_ends_the_first() -> None:
    sim, _ = cloud()
    async with client_of(sim) as client:
        first = client.sign_in(CARER)
        sim.sign_in(CARER)
        async with client.message() as data:
            assert data.status == 401
        async with client.refresh(first["refresh_token"]) as answer:
            assert answer.status == 403
        sim.sign_in("patient1")
        client.sign_in(CARER)
        async with client.message() as data:
            assert data.status == 200


async def test_revocation_ends_the_session() -> None:
    async with client_of(cloud()[0]) as client:
        tokens = client.sign_in(CARER)
        for token in ("unknown", tokens["refresh_token"]):
            async with client.http.post(f"{client.base}/oauth/revoke", data={"token": token}) as answer:
                assert answer.status == 200
        async with client.message() as data:
            assert data.status == 401


async def test_a_moved_client_is_unknown_until_discovered_again() -> None:
    sim, _ = cloud()
    async with client_of(sim) as client:
        token = client.sign_in(CARER)["refresh_token"]
        sim.tokens.client_ids["EU"] = "moved"
        async with client.refresh(token) as answer:
            assert (answer.status, (await answer.json())["error"]) == (401, "invalid_client")
        found = await _json(client, "/configs/v1/carepartner_auth0_ous_sso_config_v1.json")
        assert found["client"]["client_id"] == "moved"


async def test_other_grants_are_refused() -> None:
    async with client_of(cloud()[0]) as client, client.grant(grant_type="password") as answer:
        assert (answer.status, (await answer.json())["error"]) == (403, "unsupported_grant_type")


def test_tokens_stay_out_of_reprs_of_accounts() -> None:
    sim, _ = cloud()
    assert PASSWORD not in repr(sim.accounts[CARER])
