"""Text of characteristic values in, records out."""

# ruff: noqa: DTZ001 - wall clocks have no zone

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.contracts import Memory
from bridge.errors import Malformed
from bridge.model.health import State
from bridge.model.identity import record_id
from bridge.readers.ble_glucose.making import OUT_OF_RANGE, QUESTIONABLE, UNCERTAIN
from bridge.simulators.ble import values
from tests.readers.ble_glucose.bodies import WALL, capture, decoded, line, maker, note, stick


def only(lines: list[str], **context: str) -> Any:
    records = decoded(lines, **context).records
    assert len(records) == 1
    return records[0]


def codes(record: Any) -> set[str]:
    return {each["code"] for each in record.annotations}


def test_a_result_is_one_record() -> None:
    record = only([*maker("Ascensia Diabetes Care"), line("2A24", "Contour7800"), stick(1, 120)])
    assert (record.kind, record.mgdl, record.entry, record.meal) == ("meter_glucose", 120, "meter", None)
    assert record.time == datetime(2024, 5, 1, 8, 30, tzinfo=UTC)
    assert (record.device_time, record.utc_offset_min) == (WALL, 0)
    assert record.source_key == "1:20240501083000"
    assert record.id == record_id("default", "ble:0000001", "meter_glucose", "1:20240501083000")
    assert record.device.family == "CONTOUR"
    assert (record.device.model, record.device.serial) == ("Contour Next One", "0000001")
    assert not record.annotations


def test_without_a_serial_the_feed_of_the_capture_names_it() -> None:
    record = only([stick(1, 120)])
    assert record.id == record_id("default", "ble", "meter_glucose", record.source_key)


def test_the_offset_of_the_meter_is_part_of_its_time() -> None:
    record = only([stick(1, 120, offset_min=-90)])
    assert record.device_time == WALL - timedelta(minutes=90)
    assert record.source_key == "1:20240501070000"


@pytest.mark.parametrize(("tenths", "mgdl"), [(55, 99), (72, 130), (100, 180), (40, 72)])
def test_mol_becomes_mgdl_and_the_sent_value_is_kept(tenths: int, mgdl: int) -> None:
    record = only([stick(1, None, mmol_tenths=tenths)])
    assert record.mgdl == mgdl
    assert (record.raw["value"], record.raw["unit"]) == (f"{tenths / 10:g}", "mmol/L")


@pytest.mark.parametrize(("kind", "location"), [(10, 1), (1, 4), (1, 10)])
def test_control_solution_is_told_by_either_nibble(kind: int, location: int) -> None:
    assert only([stick(1, 110, kind=kind, location=location)]).control_solution


@pytest.mark.parametrize(
    ("mgdl", "status", "shown", "side", "limit"),
    [
        (601, 1 << 5, 601, "high", 600),
        (334, 1 << 5, 334, "high", 333),
        (19, 1 << 6, 19, "low", 20),
        (0, 1 << 6, 10, "low", 10),
        (0, 1 << 5, 601, "high", 600),
        (650, None, 650, "high", 600),
        (1200, 1 << 5, 1000, "high", 600),
        (5, None, 10, "low", 10),
        (None, 1 << 5, 601, "high", 600),
    ],
)
def test_high_and_low(mgdl: int | None, status: int | None, shown: int, side: str, limit: int) -> None:
    record = only([stick(1, mgdl, status=status)])
    assert record.mgdl == shown
    assert record.annotation(OUT_OF_RANGE) == {"code": OUT_OF_RANGE, "value": side, "threshold_mgdl": limit}


@pytest.mark.parametrize(("raw", "shown", "side"), [("fe07", 601, "high"), ("0208", 10, "low")])
def test_infinities_are_high_and_low(raw: str, shown: int, side: str) -> None:
    record = only([f"2A18 030100e8070501081e000000{raw}11"])
    assert (record.mgdl, record.annotation(OUT_OF_RANGE)["value"]) == (shown, side)


@pytest.mark.parametrize("raw", ["ff07", "0008", "0108"])
def test_what_is_no_number_is_no_record(raw: str) -> None:
    found = decoded([f"2A18 030100e8070501081e000000{raw}11"])
    assert not found.records
    assert [each.code for each in found.diagnostics] == ["no_value", "clock_unchecked"]


