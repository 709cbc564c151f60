"""The journal's pure parts: content, links, spans, ranks, retention."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.engine.planning import INNER
from bridge.journal import Retention, spans
from bridge.journal.content import content_hash, filled, merged, same_content
from bridge.journal.intake import sightings
from bridge.journal.links import relinked, targets
from bridge.journal.retention import Worth, lifetime, worth
from bridge.journal.sources import polled, rank, weight
from bridge.journal.surroundings import KINDS, windows
from bridge.model import Bolus, Device, Record
from tests.contracts.journal_records import (
    CLOUD,
    FILE,
    NOW,
    PUMP,
    USB,
    at,
    basal,
    bolus,
    calculation,
    carbs,
    glucose,
    meter,
)

# --- content ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        glucose(1), glucose(raw={"a": 1}), glucose(device_time=NOW.replace(tzinfo=None)), glucose(reader=USB),
        glucose(utc_offset_min=0), glucose(revision=3), glucose(key="b"),
    ],
)  # fmt: skip
def test_the_envelope_is_not_content(other: Record) -> None:
    assert content_hash(other) == content_hash(glucose())
    assert same_content(other, glucose())


@pytest.mark.parametrize(
    "other", [glucose(mgdl=121), glucose(mgdl=None), glucose(trend="flat"), glucose(annotations=({"code": "x"},))]
)
def test_values_and_annotations_are_content(other: Record) -> None:
    assert content_hash(other) != content_hash(glucose())
    assert not same_content(other, glucose())


def test_a_next_body_keeps_the_first_name_time_and_clock() -> None:
    wall = NOW.replace(tzinfo=None)
    old = bolus(0, 1, key="a", device_time=wall, revision=4, carbs_id="meal", programmed_u=3)
    new = bolus(60, 2, USB, device_time=at(60).replace(tzinfo=None), utc_offset_min=0, raw={"rtc": 1})
    body = merged(old, new)
    assert isinstance(body, Bolus)
    assert (body.id, body.time, body.device_time, body.utc_offset_min) == (old.id, old.time, wall, 60)
    assert (body.source_key, body.revision, body.reader, body.raw) == (old.source_key, 4, USB, {"rtc": 1})
    assert (body.delivered_u, body.carbs_id, body.programmed_u) == (2, "meal", 3)


def test_amounts_of_another_shape_are_not_mixed() -> None:
    dual = bolus(0, 3, shape="dual", immediate_u=1, extended_u=2, carbs_id="meal")
    body = merged(dual, bolus(0, 3, USB))
    assert isinstance(body, Bolus)
    assert (body.shape, body.immediate_u, body.extended_u, body.carbs_id) == ("normal", None, None, "meal")
    temporary = basal(schedule="B").model_copy(update={"delivery": "temporary", "percent": 50})
    assert filled(basal(), temporary) == basal()


def test_a_lesser_source_only_fills() -> None:
    body = filled(glucose(0, 120, USB, raw={"a": 1}), glucose(1, 121, trend="flat", annotations=({"code": "x"},)))
    assert body == glucose(0, 120, USB, raw={"a": 1}, trend="flat")


def test_a_known_serial_is_not_lost() -> None:
    nameless = Device(manufacturer="Medtronic", model="MMT-1885", serial=None, family=None)
    assert merged(glucose(), glucose(device=nameless)).device == PUMP.model_copy(update={"model": "MMT-1885"})


def test_of_one_ids_bodies_the_highest_revision_counts() -> None:
    told = [glucose(mgdl=1 + 100 * each, key="a", revision=each) for each in (1, 3, 2)]
    assert [seen.record for seen in sightings(told).values()] == [told[1]]
    same = [glucose(mgdl=each, key="a") for each in (100, 101)]
    assert [seen.record for seen in sightings(same).values()] == [same[1]]


# --- links -----------------------------------------------------------------------------------------


def test_links_are_found_and_renamed() -> None:
    shot = bolus(carbs_id="c", calculation_id="k")
    assert targets(shot) == ("c", "k")
    assert targets(calculation(bolus_id="b")) == ("b",)
    assert targets(calculation()) == targets(bolus()) == targets(carbs()) == ()
    renamed = relinked(shot, {"c": "meal"})
    assert isinstance(renamed, Bolus)
    assert (renamed.carbs_id, renamed.calculation_id) == ("meal", "k")
    assert relinked(shot, {}) is shot
    assert relinked(calculation(bolus_id="b"), {"b": "shot"}) == calculation(bolus_id="shot")


# --- spans -----------------------------------------------------------------------------------------

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda pair: (pair[0], sum(pair))), max_size=8)


@given(SPANS, st.integers(0, 80), st.integers(0, 80))
def test_every_moment_is_covered_or_in_a_hole(covered: list[spans.Span], one: int, other: int) -> None:
    start, end = sorted((one, other))
    holes = spans.holes(covered, (start, end))
    missing = {moment for hole in holes for moment in range(*hole)}
    told = {moment for span in covered for moment in range(*span)}
    assert missing == set(range(start, end)) - told
    assert all(first[1] < second[0] for first, second in pairwise(holes))


@given(SPANS)
def test_merged_spans_are_the_same_time_and_never_touch(told: list[spans.Span]) -> None:
    joined = spans.merged(told)
    assert {at for span in joined for at in range(*span)} == {at for span in told for at in range(*span)}
    assert all(first[1] < second[0] for first, second in pairwise(joined))


# --- sources and retention -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reader", "expected"),
    [
        ("medtronic-stick", 3), (USB, 3), ("contour-usb", 3), ("ble-glucose", 3), ("minimed-7xxg", 3), (FILE, 2),
        (CLOUD, 1), ("somebodys-plug-in", 1),
    ],
)  # fmt: skip
def test_the_device_knows_best(reader: str, expected: int) -> None:
    assert rank(reader) == expected
    assert polled(reader) is (expected == 1)
    assert weight(bolus(reader=reader)) == expected


def test_a_meter_knows_its_own_value_better_than_a_pump_it_told() -> None:
    own = [weight(meter(reader=reader)) for reader in ("ble-glucose", "contour-usb")]
    told = [weight(meter(reader=reader, entry="linked")) for reader in (USB, "minimed-ble")]
    assert min(own) > max(told) > weight(meter(reader=FILE)) > weight(meter(reader=CLOUD))


def test_all_that_explains_what_a_round_may_touch_is_read() -> None:
    """A pause of up to three hours is explained by readings, also of a record at the edge of what may change.
    Statuses are explained by the newest one accepted, wherever it is."""
    spans = {kind: (start, end) for kind, start, end in windows([0])}
    touched_ms = INNER // timedelta(milliseconds=1)
    assert set(spans) == set(KINDS)
    for start, end in (span for kind, span in spans.items() if kind != "pump_status"):
        assert end >= touched_ms + 180 * 60_000
        assert start <= -touched_ms - 180 * 60_000


@pytest.mark.parametrize(
    ("reader", "understood", "anchor_h", "expected"),
    [
        (USB, True, None, Worth.DEVICE), (CLOUD, False, 1, Worth.DOUBT), (CLOUD, True, None, Worth.ANCHOR),
        (CLOUD, True, 12, Worth.ANCHOR), (CLOUD, True, 11.9, Worth.RECENT), (FILE, False, None, Worth.DEVICE),
    ],
)  # fmt: skip
def test_why_a_capture_is_kept(reader: str, understood: bool, anchor_h: Any, expected: Worth) -> None:
    anchor = None if anchor_h is None else NOW - timedelta(hours=anchor_h)
    assert worth(reader, NOW, understood, anchor, Retention()) is expected


def test_how_long_a_capture_is_kept() -> None:
    assert [lifetime(why, Retention()).days for why in Worth] == [400, 14, 14, 14]
