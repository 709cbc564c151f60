"""Rows of the first generation: units, pairs of rows, overlapping uploads, boluses of older pumps, settings."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.contracts import Decoded, Memory
from bridge.model import Bolus, BolusCalculation, MeterGlucose, PumpSettings, PumpStatus, SensorGlucose
from tests.readers.carelink_csv.exports import OLD, REVEL, decoded, g1, g1_row, of_kind, shown

AT = "3/16/15 08:00:00"
SENSOR = "AMOUNT={}, ISIG=16.54, VCNTR=-0.5, BACKFILL_INDICATOR={}"


def _one(result: Decoded, kind: str) -> Any:
    [record] = of_kind(result, kind)
    return record


# --- glucose ---


def test_mmol_files_hold_both_units_in_their_raw_values() -> None:
    rows = [
        g1_row("GlucoseSensorData", SENSOR.format("7.3", "false"), AT, seq=9),
        g1_row("GlucoseSensorData", SENSOR.format("132", "false"), "3/16/15 08:05:00", seq=8),
    ]
    readings = of_kind(decoded(g1(rows, unit="mmol/L")), "sensor_glucose")
    assert [record.mgdl for record in readings if isinstance(record, SensorGlucose)] == [132, 132]
    assert [(record.raw or {})["AMOUNT"] for record in readings] == ["7.3", "132"]


def test_limits_and_backfill_are_annotated() -> None:
    rows = [
        g1_row("GlucoseSensorDataLow", SENSOR.format(40, "true"), AT, seq=9),
        g1_row("GlucoseSensorDataHigh", SENSOR.format(400, "false"), "3/16/15 08:05:00", seq=8),
    ]
    low, high = decoded(g1(rows)).records
    assert low.annotation("bg/out-of-range") == {"code": "bg/out-of-range", "value": "low", "threshold_mgdl": 40}
    assert high.annotation("bg/out-of-range") == {"code": "bg/out-of-range", "value": "high", "threshold_mgdl": 400}
    assert low.annotation("backfilled")
    assert not high.annotation("backfilled")


@pytest.mark.parametrize(
    ("requestor", "entry"),
    [
        ("paradigm link or b key", "linked"), ("paradigm link modified", "manual"), ("pump", "manual"),
        ("null", "meter"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["CalBGForPH", "BGCapturedOnPump"])
def test_who_entered_a_meter_value(kind: str, requestor: str, entry: str) -> None:
    record = _one(decoded(g1([g1_row(kind, f"AMOUNT=134, ACTION_REQUESTOR={requestor}", AT)])), "meter_glucose")
    assert (record.mgdl, record.entry) == (134, entry)


def test_receipt_and_capture_of_one_value_are_one_reading() -> None:
    received = "AMOUNT={}, ACTION_REQUESTOR=paradigm link or b key, PARADIGM_LINK_ID=A00001"
    rows = [
        g1_row("BGReceived", received.format(134), AT, seq=9),
        g1_row("CalBGForPH", "AMOUNT=134, ACTION_REQUESTOR=paradigm link or b key", AT, seq=8),
        g1_row("BGReceived", received.format(140), AT, seq=7),
    ]
    readings = [record for record in decoded(g1(rows)).records if isinstance(record, MeterGlucose)]
    assert sorted((record.mgdl, (record.raw or {})["PARADIGM_LINK_ID"]) for record in readings) == [
        (134, "A00001"), (140, "A00001"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("JournalEntryMealMarker", "CARB_INPUT=2.5, CARB_UNITS=exchanges", ("device_event", "meal_in_exchanges")),
        ("JournalEntryMealMarker", "CARB_INPUT=0, CARB_UNITS=grams", None),
        ("JournalEntryExerciseMarker", "ACTION_REQUESTOR=pump", ("exercise", None)),
        ("SensorPacket", "PACKET_TYPE=burst, ISIG=null", ("device_event", "sensor_packet")),
        ("SensorError", "ERROR_TYPE=other", ("device_event", "sensor_error")),
        ("GlucoseSensorData", SENSOR.format("null", "false"), ("sensor_glucose", None)),
        ("BrandNewThing2", "SOME_KEY=1", ("device_event", "brand_new_thing2")),
        ("BrandNewThing2", "", ("device_event", "brand_new_thing2")),
    ],
)
def test_other_rows(kind: str, values: str, said: tuple[str, str | None] | None) -> None:
    records = decoded(g1([g1_row(kind, values, AT)])).records
    assert [(record.kind, getattr(record, "event", None)) for record in records] == ([said] if said else [])


def test_more_than_two_hundred_bad_rows_are_counted() -> None:
    result = decoded(g1([g1_row("Prime", "AMOUNT=x", AT, seq=n) for n in range(250)]))
    assert len(result.diagnostics) == 201
    assert result.diagnostics[-1].text == "250 rows were rejected in all."


def test_rows_without_a_place_in_the_log_are_read_alone() -> None:
    rows = [row.replace(",50000001,", ",,") for row in (_wizard(AT, 11), _normal("3/16/15 08:00:01", 10))]
    boluses, calculations = _boluses(rows)
    assert (boluses[0].calculation_id, calculations[0].bolus_id) == (None, None)


# --- boluses ---

WIZARD = (
    "BG_INPUT={bg}, BG_UNITS={unit}, CARB_INPUT={carbs}, CARB_UNITS={carb_unit}, CARB_RATIO=12, "
    "INSULIN_SENSITIVITY=40, BG_TARGET_LOW=90, BG_TARGET_HIGH=120, BOLUS_ESTIMATE=5, CORRECTION_ESTIMATE=0, "
    "FOOD_ESTIMATE=5, UNABSORBED_INSULIN_TOTAL=0, UNABSORBED_INSULIN_COUNT=0, ACTION_REQUESTOR=pump"
)


def _wizard(at: str, seq: int, device: str = REVEL, **told: object) -> str:
    values = {"bg": 0, "unit": "mg dl", "carbs": 60, "carb_unit": "grams", **told}
    return g1_row("BolusWizardBolusEstimate", WIZARD.format(**values), at, seq=seq, device=device)


def _normal(at: str, seq: int, given: float = 5, dual: bool = False, device: str = REVEL, planned: float = 5) -> str:
    flag = str(dual).lower()
    values = f"AMOUNT={given}, PROGRAMMED_AMOUNT={planned}, ACTION_REQUESTOR=pump, IS_DUAL_COMPONENT={flag}"
    return g1_row("BolusNormal", values, at, seq=seq, device=device)


def _square(at: str, seq: int, given: float = 2, device: str = REVEL, dual: bool = True) -> str:
    flag = str(dual).lower()
    values = f"AMOUNT={given}, PROGRAMMED_AMOUNT=2, ACTION_REQUESTOR=pump, DURATION=3600000, IS_DUAL_COMPONENT={flag}"
    return g1_row("BolusSquare", values, at, seq=seq, device=device)


def _boluses(rows: list[str]) -> tuple[list[Bolus], list[BolusCalculation]]:
    records = decoded(g1(rows)).records
    return (
        [record for record in records if isinstance(record, Bolus)],
        [record for record in records if isinstance(record, BolusCalculation)],
    )


@pytest.mark.parametrize(
    ("device", "wizard", "square"),
    [(REVEL, 12, 11), (REVEL, 13, 11), (OLD, 11, 9), (OLD, 12, 9), ("MiniMed 530G - 551", 12, 11)],
)
def test_a_dual_bolus_finds_its_parts_by_the_pumps_age(device: str, wizard: int, square: int) -> None:
    rows = [
        _wizard("3/16/15 08:00:00", wizard, device),
        _normal("3/16/15 08:00:01", 10, dual=True, device=device),
        _square("3/16/15 08:02:00", square, device=device),
    ]
    [bolus], [calculation] = _boluses(rows)
    assert (bolus.shape, bolus.immediate_u, bolus.extended_u, bolus.duration_min) == ("dual", 5, 2, 60)
    assert (bolus.calculation_id, calculation.bolus_id) == (calculation.id, bolus.id)
    assert not bolus.annotations


def test_a_square_part_one_place_further_is_taken_with_a_note() -> None:
    [bolus], _ = _boluses([_normal(AT, 10, dual=True), _square("3/16/15 08:02:00", 12)])
    assert [note["code"] for note in bolus.annotations] == ["bolus/long-search"]


def test_a_dual_without_its_square_part_is_told() -> None:
    [bolus], _ = _boluses([_normal(AT, 10, dual=True)])
    assert (bolus.shape, [note["code"] for note in bolus.annotations]) == (
        "normal",
        ["bolus/missing-square-component"],
    )


def test_a_lone_square_with_its_calculation() -> None:
    [bolus], [calculation] = _boluses([_wizard(AT, 11), _square("3/16/15 08:00:01", 10, given=1)])
    assert (bolus.shape, bolus.delivered_u, bolus.programmed_u) == ("square", 1, 2)
    assert (bolus.duration_min, bolus.delivered_duration_min) == (60, 30)
    assert calculation.bolus_id == bolus.id


def test_a_square_of_nothing_programmed_divides_by_nothing() -> None:
    row = _square(AT, 10, given=0).replace("PROGRAMMED_AMOUNT=2", "PROGRAMMED_AMOUNT=0")
    [bolus], _ = _boluses([row])
    assert (bolus.delivered_u, bolus.delivered_duration_min) == (0, 60)


def test_a_calculation_that_another_replaced_was_cancelled() -> None:
    rows = [_wizard("3/16/15 08:00:00", 12), _wizard("3/16/15 08:01:00", 11), _normal("3/16/15 08:01:00", 10)]
    [bolus], [calculation] = _boluses(rows)
    assert calculation.bolus_id == bolus.id
    assert calculation.device_time is not None
    assert calculation.device_time.minute == 1


def test_a_calculation_without_a_bolus_is_kept_alone() -> None:
    boluses, [calculation] = _boluses([_wizard("3/16/15 08:00:00", 12), _normal("3/16/15 08:06:00", 11)])
    assert calculation.bolus_id is None
    assert [bolus.requested_by for bolus in boluses] == ["manual"]


def test_an_interrupted_bolus() -> None:
    [bolus], _ = _boluses([_normal(AT, 10, given=1.2)])
    assert (bolus.delivered_u, bolus.programmed_u, bolus.completed) == (1.2, 5, True)


def test_exchanges_are_no_grams() -> None:
    _, [calculation] = _boluses([_wizard(AT, 12, carbs="2.5", carb_unit="exchanges")])
    assert (calculation.carbs_g, calculation.carb_exchanges, calculation.carb_ratio_g_u) == (None, 2.5, None)


def test_glucose_of_a_mmol_calculator() -> None:
    _, [calculation] = _boluses([_wizard(AT, 12, bg="7.3", unit="mmol l")])
    assert (calculation.bg_mgdl, calculation.target_low_mgdl, calculation.isf_mgdl_u) == (132, 90, 40)


def test_contributors_of_the_active_insulin_stay_with_the_calculation() -> None:
    part = "BOLUS_ESTIMATE_DATUM=10000000012, INDEX=0, AMOUNT=0.3, RECORD_AGE=1, INSULIN_ACTION_CURVE=300"
    result = decoded(g1([_wizard(AT, 12), g1_row("UnabsorbedInsulin", part, AT, seq=11)]))
    [record] = result.records
    assert [one["AMOUNT"] for one in (record.raw or {})["unabsorbed"]] == ["0.3"]


# --- overlapping uploads ---


def test_what_two_uploads_tell_is_told_once() -> None:
    first = [_wizard(AT, 12), _normal(AT, 11), g1_row("GlucoseSensorData", SENSOR.format(120, "false"), AT, seq=90)]
    second = [row.replace("50000001", "50000002").replace("100000000", "200000000") for row in first]
    once, twice = decoded(g1(first)), decoded(g1([*first, *second]))
    assert shown(once) == shown(twice)


@pytest.mark.parametrize("key", ["NEW_CONFIG_DATUM", "NEW_CONFIG_DATUM_ID"])
def test_row_numbers_of_the_server_are_no_part_of_a_key(key: str) -> None:
    first = g1_row("ChangeSensorSetup2", f"{key}=15046830459, ACTION_REQUESTOR=pump", AT)
    again = g1_row("ChangeSensorSetup2", "NEW_CONFIG_DATUM=77, ACTION_REQUESTOR=pump", AT, raw_id=5, upload="6")
    assert [record.id for record in decoded(g1([first])).records] == [
        record.id for record in decoded(g1([again])).records
    ]


def test_two_equal_rows_of_one_upload_are_two_events() -> None:
    prime = "AMOUNT=0.3, PROGRAMMED_AMOUNT=0.3, PRIME_TYPE=fixed, ACTION_REQUESTOR=pump"
    one, other = decoded(g1([g1_row("Prime", prime, AT, seq=9), g1_row("Prime", prime, AT, seq=8)])).records
    assert other.source_key in (f"{one.source_key}#2", one.source_key.removesuffix("#2"))
    assert one.id != other.id


def test_a_bolus_that_a_later_upload_tells_anew_keeps_its_id() -> None:
    early = _square(AT, 12, given=0.8, dual=False)
    later = _square(AT, 12, given=2, dual=False).replace("50000001", "50000002")
    [running], [finished] = decoded(g1([early])).records, decoded(g1([early, later])).records
    assert isinstance(running, Bolus)
    assert isinstance(finished, Bolus)
    assert (running.delivered_u, finished.delivered_u) == (0.8, 2)
    assert running.id == finished.id


# --- alarms ---


@pytest.mark.parametrize(
    ("kind", "values", "alarm", "said"),
    [
        ("AlarmPump", "RAW_TYPE=4", "No Delivery (4)", (4, "critical", "No Delivery")),
        ("AlarmPump", "RAW_TYPE=5", "Battery Depleted (5)", (5, "critical", "Battery Depleted")),
        ("AlarmPump", "RAW_TYPE=62", "Empty Reservoir (62)", (62, "high", "Empty Reservoir")),
        ("AlarmPump", "RAW_TYPE=74", "", (74, "high", "alarm 74")),
        ("AlarmSensor", "ALARM_TYPE=102, AMOUNT=61", "Low Glucose (102)", (102, "high", "Low Glucose")),
        ("AlarmSensor", "ALARM_TYPE=105, AMOUNT=0", "Sensor Alarm (105)", (105, "reminder", "Sensor Alarm")),
        ("AlarmSensor", "ALARM_TYPE=113, AMOUNT=0", "Lost Sensor (113)", (113, "normal", "Lost Sensor")),
    ],
)
def test_alarms(kind: str, values: str, alarm: str, said: tuple[int, str, str]) -> None:
    record = _one(decoded(g1([g1_row(kind, values, AT, alarm=alarm)])), "device_event")
    assert (record.event, record.code, record.severity, record.text) == ("alarm", *said)


# --- settings ---


def _settings_rows(rate: float, at: str, upload: str) -> list[str]:
    def row(kind: str, values: str, seq: int, raw_id: int = 0) -> str:
        return g1_row(kind, values, at, upload=upload, seq=seq, raw_id=raw_id)

    return [
        row("CurrentActiveBasalProfilePattern", "PATTERN_NAME=standard", 9),
        row("CurrentBasalProfilePattern", "PATTERN_NAME=standard, NUM_PROFILES=1", 10, raw_id=77),
        row("CurrentBasalProfile", f"PATTERN_DATUM=77, PROFILE_INDEX=0, RATE={rate}, START_TIME=0", 11),
        row("CurrentBatteryStatus", "STATUS=normal, VOLTAGE=140", 12),
        row("CurrentTotalRemaining", "AMOUNT=130", 13),
        row("CurrentPumpStatus", "STATUS=normal", 14),
        row("CurrentMaxBolus", "AMOUNT=15", 15),
        row("CurrentInsulinActionCurve", "AMOUNT=300", 16),
    ]


def test_an_upload_tells_settings_and_status() -> None:
    result = decoded(g1(_settings_rows(0.9, AT, "50000001")))
    settings, status = _one(result, "pump_settings"), _one(result, "pump_status")
    assert isinstance(settings, PumpSettings)
    assert isinstance(status, PumpStatus)
    assert (settings.max_bolus_u, settings.dia_min, settings.active_schedule) == (15, 300, "standard")
    assert (status.battery_v, status.reservoir_u, status.suspended) == (1.4, 130, False)
    assert status.pump_clock == status.device_time


def test_settings_are_numbered_by_how_often_they_became_current() -> None:
    rows = [
        *_settings_rows(0.9, "3/16/15 08:00:00", "50000001"),
        *_settings_rows(0.9, "3/17/15 08:00:00", "50000002"),
        *_settings_rows(1.1, "3/18/15 08:00:00", "50000003"),
        *_settings_rows(0.9, "3/19/15 08:00:00", "50000004"),
    ]
    keys = [record.source_key for record in of_kind(decoded(g1(rows)), "pump_settings")]
    assert [key.rpartition(":")[2] for key in keys] == ["1", "1", "2"]
    assert keys[0].rpartition(":")[0] == keys[2].rpartition(":")[0]


def test_the_same_file_gives_the_same_ids_whatever_was_read_in_between() -> None:
    first = g1([
        *_settings_rows(0.9, "3/16/15 08:00:00", "50000001"), *_settings_rows(1.1, "3/18/15 08:00:00", "50000003"),
    ])  # fmt: skip
    other = g1(_settings_rows(0.9, "3/25/15 08:00:00", "50000007"))
    alone = decoded(first)
    then = decoded(other, memory=Memory(state=alone.state))
    again = decoded(first, memory=Memory(state=then.state))
    assert shown(again) == shown(alone)
    assert again.state == then.state
    [later] = of_kind(then, "pump_settings")
    assert later.source_key.endswith(":2")
    assert decoded(other, memory=Memory(state={"io": 1})).state["io"] == 1


def test_settings_that_a_later_file_still_finds_keep_their_number() -> None:
    first = decoded(g1(_settings_rows(0.9, "3/16/15 08:00:00", "50000001")))
    later = decoded(g1(_settings_rows(0.9, "3/25/15 08:00:00", "50000007")), memory=Memory(state=first.state))
    earlier = decoded(g1(_settings_rows(0.9, "3/2/15 08:00:00", "49000007")), memory=Memory(state=first.state))
    [one], [other], [third] = (of_kind(result, "pump_settings") for result in (first, later, earlier))
    assert one.id == other.id == third.id


def test_a_change_that_refers_to_a_row_of_another_type_is_told() -> None:
    rows = [
        g1_row("ChangeBolusWizardSetup", "NEW_CONFIG_DATUM=1, OLD_CONFIG_DATUM=2", "3/15/15 08:00:00", seq=99),
        g1_row("ChangeBolusWizardSetupConfig", "CARB_RATIO_PATTERN_DATUM=3", "3/15/15 08:00:00", seq=98, raw_id=2),
        g1_row("Rewind", "A=b", "3/15/15 08:00:00", seq=97, raw_id=3),
        *_settings_rows(0.9, AT, "50000001"),
    ]
    result = decoded(g1(rows))
    assert "settings/incomplete" in [diagnostic.code for diagnostic in result.diagnostics]
    assert of_kind(result, "pump_settings")


def test_a_schedule_with_missing_entries_is_told() -> None:
    rows = [
        g1_row("CurrentBasalProfilePattern", "PATTERN_NAME=standard, NUM_PROFILES=3", AT, raw_id=77),
        g1_row("CurrentBasalProfile", "PATTERN_DATUM=77, PROFILE_INDEX=2, RATE=1, START_TIME=0", AT, seq=2),
    ]
    result = decoded(g1(rows))
    assert "settings/incomplete" in [diagnostic.code for diagnostic in result.diagnostics]
    assert len(_one(result, "pump_settings").basal_schedules["standard"]) == 1


def test_a_changed_limit_is_unknown_before_its_first_change() -> None:
    rows = [
        g1_row("Rewind", "A=b", "3/13/15 08:00:00", seq=100),
        g1_row("ChangeMaxBolus", "AMOUNT=12, ACTION_REQUESTOR=pump", "3/14/15 08:00:00", seq=99),
        g1_row("ChangeMaxBolus", "AMOUNT=15, ACTION_REQUESTOR=pump", "3/15/15 08:00:00", seq=98),
        *_settings_rows(0.9, AT, "50000001"),
    ]
    limits = [getattr(record, "max_bolus_u", 0) for record in of_kind(decoded(g1(rows)), "pump_settings")]
    assert limits == [None, 12, 15]


def test_ratios_in_exchanges_and_times_beyond_a_day_are_refused() -> None:
    rows = [
        *_settings_rows(0.9, AT, "50000001"),
        g1_row("CurrentCarbRatioPattern", "SIZE=2", AT, seq=30, raw_id=88),
        g1_row("CurrentCarbRatio", "PATTERN_DATUM=88, INDEX=0, AMOUNT=1, UNITS=exchanges, START_TIME=0", AT, seq=31),
        g1_row("CurrentCarbRatio", "PATTERN_DATUM=88, INDEX=1, AMOUNT=1, START_TIME=86400000", AT, seq=32),
        g1_row("CurrentMaxBasal", "RATE=x", AT, seq=33),
    ]
    result = decoded(g1(rows))
    codes = [diagnostic.code for diagnostic in result.diagnostics]
    assert codes.count("row/rejected") == 3
    settings = _one(result, "pump_settings")
    assert (settings.carb_ratios, settings.max_basal_u_h) == ((), None)


def test_an_active_schedule_that_contradicts_is_annotated() -> None:
    values = "PATTERN_NAME=pattern a, OLD_PATTERN_NAME=pattern b, ACTION_REQUESTOR=pump"
    rows = [g1_row("Rewind", "A=b", "3/13/15 08:00:00", seq=100)]
    rows += [g1_row("ChangeActiveBasalProfilePattern", values, "3/15/15 08:00:00", seq=98)]
    rows += _settings_rows(0.9, AT, "50000001")
    before, after = of_kind(decoded(g1(rows)), "pump_settings")
    assert after.annotation("settings/active-schedule-mismatch")
    assert [getattr(record, "active_schedule", "") for record in (before, after)] == ["pattern b", "standard"]