def test_doubts_of_the_meter_are_annotations() -> None:
    record = only([stick(1, 120, status=1 << 2 | 1 << 8)])
    assert (record.annotation(QUESTIONABLE) or {})["reasons"] == ["sample_too_small", "temperature_low"]
    assert codes(only([stick(1, 120, status=1 << 11)])) == {UNCERTAIN}
    assert not codes(only([stick(1, 120, status=1)]))


@pytest.mark.parametrize(("meal", "tag"), [(1, "before"), (2, "after"), (3, "fasting"), (4, None), (5, None)])
def test_meal_marks(meal: int, tag: str | None) -> None:
    record = only([stick(1, 120, note_follows=True), note(1, meal=meal)])
    assert record.meal == tag
    assert record.raw["meal"] == meal


@pytest.mark.parametrize("order", ["before", "after", "far"])
def test_a_note_joins_its_result_wherever_it_stands(order: str) -> None:
    first, second, mark = stick(1, 120), stick(2, 90, WALL + timedelta(hours=1)), note(1, meal=2)
    lines = {
        "before": [mark, first, second],
        "after": [first, mark, second],
        "far": [first, second, mark],
    }[order]
    records = decoded(lines).records
    assert [getattr(record, "meal", None) for record in records] == ["after", None]


def test_a_missing_note_loses_nothing_and_a_lone_one_is_said() -> None:
    assert only([stick(1, 120, note_follows=True)]).mgdl == 120
    found = decoded([note(7, meal=1)])
    assert not found.records
    assert "note_alone" in {each.code for each in found.diagnostics}


def test_a_late_note_revises_under_the_same_id() -> None:
    alone = only([stick(1, 120, note_follows=True)])
    both = only([stick(1, 120, note_follows=True), note(1, meal=1)])
    assert (alone.id, alone.meal, both.meal) == (both.id, None, "before")


def test_carbs_of_a_note_are_a_record() -> None:
    records = decoded([stick(1, 120), note(1, carbs_g=45, meal=1)]).records
    assert {record.kind for record in records} == {"meter_glucose", "carbs"}
    carbs = next(record for record in records if record.kind == "carbs")
    assert carbs.grams == 45
    assert carbs.source_key == "1:20240501083000"


def test_exercise_of_a_note_is_a_record() -> None:
    records = decoded([stick(6, 120), "2A34 df060000013cd001510807320108a041f0"]).records
    exercise: Any = next(record for record in records if record.kind == "exercise")
    assert exercise.duration_min == 30
    assert exercise.raw["exercise_pct"] == 50
    assert exercise.raw["hba1c_pct"] == 6.5


@pytest.mark.parametrize(("mgdl", "mmol"), [(6, 0.6), (80, 8.0), (95, 8.0)])
def test_a_ketone_is_never_glucose(mgdl: int, mmol: float) -> None:
    record = only([stick(4, mgdl), "2A34 02040006"])
    assert (record.kind, record.mmol_l) == ("ketone", mmol)
    assert bool(record.annotations) is (mgdl > 80)


def test_an_isens_result_whose_note_is_still_to_come_waits() -> None:
    lines = [*maker("i-SENS"), stick(4, 6, note_follows=True)]
    partial = decoded(lines, complete="no", cursor="4")
    assert not partial.records
    assert "cursors" not in partial.state
    assert only(lines, complete="yes").kind == "meter_glucose"
    assert only([*lines, "2A34 02040006"], complete="yes").kind == "ketone"


# --- names ---------------------------------------------------------------------------------------


def test_a_repeat_is_dropped() -> None:
    assert len(decoded([stick(1, 120), stick(1, 120), stick(2, 120)]).records) == 2


def test_two_results_that_want_one_name_get_two() -> None:
    keys = {record.source_key for record in decoded([stick(1, 130), stick(1, 120)]).records}
    assert keys == {"1:20240501083000", "1:20240501083000#2"}
    turned = decoded([stick(1, 120), stick(1, 130)]).records
    assert {(r.source_key, r.mgdl) for r in turned if r.kind == "meter_glucose"} == {
        (r.source_key, r.mgdl) for r in decoded([stick(1, 130), stick(1, 120)]).records if r.kind == "meter_glucose"
    }


def test_a_name_once_given_stays_when_a_twin_turns_up() -> None:
    first = decoded([stick(1, 130)])
    later = decoded([stick(1, 130), stick(1, 120)], Memory(first.sightings, first.state))
    names = {record.mgdl: record.source_key for record in later.records if record.kind == "meter_glucose"}
    assert names == {130: "1:20240501083000", 120: "1:20240501083000#2"}


