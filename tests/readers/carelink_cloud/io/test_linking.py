from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.contracts import Authorise, Grant, Hold, OAuthToken, Step
from bridge.errors import Forbidden, Incompatible, Refused, SettingsInvalid, Unauthorised
from bridge.model.health import State
from bridge.readers.carelink_cloud import CareLinkCloudReader
from bridge.readers.carelink_cloud.linking import CareLinkLinking
from tests.readers.carelink_cloud.io.fakes import (
    DISCOVER,
    LINKS,
    ME,
    SSO,
    TOKEN,
    FakeCareLink,
    Scripted,
    Tokens,
)

LINKING = CareLinkLinking()
BROWSER = {"region": "EU", "way": "browser"}
THROUGH = {**BROWSER, "authorised": "yes"}
TWO = [
    {"username": "patient1", "firstName": "Test", "lastName": "One", "status": "ACTIVE"},
    {"username": "patient2", "firstName": "Test", "lastName": "Two", "status": "ACTIVE"},
    {"username": "patient3", "firstName": "Test", "lastName": "Three", "status": "PENDING"},
]
Pair = tuple[FakeCareLink, Tokens]


def settings(fake: FakeCareLink, **more: Any) -> dict[str, Any]:
    return {"discovery_url": fake.base + DISCOVER, **more}


async def begin(pair: Pair, answers: dict[str, str], **more: Any) -> Step | Authorise | Hold | Grant:
    fake, session = pair
    return await LINKING.begin(session, settings(fake, **more), answers)


# --- the questions -----------------------------------------------------------------------------------


async def test_region_first_with_the_advice_on_an_account_of_its_own(fake_and_session: Pair) -> None:
    step = await begin(fake_and_session, {})
    assert isinstance(step, Step)
    assert (step.key, set(step.choices)) == ("region", {"EU", "US"})
    assert "CarePartner account made only for this" in step.prompt
    assert fake_and_session[0].asked == [], "a question needs no network"


async def test_then_the_way(fake_and_session: Pair) -> None:
    step = await begin(fake_and_session, {"region": " eu "})
    assert isinstance(step, Step)
    assert (step.key, set(step.choices)) == ("way", {"browser", "file"})


async def test_the_token_file_is_a_secret(fake_and_session: Pair) -> None:
    step = await begin(fake_and_session, {"region": "US", "way": "file"})
    assert isinstance(step, Step)
    assert step.secret
    assert "Stop the other tool" in step.prompt


@pytest.mark.parametrize(
    "answers", [{"region": "Europe"}, {"region": ""}, {"region": "CLINICAL"}, {"region": "EU", "way": "password"}]
)
async def test_an_answer_that_is_no_choice_is_refused(fake_and_session: Pair, answers: dict[str, str]) -> None:
    with pytest.raises(Refused) as caught:
        await begin(fake_and_session, answers)
    assert caught.value.next_step


# --- the browser -------------------------------------------------------------------------------------


async def test_the_browser_way_comes_from_discovery(fake_and_session: Pair) -> None:
    fake, _ = fake_and_session
    assert await begin(fake_and_session, BROWSER) == Authorise(
        client_id="client-1",
        authorization_url=f"{fake.base}/authorize",
        token_url=f"{fake.base}/oauth/token",
        redirect_uri="com.medtronic.carepartner:/sso",
        scope="profile openid offline_access",
        hosts=(fake.base.removeprefix("http://"),),
        params={"audience": "carepartner.patient.ous"},
        revocation_url=f"{fake.base}/oauth/revoke",
        header="Authorization",
        refresh_margin_s=600.0,
    )


async def test_without_a_usable_discovery_the_name_is_told(fake_and_session: Pair) -> None:
    fake, _ = fake_and_session
    fake.on(SSO, Scripted(body={}))
    with pytest.raises(Incompatible) as caught:
        await begin(fake_and_session, BROWSER)
    assert caught.value.state == "discovery_unsupported"


async def test_bad_settings_have_a_name(fake_and_session: Pair) -> None:
    _, session = fake_and_session
    with pytest.raises(SettingsInvalid, match="discovery_url"):
        await LINKING.begin(session, {"discovery_url": "https://evil.example/"}, BROWSER)


# --- the token file ----------------------------------------------------------------------------------


async def held(pair: Pair, document: dict[str, Any]) -> tuple[Hold, OAuthToken]:
    hold = await begin(pair, {"region": "EU", "way": "file", "token_file": json.dumps(document)})
    assert isinstance(hold, Hold)
    assert isinstance(hold.credential, OAuthToken)
    return hold, hold.credential


