"""Insulin, meals, micro-doses, finger-sticks, modes, suspensions, clock changes."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.contracts import Memory
from tests.readers.carelink_cloud.decode.payloads import (
    START,
    STEP,
    after,
    bolus,
    decoded_of,
    dose,
    marker,
    meal,
    of_kind,
    payload,
    sg,
)

AT = "2026-03-10T06:30:00"


def only(row: dict[str, Any], kind: str, **more: Any) -> Any:
    found = decoded_of(payload(markers=[row], **more))
    (record,) = of_kind(found.records, kind)
    assert found.understood
    return record


def test_a_square_bolus_running_and_done() -> None:
    values: dict[str, Any] = {
        "bolusType": "SQUARE", "programmedFastAmount": "0", "deliveredFastAmount": "0",
        "programmedExtendedAmount": "3.0", "deliveredExtendedAmount": "1.2000000476837158",
        "programmedDuration": 60, "effectiveDuration": 24,
    }  # fmt: skip
    record = only(bolus(AT, **values, completed=False), "bolus")
    assert (record.shape, record.delivered_u, record.programmed_u) == ("square", 1.2, 3.0)
    assert (record.extended_u, record.programmed_extended_u, record.immediate_u) == (1.2, 3.0, None)
    assert (record.duration_min, record.delivered_duration_min) == (60, 24)
    assert record.annotation("bolus/provisional")
    assert not record.completed
    done = only(bolus(AT, **values), "bolus")
    assert done.id == record.id
    assert (done.completed, done.annotations) == (True, ())


def test_a_dual_bolus_has_both_parts() -> None:
    values: dict[str, Any] = {"bolusType": "DUAL", "programmedExtendedAmount": 1.5, "deliveredExtendedAmount": 1.5}
    record = only(bolus(AT, 2.0, **values), "bolus")
    assert (record.shape, record.delivered_u, record.immediate_u, record.extended_u) == ("dual", 3.5, 2.0, 1.5)
    assert (record.programmed_immediate_u, record.programmed_extended_u, record.programmed_u) == (2.0, 1.5, 3.5)


def test_a_normal_bolus_leaves_the_parts_out() -> None:
    record = only(
        bolus(AT, 2.0, deliveredExtendedAmount="0", programmedExtendedAmount="0", programmedDuration=0), "bolus"
    )
    assert (record.shape, record.delivered_u, record.programmed_u) == ("normal", 2.0, 2.0)
    assert (record.immediate_u, record.extended_u, record.duration_min, record.delivered_duration_min) == (None,) * 4


@pytest.mark.parametrize(("activation", "requested_by", "automatic"), [
    ("AUTOCORRECTION", "closed_loop", True), ("RECOMMENDED", "wizard", False), ("MANUAL", "manual", False),
    ("UNDETERMINED", None, False),
])  # fmt: skip
def test_who_asked_for_a_bolus(activation: str, requested_by: str | None, automatic: bool) -> None:
    record = only(bolus(AT, activation=activation), "bolus")
    assert (record.requested_by, record.automatic) == (requested_by, automatic)
    assert record.source_key == f"INSULIN:{AT}:{activation}"


@pytest.mark.parametrize("family", ["GUARDIAN", "CGM"])
def test_without_a_pump_insulin_is_injected(family: str) -> None:
    record = only(bolus(AT, 3.0, insulinType="LONG_ACTING"), "injection", medicalDeviceFamily=family)
    assert (record.dose_u, record.action) == (3.0, "long")


def test_a_pen_dose_beside_a_pump_is_an_injection_too() -> None:
    record = only(marker("INSULIN", AT, insulinUnits="4.5", insulinType="UNKNOWN"), "injection")
    assert (record.dose_u, record.action, record.source_key) == (4.5, None, f"INSULIN:{AT}")


@pytest.mark.parametrize("row", [
    bolus(AT, deliveredFastAmount="much"), bolus(AT, deliveredFastAmount=[2]), marker("INSULIN", AT),
    bolus(AT, deliveredFastAmount=-1), bolus(AT, deliveredFastAmount=5000), marker("MEAL", AT),
    meal(AT, -1), meal(AT, 9000), marker("AUTO_BASAL_DELIVERY", AT), dose(AT, 50), dose("soon"),
    marker("BG_READING", AT, unitValue="6.7", bgUnits="MMOL_L"), marker("BG_READING", AT, unitValue=0),
    marker("CALIBRATION", AT, value=900), {"type": "MEAL", "amount": 4}, {"timestamp": AT}, {"type": 7},
    {"type": ["MEAL"]},
])  # fmt: skip
def test_a_bad_marker_is_named_and_harms_only_itself(row: dict[str, Any]) -> None:
    found = decoded_of(payload(markers=[meal(AT, 11), row, dose(AT)]))
    assert sorted(record.kind for record in found.records) == ["basal", "carbs", "pump_status"]
    assert [d.code for d in found.diagnostics] in (["bad_row"], ["unit_suspect"])
    assert found.diagnostics[0].text
    assert not found.understood


def test_micro_doses_keep_their_sum_and_rate() -> None:
    record = only(dose(AT, 0.10000000149011612), "basal")
    assert (record.delivery, record.dose_u, record.rate_u_h, record.duration_min) == ("automatic", 0.1, 1.2, 5)
    assert only(dose(AT, 0), "basal").rate_u_h == 0


def test_a_meal_of_nothing_is_nothing() -> None:
    found = decoded_of(payload(markers=[meal(AT, 0)]))
    assert not of_kind(found.records, "carbs")
    assert found.understood


@pytest.mark.parametrize(
    ("kind", "model"), [("BG_READING", "meter_glucose"), ("BG", "meter_glucose"), ("CALIBRATION", "calibration")]
)
def test_finger_sticks_are_mg_dl_whatever_the_display(kind: str, model: str) -> None:
    flat = {"type": kind, "dateTime": f"{AT}.000-00:00", "value": 121, "bgUnits": "MMOL_L"}
    assert only(flat, model).mgdl == only(marker(kind, AT, unitValue="121.0"), model).mgdl == 121


def test_a_calibration_says_whether_it_was_taken() -> None:
    assert only(marker("CALIBRATION", AT, unitValue=100, calibrationSuccess=False), "calibration").accepted is False
    assert only(marker("CALIBRATION", AT, unitValue=100), "calibration").accepted is None


def test_the_closed_loop_switch() -> None:
    on = {"type": "AUTO_MODE_STATUS", "dateTime": AT, "autoModeOn": True}
    record = only(on, "device_event")
    assert (record.event, record.mode, record.source_key) == ("mode_change", "auto", f"AUTO_MODE_STATUS:{AT}")
    assert only({**on, "autoModeOn": False}, "device_event").mode == "manual"


@pytest.mark.parametrize("kind", ["AUTO_MODE_STATUS", "LOW_GLUCOSE_SUSPENDED"])
@pytest.mark.parametrize("values", [{}, {"autoModeOn": True, "deliverySuspended": True}])
def test_states_at_the_windows_begin_are_no_events(kind: str, values: dict[str, Any]) -> None:
    found = decoded_of(payload(markers=[marker(kind, "2026-03-09T07:00:05", **values)]))
    assert [record.kind for record in found.records] == ["pump_status"]
    assert (list(found.diagnostics), found.understood) == ([], True)


@pytest.mark.parametrize("kind", ["AUTO_MODE_STATUS", "LOW_GLUCOSE_SUSPENDED", "SOMETHING_NEW"])
def test_a_marker_that_says_nothing_known_is_kept_for_later_once(kind: str) -> None:
    document = payload(markers=[marker(kind, AT)])
    found = decoded_of(document)
    assert [record.kind for record in found.records] == ["pump_status"]
    assert not found.understood
    assert [diagnostic.code for diagnostic in found.diagnostics] == ["unknown_marker"]
    again = decoded_of(payload(START + STEP, markers=[marker(kind, AT), meal(AT)]), after(Memory(), found))
    assert (list(again.diagnostics), again.understood) == ([], True), "one kept capture is enough"


def test_a_suspension_runs_until_its_end_is_told() -> None:
    begin = {"type": "LOW_GLUCOSE_SUSPENDED", "dateTime": AT, "deliverySuspended": True}
    end = {**begin, "dateTime": "2026-03-10T06:52:00", "deliverySuspended": False}
    first = decoded_of(payload(markers=[begin]))
    (running,) = of_kind(first.records, "basal")
    assert (running.delivery, running.rate_u_h, running.duration_min) == ("suspended", 0, None)
    assert running.suspend_reason == "on_low"
    (done,) = of_kind(
        decoded_of(payload(START + STEP, markers=[end, begin]), after(Memory(), first)).records, "basal"
    )
    assert (done.id, done.time, done.duration_min) == (running.id, running.time, 22)


def test_a_clock_change_is_an_event() -> None:
    record = only(marker("TIME_CHANGE", AT, previousDateTime="2026-03-10T05:30:10"), "device_event")
    assert (record.event, str(record.clock_from), str(record.clock_to)) == (
        "time_change",
        "2026-03-10 05:30:10",
        "2026-03-10 06:30:00",
    )


def test_meals_and_boluses_pair_one_to_one_and_never_with_automatic_or_cancelled_ones() -> None:
    rows = [
        meal("2026-03-10T05:00:00"), bolus("2026-03-10T05:00:01"),
        bolus("2026-03-10T05:00:00", activation="AUTOCORRECTION"),
        bolus("2026-03-10T05:00:00", 0, "RECOMMENDED"),
        meal("2026-03-10T05:30:00"), bolus("2026-03-10T05:30:50"), bolus("2026-03-10T05:30:10"),
        meal("2026-03-10T06:00:00"), bolus("2026-03-10T06:01:01"),
    ]  # fmt: skip
    records = decoded_of(payload(markers=rows)).records
    meals = {record.id: record.source_key for record in of_kind(records, "carbs")}
    pairs = {record.source_key: meals.get(record.carbs_id or "") for record in of_kind(records, "bolus")}
    assert {key: value for key, value in pairs.items() if value} == {
        "INSULIN:2026-03-10T05:00:01:MANUAL": "MEAL:2026-03-10T05:00:00",
        "INSULIN:2026-03-10T05:30:10:MANUAL": "MEAL:2026-03-10T05:30:00",
    }


def test_a_bolus_keeps_its_meal_when_that_left_the_window() -> None:
    first = decoded_of(payload(markers=[meal(AT), bolus("2026-03-10T06:30:30")]))
    second = decoded_of(payload(START + STEP, markers=[bolus("2026-03-10T06:30:30")]), after(Memory(), first))
    assert of_kind(first.records, "bolus") == of_kind(second.records, "bolus")


def test_a_guid_on_a_marker_is_its_key() -> None:
    first = decoded_of(payload(markers=[{**bolus(AT), "GUID": "AB-1"}]))
    (record,) = of_kind(first.records, "bolus")
    assert record.source_key == "AB-1"
    moved = {**bolus("2026-03-10T06:41:00", 2.5), "GUID": "AB-1"}
    (again,) = of_kind(decoded_of(payload(START + STEP, markers=[moved]), after(Memory(), first)).records, "bolus")
    assert (again.id, again.time, again.device_time, again.delivered_u) == (
        record.id,
        record.time,
        record.device_time,
        2.5,
    )


def test_the_place_on_the_graph_stands_in_for_a_missing_stamp() -> None:
    document = payload(
        medicalDeviceFamily="GUARDIAN",
        sLastSensorTime="2026-03-10T06:57:10.000-00:00",
        sgs=[sg("2026-03-10T06:57:10")],
        markers=[
            {"type": "CALIBRATION", "index": 275, "value": 110},
            {"type": "CALIBRATION", "index": 900, "value": 1},
        ],
    )
    found = decoded_of(document)
    (record,) = of_kind(found.records, "calibration")
    assert str(record.device_time) == "2026-03-10 06:00:00"
    assert record.annotation("clock/uncertain")
    later = payload(START + STEP, medicalDeviceFamily="GUARDIAN", sLastSensorTime="2026-03-10T07:02:15.000-00:00",
                    markers=[{"type": "CALIBRATION", "index": 274, "value": 110}])  # fmt: skip
    (again,) = of_kind(decoded_of(later, after(Memory(), found)).records, "calibration")
    assert again == record
