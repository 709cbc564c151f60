"""Nightscout documents that the shared sets do not hold: settings, missing parts, edges."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.stepping import map_lines
from bridge.model import second_id
from tests.adapters.mapping.made import (
    METER,
    documents,
    dose,
    event,
    make,
    only,
    readings,
    reason,
    to_nightscout,
)


def one(kind: str, settings: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    record = make(kind, **fields)
    return only(to_nightscout([record], **(settings or {})), record)


def why(record: Any, **settings: Any) -> str | None:
    return reason(to_nightscout([record], **settings), record)


@pytest.mark.parametrize(
    ("trend", "rate", "legacy"),
    [
        ("forty_five_up", "FortyFiveUp", "SingleUp"), ("single_up", "SingleUp", "DoubleUp"),
        ("double_up", "DoubleUp", "TripleUp"), ("triple_up", "TripleUp", "TripleUp"),
        ("forty_five_down", "FortyFiveDown", "SingleDown"), ("single_down", "SingleDown", "DoubleDown"),
        ("double_down", "DoubleDown", "TripleDown"), ("triple_down", "TripleDown", "TripleDown"),
        ("flat", "Flat", "Flat"), ("none", "NONE", "NONE"),
    ],
)  # fmt: skip
def test_arrows(trend: str, rate: str, legacy: str) -> None:
    assert one("sensor_glucose", mgdl=100, trend=trend)["direction"] == rate
    assert one("sensor_glucose", {"arrows": "legacy"}, mgdl=100, trend=trend)["direction"] == legacy


def test_low_readings_are_never_error_codes() -> None:
    assert one("sensor_glucose", mgdl=12)["sgv"] == 39


def test_meter_as_an_entry() -> None:
    record = make("meter_glucose", mgdl=96, device=METER, reader="ble-glucose")
    (line,) = map_lines(to_nightscout([record], meter="mbg"))
    assert line["path"] == "/api/v1/entries.json"
    assert line["document"] == {
        "type": "mbg", "mbg": 96, "date": 1773100800000, "dateString": "2026-03-10T00:00:00.000Z",
        "device": "ble-glucose://CONTOUR", "identifier": record.id,
    }  # fmt: skip


def test_notes_of_a_finger_stick() -> None:
    far = {"code": "bg/out-of-range", "value": "high", "threshold_mgdl": 600}
    assert one("meter_glucose", mgdl=601, meal="after", annotations=[far])["notes"] == "above 600 mg/dL; after meal"
    assert one("meter_glucose", mgdl=601, annotations=[far | {"threshold_mgdl": None}])["notes"] == "above range"
    assert "notes" not in one("meter_glucose", mgdl=601, annotations=[far | {"value": "?"}])


@pytest.mark.parametrize(
    ("family", "model", "name"),
    [("NGP", "X", "NGP"), (None, "MMT-1", "MMT-1"), (None, None, "unknown"), (" ", "a<b&c", "a‹b+c")],
)
def test_device_names(family: str | None, model: str | None, name: str) -> None:
    device = {"manufacturer": None, "model": model, "serial": "SECRET", "family": family}
    body = one("note", text="x", device=device)
    assert body["device"] == f"carelink://{name}"
    assert "SECRET" not in str(body)


BOLUS: dict[str, Any] = {"delivered_u": 2, "programmed_u": 2}


def bolus(**fields: Any) -> dict[str, Any]:
    return one("bolus", **(BOLUS | fields))


def test_an_unknown_meal_is_still_a_meal_bolus() -> None:
    body = bolus(carbs_id="not-here-yet")
    assert body["eventType"] == "Meal Bolus"
    assert "carbs" not in body


def test_exchanges() -> None:
    calculation = make("bolus_calculation", carb_exchanges=2.5)
    record = make("bolus", 1, **BOLUS, calculation_id=calculation.id)
    body = only(to_nightscout([calculation, record]), record)
    assert (body["eventType"], body["notes"]) == ("Meal Bolus", "2.5 exchanges")
    assert "carbs" not in body


@pytest.mark.parametrize(("delivered", "interrupted"), [(1.9875, False), (1.987, True), (2, False), (2.1, False)])
def test_interrupted_only_when_clearly_short(delivered: float, interrupted: bool) -> None:
    assert ("notes" in bolus(delivered_u=delivered)) is interrupted


def test_a_running_square_without_insulin_yet_shows_its_plan() -> None:
    body = bolus(shape="square", delivered_u=0, completed=False, programmed_extended_u=2, duration_min=60)
    assert (body["enteredinsulin"], body["relative"], body["notes"]) == (2, 2, "in progress")
    assert "insulin" not in body


def test_a_square_of_unknown_delivered_length_takes_the_programmed_one() -> None:
    assert bolus(shape="square", extended_u=2, duration_min=30)["relative"] == 4


def test_a_part_over_time_of_unknown_length_counts_as_given_at_once() -> None:
    body = bolus(shape="square", extended_u=2, requested_by="manual")
    assert (body["eventType"], body["insulin"]) == ("Bolus", 2)


def test_a_dual_whose_halves_are_not_named() -> None:
    body = bolus(shape="dual", extended_u=0.5, delivered_duration_min=30)
    assert (body["insulin"], body["enteredinsulin"], body["splitNow"], body["splitExt"]) == (1.5, 2, 75, 25)


def test_split_always_sums_to_hundred() -> None:
    for immediate in (0, 0.1, 0.333, 1.995):
        body = bolus(shape="dual", immediate_u=immediate, extended_u=2 - immediate, duration_min=30)
        assert body["splitNow"] + body["splitExt"] == 100


def test_an_automatic_bolus_that_has_not_begun() -> None:
    assert why(make("bolus", delivered_u=0, completed=False, automatic=True)) == "nothing_delivered_yet"


def test_a_calculation_waits_for_its_bolus() -> None:
    calculation = make("bolus_calculation", bg_mgdl=200)
    record = make("bolus", 1, delivered_u=0, programmed_u=2, completed=False, calculation_id=calculation.id)
    desired = to_nightscout([calculation, record])
    assert reason(desired, calculation) == "waits_for_bolus"
    assert reason(desired, record) == "nothing_delivered_yet"


def test_carbs_first_then_the_bolus() -> None:
    carbs = make("carbs", grams=30)
    assert only(to_nightscout([carbs]), carbs)["eventType"] == "Carb Correction"
    record = make("bolus", 1, **BOLUS, carbs_id=carbs.id)
    later = to_nightscout([carbs, record])
    assert set(later.documents) == {record.id}
    assert later.documents[record.id].body["carbs"] == 30


def test_injections_on_board_only_when_quick() -> None:
    for action in ("rapid", "short"):
        assert one("injection", dose_u=4, action=action)["insulin"] == 4
    for other in ("intermediate", "long", "mixed", None):
        body = one("injection", dose_u=4, action=other)
        assert body["eventType"] == "Note"
        assert "insulin" not in body


def pause(between: float = 30, extra: tuple[Any, ...] = (), heard: bool = True) -> Any:
    first, second = dose(0), dose(between)
    listened = readings(1, between) if heard else []
    desired = to_nightscout([first, second, *listened, *extra])
    return desired.documents.get(second_id(first.id, "zero"))


def test_a_proven_pause_is_zero() -> None:
    body = pause().body
    assert (body["created_at"], body["duration"]) == ("2026-03-10T00:05:00.000Z", 25)
    assert (body["absolute"], body["rate"], body["automatic"]) == (0, 0, True)
    assert body["identifier"] == body["syncIdentifier"] == pause().key
    assert pause().record_id == dose(0).id


@pytest.mark.parametrize(("between", "drawn"), [(6, False), (6.001, True), (180, True), (180.001, False), (5, False)])
def test_how_long_a_pause_may_be(between: float, drawn: bool) -> None:
    assert (pause(between) is not None) is drawn


def test_unknown_is_not_zero() -> None:
    assert pause(heard=False) is None
    assert pause(15, heard=False) is not None
    assert pause(extra=(event("mode_change", 10, mode="manual"),)) is None
    assert pause(extra=(event("mode_change", 31, mode="manual"),)) is not None
    assert pause(extra=(make("basal", 10, delivery="suspended", rate_u_h=0),)) is None
    assert pause(4, heard=False) is None
    assert to_nightscout([dose(0), *readings(1, 60)]).fates[dose(0).id].documents == 1


def test_a_silence_of_more_than_sixteen_minutes_proves_nothing() -> None:
    first, second = dose(0), dose(32.1)
    for minute, heard in ((16, False), (16.1, False), (16.05, False)):
        assert (len(to_nightscout([first, second, make("sensor_glucose", minute)]).documents) == 3) is heard
    assert len(to_nightscout([first, dose(32), make("sensor_glucose", 16)]).documents) == 3


def basal(**fields: Any) -> dict[str, Any]:
    return one("basal", None, **({"delivery": "temporary", "rate_u_h": 0.5} | fields))


def test_running_ends_of_the_basal_line() -> None:
    programmed = {"code": "basal/open", "programmed_min": 45}
    assert basal()["duration"] == 30
    assert basal(annotations=[programmed])["duration"] == 45
    assert basal(annotations=[programmed | {"programmed_min": None}])["duration"] == 30
    suspended = {"delivery": "suspended", "rate_u_h": 0}
    expected = {"user": 1440, "alarm": 1440, None: 1440, "before_low": 120, "on_low": 120}
    for suspend_reason, minutes in expected.items():
        body = basal(**suspended, suspend_reason=suspend_reason)
        assert body["duration"] == minutes
        assert ("automatic" in body) is (minutes == 120)
    assert basal(**suspended)["notes"] == "Pump suspended"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"percent": 100}, "temp_is_schedule"),
        ({}, "temp_rate_unknown"),
        ({"delivery": "automatic"}, "rate_unknown"),
        ({"delivery": "scheduled"}, "scheduled_is_profile"),
        ({"delivery": "scheduled", "rate_u_h": 1, "duration_min": 0}, "scheduled_is_profile"),
        ({"rate_u_h": 1, "duration_min": 0}, "zero_length"),
        ({"rate_u_h": 1, "duration_min": 0.004}, "zero_length"),
        ({"delivery": "suspended", "duration_min": 0}, "zero_length"),
    ],
)
def test_no_number_is_invented(fields: dict[str, Any], expected: str) -> None:
    assert why(make("basal", 0, "", **({"delivery": "temporary", "duration_min": 30} | fields))) == expected


def test_scheduled_as_temp_by_setting() -> None:
    body = one("basal", {"basal_scheduled": "temp"}, delivery="scheduled", rate_u_h=0.8, duration_min=60)
    assert (body["absolute"], body["rate"], body["duration"]) == (0.8, 0.8, 60)
    assert "automatic" not in body


@pytest.mark.parametrize(
    ("alarms", "sent"),
    [
        ("none", set()), ("critical", {"critical"}), ("high", {"critical", "high"}),
        ("normal", {"critical", "high", "normal"}), ("all", {"critical", "high", "normal", "low", "reminder", None}),
    ],
)  # fmt: skip
def test_alarm_classes(alarms: str, sent: set[str | None]) -> None:
    for severity in ("critical", "high", "normal", "low", "reminder", None):
        expected = None if severity in sent else "alarm_class_off"
        assert why(event("alarm", severity=severity), alarms=alarms) == expected


def test_alarm_words() -> None:
    def words(**fields: Any) -> str:
        record = event("alarm", severity="critical", **fields)
        return str(only(to_nightscout([record]), record)["notes"])

    assert words(code="7", text="insulin flow blocked") == "insulin flow blocked (7)"
    assert words(code=7) == "Alarm (7)"
    assert words(text="a<b") == "a‹b"
    assert words() == "Alarm"
    assert words(code=7, state="active") == words(code=7, state="cleared")


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (event("prime", target="cannula"), {"eventType": "Site Change", "notes": "cannula"}),
        (event("mode_change", mode="exercise"), {"notes": "Auto mode: exercise"}),
        (event("time_change", clock_to="2026-03-10T12:00:00"), {"notes": "Pump clock to 2026-03-10T12:00:00"}),
        (event("time_change"), {"notes": "Pump clock set"}),
        (
            event("temp_target", low_mgdl=150, duration_min=60),
            {"targetBottom": 150, "targetTop": 150, "duration": 60},
        ),
        (make("exercise", text="run"), {"eventType": "Exercise", "notes": "run"}),
    ],
)
def test_events(record: Any, expected: dict[str, Any]) -> None:
    body = only(to_nightscout([record]), record)
    assert {name: body[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (event("temp_target", low_mgdl=150), "no_counterpart"),
        (event("temp_target", duration_min=60), "no_counterpart"),
        (event("prime", target="tubing"), "no_counterpart"),
        (event("prime"), "no_counterpart"),
        (event("mode_change"), "unmapped_event"),
        (event("something_else"), "unmapped_event"),
        (make("note", text=" \x00\x1f "), "empty_note"),
    ],
)
def test_events_without_a_word(record: Any, expected: str) -> None:
    assert why(record) == expected


def test_text_is_cleaned_and_bounded() -> None:
    assert one("note", text=" a\tb\x00<c> & d \n")["notes"] == "a b ‹c› + d"
    assert one("note", text="x" * 2000)["notes"] == "x" * 1000
    assert one("note", text="x" * 999 + " y")["notes"] == "x" * 999


def test_a_status_of_the_phone_alone() -> None:
    body = one("pump_status", uploader_battery_pct=50, reader="medtronic-600")
    assert body["uploader"] == {"battery": 50}
    assert "pump" not in body
    assert "connect" not in body
    assert why(make("pump_status", in_range=True, reader="medtronic-600")) == "empty_status"


SETTINGS: dict[str, Any] = {
    "basal_schedules": {"A.$1": [{"start_min": 0, "rate_u_h": 0.8}], "empty": []},
    "active_schedule": "A.$1",
    "carb_ratios": [{"start_min": 720, "g_u": 12}, {"start_min": 0, "g_u": 10}],
    "isf": [{"start_min": 0, "mgdl_u": 45}],
    "targets": [{"start_min": 0, "low_mgdl": 100, "high_mgdl": 120}],
}


def test_profile_in_the_sites_units() -> None:
    for settings, display in (({"site_units": "mmol"}, "mg/dL"), ({}, "mmol/L")):
        body = one("pump_settings", settings, **SETTINGS, display_unit=display)
        assert body["units"] == "mmol"
        assert body["defaultProfile"] == "A__1"
        store = body["store"]["A__1"]
        assert list(body["store"]) == ["A__1"]
        assert store["sens"][0]["value"] == 2.5
        assert (store["target_low"][0]["value"], store["target_high"][0]["value"]) == (5.55, 6.66)
        assert [entry["time"] for entry in store["carbratio"]] == ["00:00", "12:00"]
        assert "dia" not in store
    assert one("pump_settings", {"site_units": "mg/dl"}, **SETTINGS, display_unit="mmol/L")["units"] == "mg/dl"


@pytest.mark.parametrize(
    ("setting", "offset", "zone"),
    [
        ("Europe/Berlin", 60, "Europe/Berlin"), (None, 60, "Etc/GMT-1"), (None, -300, "Etc/GMT+5"),
        (None, 0, "Etc/GMT"), (None, 345, None), (None, None, None), (None, 900, None),
    ],
)  # fmt: skip
def test_profile_zones(setting: str | None, offset: int | None, zone: str | None) -> None:
    record = make("pump_settings", **SETTINGS, utc_offset_min=offset)
    desired = to_nightscout([record], timezone=setting)
    if zone is None:
        assert reason(desired, record) == "timezone_unknown"
    else:
        assert only(desired, record)["store"]["A__1"]["timezone"] == zone


@pytest.mark.parametrize("part", ["basal_schedules", "active_schedule", "carb_ratios", "isf", "targets"])
def test_half_a_profile_is_none(part: str) -> None:
    assert why(make("pump_settings", **(SETTINGS | {part: None}))) == "settings_incomplete"


def test_schedules_that_fall_together_leave_the_active_one() -> None:
    schedules = {"A.": [{"start_min": 0, "rate_u_h": 1}], "A$": [{"start_min": 0, "rate_u_h": 2}]}
    for active, rate in (("A.", 1), ("A$", 2)):
        body = one("pump_settings", **(SETTINGS | {"basal_schedules": schedules, "active_schedule": active}))
        assert body["store"]["A_"]["basal"][0]["value"] == rate


def test_documents_say_where_they_stand() -> None:
    sgv, note = make("sensor_glucose", mgdl=100), make("note", text="x")
    status, settings = make("pump_status", reservoir_u=3), make("pump_settings", **SETTINGS)
    desired = to_nightscout([sgv, note, status, settings])
    rows = {record.kind: documents(desired, record)[0] for record in (sgv, note, status, settings)}
    assert [rows[kind].rank for kind in ("sensor_glucose", "note", "pump_status", "pump_settings")] == [0, 1, 2, 3]
    assert rows["sensor_glucose"].slot_group == "entries|sgv"
    assert rows["sensor_glucose"].moves == ("date", "dateString")
    assert rows["note"].slot_group == "treatments|Note"
    assert rows["note"].moves == ("created_at",)
    assert rows["pump_status"].slot_group is rows["pump_settings"].slot_group is None
    assert rows["pump_settings"].op == "put"
