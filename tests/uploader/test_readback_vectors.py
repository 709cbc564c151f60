"""Answers of the read endpoints, and the level that each must give."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from bridge.contracts import DeviceRef, Interval, Level
from bridge.uploader.evidence import Asked, Evidence, listed, moment, span_of
from bridge.uploader.verdict import judge
from tests.support.vectors import document
from tests.uploader.facts import glucose

EXAMPLES = document("carelink-upload", "readback_examples.json")
SINCE = datetime.fromisoformat(EXAMPLES["t0"])
NEWEST = datetime.fromisoformat(EXAMPLES["local_newest"])


def judged(case: dict[str, Any], **changed: Any) -> Any:
    asked = Asked(
        DeviceRef("pump", "", EXAMPLES["serial"]), Interval(NEWEST, SINCE), SINCE, [glucose(NEWEST)], **changed
    )
    evidence = Evidence("CareLink", None, listed(case.get("recentUploads")), span_of(case["snapshotTimelinesRange"]))
    return judge(asked, evidence, SINCE)


@pytest.mark.parametrize("case", EXAMPLES["cases"], ids=lambda case: case["name"])
def test_the_level_of_every_case(case: dict[str, Any]) -> None:
    assert judged(case).level == Level(case["expect"])


def test_the_cases_say_why() -> None:
    said = {case["name"]: " ".join(judged(case).evidence) for case in EXAMPLES["cases"]}
    assert "The phone's app uploaded at 2025-01-31 19:03 UTC (it says 'SUCCESS')." in said["phone upload seen"]
    assert "no newer upload of this device than that of 2025-01-31 09:00 UTC" in said["old upload only"]
    assert "covers the time until 2025-01-31 08:59 UTC only, 9 h before" in said["old upload only"]
    assert "lists an upload of this device at 2025-01-31 19:03 UTC." in said["covered"]
    assert "lists no upload of this device" in said["other device"]


def test_the_other_device_is_a_mismatch_only_where_it_is_another_persons() -> None:
    (case,) = [case for case in EXAMPLES["cases"] if case["name"] == "other device"]
    assert judged(case, elsewhere=frozenset({"NG9999999H"})).level is Level.MISMATCH
    assert judged(case, elsewhere=frozenset({EXAMPLES["serial"]})).level is Level.MISMATCH
    assert judged(case, elsewhere=frozenset({"NG8888888H"})).level is Level.UNVERIFIED


def test_dates_in_every_form() -> None:
    want = datetime.fromisoformat("2025-01-31T19:03:10+00:00")
    for form in (
        1738350190000,
        1738350190,
        "2025-01-31T19:03:10Z",
        "2025-01-31T20:03:10+01:00",
        "2025-01-31T19:03:10",
    ):
        assert moment(form) == want
    odd: tuple[object, ...] = (None, "", "yesterday", True, [], {}, 1e40, float("nan"))
    assert [moment(form) for form in odd] == [None] * len(odd)
