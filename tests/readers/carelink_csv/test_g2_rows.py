"""Rules of the second generation that the vectors do not hold."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.model import Basal, Bolus, Calibration, MeterGlucose, SensorGlucose
from tests.readers.carelink_csv.exports import decoded, g2, g2_row, of_kind, shown, wall

DAY = "2025/01/31"


def _row(time: str, **cells: str) -> str:
    return g2_row(f"{DAY} {time}", **cells)


def _bolus(time: str, **cells: str) -> str:
    names = {"kind": "Bolus_Type", "selected": "Bolus_Volume_Selected", "given": "Bolus_Volume_Delivered"}
    more = {"minutes": "Bolus_Duration", "n": "Bolus_Number", "source": "Bolus_Source"}
    return _row(time, **{(names | more).get(name, name): text for name, text in {"kind": "Normal", **cells}.items()})


def _boluses(*rows: str) -> list[Bolus]:
    return [record for record in decoded(g2(rows[::-1])).records if isinstance(record, Bolus)]


# --- boluses ---


def test_programmed_and_delivered_rows_join_on_their_number() -> None:
    [bolus] = _boluses(
        _bolus("18:00:00", selected="4.5", n="7"),
        _bolus("18:02:00", selected="4.5", given="3.1", n="7", Bolus_Cancellation_Reason="USER"),
    )
    assert (bolus.device_time, bolus.programmed_u, bolus.delivered_u) == (wall(2025, 1, 31, 18), 4.5, 3.1)
    assert bolus.completed
    assert (bolus.raw or {})["Bolus Cancellation Reason"] == "USER"


def test_without_numbers_equal_amounts_join_while_they_can_be_one() -> None:
    assert len(_boluses(_bolus("18:00:00", selected="4.5"), _bolus("18:02:00", selected="4.5", given="4.5"))) == 1
    assert len(_boluses(_bolus("18:00:00", selected="4.5"), _bolus("18:06:00", selected="4.5", given="4.5"))) == 2
    square = {"kind": "Square", "minutes": "1:00:00", "selected": "4.5"}
    assert len(_boluses(_bolus("18:00:00", **square), _bolus("19:04:00", **square, given="4.5"))) == 1


def test_numbers_that_come_again_the_next_day_are_another_bolus() -> None:
    rows = [
        g2_row("2025/01/30 08:00:00", Bolus_Volume_Selected="2", Bolus_Number="7"),
        _bolus("09:00:00", selected="4", given="4", n="7"),
    ]
    old, new = _boluses(*rows)
    assert (old.delivered_u, old.completed) == (0, False)
    assert old.annotation("bolus/provisional")
    assert (new.delivered_u, new.completed) == (4, True)


def test_a_delivered_row_alone_is_a_bolus_of_its_own_time() -> None:
    [bolus] = _boluses(_bolus("18:02:00", given="4.5"))
    assert (bolus.device_time, bolus.programmed_u, bolus.delivered_u) == (wall(2025, 1, 31, 18, 2), None, 4.5)


def test_the_parts_of_a_dual_are_one_bolus_by_number() -> None:
    [bolus] = _boluses(
        _bolus("18:00:00", kind="Dual/Normal", selected="3", given="3", n="9"),
        _bolus("18:01:00", kind="Dual/Square", selected="2", minutes="2:00:00", n="9"),
        _bolus("19:01:00", kind="Dual/Square", selected="2", given="1", minutes="2:00:00", n="9"),
    )
    _assert_dual(bolus)


def test_the_parts_of_a_dual_are_one_bolus_by_time() -> None:
    [bolus] = _boluses(
        _bolus("18:00:00", kind="Dual/Normal", selected="3", given="3"),
        _bolus("18:01:00", kind="Dual/Square", selected="2", given="1", minutes="2:00:00"),
    )
    _assert_dual(bolus)


def test_parts_that_do_not_fit_stay_apart() -> None:
    normal = _bolus("18:00:00", kind="Dual/Normal", selected="3", given="3")
    late = _bolus("19:00:00", kind="Dual/Square", selected="2", given="2", minutes="2:00:00")
    square = _bolus("20:00:00", kind="Square", selected="2", given="2", minutes="2:00:00")
    assert [bolus.shape for bolus in _boluses(normal, late, square)] == ["normal", "square", "square"]
    programmed = _bolus("18:00:00", kind="Normal", selected="3", n="1")
    assert len(_boluses(programmed, _bolus("18:01:00", kind="Square", selected="3", given="3", n="1"))) == 2
    assert len(_boluses(_bolus("18:00:00", selected="3"), _bolus("18:01:00", given="3"))) == 2


def _assert_dual(bolus: Bolus) -> None:
    assert (bolus.shape, bolus.immediate_u, bolus.extended_u) == ("dual", 3, 1)
    assert (bolus.delivered_u, bolus.programmed_u) == (4, 5)
    assert (bolus.duration_min, bolus.delivered_duration_min) == (120, 60)


@pytest.mark.parametrize(
    ("source", "automatic", "by"),
    [
        ("CLOSED_LOOP_AUTO_BOLUS", True, "closed_loop"),
        ("CLOSED_LOOP_BG_CORRECTION", True, "closed_loop"),
        ("CLOSED_LOOP_BG_CORRECTION_AND_FOOD_BOLUS", False, "wizard"),
        ("BOLUS_WIZARD", False, "wizard"),
        ("MANUAL", False, "manual"),
        ("EASY_BOLUS", False, "easy"),
        ("BRAND_NEW_TOKEN", False, None),
    ],
)
def test_who_asked_for_a_bolus(source: str, automatic: bool, by: str | None) -> None:
    [bolus] = _boluses(_bolus("18:02:00", given="4.5", source=source))
    assert (bolus.automatic, bolus.requested_by) == (automatic, by)
    assert (bolus.raw or {})["Bolus Source"] == source


def test_daily_totals_are_never_insulin_and_micro_doses_are_basal() -> None:
    rows = [
        _bolus("00:00:00", given="14.2", source="CLOSED_LOOP_AUTO_INSULIN"),
        _bolus("08:00:00", selected="0.1", given="0.1", source="CLOSED_LOOP_AUTO_BASAL"),
    ]
    total, dose = decoded(g2(rows)).records
    assert (total.kind, getattr(total, "event", "")) == ("device_event", "daily_auto_insulin_total")
    assert isinstance(dose, Basal)
    assert (dose.delivery, dose.dose_u, dose.rate_u_h, dose.duration_min) == ("automatic", 0.1, 1.2, 5)


def test_a_calculation_finds_the_next_bolus_of_its_amount() -> None:
    rows = [
        _row("18:00:00", BWZ_Estimate="4.5", BWZ_Carb_Input="45"),
        _bolus("18:01:00", selected="2", given="2", n="1"),
        _bolus("18:02:00", selected="4.5", given="4.5", n="2"),
        _row("18:03:00", BWZ_Estimate="9", Final_Bolus_Estimate="8", BWZ_Carb_Input="80"),
        _bolus("18:09:00", selected="8", given="8", n="3"),
    ]
    result = decoded(g2(rows[::-1]))
    linked = {record.programmed_u: record.calculation_id for record in result.records if isinstance(record, Bolus)}
    first, second = of_kind(result, "bolus_calculation")
    assert linked == {2: None, 4.5: first.id, 8: None}
    assert getattr(second, "bolus_id", "") is None


# --- basals ---


def _line(*rows: str) -> list[tuple[Any, ...]]:
    records = [record for record in decoded(g2(rows[::-1])).records if isinstance(record, Basal)]
    return [
        (f"{record.device_time:%H:%M}", record.delivery, record.rate_u_h, record.percent, record.duration_min)
        for record in records
    ]


def test_a_scheduled_rate_lasts_until_the_next_fact_and_at_most_a_day() -> None:
    assert _line(
        _row("06:00:00", Basal_Rate="1.2"),
        _row("08:00:00", Temp_Basal_Amount="0.5", Temp_Basal_Type="Rate", Temp_Basal_Duration="0:30:00"),
        _row("10:00:00", Basal_Rate="0.8"),
        _row("12:00:00", Suspend="SUSPEND_BEFORE_LOW"),
        _row("13:00:00", Suspend="NORMAL_PUMPING"),
        _row("14:00:00", Basal_Rate="0.9"),
        _bolus("15:00:00", selected="0.1", given="0.1", source="CLOSED_LOOP_AUTO_BASAL"),
    ) == [
        ("06:00", "scheduled", 1.2, None, 120),
        ("08:00", "temporary", 0.5, None, 30),
        ("10:00", "scheduled", 0.8, None, 120),
        ("12:00", "suspended", 0, None, 60),
        ("14:00", "scheduled", 0.9, None, 60),
        ("15:00", "automatic", 1.2, None, 5),
    ]
    old = g2_row("2025/01/20 06:00:00", Basal_Rate="1.2")
    assert _line(old, _row("06:00:00", Basal_Rate="0.7"))[0][4] == 1440


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("USER_SUSPEND", "user"), ("ALARM_SUSPEND", "alarm"), ("LOW_SG_SUSPEND", "on_low"),
        ("SUSPEND_BEFORE_LOW", "before_low"), ("SUSPENDED", None),
    ],
)  # fmt: skip
def test_why_a_pump_was_suspended(text: str, reason: str | None) -> None:
    [record] = decoded(g2([_row("12:00:00", Suspend=text)])).records
    assert (getattr(record, "delivery", ""), getattr(record, "suspend_reason", "")) == ("suspended", reason)


# --- glucose ---


@pytest.mark.parametrize(
    ("text", "side", "limit"), [("LOW", "low", 40), ("Below 50 mg/dL LOW", "low", 50), (">400", "high", 400)]
)
def test_readings_beyond_the_range_are_told_in_words(text: str, side: str, limit: int) -> None:
    [record] = decoded(g2(sensor=[_row("12:00:00", Sensor_Glucose=text)])).records
    assert isinstance(record, SensorGlucose)
    assert record.mgdl == limit
    assert record.annotation("bg/out-of-range") == {
        "code": "bg/out-of-range", "value": side, "threshold_mgdl": limit,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("exception", "quality"),
    [("SENSOR_CAL_PENDING", "calibrating"), ("SENSOR_INIT", "warmup"), ("SENSOR_DISCONNECTED", "fault")],
)
def test_a_sensor_row_without_a_reading_is_a_state(exception: str, quality: str) -> None:
    [record] = decoded(g2(sensor=[_row("12:00:00", ISIG_Value='"20,9"', Sensor_Exception=exception)])).records
    assert isinstance(record, SensorGlucose)
    assert (record.mgdl, record.quality, record.isig_na) == (None, quality, 20.9)


def test_one_finger_stick_that_is_told_thrice_is_one_reading_and_a_calibration() -> None:
    rows = [
        _row("12:00:00", BG_Source="BG_READING_RECEIVED", BG_Reading="131"),
        _row("12:01:00", BG_Source="USER_ACCEPTED_REMOTE_BG", BG_Reading="131"),
        _row("12:02:00", BG_Source="BG_SENT_FOR_CALIB", BG_Reading="131"),
        _row("12:03:00", BG_Source="BG_READING_RECEIVED", BG_Reading="131"),
    ]
    records = decoded(g2(rows[::-1])).records
    readings = [record for record in records if isinstance(record, MeterGlucose)]
    assert [(record.device_time, record.entry) for record in readings] == [
        (wall(2025, 1, 31, 12), "linked"), (wall(2025, 1, 31, 12, 3), "linked"),
    ]  # fmt: skip
    assert [record.mgdl for record in records if isinstance(record, Calibration)] == [131]


def test_a_refused_calibration() -> None:
    row = _row("12:00:00", Sensor_Calibration_BG="131", Sensor_Calibration_Rejected_Reason="BG_OUT_OF_RANGE")
    [record] = decoded(g2(sensor=[row])).records
    assert isinstance(record, Calibration)
    assert record.accepted is False


# --- log book and the rest ---


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("Meal: 45.00grams", "carbs", {"grams": 45}),
        ("Meal: 45,50", "carbs", {"grams": 45.5}),
        ("Insulin: 27,00", "injection", {"dose_u": 27, "action": None}),
        ("Exercise", "exercise", {"text": "Exercise"}),
        ("Felt odd: dizzy", "note", {"text": "Felt odd: dizzy"}),
    ],
)
def test_event_markers(text: str, kind: str, said: dict[str, Any]) -> None:
    [record] = decoded(g2([_row("12:00:00", Event_Marker=f'"{text}"')])).records
    assert record.kind == kind
    shown_record = record.model_dump()
    assert {name: shown_record[name] for name in said} == said


def test_cells_without_a_place_stay_as_they_are() -> None:
    rows = [
        _row("12:00:00", Insulin_Action_Curve_Time="4:00:00"),
        _row("12:01:00", BLE_Network_Device="phone"),
        _row("12:02:00", Bolus_Number="7"),
        _row("12:03:00", User_Cleared_Alerts="LOW SG"),
    ]
    events = decoded(g2(rows[::-1])).records
    assert [getattr(record, "event", "") for record in events] == [
        "setting_change", "network_device", "other", "alarm_cleared",
    ]  # fmt: skip
    assert [record.raw for record in events][:3] == [
        {"Insulin Action Curve Time": "4:00:00"}, {"BLE Network Device": "phone"}, {"Bolus Number": "7"},
    ]  # fmt: skip


def test_rows_that_overlapping_windows_repeat_are_one() -> None:
    row = _row("12:00:00", Sensor_Glucose="120")
    assert shown(decoded(g2(sensor=[row, row]))) == shown(decoded(g2(sensor=[row])))


def test_two_meals_of_one_second_are_two() -> None:
    rows = [_row("12:00:00", Event_Marker=f"Meal: {grams}grams") for grams in (10, 20)]
    assert len({record.id for record in decoded(g2(rows)).records}) == 2


def test_a_row_whose_cells_are_shifted_is_refused() -> None:
    """A decimal comma that nobody quoted."""
    good = [_row(f"12:{minute}:00", Sensor_Glucose="120") for minute in range(10, 15)]
    result = decoded(g2(sensor=[*good, _row("13:00:00", ISIG_Value="20,9", Sensor_Exception="SENSOR_INIT")]))
    assert len(result.records) == 5
    [line] = [diagnostic.text for diagnostic in result.diagnostics]
    assert line.endswith("it has more cells than the table has columns.")


def test_rows_that_all_end_with_a_delimiter_are_read() -> None:
    rows = [_row(f"12:{minute}:00", Sensor_Glucose="120") + "," for minute in range(10, 15)]
    assert len(decoded(g2(sensor=rows)).records) == 5


def test_a_bad_cell_leaves_the_rest_of_its_row_standing() -> None:
    result = decoded(g2([_row("12:00:00", BG_Reading="abc", Rewind="Rewind", Basal_Rate="1.0")]))
    assert sorted(record.kind for record in result.records) == ["basal", "device_event"]
    assert [diagnostic.text for diagnostic in result.diagnostics] == ["Line 7: `BG Reading` is not a number."]
    assert not result.understood
