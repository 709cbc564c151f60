from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contracts import Answer
from bridge.errors import BridgeError, Throttled
from bridge.model.health import State
from bridge.readers.carelink_cloud.client import (
    Call,
    Meaning,
    Route,
    Who,
    data_call,
    data_meaning,
    failure,
    health_of,
    meaning,
    retry_after_s,
    routes,
)
from bridge.readers.carelink_cloud.settings import Role
from tests.support import vectors

DATA = "https://clcloud.minimed.eu/connect/carepartner/v13"
ACCOUNT = "https://carelink.minimed.eu/api/carepartner/v2"
CARER = Who("carer", "carepartner", "patient/1 ä")
OWN = Who("me", "patient")
NOW = datetime(2026, 3, 10, 6, 0, tzinfo=UTC)


def answer(status: int = 200, body: Any = b"", **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


# --- what is asked -----------------------------------------------------------------------------------


def test_a_carer_names_the_patient() -> None:
    assert data_call(Route.MESSAGE, DATA, ACCOUNT, CARER, "3.8.0") == Call(
        "POST",
        f"{DATA}/display/message",
        {"username": "carer", "role": "carepartner", "appVersion": "3.8.0", "patientId": "patient/1 ä"},
    )


def test_a_patient_names_only_itself() -> None:
    for who in (OWN, Who("me", "patient", "me")):
        call = data_call(Route.MESSAGE, DATA, ACCOUNT, who, "3.7.0")
        assert call.json == {"username": "me", "role": "patient", "appVersion": "3.7.0"}


def test_the_other_routes() -> None:
    host = "https://clcloud.minimed.eu"
    assert data_call(Route.GUARDIAN, DATA, ACCOUNT, OWN, "") == Call("GET", f"{host}/patient/connect/data")
    assert data_call(Route.GUARDIAN, DATA, ACCOUNT, CARER, "") == Call(
        "GET", f"{host}/patient/m2m/connect/data/gc/patients/patient%2F1%20%C3%A4"
    )
    monitor = data_call(Route.MONITOR, DATA, ACCOUNT, OWN, "")
    assert monitor == Call("GET", "https://carelink.minimed.eu/patient/monitor/data")


@pytest.mark.parametrize("role", ["patient", "carepartner"])
def test_the_apps_own_call_comes_first(role: Role) -> None:
    assert routes(role)[0] is Route.MESSAGE
    assert (Route.MONITOR in routes(role)) is (role == "patient")


# --- what is answered --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ngp-780g-smartguard.json", Meaning.DATA),
        ("paradigm-legacy.json", Meaning.DATA),
        ("simplera-cgm-only.synthetic.json", Meaning.DATA),
        ("guardian-connect.synthetic.json", Meaning.DATA),
        ("stub-no-app.synthetic.json", Meaning.NO_DATA),
    ],
)
def test_every_known_answer(name: str, expected: Meaning) -> None:
    body = vectors.path("carelink-cloud", name).read_bytes()
    assert data_meaning(answer(200, body)) is expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", Meaning.NO_DATA),
        (b" \r\n", Meaning.NO_DATA),
        (b"\xef\xbb\xbf", Meaning.NO_DATA),
        ({}, Meaning.NO_DATA),
        ({"metadata": {}}, Meaning.NO_DATA),
        ({"patientData": []}, Meaning.NO_DATA),
        ({"patientData": {}}, Meaning.NO_DATA),
        ({"patientData": None}, Meaning.NO_DATA),
        ({"deviceFamily": "BLE_X"}, Meaning.NO_DATA),
        ({"patientData": {"lastMedicalDeviceDataUpdateServerTime": 1}}, Meaning.NO_DATA),
        ({"patientData": {"lastMedicalDeviceDataUpdateServerTime": 1700000000000}}, Meaning.DATA),
        ({"sgs": []}, Meaning.DATA),
        (b"<html>", Meaning.PAGE),
        (b"\xef\xbb\xbf\n <!DOCTYPE html>", Meaning.PAGE),
        ({"error": {"type": "NoPermission", "group": "AUTH"}}, Meaning.NO_PERMISSION),
        ({"error": "NoPermission"}, Meaning.NO_PERMISSION),
        ({"error": {"type": "Other"}}, Meaning.REFUSED),
        ({"error": None}, Meaning.REFUSED),
        (b'{"patientData":', Meaning.DATA),
        (b"[" * 200_000, Meaning.DATA),
        (b"\xff\xfe", Meaning.DATA),
        (b"7", Meaning.DATA),
    ],
)
def test_what_a_200_holds(body: Any, expected: Meaning) -> None:
    assert data_meaning(answer(200, body)) is expected


def test_a_page_is_known_by_its_type_too() -> None:
    assert meaning(answer(200, b"Maintenance", content_type="text/html; charset=utf-8")) is Meaning.PAGE


@given(st.integers(100, 599), st.binary(max_size=60))
def test_every_answer_has_a_meaning_and_every_bad_one_a_sentence(status: int, body: bytes) -> None:
    said = answer(status, body)
    verdict = data_meaning(said)
    if verdict is not Meaning.DATA:
        health = health_of(failure(verdict, said, "data", NOW))
        assert health.state is not State.OK
        assert health.text.startswith("CareLink")


def test_no_content_of_an_answer_gets_into_a_sentence() -> None:
    secret = "eyJhbGciOiJ.secret.token"
    for status in (400, 401, 403, 404, 409, 429, 500):
        for body in ({"error": {"type": f"{secret}\n<x>"}}, {"error": secret * 20}, secret.encode()):
            said = answer(status, body)
            assert secret not in str(failure(meaning(said), said, "data", NOW))


def test_an_unknown_state_is_still_shown() -> None:
    assert health_of(BridgeError("Something.", state="never heard of")).state is State.REFUSED


# --- Retry-After -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "90"}, 90.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "86400"}, 900.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
        ({"retry-after": "Tue, 10 Mar 2026 06:02:00 GMT"}, 120.0),
        ({"retry-after": "Tue, 10 Mar 2026 06:02:00 GMT", "date": "Tue, 10 Mar 2026 06:01:00 GMT"}, 60.0),
        ({"retry-after": "Tue, 10 Mar 2026 05:00:00 GMT"}, 0.0),
        ({"retry-after": "Tue, 10 Mar 2026 23:00:00 GMT"}, 900.0),
        ({"retry-after": "Tue, 99 Mar 2026 23:00:00 GMT"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after_s(headers, NOW) == expected


def test_a_busy_server_that_says_when_is_taken_at_its_word() -> None:
    error = failure(Meaning.OUTAGE, answer(503, retry_after="45"), "data", NOW)
    assert isinstance(error, Throttled)
    assert (error.retry_after_s, error.state) == (45.0, "unreachable")
