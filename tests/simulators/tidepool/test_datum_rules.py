"""The simulator's parse, validation and normalisation against the recorded answers of the real code."""

from __future__ import annotations

import csv
import itertools
import json
from typing import Any

import pytest

from bridge.simulators.tidepool.batches import (
    identity_fields,
    identity_hash,
    normalised,
    read_batch,
    stored_glucose,
)
from bridge.simulators.tidepool.data_sets import read_data_set
from tests.simulators.tidepool.vectors import same
from tests.support import vectors

VALID = vectors.rows("tidepool", "datums_valid.jsonl")
INVALID = vectors.rows("tidepool", "datums_invalid.jsonl")
DATA_SETS = vectors.rows("tidepool", "data_sets.jsonl")
USER, DATA_SET = "0123456789", "0123456789abcdef0123456789abcdef"


def _stored(batch: list[Any]) -> list[dict[str, Any]]:
    numbers = itertools.count(1)
    return normalised(read_batch(batch).datums, lambda: f"{next(numbers):032x}")


@pytest.mark.parametrize("case", VALID, ids=lambda case: case["name"])
def test_an_accepted_batch_is_stored_as_the_real_service_stores_it(case: dict[str, Any]) -> None:
    assert [found.as_error() for found in read_batch(case["batch"]).faults] == []
    assert same(case["normalized"], _stored(case["batch"]))


@pytest.mark.parametrize("case", [case for case in VALID if "identity" in case], ids=lambda case: case["name"])
def test_identity_hashes(case: dict[str, Any]) -> None:
    for datum, versions in zip(_stored(case["batch"]), case["identity"], strict=True):
        _check_hash(datum, DATA_SET, versions["data-set-id"])
        _check_hash(datum, None, versions["device-id"])


def _check_hash(datum: dict[str, Any], data_set: str | None, expected: dict[str, Any]) -> None:
    if "error" in expected:
        with pytest.raises(KeyError):
            identity_fields(datum, USER, data_set)
        return
    fields = identity_fields(datum, USER, data_set)
    assert fields == expected["fields"]
    assert identity_hash(fields) == expected["hash"]


@pytest.mark.parametrize("case", INVALID, ids=lambda case: case["name"])
def test_a_refused_batch_says_what_the_real_service_says(case: dict[str, Any]) -> None:
    batch = read_batch(case["batch"])
    expected = [_flat(error, error["pointer"]) for error in case["errors"]]
    found = [_flat(error, error["source"]["pointer"]) for error in (each.as_error() for each in batch.faults)]
    assert sorted(found) == sorted(expected)
    assert batch.stage == case["stage"]


def _flat(error: dict[str, Any], pointer: str) -> str:
    kept = {name: value for name, value in error.items() if name not in ("source", "pointer")}
    return json.dumps({**kept, "pointer": pointer}, sort_keys=True)


def test_every_mgdl_converts_bit_by_bit() -> None:
    with vectors.path("tidepool", "glucose_mgdl_to_mmol.csv").open(encoding="utf-8") as lines:
        rows = [(float(row["mgdl"]), float(row["mmol_stored"])) for row in csv.DictReader(lines)]
    assert len(rows) > 600
    assert [(mgdl, stored_glucose(mgdl)) for mgdl, _ in rows] == rows


@pytest.mark.parametrize("case", DATA_SETS, ids=lambda case: case["name"])
def test_create_bodies(case: dict[str, Any]) -> None:
    clean, faults = read_data_set(case["body"])
    if case["accepted"]:
        assert faults == []
        filled = {"id": "0" * 32, "uploadId": "0" * 32, **clean}
        assert same(case["normalized"], filled)
    else:
        found = [(each.code, each.pointer, each.detail) for each in faults]
        assert found == [(error["code"], error["pointer"], error["detail"]) for error in case["errors"]]


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"timezoneOffset": 10081}, "value-out-of-range", "/0/timezoneOffset"),
        ({"time": "2024-02-30T12:00:00Z"}, "value-not-parsable", "/0/time"),
        ({"deviceTime": "2024-03-10T14:00:00Z"}, "value-not-valid", "/0/deviceTime"),
        ({"payload": {"x": "y" * 5000}}, "size-out-of-range", "/0/payload"),
        ({"tags": ["a", "a"]}, "value-duplicate", "/0/tags/1"),
        ({"origin": {"id": "x" * 101}}, "length-out-of-range", "/0/origin/id"),
        ({"origin": {"time": "yesterday"}}, "value-not-valid", "/0/origin/time"),
        ({"notes": ["fine", 5]}, "type-not-string", "/0/notes/1"),
        ({"annotations": "code"}, "type-not-array", "/0/annotations"),
        ({"backfilled": "yes"}, "type-not-bool", "/0/backfilled"),
        ({"location": {}}, "values-not-exist-for-any", "/0/location"),
        ({"trendRate": 101, "trendRateUnits": "mg/dL/minute"}, "value-out-of-range", "/0/trendRate"),
        ({"value": True}, "type-not-float64", "/0/value"),
    ],
)
def test_rules_beyond_the_recorded_ones(change: dict[str, Any], code: str, pointer: str) -> None:
    datum = {"type": "cbg", "time": "2024-03-10T12:00:00Z", "value": 100, "units": "mg/dL", **change}
    (found,) = read_batch([datum]).faults
    assert (found.code, found.pointer) == (code, pointer)


def test_unknown_types_and_nulls() -> None:
    (found,) = read_batch([None, {"type": "upload"}]).faults
    assert (found.code, found.pointer, found.meta) == ("value-not-allowed", "/1/type", {"type": "upload"})
