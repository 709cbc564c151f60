"""Who may ask what, on which path, and what each refusal looks like."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.simulators.carelink_cloud import CARER, CareLinkSim, Family
from tests.simulators.carelink.cloud import Client, client_of, cloud, person, several
from tests.support import vectors

ACCOUNTS = vectors.document("carelink-cloud", "accounts.synthetic.json")
STUB = vectors.document("carelink-cloud", "stub-no-app.synthetic.json")


def everyone() -> CareLinkSim:
    people, accounts = several()
    return cloud(*people, accounts=accounts)[0]


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, 200), ({"username": "someone"}, 400), ({"role": "patient"}, 400), ({"patient": None}, 400),
        ({"patient": "unknown"}, 400), ({"appVersion": "3.6.9"}, 206), ({"appVersion": "3.7.0"}, 200),
        ({"appVersion": "10.0.0"}, 200), ({"appVersion": None}, 400), ({"appVersion": "new"}, 400),
        ({"base": "v11"}, 403), ({"base": "v12"}, 404),
    ],
)  # fmt: skip
async def test_a_carers_message_is_checked(changed: dict[str, Any], status: int) -> None:
    async with client_of(cloud()[0]) as client, client.message(**changed) as answer:
        assert answer.status == status
        assert ("Upgrade application" in await answer.text()) is (status == 206)


@pytest.mark.parametrize(("sent", "status"), [(None, 200), ("patient1", 200), ("patient2", 403)])
async def test_a_patient_reads_only_the_own_data(sent: str | None, status: int) -> None:
    sim, _ = cloud(person(), person(username="patient2"))
    async with client_of(sim, "patient1") as client, client.message(sent, username="patient1", role="patient") as got:
        assert got.status == status


@pytest.mark.parametrize("token", ["", "nonsense"])
async def test_without_a_live_token_nothing_is_told(token: str) -> None:
    async with client_of(cloud()[0]) as client:
        client.token = token
        async with client.message() as answer:
            assert answer.status == 401
        for path in ("/api/carepartner/v2/users/me", "/patient/connect/data", "/userinfo", "/patient/monitor/data"):
            async with client.get(path) as answer:
                assert answer.status == 401


async def test_a_body_that_is_no_object_is_refused() -> None:
    async with client_of(cloud()[0]) as client:
        for body in (b"{", b"[]"):
            url = f"{client.base}/connect/carepartner/v13/display/message"
            async with client.http.post(url, data=body, headers=client.headers()) as answer:
                assert answer.status == 400


async def test_a_pending_link_is_not_readable() -> None:
    async with client_of(everyone(), "asked") as client:
        async with client.message("ngp-user", username="asked") as pending:
            assert pending.status == 403
        async with client.message("simplera-user", username="asked") as active:
            assert active.status == 200
        async with client.get("/api/carepartner/v2/links/patients") as answer:
            links = await answer.json()
    assert [(link["username"], link["status"]) for link in links] == [
        ("ngp-user", "PENDING"),
        ("simplera-user", "ACTIVE"),
    ]
    assert {key: type(value) for key, value in links[0].items()} == {
        key: type(value) for key, value in ACCOUNTS["links_patients"][0].items()
    }


@pytest.mark.parametrize(
    ("family", "message", "v6", "web"),
    [
        (Family.NGP, "nested", "flat", "stub"), (Family.NGP_FLAT, "flat", "flat", "stub"),
        (Family.SIMPLERA, "nested", 204, "stub"), (Family.GUARDIAN, 204, 204, "flat"),
        (Family.PARADIGM, 204, 204, "flat"), (Family.NONE, 204, 204, 500),
    ],
)  # fmt: skip
async def test_each_family_answers_where_it_belongs(family: Family, message: Any, v6: Any, web: Any) -> None:
    name = f"{family.value}-user"
    async with client_of(everyone()) as client:
        assert await _shape(client.message(name)) == message
        assert await _shape(client.message(name, base="v6")) == v6
        assert await _shape(client.get(f"/patient/m2m/connect/data/gc/patients/{name}")) == web
        client.sign_in(name)
        assert await _shape(client.get("/patient/connect/data")) == web


async def _shape(call: Any) -> Any:
    async with call as answer:
        if answer.status != 200:
            return answer.status
        document = await answer.json()
    if "patientData" in document:
        return "nested"
    return "flat" if document["sgs"] else "stub"


async def test_the_stub_is_that_of_the_real_cloud() -> None:
    async with client_of(everyone(), "ngp-user") as client, client.get("/patient/connect/data") as answer:
        document = await answer.json()
    assert {**document, "currentServerTime": 0} == {**STUB, "currentServerTime": 0}


async def test_before_the_first_upload_there_is_an_empty_list() -> None:
    sim, clock = cloud()
    sim.people["patient1"] = person(start=clock.now())
    async with client_of(sim) as client, client.message() as answer:
        assert await answer.json() == {"metadata": {}, "patientData": []}
    assert not sim.served.answers


async def test_the_account_api_tells_who_is_signed_in() -> None:
    async with client_of(cloud()[0]) as client:
        carer = await _told(client, "/api/carepartner/v2/users/me")
        client.sign_in("patient1")
        patient = await _told(client, "/patient/users/me")
        profile = await _told(client, "/patient/users/me/profile")
        userinfo = await _told(client, "/userinfo")
    assert (carer["username"], carer["role"]) == (CARER, "CARE_PARTNER_OUS")
    assert set(patient) == set(ACCOUNTS["users_me_patient"])
    assert "username" not in patient
    assert profile["username"] == userinfo["preferred_username"] == "patient1"


async def _told(client: Client, path: str) -> dict[str, Any]:
    async with client.get(path) as answer:
        assert answer.status == 200
        found: dict[str, Any] = await answer.json()
        return found


async def test_the_web_tells_which_route_to_take() -> None:
    async with client_of(everyone(), "guardian-user") as client:
        assert (await _told(client, "/patient/monitor/data"))["deviceFamily"] == "GUARDIAN"
        uploads = await _told(client, "/patient/dataUpload/recentUploads?numUploads=30")
        assert "Guardian" in uploads["recentUploads"][0]["device"]
        told = await _told(client, "/patient/countries/settings?countryCode=gb&language=en")
        assert told["blePereodicDataEndpoint"].endswith("/v6/display/message")
        assert (await _told(client, "/patient/configuration/system/personal.cp.m2m.enabled"))["value"] is True
        client.sign_in("paradigm-user")
        assert (await _told(client, "/patient/monitor/data"))["medicalDeviceFamily"] == "PARADIGM"
        client.sign_in(CARER)
        assert (await _told(client, "/patient/monitor/data"))["deviceFamily"] is None
        assert (await _told(client, "/patient/dataUpload/recentUploads"))["recentUploads"] == []
