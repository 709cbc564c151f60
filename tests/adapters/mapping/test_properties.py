"""Laws that hold for any set of records: no exception, no damage in a body, one fate each, no order."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.nightscout.mapping import check
from adapters.stepping import map_lines, stepped
from bridge.contracts import Desired
from tests.adapters.mapping.made import BOTH, to_nightscout, to_tidepool
from tests.adapters.mapping.strategies import KINDS, records_of

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
many = settings(max_examples=3000 if LONG else 80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
few = settings(parent=many, max_examples=1000 if LONG else 25)


def damage(value: Any, path: str = "") -> list[str]:
    """Paths at which something stands that must never be sent."""
    if isinstance(value, dict):
        return [path] * (not value) + [bad for name, part in value.items() for bad in damage(part, f"{path}.{name}")]
    if isinstance(value, list):
        return [path] * (not value) + [bad for part in value for bad in damage(part, f"{path}[]")]
    if value is None or value == "":
        return [path]
    if isinstance(value, float) and (not math.isfinite(value) or value.is_integer()):
        return [path]
    return []


def assert_sound(desired: Desired, records: list[Any]) -> None:
    assert set(desired.fates) == {record.id for record in records}
    counts = Counter(one.record_id for one in desired.documents.values())
    for record_id, fate in desired.fates.items():
        assert sum((bool(fate.documents), fate.carried_by is not None, fate.skipped is not None)) == 1
        assert counts[record_id] == fate.documents
        if fate.carried_by is not None:
            assert desired.fates[fate.carried_by].documents
    for key, one in desired.documents.items():
        assert one.key == key
        assert not damage(one.body), damage(one.body)
        assert one.encoded
        assert one.content_hash


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_alone(kind: str) -> None:
    @few
    @given(records_of(kind, most=5))
    def holds(records: list[Any]) -> None:
        for become in BOTH:
            assert_sound(become(records), records)

    holds()


@many
@given(records_of())
def test_any_set_is_sound(records: list[Any]) -> None:
    for become in BOTH:
        assert_sound(become(records), records)


@many
@given(records_of("bolus", "bolus_calculation", "carbs", most=12))
def test_meals_are_counted_once(records: list[Any]) -> None:
    for become in BOTH:
        assert_sound(become(records), records)
    by_id = {one.id: one for one in sorted(records, key=lambda one: one.revision)}
    site = to_nightscout(records)
    eaten = [record_id for record_id, record in by_id.items() if record.kind == "carbs"]
    shown = [one for one in site.documents.values() if "carbs" in one.body]
    carriers = [site.fates[record_id].carried_by or record_id for record_id in eaten if record_id in site.fates]
    assert len({one.record_id for one in shown}) == len(shown)
    assert len(set(carriers)) == len(carriers)


@many
@given(records_of("basal", "sensor_glucose", "device_event", most=12))
def test_basal_sets_are_sound(records: list[Any]) -> None:
    for become in BOTH:
        assert_sound(become(records), records)
    for one in to_nightscout(records).documents.values():
        if one.body.get("eventType") == "Temp Basal":
            assert one.body["duration"] > 0
            assert ("absolute" in one.body) != ("percent" in one.body)


@many
@given(records_of(), st.integers(0, 2**32))
def test_order_and_repeats_change_nothing(records: list[Any], seed: int) -> None:
    shuffled = Random(seed).sample(records, len(records)) + records[:2]
    for become in BOTH:
        once, again = become(records), become(shuffled)
        assert again.fates == once.fates
        assert json.dumps(list(map_lines(again))) == json.dumps(list(map_lines(once)))


@many
@given(records_of())
def test_older_revisions_are_ignored(records: list[Any]) -> None:
    newest: dict[str, Any] = {}
    for record in sorted(records, key=lambda one: one.revision):
        newest[record.id] = record
    older = [one.model_copy(update={"revision": one.revision - 1}) for one in newest.values() if one.revision > 1]
    for become in BOTH:
        assert become([*older, *newest.values()]) == become(list(newest.values()))


@many
@given(
    records_of(), st.sampled_from(["none", "critical", "high", "normal", "all"]), st.sampled_from(["bg_check", "mbg"])
)
def test_what_is_sent_passes_the_guard(records: list[Any], alarms: str, meter: str) -> None:
    choices: dict[str, Any] = {"alarms": alarms, "meter": meter, "announce": alarms, "basal_scheduled": "temp"}
    for one in to_nightscout(records, **choices).documents.values():
        check(one)


@many
@given(records_of())
def test_no_two_documents_share_a_slot(records: list[Any]) -> None:
    documents = stepped(to_nightscout(records).documents.values())
    slots = [slot for one in documents if (slot := one.slot()) is not None]
    assert len(slots) == len(set(slots))
    for one in documents:
        if "date" in one.body:
            assert one.body["date"] == one.instant_ms


@many
@given(records_of())
def test_datums_keep_the_platforms_pairs(records: list[Any]) -> None:
    for one in to_tidepool(records).documents.values():
        body = one.body
        assert len(body["origin"]["id"]) <= 100
        assert ("expectedExtended" in body) == ("expectedDuration" in body)
        assert ("trendRate" in body) == ("trendRateUnits" in body)
        if body["type"] == "bolus":
            assert body.get("expectedDuration", math.inf) >= body.get("duration", 0)
            assert body.get("expectedNormal", math.inf) >= body.get("normal", 0)
            assert body.get("expectedExtended", math.inf) >= body.get("extended", 0)
        if body["type"] in ("bolus", "basal"):
            assert isinstance(body.get("duration", 0), int)