async def test_a_refresh_token_alone_is_completed_by_discovery(fake_and_session: Pair) -> None:
    fake, _ = fake_and_session
    hold, token = await held(fake_and_session, {"refresh_token": "refresh-1"})
    assert (token.access_token, token.refresh_token, token.expires_at) == ("", "refresh-1", 0.0)
    assert (token.client_id, token.token_url) == ("client-1", f"{fake.base}/oauth/token")
    assert token.extra == {"audience": "carepartner.patient.ous"}
    assert token.refresh_margin_s == 600.0
    assert hold.hosts == (fake.base.removeprefix("http://"),)
    assert "refresh-1" not in repr(hold)


async def test_what_the_file_says_wins(fake_and_session: Pair) -> None:
    fake, _ = fake_and_session
    _, token = await held(
        fake_and_session,
        {"refresh_token": "r", "client_id": "c", "token_url": fake.base + TOKEN, "scope": "s", "audience": "a"},
    )
    assert (token.client_id, token.scope, token.extra) == ("c", "s", {"audience": "a"})


@pytest.mark.parametrize("url", ["https://evil.example/oauth/token", "http://carelink-login.minimed.eu/oauth/token"])
async def test_a_file_cannot_send_the_token_elsewhere(fake_and_session: Pair, url: str) -> None:
    with pytest.raises(Refused) as caught:
        await held(fake_and_session, {"refresh_token": "r", "token_url": url})
    assert fake_and_session[0].asked == []
    assert "evil.example" not in str(caught.value)


async def test_a_file_of_the_old_sign_in(fake_and_session: Pair) -> None:
    with pytest.raises(Refused, match="Sign in again"):
        await held(fake_and_session, {"refresh_token": "r", "client_secret": "s", "mag-identifier": "m"})


# --- whom to read ------------------------------------------------------------------------------------


async def test_the_one_person_followed_is_taken(fake_and_session: Pair) -> None:
    fake, _ = fake_and_session
    grant = await begin(fake_and_session, THROUGH, app_versions=["3.8"])
    assert isinstance(grant, Grant)
    assert grant.settings == {
        "discovery_url": fake.base + DISCOVER, "app_versions": ["3.8"], "region": "EU", "username": "carer",
        "role": "carepartner", "country": "GB", "patient": "patient1",
    }  # fmt: skip
    assert grant.others == {}
    assert grant.hosts == (fake.base.removeprefix("http://"),)
    assert grant.scopes == ("profile", "openid", "offline_access")
    CareLinkCloudReader.Settings.model_validate(grant.settings)


async def test_of_several_the_person_must_choose(fake_and_session: Pair) -> None:
    fake_and_session[0].on(LINKS, Scripted(body=TWO))
    step = await begin(fake_and_session, THROUGH)
    assert isinstance(step, Step)
    assert (step.key, step.many) == ("patient", True)
    assert step.choices == {"patient1": "Test One", "patient2": "Test Two"}


@pytest.mark.parametrize(
    ("answer", "first", "others"),
    [
        ("patient2", "patient2", {}),
        ("PATIENT2 , patient1", "patient2", {"Test One": "patient1"}),
        ("all", "patient1", {"Test Two": "patient2"}),
        ("patient1,patient1", "patient1", {}),
    ],
)
async def test_the_chosen_become_profiles_of_their_own(
    fake_and_session: Pair, answer: str, first: str, others: dict[str, str]
) -> None:
    fake_and_session[0].on(LINKS, Scripted(body=TWO))
    grant = await begin(fake_and_session, {**THROUGH, "patient": answer})
    assert isinstance(grant, Grant)
    assert grant.settings["patient"] == first
    assert {name: table["patient"] for name, table in grant.others.items()} == others
    for table in grant.others.values():
        CareLinkCloudReader.Settings.model_validate(table)


@pytest.mark.parametrize("answer", ["patient3", "", " , ", "patient1;patient2", "Test One", "patient1,nobody"])
async def test_a_person_not_offered_is_refused(fake_and_session: Pair, answer: str) -> None:
    fake_and_session[0].on(LINKS, Scripted(body=TWO))
    with pytest.raises(Refused):
        await begin(fake_and_session, {**THROUGH, "patient": answer})


