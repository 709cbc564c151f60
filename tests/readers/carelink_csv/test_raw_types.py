"""One row of each of the 159 row types that real exports hold: parsed as written, and each in its place."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from bridge.readers.carelink_csv.g1_settings import is_settings_row
from bridge.readers.carelink_csv.g1_values import TYPES, current_pairs, pairs_of
from tests.readers.carelink_csv.exports import G1_COLUMNS, decoded
from tests.support import vectors

ROWS = vectors.rows("carelink-csv", "v1_rawtypes.jsonl")
PLACES: dict[str, tuple[str, dict[str, Any]]] = {
    "AlarmPump": ("device_event", {"event": "alarm"}),
    "AlarmSensor": ("device_event", {"event": "alarm"}),
    "BGReceived": ("meter_glucose", {"entry": "linked"}),
    "BasalProfileStart": ("basal", {"delivery": "scheduled"}),
    "BolusNormal": ("bolus", {"shape": "normal"}),
    "BolusSquare": ("bolus", {"shape": "square"}),
    "BolusWizardBolusEstimate": ("bolus_calculation", {}),
    "CalBGForGH": ("calibration", {}),
    "CalBGForPH": ("meter_glucose", {}),
    "ChangeSuspendEnable": ("basal", {"delivery": "suspended"}),
    "ChangeTempBasal": ("basal", {"delivery": "temporary"}),
    "ChangeTempBasalPercent": ("basal", {"delivery": "temporary"}),
    "ChangeTime": ("device_event", {"event": "time_change"}),
    "ChangeTimeGH": ("device_event", {"event": "time_change"}),
    "ClearAlarm": ("device_event", {"event": "alarm_cleared"}),
    "GlucoseSensorData": ("sensor_glucose", {"quality": "ok"}),
    "GlucoseSensorDataHigh": ("sensor_glucose", {"mgdl": 400}),
    "GlucoseSensorDataLow": ("sensor_glucose", {"mgdl": 40}),
    "JournalEntryMealMarker": ("carbs", {"grams": 53.0}),
    "JournalEntryOtherMarker": ("note", {}),
    "JournalEntryPumpLowBattery": ("device_event", {"event": "low_battery"}),
    "JournalEntryPumpLowReservoir": ("device_event", {"event": "low_reservoir", "volume_u": 20.0}),
    "JournalEntryPumpWeakBattery": ("device_event", {"event": "weak_battery"}),
    "Prime": ("device_event", {"event": "prime"}),
    "ResultDailyTotal": ("device_event", {"event": "daily_insulin_total"}),
    "Rewind": ("device_event", {"event": "rewind"}),
    "SensorCal": ("sensor_glucose", {"mgdl": None}),
    "SensorError": ("device_event", {"event": "sensor_stop"}),
    "SensorPacket": ("sensor_glucose", {"quality": "warmup", "mgdl": None}),
    "SensorSync": ("device_event", {}),
}
"""Types with a place of their own; `Current...` rows are the pump's status, all others a device event."""
SILENT = ("ChangeTempBasalNoRate", "UnabsorbedInsulin")


def _file(row: dict[str, Any]) -> bytes:
    date, _, time = row["timestamp"].partition(" ")
    names = [column.partition(" (")[0] for column in G1_COLUMNS]
    cells = dict.fromkeys(names, "")
    cells |= {"Index": "1", "Date": date, "Time": time, "Timestamp": row["timestamp"]}
    cells |= {name.partition(" (")[0]: text for name, text in row["display"].items()}
    cells |= {
        "Raw-Type": row["raw_type"],
        "Raw-Values": row["raw_values"],
        "Raw-ID": "10000000001",
        "Raw-Upload ID": "50000001",
        "Raw-Seq Num": "1",
        "Raw-Device Type": row["device"],
    }
    text = io.StringIO()
    csv.writer(text).writerows([G1_COLUMNS, list(cells.values())])
    return text.getvalue().encode()


