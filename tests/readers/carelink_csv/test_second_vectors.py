"""Exports of the second generation: every expected record, and nothing beside them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from bridge.contracts import Decoded
from bridge.model import Basal, Record
from bridge.readers.carelink_csv.layout import layout_of
from bridge.readers.carelink_csv.lines import lines_of
from tests.readers.carelink_csv.exports import decoded
from tests.support import vectors

FILES = {
    "v2_us_780g_54col": "US/Eastern",
    "v2_eu_780g_semicolon_mmol": "Europe/Amsterdam",
    "v2_guardian_connect_48col": "Europe/Berlin",
}


def _body(name: str) -> bytes:
    return vectors.path("carelink-csv", f"{name}.csv").read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_what_the_file_says_of_itself(name: str) -> None:
    expected = vectors.document("carelink-csv", f"{name}.expected.json")
    layout = layout_of(lines_of(_body(name)), {})
    assert layout.generation == 2
    assert layout.delimiter == expected["delimiter"]
    assert layout.unit == expected["units"]
    assert layout.sensor == expected.get("cgm")
    assert [table.section for table in layout.tables] == expected["sections"]
    for table in layout.tables:
        assert table.device is not None
        assert (table.device.model, table.device.serial) == (expected["device"], expected["serial"])
    assert [(one.model, one.serial) for one in layout.devices] == [(expected["device"], expected["serial"])]


@pytest.mark.parametrize(("name", "timezone"), FILES.items())
def test_every_record(name: str, timezone: str) -> None:
    result = decoded(_body(name), timezone)
    assert not result.diagnostics
    left = list(result.records)
    for one in vectors.document("carelink-csv", f"{name}.expected.json")["records"]:
        if one["kind"] == "resume":
            assert datetime.fromisoformat(one["t"]) in _resumed(result)
            continue
        [record] = [record for record in left if _is(record, one)]
        left.remove(record)
        assert all(record.device.serial and record.device.manufacturer == "Medtronic" for record in [record])
    assert left == []


def _resumed(result: Decoded) -> list[datetime]:
    return [
        record.device_time + timedelta(minutes=record.duration_min or 0)
        for record in result.records
        if isinstance(record, Basal) and record.delivery == "suspended" and record.device_time
    ]


KINDS = {
    "alarm": "device_event",
    "basal": "basal",
    "bolus": "bolus",
    "carbs": "carbs",
    "daily_auto_insulin_total": "device_event",
    "manual_insulin": "injection",
    "meter_bg": "meter_glucose",
    "prime": "device_event",
    "rewind": "device_event",
    "sensor_glucose": "sensor_glucose",
    "sensor_status": "sensor_glucose",
    "suspend": "basal",
    "temp_basal": "basal",
    "wizard": "bolus_calculation",
}


def _is(record: Record, one: dict[str, Any]) -> bool:
    if record.kind != KINDS[one["kind"]] or record.device_time != datetime.fromisoformat(one["t"]):
        return False
    said = record.model_dump()
    wanted = _WANTED[one["kind"]](one)
    assert {name: said[name] for name in wanted} == wanted
    return True


def _bolus(one: dict[str, Any]) -> dict[str, Any]:
    interrupted = one["delivered"] < one["programmed"]
    assert one.get("interrupted", False) == interrupted
    return {
        "shape": one["subtype"],
        "programmed_u": one["programmed"],
        "delivered_u": one["delivered"],
        "automatic": one["automated"],
        "completed": True,
    }


def _meter(one: dict[str, Any]) -> dict[str, Any]:
    wanted: dict[str, Any] = {"mgdl": one["mgdl"]}
    if "manual" in one:
        wanted["entry"] = "manual" if one["manual"] else "linked"
    return wanted


def _wizard(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "carbs_g": one["carbs_g"],
        "bg_mgdl": one["bg_mgdl"],
        "carb_ratio_g_u": one["carb_ratio"],
        "recommended_carb_u": one["food"],
        "recommended_correction_u": one["correction"],
        "iob_u": one["iob"],
        "recommended_net_u": one["estimate"],
    }


def _temp(one: dict[str, Any]) -> dict[str, Any]:
    percent = one["percent"] * 100 if "percent" in one else None
    return {
        "delivery": "temporary",
        "rate_u_h": one.get("rate"),
        "percent": percent,
        "duration_min": one["duration_s"] / 60,
    }


def _sensor(one: dict[str, Any]) -> dict[str, Any]:
    raw = {"Sensor Glucose": f"{one['mmol']}".replace(".", ",")} if "mmol" in one else None
    return {"mgdl": one["mgdl"], "quality": "ok", "raw": raw}


_WANTED = {
    "alarm": lambda one: {"event": "alarm", "text": one["text"]},
    "basal": lambda one: {"delivery": "scheduled", "rate_u_h": one["rate"]},
    "bolus": _bolus,
    "carbs": lambda one: {"grams": one["grams"]},
    "daily_auto_insulin_total": lambda one: {"event": "daily_auto_insulin_total", "volume_u": one["units"]},
    "manual_insulin": lambda one: {"dose_u": one["units"], "action": None},
    "meter_bg": _meter,
    "prime": lambda one: {"event": "prime", "target": one["target"], "volume_u": one["volume"]},
    "rewind": lambda _one: {"event": "rewind"},
    "sensor_glucose": _sensor,
    "sensor_status": lambda one: {
        "mgdl": None, "quality": "calibrating", "raw": {"Sensor Exception": one["exception"]},
    },
    "suspend": lambda one: {"delivery": "suspended", "rate_u_h": 0.0, "suspend_reason": one["cause"]},
    "temp_basal": _temp,
    "wizard": _wizard,
}  # fmt: skip


def test_bolus_numbers_and_wizard_links() -> None:
    result = decoded(_body("v2_us_780g_54col"), "US/Eastern")
    expected = vectors.document("carelink-csv", "v2_us_780g_54col.expected.json")["records"]
    numbers = {one["t"]: str(one["bolus_number"]) for one in expected if one["kind"] == "bolus"}
    boluses = [record for record in result.records if record.kind == "bolus"]
    assert {record.device_time.isoformat(): record.raw["Bolus Number"] for record in boluses} == numbers  # type: ignore[union-attr,index]
    [calculation] = [record for record in result.records if record.kind == "bolus_calculation"]
    [linked] = [record for record in boluses if record.calculation_id]
    assert (calculation.bolus_id, linked.calculation_id) == (linked.id, calculation.id)
    assert linked.requested_by == "wizard"