async def test_two_of_one_name_stay_apart(fake_and_session: Pair) -> None:
    twins = [{**link, "lastName": "Same", "status": "ACTIVE"} for link in TWO]
    fake_and_session[0].on(LINKS, Scripted(body=twins))
    grant = await begin(fake_and_session, {**THROUGH, "patient": "all"})
    assert isinstance(grant, Grant)
    assert list(grant.others) == ["Test Same (patient2)", "Test Same (patient3)"]


async def test_a_patients_own_account(fake_and_session: Pair) -> None:
    fake, _ = fake_and_session
    fake.on(ME, Scripted(body={"username": "me", "role": "PATIENT_US", "country": "US"}))
    grant = await begin(fake_and_session, {**THROUGH, "region": "EU"})
    assert isinstance(grant, Grant)
    assert (grant.settings["username"], grant.settings["role"]) == ("me", "patient")
    assert "patient" not in grant.settings
    assert fake.paths(LINKS) == []


async def test_a_carer_whom_nobody_let_in(fake_and_session: Pair) -> None:
    fake_and_session[0].on(LINKS, Scripted(body=TWO[2:]))
    with pytest.raises(Forbidden, match="invite"):
        await begin(fake_and_session, THROUGH)


async def test_another_role_is_told_by_name(fake_and_session: Pair) -> None:
    fake_and_session[0].on(ME, Scripted(body={"username": "doc", "role": "CLINICIAN"}))
    with pytest.raises(Refused, match="CLINICIAN"):
        await begin(fake_and_session, THROUGH)


async def test_a_dead_access_token_of_a_file_is_renewed_once(fake_and_session: Pair) -> None:
    fake, session = fake_and_session
    fake.on(ME, Scripted(401), Scripted(body={"username": "carer", "role": "CARE_PARTNER"}))
    session.outcomes = [None]
    assert isinstance(await begin(fake_and_session, {"region": "EU", "way": "file", "authorised": "yes"}), Grant)
    assert len(session.renewals) == 1
    fake.on(ME, Scripted(401))
    session.outcomes = [None]
    with pytest.raises(Unauthorised):
        await begin(fake_and_session, THROUGH)


async def test_a_real_region_gives_the_providers_hosts() -> None:
    from bridge.readers.carelink_cloud.discovery import Place, SignIn
    from bridge.readers.carelink_cloud.linking import _hosts
    from bridge.readers.carelink_cloud.settings import ServiceSettings

    place = Place("https://carelink.minimed.eu/s", "https://carelink.minimed.eu/a", "https://clcloud.minimed.eu/d")
    sign_in = SignIn("c", "https://carelink-login.minimed.eu/a", "https://carelink-login.minimed.eu/t", "s", "a")
    assert _hosts(ServiceSettings(), place, sign_in) == (".minimed.eu", ".minimed.com")


# --- check and revoke --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("me", "state", "word"),
    [
        (Scripted(body={"role": "PATIENT"}), State.OK, ""),
        (Scripted(body={"role": "PATIENT", "needToReconsent": True}), State.PERMISSION_DENIED, "terms"),
        (Scripted(body={"role": "PATIENT", "accountSuspended": True}), State.PERMISSION_DENIED, "suspended"),
        (Scripted(body={"role": "CLINICIAN"}), State.REFUSED, "CLINICIAN"),
        (Scripted(body={"error": {"type": "NoPermission"}}), State.PERMISSION_DENIED, "permission"),
        (Scripted(401), State.LOGIN_REQUIRED, "again"),
        (Scripted(403), State.PERMISSION_DENIED, "follows"),
        (Scripted(429), State.RATE_LIMITED, "patience"),
        (Scripted(503), State.UNREACHABLE, "503"),
    ],
)
async def test_check_is_one_call_about_the_account(
    fake_and_session: Pair, me: Scripted, state: State, word: str
) -> None:
    fake, session = fake_and_session
    fake.on(ME, me)
    health = await LINKING.check(session, settings(fake, region="EU"))
    assert health.state is state
    assert word in health.text
    assert fake.paths(ME) == [ME]


async def test_check_of_settings_that_cannot_work(fake_and_session: Pair) -> None:
    _, session = fake_and_session
    assert (await LINKING.check(session, {"discovery_url": "x", "region": "EU"})).state is State.SETTINGS_INVALID
    assert (await LINKING.check(session, {})).state is State.REFUSED


async def test_revoke_says_what_is_left_to_do(fake_and_session: Pair) -> None:
    text = await LINKING.revoke(fake_and_session[1], {})
    assert text.endswith(".")
    assert text.count(". ") == 0
