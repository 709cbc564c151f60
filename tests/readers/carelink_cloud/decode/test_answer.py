"""What is an answer, what is one without data, and what is none at all."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from bridge.contracts import Memory
from bridge.errors import Malformed
from bridge.model.health import State
from bridge.readers.carelink_cloud.decode import decode
from tests.readers.carelink_cloud.decode.payloads import START, answer_of, capture, decoded_of, of_kind, payload, sg

ONE = payload(sgs=[sg("2026-03-10T06:50:00", 100), sg("2026-03-10T06:55:00", 105)])


@pytest.mark.parametrize(
    "body",
    [b"", b" \n\t", b"{}", b'{"metadata":{}}', b'{"meta":{},"patientData":[]}', b'{"patientData":null}',
     b'{"patientData":{}}', b'{"patientData":"x"}', b'{"patientData":7,"metadata":{}}'],
)  # fmt: skip
def test_an_answer_without_data_is_no_data(body: bytes) -> None:
    memory = Memory(state={"offset_min": 60, "mode": "auto"})
    answer = answer_of(body, memory)
    assert (list(answer.decoded.records), answer.covered, answer.updated_at) == ([], None, None)
    assert answer.decoded.health.state is State.NO_DATA
    assert answer.decoded.health.text.endswith(".")
    assert answer.decoded.state == memory.state, "what was known must survive an empty answer"


@pytest.mark.parametrize(
    "body",
    [b"<html><body>Service unavailable</body></html>", b"[]", b"[1,2]", b"7", b"null", b'"text"', b"true",
     b'{"foo":1}', b'{"error":{"type":"NoPermission","group":"AUTH"}}', b"\x00\xff\xfe\x80", b"{", b'{"sgs":[',
     b"[" * 100_000, b'{"sgs":' + b"[" * 50_000 + b"]" * 50_000 + b"}", json.dumps(ONE).encode("utf-16"),
     b"\x7f" * 10_000_000],
    ids=lambda body: repr(body[:24]),
)  # fmt: skip
def test_what_is_no_answer_is_malformed_with_a_next_step(body: bytes) -> None:
    with pytest.raises(Malformed) as raised:
        decode(capture(body), Memory())
    assert raised.value.next_step
    assert len(raised.value.message) < 200


def test_nested_and_flat_answers_are_the_same() -> None:
    assert decoded_of(ONE).records == decoded_of(ONE["patientData"]).records
    assert len(decoded_of(ONE).records) == 3


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "-" + "9" * 5000])
def test_a_number_that_is_none_harms_only_its_row(constant: str) -> None:
    body = json.dumps(ONE).replace('"sg": 100', f'"sg": {constant}').encode()
    found = decoded_of(body)
    assert [record.mgdl for record in of_kind(found.records, "sensor_glucose")] == [105]
    assert not found.understood
    assert [diagnostic.code for diagnostic in found.diagnostics] == ["bad_row"]


@pytest.mark.parametrize("junk", [None, True, 5, "x", [], [[]], {"a": [1]}, 1e308, -1, "2026-03-10T06:50:00"])
def test_a_wrong_type_anywhere_harms_only_itself(junk: object) -> None:
    for name in ONE["patientData"]:
        found = decoded_of({"patientData": {**ONE["patientData"], name: junk}})
        if (
            name != "sgs"
            and name not in ("medicalDeviceTime", "currentServerTime")
            and found.health.state is not State.NO_DATA
        ):
            assert len(of_kind(found.records, "sensor_glucose")) == 2, name
    rows = [sg("2026-03-10T06:45:00", 99), junk, *ONE["patientData"]["sgs"]]
    found = decoded_of(payload(sgs=rows, markers=[junk], active=[junk]))
    assert [record.mgdl for record in of_kind(found.records, "sensor_glucose")] == [99, 100, 105]
    assert not found.understood


def test_a_list_with_more_rows_than_a_day_has_is_refused_quickly() -> None:
    found = decoded_of(payload(sgs=[1] * 200_000, markers=[{}] * 6000))
    assert len(found.diagnostics) == 2
    assert not of_kind(found.records, "sensor_glucose")


def test_bytes_that_are_no_utf8_spoil_only_their_text() -> None:
    document = payload(sgs=ONE["patientData"]["sgs"], clientTimeZoneName="Mitteleuropäische Zeit")
    body = json.dumps(document, ensure_ascii=False).encode("latin-1")
    assert len(decoded_of(body).records) == 3
    assert len(decoded_of(b"\xef\xbb\xbf" + json.dumps(ONE).encode()).records) == 3


def test_covered_is_the_day_before_the_upload_when_rows_were_there() -> None:
    answer = answer_of(ONE)
    assert answer.covered is not None
    assert answer.server_now == START
    assert answer.updated_at == answer.covered.end == START - timedelta(seconds=40)
    assert answer.covered.end - answer.covered.start == timedelta(hours=24)
    assert answer_of(payload()).covered is None


def test_state_is_small_json() -> None:
    state = decoded_of(ONE).state
    assert len(json.dumps(state, allow_nan=False)) < 600


def test_many_bad_rows_are_counted_not_listed() -> None:
    found = decoded_of(payload(sgs=[sg("soon", 100)] * 50))
    assert len(found.diagnostics) == 21
    assert "50 rows" in found.diagnostics[-1].text


def test_without_the_servers_clock_the_phone_tells_the_offset_but_not_the_time() -> None:
    document = payload(sgs=[sg("2026-03-10T06:55:00")])
    del document["patientData"]["currentServerTime"]
    answer = answer_of(document)
    assert answer.server_now is None
    assert answer.updated_at is not None
    assert len(of_kind(answer.decoded.records, "sensor_glucose")) == 1