def taidoc(*sticks: tuple[int, datetime]) -> list[str]:
    """Newest first, as this maker numbers them."""
    newest = [stick(number, mgdl, wall) for number, (mgdl, wall) in enumerate(reversed(sticks))]
    return [*maker("TaiDoc Technology"), *newest]


def test_numbers_that_move_name_nothing() -> None:
    old, new = (120, WALL), (150, WALL + timedelta(hours=1))
    before, after = decoded(taidoc(old)), decoded(taidoc(old, new))
    assert {record.id for record in before.records} < {record.id for record in after.records}
    assert [record.mgdl for record in after.records if record.kind == "meter_glucose"] == [120, 150]
    assert before.records[0].source_key == "-:20240501083000"


def test_twins_of_a_meter_with_moving_numbers_are_told_by_age() -> None:
    first = decoded(taidoc((120, WALL)))
    both = decoded(taidoc((120, WALL), (110, WALL)))
    names = {record.mgdl: record.source_key for record in both.records if record.kind == "meter_glucose"}
    assert names[120] == first.records[0].source_key
    assert names[110] == f"{first.records[0].source_key}#2"


def test_alike_twins_are_two() -> None:
    first = decoded(taidoc((120, WALL), (120, WALL)))
    again = decoded(taidoc((120, WALL), (120, WALL)), Memory(first.sightings, first.state))
    assert len({record.id for record in first.records}) == 2
    assert {record.id for record in again.records} == {record.id for record in first.records}


def test_a_bogus_result_years_ahead_is_left_out() -> None:
    found = decoded(taidoc((120, WALL), (600, datetime(2037, 1, 1))))
    assert [record.mgdl for record in found.records if record.kind == "meter_glucose"] == [120]
    assert "in_future" in {each.code for each in found.diagnostics}


# --- clocks --------------------------------------------------------------------------------------


def clock(wall: datetime) -> str:
    return line("2A2B", values.current_time(wall))


HOST = {"host_clock": "2024-05-01T12:00:00.000Z"}


def test_a_right_clock_is_wall_time_in_the_zone() -> None:
    record = only([clock(datetime(2024, 5, 1, 14, 0, 30)), stick(1, 120)], timezone="Europe/Berlin", **HOST)
    assert record.time == datetime(2024, 5, 1, 6, 30, tzinfo=UTC)
    assert (record.utc_offset_min, record.annotations) == (120, ())


@pytest.mark.parametrize("hours", [3, -3])
def test_a_clock_three_hours_wrong_is_corrected_and_said(hours: int) -> None:
    wrong = timedelta(hours=hours)
    lines = [clock(datetime(2024, 5, 1, 14, 0) + wrong), stick(1, 120, WALL + wrong)]
    found = decoded(lines, timezone="Europe/Berlin", **HOST)
    record = found.records[0]
    assert record.time == datetime(2024, 5, 1, 6, 30, tzinfo=UTC)
    assert record.device_time == WALL + wrong
    assert codes(record) == {UNCERTAIN}
    assert found.health.state is State.CLOCK_MISMATCH
    assert "3 h" in found.health.text


def test_a_drifting_clock_is_taken_back() -> None:
    record = only([clock(datetime(2024, 5, 1, 12, 4)), stick(1, 120)], **HOST)
    assert record.time == datetime(2024, 5, 1, 8, 26, tzinfo=UTC)
    assert codes(record) == {UNCERTAIN}


def test_without_a_zone_the_clock_itself_says_utc() -> None:
    record = only([clock(datetime(2024, 5, 1, 14, 0)), stick(1, 120)], timezone="", **HOST)
    assert record.time == datetime(2024, 5, 1, 6, 30, tzinfo=UTC)


def test_a_result_from_before_the_clock_was_set_back_is_in_doubt() -> None:
    lines = [clock(datetime(2024, 5, 1, 9, 0)), stick(1, 120, datetime(2024, 5, 1, 11, 0))]
    record = only(lines, **HOST)
    assert record.time == datetime(2024, 5, 1, 11, 0, tzinfo=UTC)
    assert codes(record) == {UNCERTAIN}


