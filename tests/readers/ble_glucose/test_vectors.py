"""Every row of the shared vectors, values equal."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from bridge.errors import Malformed
from bridge.readers.ble_glucose.clocks import CONTOUR_CLOCK, CURRENT_TIME, ISENS_CLOCK_1_4, contour_clock, shown
from bridge.readers.ble_glucose.context import parse_context
from bridge.readers.ble_glucose.measurement import Measurement, parse_measurement
from bridge.wire import racp
from bridge.wire.racp import Counted, Ended
from bridge.wire.sfloat import Special, float32, sfloat
from tests.support import vectors

FOLDER = "ble-and-contour"
NUMBERS = list(csv.DictReader(vectors.path(FOLDER, "sfloat.csv").read_text().splitlines()))
MEASUREMENTS = vectors.rows(FOLDER, "glucose_measurement.jsonl")
CONTEXTS = vectors.rows(FOLDER, "glucose_context.jsonl")
CLOCKS = vectors.rows(FOLDER, "clocks.jsonl")
RACP = vectors.rows(FOLDER, "racp.jsonl")


def by_id(row: dict[str, Any]) -> str:
    return str(row["id"])


@pytest.mark.parametrize("row", NUMBERS, ids=lambda row: f"{row['kind']}-{row['raw_hex_le']}")
def test_numbers(row: dict[str, str]) -> None:
    raw = bytes.fromhex(row["raw_hex_le"])
    found = sfloat(raw) if row["kind"] == "sfloat" else float32(raw)
    if row["expected"] in {special.value for special in Special}:
        assert found is Special(row["expected"])
    else:
        assert isinstance(found, Decimal)
        assert found.as_tuple() == Decimal(row["expected"]).as_tuple()


def exact(value: object) -> object:
    return Decimal(str(value)) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


READ: dict[str, Any] = {
    "base_time": lambda m: m.base_time.isoformat(),
    "user_facing_time": lambda m: m.user_facing_time.isoformat(),
    "range": lambda m: m.out_of_range,
}


@pytest.mark.parametrize("row", MEASUREMENTS, ids=by_id)
def test_measurements(row: dict[str, Any]) -> None:
    value, expected = bytes.fromhex(row["value_hex"]), row["expect"]
    if "error" in expected:
        with pytest.raises(Malformed):
            parse_measurement(value)
        return
    found: Measurement = parse_measurement(value)
    assert expected
    for name, wanted in expected.items():
        said = READ[name](found) if name in READ else getattr(found, name)
        assert exact(said) == exact(wanted), name
    assert found.control == expected.get("control", False)
    assert found.time_fault == expected.get("time_fault", False)


def test_what_is_not_flagged_is_none() -> None:
    plain = next(row for row in MEASUREMENTS if row["id"] == "no-concentration")
    found = parse_measurement(bytes.fromhex(plain["value_hex"]))
    assert (found.unit, found.concentration, found.sample_type, found.sample_location) == (None, None, None, None)


@pytest.mark.parametrize("row", CONTEXTS, ids=by_id)
def test_contexts(row: dict[str, Any]) -> None:
    found = parse_context(bytes.fromhex(row["value_hex"]))
    said = {name: value for name in found.__slots__ if (value := getattr(found, name)) is not None}
    assert {name: exact(value) for name, value in said.items()} == {
        name: exact(value) for name, value in row["expect"].items()
    }


@pytest.mark.parametrize("row", CLOCKS, ids=by_id)
def test_clocks(row: dict[str, Any]) -> None:
    value = bytes.fromhex(row["value_hex"])
    if "utc" in row:
        utc = datetime.fromisoformat(row["utc"])
        assert contour_clock(value) == (utc, row["offset_min"])
        assert shown(CONTOUR_CLOCK, value) == utc + timedelta(minutes=row["offset_min"])
        return
    uuid = {"current-time-2a2b": CURRENT_TIME, "isens-set-time": ISENS_CLOCK_1_4}[row["id"]]
    assert shown(uuid, value) == datetime.fromisoformat(row["local"])


REQUESTS = {
    "get count all": racp.COUNT_ALL,
    "report all": racp.REPORT_ALL,
    "report seq>=99": racp.report_since(99),
    "report last": racp.REPORT_LAST,
    "abort": racp.ABORT,
}
INDICATIONS = {
    "count=100": Counted(100),
    "ok report": Ended(racp.Op.REPORT, racp.Code.SUCCESS),
    "no records": Ended(racp.Op.REPORT, racp.Code.NO_RECORDS),
    "op not supported": Ended(racp.Op.DELETE, racp.Code.OP_NOT_SUPPORTED),
    "operator not supported": Ended(racp.Op.REPORT, racp.Code.OPERATOR_NOT_SUPPORTED),
    "abort ok": Ended(racp.Op.ABORT, racp.Code.SUCCESS),
}


@pytest.mark.parametrize("row", RACP, ids=by_id)
def test_record_access(row: dict[str, Any]) -> None:
    value = bytes.fromhex(row["value_hex"])
    if row["dir"] == "client->server":
        assert REQUESTS[row["id"]] == value
        assert racp.permitted(value) == value
    else:
        assert racp.parse(value) == INDICATIONS[row["id"]]
