"""The shared sets become exactly the expected documents and outcomes, whatever their order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

import pytest

from adapters.stepping import fate_lines, map_lines
from bridge.contracts import Desired, Fate
from bridge.model import Record, from_json
from tests.adapters.mapping.made import to_nightscout, to_tidepool
from tests.support import vectors

Mapper = Callable[[Iterable[Record]], Desired]
SETS = ("", "780g.")
DESTINATIONS: dict[str, Mapper] = {"nightscout": to_nightscout, "tidepool": to_tidepool}


def read(name: str) -> list[Record]:
    return [from_json(json.dumps(row)) for row in vectors.rows("mapping", name)]


def key(line: dict[str, Any]) -> str:
    body = line["document"]
    return str(body.get("identifier") or body.get("_id") or body["origin"]["id"])


def as_row(fate: Fate) -> dict[str, Any]:
    if fate.documents:
        return {"documents": fate.documents}
    return {"carried_by": fate.carried_by} if fate.carried_by else {"skipped": fate.skipped}


@pytest.mark.parametrize("destination", DESTINATIONS)
@pytest.mark.parametrize("prefix", SETS)
def test_expected_documents(prefix: str, destination: str) -> None:
    desired = DESTINATIONS[destination](read(f"{prefix}records.ndjson"))
    expected = vectors.rows("mapping", f"{prefix}{destination}.expected.ndjson")
    got = {key(line): line for line in map_lines(desired)}
    assert got == {key(line): line for line in expected}
    assert set(desired.documents) == set(got)


@pytest.mark.parametrize("destination", DESTINATIONS)
@pytest.mark.parametrize("prefix", SETS)
def test_expected_outcomes(prefix: str, destination: str) -> None:
    desired = DESTINATIONS[destination](read(f"{prefix}records.ndjson"))
    expected = {row["record_id"]: row[destination] for row in vectors.rows("mapping", f"{prefix}outcomes.ndjson")}
    assert {record_id: as_row(fate) for record_id, fate in desired.fates.items()} == expected
    without = [row for row in expected.values() if "documents" not in row]
    assert len(list(fate_lines(desired))) == len(without)


@pytest.mark.parametrize("destination", DESTINATIONS)
@pytest.mark.parametrize("prefix", SETS)
def test_any_order_gives_the_same_bytes(prefix: str, destination: str) -> None:
    records = read(f"{prefix}records.ndjson")
    once = json.dumps(list(map_lines(DESTINATIONS[destination](records))))
    for seed in range(3):
        shuffled = Random(seed).sample(records, len(records)) + Random(seed).sample(records, 5)
        assert json.dumps(list(map_lines(DESTINATIONS[destination](shuffled)))) == once


def test_sums_of_the_day() -> None:
    records = read("780g.records.ndjson")
    site = [one.body for one in to_nightscout(records).documents.values()]
    basal = sum(body["absolute"] * body["duration"] / 60 for body in site if body.get("eventType") == "Temp Basal")
    assert round(basal, 3) == 16.55
    assert sum(body.get("insulin", 0) for body in site) == 46.5
    assert sum(body.get("carbs", 0) for body in site) == 202
    assert sum(body.get("type") == "sgv" for body in site) == 288


@pytest.mark.parametrize("prefix", SETS)
@pytest.mark.parametrize("destination", DESTINATIONS)
def test_printed_order(prefix: str, destination: str) -> None:
    lines = list(map_lines(DESTINATIONS[destination](read(f"{prefix}records.ndjson"))))
    if destination == "tidepool":
        order: list[Any] = [(line["document"]["time"], key(line)) for line in lines]
    else:
        paths = ["entries", "treatments", "devicestatus", "profile"]
        order = [
            (
                next(rank for rank, name in enumerate(paths) if name in line["path"]),
                line["document"].get("dateString") or line["document"]["created_at"],
                line["record_id"],
                key(line),
            )
            for line in lines
        ]
    assert order == sorted(order)
