"""The shared vectors: whole answers and the tables of single cases."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.contracts import Memory
from bridge.model import from_json, to_json, to_ms
from bridge.model.health import State
from bridge.readers.carelink_cloud.catalogue import ALERTS, FAULTS, PARADIGM_ALARMS, look_up
from bridge.readers.carelink_cloud.clocks import read_clocks
from bridge.readers.carelink_cloud.timestamps import Zone, stamp
from tests.readers.carelink_cloud.decode.payloads import answer_of, capture, decoded_of, of_kind, payload, sg
from tests.support import vectors

CLOUD = "carelink-cloud"


def cloud(name: str) -> Any:
    return vectors.document(CLOUD, name)


def test_a_day_of_a_780g_gives_exactly_the_expected_records() -> None:
    found = decoded_of(vectors.path(CLOUD, "ngp-780g-smartguard.json").read_bytes())
    expected = vectors.rows("mapping", "780g.records.ndjson")
    lines = [json.loads(to_json(record)) for record in found.records]
    assert {line["id"]: line for line in lines} == {line["id"]: line for line in expected}
    assert len(lines) == len(expected) == 475
    assert all(list(line) == list(expected[0])[:12] + list(line)[12:] for line in lines)
    assert [record.time for record in found.records] == sorted(record.time for record in found.records)


def test_its_sums_are_those_of_the_day() -> None:
    records = decoded_of(cloud("ngp-780g-smartguard.json")).records
    assert round(sum(record.dose_u for record in of_kind(records, "basal")), 3) == 16.55
    assert round(sum(record.delivered_u for record in of_kind(records, "bolus")), 3) == 46.5
    assert sum(record.grams for record in of_kind(records, "carbs")) == 202


def test_a_reminder_of_tomorrow_is_held_and_comes_when_it_is_due() -> None:
    document = cloud("ngp-780g-smartguard.json")
    found = decoded_of(document)
    now = datetime(2025, 11, 11, 2, 23, 17, tzinfo=UTC)
    assert all(record.time <= now + timedelta(minutes=5) for record in found.records)
    assert [diagnostic.code for diagnostic in found.diagnostics] == ["held_until_due"]
    assert found.understood
    assert found.health.state is State.OK
    patient = document["patientData"]
    for name in ("currentServerTime", "medicalDeviceTime", "lastMedicalDeviceDataUpdateServerTime"):
        patient[name] += 23 * 3_600_000
    later = decoded_of(document, Memory(found.sightings, found.state))
    (reminder,) = [record for record in of_kind(later.records, "device_event") if record.state == "active"]
    assert (reminder.code, reminder.severity, reminder.time) == (
        "128",
        "reminder",
        datetime(2025, 11, 12, 0, 35, 51, tzinfo=UTC),
    )


@pytest.mark.parametrize("name", ["ngp-780g-smartguard", "simplera-cgm-only", "paradigm-legacy"])
def test_readings_status_and_offsets_of_the_whole_answers(name: str) -> None:
    synthetic = ".synthetic" if name.startswith("simplera") else ""
    expected = cloud(f"{name}.expected.json")
    answer = answer_of(cloud(f"{name}{synthetic}.json"))
    records = answer.decoded.records
    readings = [(to_ms(r.time), r.mgdl, bool(r.annotation("backfilled"))) for r in of_kind(records, "sensor_glucose")]
    assert readings == [(row["utc_ms"], row["mgdl"], row["backfill"]) for row in expected["readings"]]
    assert [(to_ms(r.time), r.grams) for r in of_kind(records, "carbs")] == [
        (row["utc_ms"], row["grams"]) for row in expected["carbs"]
    ]
    assert [(to_ms(r.time), r.mgdl) for r in of_kind(records, "meter_glucose")] == [
        (row["utc_ms"], row["mgdl"]) for row in expected["finger_bg"]
    ]
    assert {record.utc_offset_min for record in records} == {expected["offset_ms"] // 60_000}
    (status,) = of_kind(records, "pump_status")
    said = expected["status"]
    assert answer.updated_at == status.time == from_text(said["as_of"])
    assert (status.iob_u, status.iob_time) == (said["iob_u"], from_text(said["iob_at"]))
    assert (status.reservoir_u, status.reservoir_pct) == (said["reservoir_u"], said["reservoir_pct"])
    assert (status.battery_pct, status.uploader_battery_pct) == (said["pump_battery_pct"], said["phone_battery_pct"])
    assert status.sensor_minutes_left == said["sensor_minutes_left"]
    assert status.transmitter_battery_pct == said["transmitter_battery_pct"]
    assert (status.suspended, status.sensor_state) == (said["suspended"], said["sensor_state"])


def from_text(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_pen_dose_of_a_cgm_account_is_an_injection() -> None:
    (dose,) = of_kind(decoded_of(cloud("simplera-cgm-only.synthetic.json")).records, "injection")
    assert (dose.dose_u, dose.action, dose.time) == (4.5, "rapid", datetime(2027, 1, 15, 6, 30, tzinfo=UTC))


def test_guardian_connect() -> None:
    found = decoded_of(cloud("guardian-connect.synthetic.json"))
    readings = of_kind(found.records, "sensor_glucose")
    assert [(r.mgdl, r.trend) for r in readings] == [(158, None), (144, "single_down")]
    assert readings[1].time == datetime(2023, 11, 14, 22, 16, tzinfo=UTC)
    (calibration,) = of_kind(found.records, "calibration")
    assert (calibration.mgdl, calibration.accepted) == (139, True)
    assert calibration.time == datetime(2023, 11, 14, 18, 20, tzinfo=UTC)
    assert calibration.annotation("clock/uncertain")
    (alarm,) = of_kind(found.records, "device_event")
    assert (alarm.code, alarm.text, alarm.severity) == ("alert.sg.rate.falling", "glucose falling fast", "normal")
    (status,) = of_kind(found.records, "pump_status")
    assert status.battery_pct is None


def test_an_account_that_never_uploads_is_no_data() -> None:
    answer = answer_of(cloud("stub-no-app.synthetic.json"))
    assert not answer.decoded.records
    assert answer.decoded.health.state is State.NO_DATA
    assert answer.covered is None


@pytest.mark.parametrize("case", vectors.rows(CLOUD, "offset-cases.jsonl"), ids=lambda case: case["name"])
def test_offsets(case: dict[str, Any]) -> None:
    clocks = read_clocks(case["patientData"], {})
    assert clocks.offset_min == case["expect_offset_minutes"]
    assert (clocks.pump.offset_min if clocks.pump else None) == case["pump_offset_minutes"]
    assert (clocks.phone.offset_min if clocks.phone else None) == case["conduit_offset_minutes"]
    if case["expect_drift_ms"] is not None:
        assert clocks.pump is not None
        assert round(clocks.pump.drift_min * 60_000) == case["expect_drift_ms"]


@pytest.mark.parametrize("case", vectors.rows(CLOUD, "timestamp-forms.jsonl"), ids=lambda case: case["note"])
def test_timestamp_forms(case: dict[str, Any]) -> None:
    moment = stamp(case["value"])
    if case["expect_utc_ms"] is None:
        assert moment is None
    else:
        assert moment is not None
        instant = moment if moment.tzinfo else Zone(case["offset_minutes"]).utc(moment)
        assert to_ms(instant) == case["expect_utc_ms"]


@pytest.mark.parametrize("case", vectors.rows(CLOUD, "marker-cases.jsonl"), ids=lambda case: case["name"])
def test_single_markers(case: dict[str, Any]) -> None:
    expect = case["expect"]
    at = from_text(expect["utc"])
    document = payload(
        at + timedelta(hours=1), offset=timedelta(minutes=case["offset_minutes"]), markers=[case["marker"]]
    )
    found = decoded_of(document)
    records = [record for record in found.records if record.kind != "pump_status"]
    if expect.get("unknown"):
        assert not records
        assert not found.understood
        assert [diagnostic.code for diagnostic in found.diagnostics] == ["unknown_marker"]
        return
    (record,) = records
    assert record.time == at
    found_fields = json.loads(to_json(record))
    found_fields.setdefault("delivered_u", found_fields.get("dose_u"))
    found_fields.setdefault("automatic", False)
    for name in expect.keys() - {"utc", "emit_treatment"}:
        assert found_fields[name] == expect[name], name


@pytest.mark.parametrize("case", vectors.rows(CLOUD, "unit-cases.jsonl"), ids=lambda case: str(case["sg"]))
def test_units(case: dict[str, Any]) -> None:
    found = decoded_of(payload(sgs=[sg("2026-03-10T06:55:00", case["sg"])], bgUnits=case["bgUnits"]))
    values = [record.mgdl for record in of_kind(found.records, "sensor_glucose")]
    assert values == ([] if case["expect_mgdl"] is None else [case["expect_mgdl"]])
    suspect = "expect_error" in case
    assert (found.health.state is State.UNIT_SUSPECT) is suspect
    assert [d.code for d in found.diagnostics] == (["unit_suspect"] if suspect else [])
    assert found.understood is not suspect


STATUS_FIELDS = {
    "activeInsulin.amount": "iob_u",
    "reservoirRemainingUnits": "reservoir_u",
    "pumpBatteryLevelPercent": "battery_pct",
    "gstBatteryLevel": "transmitter_battery_pct",
    "sensorDurationHours": "sensor_minutes_left",
    "sensorDurationMinutes": "sensor_minutes_left",
    "basal.basalRate": "active_basal_u_h",
}


def sentinels() -> Iterator[Any]:
    for case in vectors.rows(CLOUD, "sentinel-cases.jsonl"):
        if case["field"] in STATUS_FIELDS:
            yield pytest.param(case, id=f"{case['field']}={case['value']}")


@pytest.mark.parametrize("case", list(sentinels()))
def test_sentinels_are_unknown_and_never_zero(case: dict[str, Any]) -> None:
    outer, _, inner = case["field"].partition(".")
    document = payload()
    document["patientData"][outer] = {inner: case["value"]} if inner else case["value"]
    (status,) = of_kind(decoded_of(document).records, "pump_status")
    assert getattr(status, STATUS_FIELDS[case["field"]]) == case["expect"]


def test_a_reading_of_zero_is_none_and_an_update_time_of_zero_is_a_stub() -> None:
    assert not of_kind(decoded_of(payload(sgs=[sg("2026-03-10T06:55:00", 0)])).records, "sensor_glucose")
    assert decoded_of(payload(lastMedicalDeviceDataUpdateServerTime=0)).health.state is State.NO_DATA


@pytest.mark.parametrize("case", vectors.rows(CLOUD, "trend-cases.jsonl"), ids=lambda case: case["payload"])
def test_arrows_are_rate_classes(case: dict[str, Any]) -> None:
    rows = [sg("2026-03-10T06:50:00", 100), sg("2026-03-10T06:55:00", 120)]
    found = of_kind(decoded_of(payload(sgs=rows, lastSGTrend=case["payload"])).records, "sensor_glucose")
    shown = {"FortyFiveUp": "forty_five_up", "SingleUp": "single_up", "DoubleUp": "double_up"}
    shown |= {"FortyFiveDown": "forty_five_down", "SingleDown": "single_down", "DoubleDown": "double_down"}
    assert [record.trend for record in found] == [None, shown.get(case["rate_direction"], "none")]


def test_the_catalogue_knows_every_listed_id() -> None:
    for name, table, key in (
        ("fault-ids-ngp.csv", FAULTS, "fault_id"),
        ("alert-kinds-cgm.csv", ALERTS, "kind"),
        ("alarm-codes-paradigm.csv", PARADIGM_ALARMS, "code"),
    ):
        rows = list(csv.DictReader(vectors.path(CLOUD, name).read_text("utf-8").splitlines()))
        assert {row[key] for row in rows} == set(table)
        for row in rows:
            entry = table[row[key]]
            assert entry.kind == row["class"]
            assert entry.text == row.get("label", entry.text)
            assert (entry.same_as or "") == row.get("same_as", "")
            assert not entry.same_as or table[entry.same_as].kind in (entry.kind, "pump_error_critical")


def test_an_unknown_id_keeps_its_number() -> None:
    assert (look_up("999").kind, look_up("999").text) == ("other", "alert 999")
    assert look_up("102", "PARADIGM").kind == "low"
    assert look_up("102").kind == "other"


def test_records_survive_json() -> None:
    records = decoded_of(cloud("ngp-780g-smartguard.json")).records
    assert [from_json(to_json(record)) for record in records] == list(records)


def test_the_feed_is_part_of_the_identity() -> None:
    from bridge.readers.carelink_cloud.decode import decode

    document = payload(sgs=[sg("2026-03-10T06:55:00")])
    ids = {decode(capture(document, feed), Memory()).records[0].id for feed in ("carelink", "carelink:eu:ann")}
    assert len(ids) == 2