def test_there_is_an_example_of_every_type() -> None:
    assert len({row["raw_type"] for row in ROWS}) == 159


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["raw_type"])
def test_row(row: dict[str, Any]) -> None:
    parsed = pairs_of(row["raw_values"])
    assert parsed == row["parsed"]
    kind = TYPES.get(row["raw_type"], row["raw_type"])
    current = current_pairs(kind, parsed)
    assert len(current) == sum(value is not None for value in parsed.values())
    assert not any(key.endswith("_DATUM") for key in current)
    result = decoded(_file(row), "US/Pacific", date_order="mdy")
    assert result.understood
    if kind in SILENT or (is_settings_row(kind) and not kind.startswith("Current")):
        assert not result.records
        return
    if "ENABLE=normal_pumping" in row["raw_values"]:
        assert not result.records
        return
    records = [record for record in result.records if record.kind != "pump_settings"]
    [record] = records
    assert record.device.model == row["device"]
    place = PLACES.get(row["raw_type"])
    if place is not None:
        kind_of_record, wanted = place
        assert record.kind == kind_of_record
        said = record.model_dump()
        assert {name: said[name] for name in wanted} == wanted
    elif kind.startswith("Current"):
        assert record.kind == "pump_status"
    else:
        assert record.kind == "device_event"
        assert (record.raw or {}) == current
    assert _display(record.model_dump(), row) == row["display"].keys()


COLUMNS: dict[str, tuple[str, Any]] = {
    "Alarm": ("code", lambda text: int(text.rpartition("(")[2].rstrip(")"))),
    "BG Reading (mg/dL)": ("mgdl", int),
    "BWZ Active Insulin (U)": ("iob_u", float),
    "BWZ BG Input (mg/dL)": ("bg_mgdl", lambda text: int(text) or None),
    "BWZ Carb Input (grams)": ("carbs_g", float),
    "BWZ Carb Ratio (grams)": ("carb_ratio_g_u", float),
    "BWZ Correction Estimate (U)": ("recommended_correction_u", float),
    "BWZ Estimate (U)": ("recommended_net_u", float),
    "BWZ Food Estimate (U)": ("recommended_carb_u", float),
    "BWZ Insulin Sensitivity (mg/dL)": ("isf_mgdl_u", float),
    "BWZ Target High BG (mg/dL)": ("target_high_mgdl", float),
    "BWZ Target Low BG (mg/dL)": ("target_low_mgdl", float),
    "Bolus Volume Delivered (U)": ("delivered_u", float),
    "Bolus Volume Selected (U)": ("programmed_u", float),
    "ISIG Value": ("isig_na", float),
    "Prime Volume Delivered (U)": ("volume_u", float),
    "Programmed Bolus Duration (hh:mm:ss)": ("duration_min", lambda text: _minutes(text)),
    "Sensor Calibration BG (mg/dL)": ("mgdl", int),
    "Sensor Glucose (mg/dL)": ("mgdl", int),
    "Temp Basal Duration (hh:mm:ss)": ("duration_min", lambda text: _minutes(text)),
}
AMOUNTS = ("Temp Basal Amount (U/h)", "Daily Insulin Total (U)")
"""Shown with one decimal."""


def _minutes(text: str) -> float:
    hours, minutes, seconds = map(int, text.split(":"))
    return hours * 60 + minutes + seconds / 60


def _display(said: dict[str, Any], row: dict[str, Any]) -> set[str]:
    """The display columns that agree with the record: all of them."""
    agreeing = set()
    for name, text in row["display"].items():
        if name in COLUMNS:
            field, read = COLUMNS[name]
            assert said[field] == read(text), name
        elif name in AMOUNTS:
            assert _word(name, said) == pytest.approx(float(text), abs=0.051), name
        else:
            assert _word(name, said) == text, name
        agreeing.add(name)
    return agreeing


def _word(name: str, said: dict[str, Any]) -> Any:
    raw = said.get("raw") or {}
    duals = "Dual/Square" if raw.get("IS_DUAL_COMPONENT") == "true" else "Square"
    amount = said.get("percent") if said.get("percent") is not None else said.get("rate_u_h")
    new = said.get("clock_to")
    return {
        "Bolus Type": "Normal" if said.get("shape") == "normal" else duals,
        "Linked BG Meter ID": f"#{raw.get('PARADIGM_LINK_ID')}",
        "New Device Time": f"{new.month}/{new.day}/{new:%y %H:%M:%S}" if new else "",
        "Prime Type": {"tubing": "Manual", "cannula": "Fixed"}.get(str(said.get("target"))),
        "Rewind": "Rewind" if said.get("event") == "rewind" else "",
        "Suspend": "Suspended",
        "Temp Basal Type": "Percent" if said.get("percent") is not None else "Rate",
        "Temp Basal Amount (U/h)": amount,
        "Daily Insulin Total (U)": said.get("volume_u"),
    }[name]
