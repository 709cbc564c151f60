from __future__ import annotations

from typing import Any

import pytest

from bridge.errors import Forbidden, Incompatible, Refused, Throttled, Transient, Unauthorised
from bridge.model.health import State
from bridge.readers.carelink_cloud.account import (
    body_role,
    followed,
    only_one,
    parse_account,
    parse_followed,
    user_name,
    who_am_i,
)
from bridge.readers.carelink_cloud.discovery import Place, discover
from bridge.readers.carelink_cloud.settings import ServiceSettings
from tests.readers.carelink_cloud.io.fakes import (
    DISCOVER,
    LINKS,
    ME,
    PROFILE,
    USERINFO,
    FakeCareLink,
    Scripted,
    Tokens,
)
from tests.support import vectors

NO_PERMISSION = Scripted(body={"error": {"type": "NoPermission", "group": "AUTH"}})


def vector() -> Any:
    return vectors.document("carelink-cloud", "accounts.synthetic.json")


async def placed(fake: FakeCareLink, session: Tokens) -> tuple[Place, ServiceSettings]:
    service = ServiceSettings(discovery_url=fake.base + DISCOVER)
    return await discover(session, "EU", service), service


# --- reading -----------------------------------------------------------------------------------------


def test_the_accounts_of_the_vectors() -> None:
    patient, carer = parse_account(vector()["users_me_patient"]), parse_account(vector()["users_me_carepartner"])
    assert (patient.username, patient.role, patient.country) == ("", "patient", "GB")
    assert (carer.username, carer.role, carer.country) == ("testcarer", "carepartner", "GB")
    assert patient.health.state is carer.health.state is State.OK


def test_the_links_of_the_vectors() -> None:
    document = vector()
    people = parse_followed(document["links_patients"])
    assert [person.username for person in people] == document["expect"]["followable"]
    assert [person.family for person in people] == ["BLE_X", "GUARDIAN"]
    assert only_one(people) is document["expect"]["auto_select"]
    assert only_one(people[:1]) == people[0]
    assert only_one(()) is None


@pytest.mark.parametrize(
    ("value", "role"),
    [
        ("CARE_PARTNER", "carepartner"),
        ("CARE_PARTNER_OUS", "carepartner"),
        ("CARE_PARTNER_NEW", "carepartner"),
        ("PATIENT", "patient"),
        ("PATIENT_OUS", "patient"),
        ("PATIENT_US", "patient"),
    ],
)
def test_roles(value: str, role: str) -> None:
    assert body_role(value) == role


@pytest.mark.parametrize("value", ["CLINICIAN", "PATIENTS", "", None, 5])
def test_another_role_is_refused_with_its_value(value: object) -> None:
    with pytest.raises(Refused, match=repr(value)):
        body_role(value)


@pytest.mark.parametrize(
    ("link", "followable"),
    [
        ({"username": "a", "status": "ACTIVE"}, True),
        ({"username": "a"}, True),
        ({"username": "a", "status": None}, True),
        ({"username": "a", "status": "PENDING"}, False),
        ({"username": "a", "status": "active"}, False),
        ({"username": " "}, False),
        ({"status": "ACTIVE"}, False),
        ({"username": 7}, False),
        ("a", False),
    ],
)
def test_only_active_links_count(link: object, followable: bool) -> None:
    assert bool(parse_followed([link])) is followable


@pytest.mark.parametrize("document", [None, {}, "x"])
def test_links_of_another_shape_are_refused(document: object) -> None:
    with pytest.raises(Incompatible):
        parse_followed(document)


def test_a_person_without_a_name_is_shown_by_nickname_or_user_name() -> None:
    people = parse_followed(
        [{"username": "a", "nickname": "Nick"}, {"username": "b", "lastName": "Last"}, {"username": "c"}]
    )
    assert [person.name for person in people] == ["Nick", "Last", "c"]


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"token_details": {"preferred_username": "nested"}, "preferred_username": "flat"}, "nested"),
        ({"preferred_username": "flat", "username": "plain"}, "flat"),
        ({"username": "plain"}, "plain"),
        ({"preferred_username": "Me@example.org", "email": "me@example.org", "username": "plain"}, "plain"),
        ({"preferred_username": "me@example.org", "email": "me@example.org"}, ""),
        ({"nickname": "me", "name": "Me", "sub": "auth0|1"}, ""),
        ({"token_details": [], "preferred_username": 5}, ""),
    ],
)
def test_the_user_name_is_never_the_mail_address(claims: dict[str, Any], expected: str) -> None:
    assert user_name(claims) == expected