def test_a_result_ahead_of_this_machine_waits_and_is_asked_for_again() -> None:
    lines = [clock(datetime(2024, 5, 1, 12, 0)), stick(9, 120, datetime(2024, 5, 1, 12, 30))]
    found = decoded(lines, complete="yes", cursor="9", **HOST)
    assert not found.records
    assert "cursors" not in found.state
    due = decoded(lines, complete="yes", cursor="9", host_clock="2024-05-01T12:31:00.000Z")
    assert len(due.records) == 1
    assert due.state["cursors"] == {"ble": 9}


def test_times_shown_twice_are_in_doubt() -> None:
    record = only([stick(1, 120, datetime(2023, 10, 29, 2, 30))], timezone="Europe/Berlin")
    assert codes(record) == {UNCERTAIN}


def test_a_clock_that_is_not_set_is_said() -> None:
    found = decoded([line("2A2B", bytes(10)), stick(1, 120)], **HOST)
    assert found.health.state is State.CLOCK_NOT_SET
    assert len(found.records) == 1


def test_a_row_seen_before_keeps_its_time() -> None:
    first = decoded([clock(datetime(2024, 5, 1, 12, 4, 0)), stick(1, 120)], **HOST)
    again = decoded(
        [clock(datetime(2024, 5, 1, 12, 4, 7)), stick(1, 120)], Memory(first.sightings, first.state), **HOST
    )
    assert again.records[0].time == first.records[0].time
    assert not again.sightings


def test_an_unknown_zone_is_named() -> None:
    with pytest.raises(Malformed, match="Mars/Olympus"):
        decoded([stick(1, 120)], timezone="Mars/Olympus")


# --- the text ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "2a18 030100e8070501081e00000078b011",
        "0x2A18: 03-01-00-E8-07-05-01-08-1E-00-00-00-78-B0-11",
        "00002a18-0000-1000-8000-00805f9b34fb (0x) 03 01 00 e8 07 05 01 08 1e 00 00 00 78 b0 11",
        "\ufeff# from a sniffer\r\n\r\n  2A18\t030100e8070501081e00000078b011\r\n",
    ],
)
def test_the_ways_sniffers_write(text: str) -> None:
    assert only([text]).mgdl == 120


def test_strange_lines_harm_only_themselves() -> None:
    found = decoded(["hello", "2A18 0301zz", "2A18 0201", "2ABC 0102", stick(1, 120)])
    assert len(found.records) == 1
    assert {each.code for each in found.diagnostics} >= {"strange_line", "refused_row", "unknown_characteristic"}
    assert not found.understood


@pytest.mark.parametrize("body", [b"", b"hello", b"\xff\xfe\x00", b"2AA7 060072000500", b"2A29 4142", b"{}"])
def test_what_is_not_of_a_meter_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        decoded([body.decode("latin-1")] if body[:1] != b"\xff" else ["\xff"])


def test_bytes_that_are_no_text_are_malformed() -> None:
    from dataclasses import replace

    from bridge.readers.ble_glucose.decode import decode

    with pytest.raises(Malformed):
        decode(replace(capture([]), body=b"\xff\xfe\x00\x01"), Memory())


def test_a_month_too_many_is_january() -> None:
    record = only(["2A18 034d00e4070d010a0000000064b011"])
    assert record.device_time == datetime(2020, 1, 1, 10)


def test_roche_and_placeholder_names() -> None:
    lines = [line("2A29", "Roche"), line("2A24", "483"), line("2A25", "x"), stick(1, 120)]
    assert only(lines, name="meter+12345678").device.serial == "48312345678"
    voice = [line("2A29", "FORA"), line("2A24", "Model Number"), stick(1, 120)]
    assert only(voice, name="TNG VOICE").device.model == "TNG VOICE"


def test_partial_reads_give_what_came_and_move_nothing() -> None:
    found = decoded([stick(1, 120)], Memory(state={"cursors": {"ble": 0}}), complete="no", cursor="1")
    assert len(found.records) == 1
    assert found.health.state is State.INCOMPLETE
    assert found.state["cursors"] == {"ble": 0}


def test_an_address_and_its_serial_are_remembered() -> None:
    found = decoded([*maker("Roche"), stick(1, 120)], address="C0:00:00:00:00:01", complete="yes", cursor="1")
    assert found.state == {"addresses": {"C0:00:00:00:00:01": "0000001"}, "cursors": {"ble:0000001": 1}}
