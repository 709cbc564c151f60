"""Persons leave the raw bytes, in whatever state those are; the records stay the same."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.model import to_json
from bridge.readers.carelink_cloud.privacy import redact
from tests.readers.carelink_cloud.decode.payloads import decoded_of, payload, sg
from tests.support import vectors

ANSWERS = [
    "ngp-780g-smartguard.json",
    "paradigm-legacy.json",
    "simplera-cgm-only.synthetic.json",
    "guardian-connect.synthetic.json",
]
PERSON = {
    "firstName": "Annabel", "lastName": 'O"Hara \\ \u00e9', "username": "annabel77", "patientId": 774411,
    "dateOfBirth": "1984-02-29", "emails": ["annabel@example.org", {"x": "b]ell@example.org"}],
    "email": None, "conduitSerialNumber": "phone-1234", "accountId": -12.5e3, "phone": True,
    "note": "write to annabel@example.org or \nannabel@example.org",
}  # fmt: skip
SECRETS = re.compile(rb"Annabel|Hara|annabel|774411|1984|b\]ell|phone-1234|12500|12\.5|@example", re.IGNORECASE)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_redacted_answer_gives_the_same_records(name: str) -> None:
    body = vectors.path("carelink-cloud", name).read_bytes()
    clean = redact(body)
    assert b'"Patient"' not in clean
    assert b'"Test"' not in clean
    assert [to_json(record) for record in decoded_of(clean).records] == [
        to_json(record) for record in decoded_of(body).records
    ]
    assert redact(clean) == clean


@pytest.mark.parametrize("indent", [None, 1])
def test_json_stays_json_without_the_person(indent: int | None) -> None:
    body = json.dumps({"a": 1, **PERSON, "z": [1, {"firstName": "Annabel"}]}, indent=indent).encode()
    clean = redact(body)
    assert not SECRETS.search(clean)
    found = json.loads(clean)
    assert (found["a"], found["z"]) == (1, [1, {"firstName": ""}])
    assert (found["emails"], found["patientId"], found["accountId"], found["firstName"]) == ("", 0, 0, "")
    assert found["email"] is None
    assert found["note"].startswith("write to ")


def test_the_pumps_serial_and_pictures_stay() -> None:
    document = {"medicalDeviceInformation": {"deviceSerialNumber": "NG0000001H"}, "icon": "ic_calendar_normal@3x.png"}
    assert json.loads(redact(json.dumps(document).encode())) == document


def test_an_answer_cut_anywhere_shows_nothing() -> None:
    body = json.dumps({name: value for name, value in PERSON.items() if name != "note"}).encode()
    for cut in range(len(body)):
        assert not SECRETS.search(redact(body[:cut])), body[:cut]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300) | st.text(alphabet='"\\{}[]:,@firstName emails.x0', max_size=200).map(str.encode))
def test_any_bytes_are_taken(body: bytes) -> None:
    clean = redact(body)
    assert redact(clean) == clean


@settings(max_examples=150, deadline=None)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.just("a@b.org"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*PERSON, "b"]), inner, max_size=4),
    max_leaves=12,
))  # fmt: skip
def test_any_json_stays_json(value: Any) -> None:
    for ascii_only in (True, False):
        body = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "replace")
        json.loads(body)
        json.loads(redact(body))


def test_a_long_line_of_openings_takes_no_time() -> None:
    for body in (b'"firstName":"' + b"\\" * 200_000, b'"emails":[' * 20_000, b'"email":"' * 20_000, b"@" * 100_000):
        redact(body)


def test_the_names_are_gone_from_a_decoded_capture_too() -> None:
    body = redact(json.dumps({**payload(sgs=[sg("2026-03-10T06:55:00")])["patientData"], **PERSON}).encode())
    assert len(decoded_of(body).records) == 2
