"""Tidepool datums that the shared sets do not hold: missing parts, edges, embedding."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.model import bolus_datum_id
from tests.adapters.mapping.made import documents, dose, event, make, only, reason, to_tidepool


def one(kind: str, **fields: Any) -> dict[str, Any]:
    record = make(kind, **fields)
    return only(to_tidepool([record]), record)


def why(record: Any) -> str | None:
    return reason(to_tidepool([record]), record)


def test_frame() -> None:
    record = make("sensor_glucose", mgdl=100, device_time="2026-03-10T01:00:00.500")
    body = only(to_tidepool([record], timezone="Europe/Berlin"), record)
    assert body == {
        "type": "cbg", "value": 100, "units": "mg/dL", "sampleInterval": 300000,
        "time": "2026-03-10T00:00:00.000Z", "deviceTime": "2026-03-10T01:00:00", "timezoneOffset": 60,
        "timezone": "Europe/Berlin", "deviceId": "MMT-1884:NG1234567H",
        "origin": {
            "id": f"{record.id}:cbg", "name": "org.glucobridge", "type": "application",
            "payload": {"reader": "carelink-cloud"},
        },
    }  # fmt: skip
    (document,) = documents(to_tidepool([record]), record)
    assert (document.op, document.path) == ("post", "/v1/data_sets/{dataSet}/data")
    assert document.key == f"{record.id}:cbg"
    assert document.slot() is None


@pytest.mark.parametrize(
    ("model", "family", "serial", "expected"),
    [("M", "F", "S", "M:S"), (None, "F", "S", "F:S"), ("M", None, None, "M"), (None, None, None, None)],
)
def test_device_ids(model: str | None, family: str | None, serial: str | None, expected: str | None) -> None:
    device = {"manufacturer": "Medtronic", "model": model, "serial": serial, "family": family}
    body = one("note", text="x", device=device)
    assert body.get("deviceId") == expected
    assert "Medtronic" not in str(body)


def test_annotations() -> None:
    notes = [
        {"code": "backfilled"},
        {"code": "bg/out-of-range", "value": "low", "threshold_mgdl": 40, "detail": None, "more": {"a": []}},
    ]
    body = one("sensor_glucose", mgdl=39, annotations=notes)
    assert body["annotations"] == [{"code": "bg/out-of-range", "value": "low", "threshold": 40}]
    assert body["backfilled"] is True
    assert "annotations" not in one("sensor_glucose", mgdl=39, annotations=notes[:1])


@pytest.mark.parametrize(
    ("trend", "expected"),
    [
        ("triple_up", "rapidRise"), ("double_up", "rapidRise"), ("single_up", "moderateRise"),
        ("forty_five_up", "slowRise"), ("flat", "constant"), ("none", None), (None, None),
        ("forty_five_down", "slowFall"), ("single_down", "moderateFall"), ("double_down", "rapidFall"),
        ("triple_down", "rapidFall"),
    ],
)  # fmt: skip
def test_trends(trend: str | None, expected: str | None) -> None:
    assert one("sensor_glucose", mgdl=100, trend=trend).get("trend") == expected


def test_values_are_not_touched() -> None:
    assert one("sensor_glucose", mgdl=12)["value"] == 12
    assert one("calibration", mgdl=100)["value"] == 100
    assert why(make("calibration", mgdl=100, accepted=False)) == "calibration_rejected"


def bolus(**fields: Any) -> dict[str, Any]:
    return one("bolus", **({"delivered_u": 2, "programmed_u": 2} | fields))


@pytest.mark.parametrize(("programmed", "expected"), [(2.012, None), (2.013, 2.013), (None, None), (1, None)])
def test_expected_only_when_clearly_more(programmed: float | None, expected: float | None) -> None:
    assert bolus(programmed_u=programmed).get("expectedNormal") == expected


def test_running_square_of_unknown_elapsed_time_is_the_plan() -> None:
    body = bolus(shape="square", delivered_u=0.5, completed=False, programmed_extended_u=2, duration_min=60)
    assert (body["extended"], body["duration"]) == (2, 3_600_000)
    assert "expectedExtended" not in body


def test_the_expected_pair_comes_whole_or_not_at_all() -> None:
    stopped = {"shape": "square", "delivered_u": 1, "extended_u": 1, "programmed_extended_u": 2}
    assert "expectedExtended" not in bolus(**stopped, delivered_duration_min=30)
    assert "expectedExtended" not in bolus(**stopped, delivered_duration_min=30, duration_min=20)
    body = bolus(**stopped, delivered_duration_min=30, duration_min=60)
    assert (body["expectedExtended"], body["expectedDuration"]) == (2, 3_600_000)


def test_a_part_over_time_of_unknown_length_counts_as_given_at_once() -> None:
    body = bolus(shape="square", extended_u=2)
    assert (body["subType"], body["normal"]) == ("normal", 2)


@pytest.mark.parametrize(
    ("requested", "context"),
    [("wizard", "device"), ("manual", "device"), ("easy", "device"), ("remote", "remote"), (None, None)],
)
def test_delivery_context(requested: str | None, context: str | None) -> None:
    assert bolus(requested_by=requested).get("deliveryContext") == context


def meal(delivered: float = 2, **calculation: Any) -> tuple[Any, Any, Any]:
    carbs = make("carbs", grams=40)
    wizard = make("bolus_calculation", 1, **calculation)
    live = make(
        "bolus", 2, delivered_u=delivered, completed=delivered > 0, calculation_id=wizard.id, carbs_id=carbs.id
    )
    return carbs, wizard, live


def test_a_wizard_embeds_and_books_its_bolus() -> None:
    carbs, wizard, live = meal(bg_mgdl=0, iob_u=-0.1, carb_ratio_g_u=300, recommended_carb_u=-1)
    desired = to_tidepool([carbs, wizard, live])
    (document,) = desired.documents.values()
    assert document.key == f"{wizard.id}:wizard"
    assert document.books == (f"{live.id}:bolus",)
    body = document.body
    assert body["bolus"]["origin"]["id"] == f"{live.id}:bolus"
    assert body["bolus"]["id"] == bolus_datum_id(live.id)
    assert body["bolus"]["time"] != body["time"]
    assert (body["carbInput"], body["carbUnits"]) == (40, "grams")
    for refused in ("bgInput", "insulinOnBoard", "insulinCarbRatio", "recommended", "bgTarget"):
        assert refused not in body
    assert desired.fates[live.id].carried_by == desired.fates[carbs.id].carried_by == wizard.id


def test_the_same_bolus_alone_is_the_same_datum() -> None:
    carbs, wizard, live = meal()
    alone = only(to_tidepool([live]), live)
    (embedding,) = to_tidepool([carbs, wizard, live]).documents.values()
    assert embedding.body["bolus"] == alone


def test_a_wizard_waits_for_insulin() -> None:
    carbs, wizard, live = meal(delivered=0)
    desired = to_tidepool([carbs, wizard, live])
    assert not desired.documents
    assert [reason(desired, record) for record in (carbs, wizard, live)] == [
        "waits_for_bolus", "waits_for_bolus", "nothing_delivered_yet",
    ]  # fmt: skip


def test_exchanges() -> None:
    wizard = make("bolus_calculation", carb_exchanges=2.5)
    live = make("bolus", 1, delivered_u=2, calculation_id=wizard.id)
    body = only(to_tidepool([wizard, live]), wizard)
    assert (body["carbInput"], body["carbUnits"]) == (2.5, "exchanges")


def basal(**fields: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"delivery": "temporary", "rate_u_h": 0.5}
    record = make("basal", **(given | fields))
    later = make("note", 30, text="x")
    return only(to_tidepool([record, later]), record)


def test_an_open_segment_grows_with_the_profile() -> None:
    assert basal()["duration"] == 1_800_000
    suspended = make("basal", delivery="suspended", rate_u_h=0)
    desired = to_tidepool([suspended, make("note", 30, text="x")])
    datum, status = (document.body for document in documents(desired, suspended))
    assert (datum["deliveryType"], datum["duration"]) == ("suspend", 1_800_000)
    assert "duration" not in status
    assert why(suspended) == "zero_length"
    other = make("note", 90, text="x", profile="p2")
    assert reason(to_tidepool([suspended, other]), suspended) == "zero_length"


def test_an_open_segment_stays_within_what_the_platform_takes() -> None:
    record = make("basal", delivery="temporary", rate_u_h=0.5)
    body = only(to_tidepool([record, make("note", 60 * 24 * 30, text="x")]), record)
    assert body["duration"] == 7 * 24 * 3_600_000


def test_temps() -> None:
    assert basal(percent=0)["percent"] == 0
    assert "suppressed" not in basal(percent=0)
    assert basal(percent=50, schedule=" A ")["suppressed"] == {
        "type": "basal", "deliveryType": "scheduled", "rate": 1, "scheduleName": "A",
    }  # fmt: skip
    assert "suppressed" not in basal(percent=None)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"delivery": "temporary", "percent": 50}, "temp_rate_unknown"),
        ({"delivery": "scheduled"}, "rate_unknown"),
        ({"delivery": "scheduled", "rate_u_h": 1, "duration_min": 0}, "zero_length"),
        ({"delivery": "suspended", "duration_min": 0}, "zero_length"),
    ],
)
def test_no_number_is_invented(fields: dict[str, Any], expected: str) -> None:
    assert why(make("basal", **_closed(fields))) == expected


def _closed(fields: dict[str, Any]) -> dict[str, Any]:
    return {"duration_min": 30} | fields


def test_micro_doses_are_sent_as_they_are() -> None:
    first, second = dose(0, 0.125), dose(4, 0.1)
    desired = to_tidepool([first, second])
    assert [document.body["duration"] for document in desired.documents.values()] == [300_000, 300_000]
    assert only(desired, first)["rate"] == 1.5


@pytest.mark.parametrize(
    ("family", "code", "expected"),
    [
        ("NGP", "7", "occlusion"), ("600", 8, "occlusion"), ("NGP", 84, "no_power"), ("600", "104", "low_power"),
        ("NGP", 105, "low_insulin"), ("NGP", 113, "no_insulin"), ("NGP", 12, "auto_off"), ("NGP", 52, "over_limit"),
        ("NGP", 23, "no_delivery"), ("PARADIGM", 3, "no_power"), ("PARADIGM", 62, "no_insulin"),
        ("PARADIGM", 5, "low_power"), ("PARADIGM", 7, "other"), ("NGP", "802", "other"), (None, 7, "other"),
        ("NGP", None, "other"),
    ],
)  # fmt: skip
def test_alarm_types(family: str | None, code: str | int | None, expected: str) -> None:
    device = {"manufacturer": None, "model": None, "serial": "S", "family": family}
    record = event("alarm", code=code, device=device, severity="reminder")
    body = only(to_tidepool([record]), record)
    assert body["alarmType"] == expected
    assert body["payload"].get("code") == code


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (event("battery_change"), "no_counterpart"),
        (event("mode_change", mode="auto"), "no_counterpart"),
        (event("prime", volume_u=1), "no_counterpart"),
        (event("time_change"), "no_counterpart"),
        (event("temp_target", low_mgdl=100), "no_counterpart"),
        (event("something_else"), "unmapped_event"),
        (make("pump_settings", max_bolus_u=3), "settings_incomplete"),
        (make("pump_status", iob_u=3), "empty_status"),
        (make("note", text="  "), "empty_note"),
    ],
)
def test_without_a_counterpart(record: Any, expected: str) -> None:
    assert why(record) == expected


def test_time_change_with_what_is_known() -> None:
    record = event("time_change", clock_to="2026-03-10T12:00:00", agent="phone")
    body = only(to_tidepool([record]), record)
    assert body["to"] == {"time": "2026-03-10T12:00:00"}
    assert "from" not in body
    assert "method" not in body


def test_exercise_keeps_only_words_that_are_known_there() -> None:
    body = one("exercise", intensity="sweaty", text="x" * 200)
    assert "reportedIntensity" not in body
    assert body["name"] == "x" * 100


def test_a_schedule_that_misses_midnight_is_left_out() -> None:
    late = [{"start_min": 60, "rate_u_h": 1}]
    body = one("pump_settings", active_schedule="A", basal_schedules={"A": late})
    assert "basalSchedules" not in body
    assert body["activeSchedule"] == "A"
