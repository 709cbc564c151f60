"""Streams that are off become nothing; the others are as if they were on."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from pydantic import ValidationError

from adapters.nightscout import NightscoutAdapter, Settings, Streams
from adapters.nightscout.streams import collections_of, stream_of
from bridge.contracts import Desired, Setup
from bridge.model import from_json
from tests.adapters.nightscout.conftest import AFTER_VECTORS, made_documents
from tests.support import vectors
from tests.support.clock import FakeClock

RECORDS, _ = made_documents()
STREAMS = tuple(Streams.model_fields)


def _desired(*off: str, records: object = RECORDS) -> Desired:
    settings = {"streams": dict.fromkeys(off, False)}
    adapter = NightscoutAdapter(Setup("p1", settings, FakeClock(AFTER_VECTORS), random.Random(1)))
    return adapter.desired(records)  # type: ignore[arg-type]


def test_everything_on_is_the_mapping_itself() -> None:
    expected = {line["record_id"] for line in vectors.rows("mapping", "nightscout.expected.ndjson")}
    assert {one.record_id for one in _desired().documents.values()} == expected


@pytest.mark.parametrize("stream", STREAMS)
def test_one_off(stream: str) -> None:
    whole, less = _desired(), _desired(stream)
    off = {record.id for record in RECORDS if stream_of(record) == stream}
    assert off, "the vectors have records of every stream"
    assert all(less.fates[one].skipped == "stream_off" for one in off)
    assert set(less.fates) == {record.id for record in RECORDS}
    assert not any(one.record_id in off for one in less.documents.values())
    for key, document in whole.documents.items():
        if document.record_id in off:
            assert key not in less.documents
        elif stream not in ("bolus", "carbs"):
            assert less.documents[key].body == document.body


def test_without_boluses_their_carbs_stand_alone() -> None:
    carbs = [record for record in RECORDS if record.kind == "carbs"]
    less = _desired("bolus")
    assert {less.documents[one.id].body["eventType"] for one in carbs} == {"Carb Correction"}


def test_without_glucose_the_pauses_of_the_basal_stay_right() -> None:
    lines = vectors.path("mapping", "780g.records.ndjson").read_text("utf-8").splitlines()
    records = [from_json(line) for line in lines]
    zeros = Counter(one.body.get("rate") == 0 for one in _desired("glucose", records=records).documents.values())
    assert zeros[True] == 26


def test_every_fate_is_one_of_three() -> None:
    for fate in _desired(*STREAMS).fates.values():
        assert fate.skipped == "stream_off"
    assert not _desired(*STREAMS).documents


def test_collections() -> None:
    assert collections_of(Settings()) == ["entries", "treatments", "devicestatus", "profile"]
    off = dict.fromkeys(STREAMS, False)
    only_glucose = Settings(streams=Streams(**off | {"glucose": True}))
    assert collections_of(only_glucose) == ["entries", "treatments"], "finger-sticks are treatments"
    assert collections_of(only_glucose.model_copy(update={"meter": "mbg"})) == ["entries"]
    assert collections_of(Settings(streams=Streams(**off))) == []


@pytest.mark.parametrize(
    "bad",
    [
        {"unknown": 1}, {"streams": {"unknown": True}}, {"entered_by": "my bridge"}, {"batch": 0}, {"batch": 5000},
        {"url": "ftp://x"}, {"alarms": "loud"}, {"status_every_min": 0},
    ],
    ids=str,
)  # fmt: skip
def test_settings_refuse(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(bad)


def test_the_settings_normalise_the_address() -> None:
    assert Settings(url="my.site.org/api/v1/").url == "https://my.site.org"