@pytest.mark.parametrize("flag", ["accountSuspended", "needToReconsent"])
def test_the_accounts_flags_ask_a_person_to_act(flag: str) -> None:
    me = {**vector()["users_me_carepartner"], flag: True}
    health = parse_account(me).health
    assert health.state is State.PERMISSION_DENIED
    assert len(health.text.split(". ")) == 2, "what is, and what to do"


# --- asking ------------------------------------------------------------------------------------------


async def test_the_user_name_is_looked_for_in_three_places(fake_and_session: tuple[FakeCareLink, Tokens]) -> None:
    fake, session = fake_and_session
    place, service = await placed(fake, session)
    assert (await who_am_i(session, place, service)).username == "carer"
    assert fake.paths(PROFILE, USERINFO) == []

    fake.on(ME, Scripted(body={"role": "PATIENT_OUS", "country": "gb"}))
    fake.on(PROFILE, Scripted(body={"username": "from-profile", "email": "me@example.org"}))
    account = await who_am_i(session, place, service)
    assert (account.username, account.role, account.country) == ("from-profile", "patient", "GB")
    assert fake.paths(USERINFO) == []


@pytest.mark.parametrize("profile", [NO_PERMISSION, Scripted(401), Scripted(404), Scripted(204), Scripted(body={})])
async def test_a_closed_profile_leads_to_user_info(
    fake_and_session: tuple[FakeCareLink, Tokens], profile: Scripted
) -> None:
    fake, session = fake_and_session
    place, service = await placed(fake, session)
    fake.on(ME, Scripted(body={"role": "PATIENT_OUS"}))
    fake.on(PROFILE, profile)
    fake.on(USERINFO, Scripted(body={"preferred_username": "from-userinfo"}))
    assert (await who_am_i(session, place, service)).username == "from-userinfo"


async def test_without_any_user_name_nothing_is_guessed(fake_and_session: tuple[FakeCareLink, Tokens]) -> None:
    fake, session = fake_and_session
    place, service = await placed(fake, session)
    fake.on(ME, Scripted(body={"role": "PATIENT_OUS", "email": "me@example.org"}))
    fake.on(USERINFO, Scripted(body={"email": "me@example.org", "preferred_username": "me@example.org"}))
    with pytest.raises(Refused) as caught:
        await who_am_i(session, place, service)
    assert "me@example.org" not in str(caught.value)
    assert caught.value.next_step


async def test_an_outage_of_the_profile_is_an_outage(fake_and_session: tuple[FakeCareLink, Tokens]) -> None:
    fake, session = fake_and_session
    place, service = await placed(fake, session)
    fake.on(ME, Scripted(body={"role": "PATIENT_OUS"}))
    fake.on(PROFILE, Scripted(503))
    with pytest.raises(Transient):
        await who_am_i(session, place, service)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Scripted(401), Unauthorised),
        (Scripted(403), Forbidden),
        (NO_PERMISSION, Forbidden),
        (Scripted(429, headers={"Retry-After": "30"}), Throttled),
        (Scripted(503), Transient),
        (Scripted(body=b"<!doctype html>"), Transient),
        (Scripted(302, headers={"Location": "https://carelink.minimed.eu/login"}), Transient),
        (Scripted(body=b"[]"), Incompatible),
        (Scripted(418), Refused),
        (Scripted(204), Refused),
    ],
)
@pytest.mark.parametrize("path", [ME, LINKS])
async def test_a_bad_account_answer_is_a_named_error(
    fake_and_session: tuple[FakeCareLink, Tokens], path: str, answer: Scripted, error: type[Exception]
) -> None:
    fake, session = fake_and_session
    place, service = await placed(fake, session)
    fake.on(path, answer)
    if path == LINKS and answer.status in (200, 204) and answer.body in (b"", b"[]"):
        assert await followed(session, place, service) == ()
        return
    with pytest.raises(error):
        await (who_am_i if path == ME else followed)(session, place, service)
