"""What of our datums a person finds in Tidepool's spreadsheet export."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import vectors

MAPPED = [
    row["document"]
    for name in ("tidepool.expected.ndjson", "780g.tidepool.expected.ndjson")
    for row in vectors.rows("mapping", name)
]
EVERYWHERE = {"origin", "timezone"}
"""Kept and read back, never exported."""
NOT_EXPORTED = {
    "basal": set(),
    "bolus": {"deliveryContext"},
    "cbg": {"trend", "trendRate", "trendRateUnits", "sampleInterval", "backfilled"},
    "deviceEvent": {"overrideType", "bgTarget.low", "bgTarget.high", "method"},
    "insulin": None, "pumpStatus": None, "controllerStatus": None, "reportedState": None,
    "pumpSettings": set(), "wizard": {"carbUnits"}, "food": set(), "smbg": set(), "bloodKetone": set(),
    "physicalActivity": set(),
}  # fmt: skip
"""By type: fields that the export leaves out, known and accepted; None: the export has no sheet for the type."""


def _columns() -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    with vectors.path("tidepool", "export_xlsx_columns.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            found[row["sheet"].partition(".")[0]].add(row["field"])
    return dict(found)


COLUMNS = _columns()


def _paths(value: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, inner in value.items():
        if isinstance(inner, dict) and prefix + name not in ("payload", "origin", "bolus", "nutrition"):
            yield from _paths(inner, f"{prefix}{name}.")
        else:
            yield prefix + name


def _covered(path: str, columns: set[str]) -> bool:
    """A column of the field itself or of an object that holds it."""
    parts = path.split(".")
    return any(".".join(parts[: length + 1]) in columns for length in range(len(parts)))


@pytest.mark.parametrize("kind", sorted({datum["type"] for datum in MAPPED}))
def test_every_field_is_a_column_or_knowingly_left_out(kind: str) -> None:
    left_out = NOT_EXPORTED[kind]
    if left_out is None:
        assert kind not in COLUMNS
        return
    sent = {path for datum in MAPPED if datum["type"] == kind for path in _paths(datum)} - EVERYWHERE
    missing = {path for path in sent if not _covered(path, COLUMNS[kind])}
    assert missing == left_out


def test_the_essentials_are_columns() -> None:
    assert {"time", "value", "units", "deviceId", "uploadId"} <= COLUMNS["cbg"] & COLUMNS["smbg"]
    assert {"normal", "extended", "duration", "expectedNormal"} <= COLUMNS["bolus"]
    assert {"rate", "duration", "deliveryType"} <= COLUMNS["basal"]
    assert {"carbInput", "bolus", "recommended.net"} <= COLUMNS["wizard"]
