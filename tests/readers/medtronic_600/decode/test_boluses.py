"""Boluses, calculations, carbohydrates."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.contracts import Decoded
from tests.readers.medtronic_600.decode.builders import (
    START,
    after,
    decoded,
    delivered,
    dual,
    dual_part,
    event,
    file,
    history,
    of_kind,
    programmed,
    square,
    square_done,
    status_answer,
    u16,
    units,
    visit,
    wizard,
)

HOUR = 3600


def from_file(*events: bytes) -> Decoded:
    return decoded(file(history(*events)))


def one(found: Decoded, kind: str = "bolus") -> Any:
    (record,) = of_kind(found, kind)
    return record


def test_a_normal_bolus_is_known_by_its_programming() -> None:
    record = one(from_file(programmed(START, 7, 4.5), delivered(START + 180, 7, 4.5)))
    assert record.source_key == f"{START}:15"
    assert (record.shape, record.delivered_u, record.programmed_u) == ("normal", 4.5, 4.5)
    assert (record.completed, record.automatic, record.requested_by) == (True, False, "manual")
    assert (record.immediate_u, record.extended_u, record.programmed_immediate_u) == (None, None, None)
    assert not record.annotations


def test_an_interrupted_bolus() -> None:
    record = one(from_file(programmed(START, 7, 4.5), delivered(START + 60, 7, 4.5, 1.2)))
    assert (record.delivered_u, record.programmed_u, record.completed) == (1.2, 4.5, True)


@pytest.mark.parametrize(
    ("source", "name"),
    [(0, "manual"), (1, "wizard"), (2, "easy"), (4, "manual"), (6, "wizard"), (8, "wizard"), (77, None)],
)
def test_who_asked_for_it(source: int, name: str | None) -> None:
    record = one(from_file(programmed(START, 1, 1, source), delivered(START + 9, 1, 1, source=source)))
    assert record.requested_by == name


def test_the_same_number_hours_apart_is_another_bolus() -> None:
    found = from_file(programmed(START, 7, 4.5), delivered(START + 10 * HOUR, 7, 4.5))
    assert [record.source_key for record in of_kind(found, "bolus")] == [f"{START + 10 * HOUR}:DC"]


def test_two_in_one_second_are_two() -> None:
    found = from_file(
        programmed(START, 7, 1), programmed(START, 8, 2), delivered(START + 60, 7, 1), delivered(START + 90, 8, 2)
    )
    keys = {record.source_key: record.delivered_u for record in of_kind(found, "bolus")}
    assert keys == {f"{START}:15": 1, f"{START}:15#2": 2}


def test_square() -> None:
    record = one(from_file(square(START, 3, 2, 120), square_done(START + HOUR, 3, 2, 1, 120, 60)))
    assert record.source_key == f"{START}:16"
    assert (record.shape, record.delivered_u, record.programmed_u) == ("square", 1, 2)
    assert (record.extended_u, record.programmed_extended_u, record.immediate_u) == (1, 2, None)
    assert (record.duration_min, record.delivered_duration_min) == (120, 60)


def test_dual() -> None:
    parts = [dual(START, 3, 1.5, 2, 120), dual_part(START + 60, 3, 1.5, 2, 1.5, 1, 120, 0)]
    first = one(from_file(*parts))
    assert (first.shape, first.delivered_u, first.immediate_u, first.extended_u) == ("dual", 1.5, 1.5, None)
    assert not first.completed
    assert first.annotation("bolus/provisional")
    record = one(from_file(*parts, dual_part(START + 7300, 3, 1.5, 2, 1.9, 2, 120, 114)))
    assert record.source_key == f"{START}:17"
    assert (record.delivered_u, record.programmed_u) == (3.4, 3.5)
    assert (record.immediate_u, record.extended_u) == (1.5, 1.9)
    assert (record.programmed_immediate_u, record.programmed_extended_u) == (1.5, 2)
    assert (record.duration_min, record.delivered_duration_min, record.completed) == (120, 114, True)
    assert first.id == record.id


def test_a_dual_canceled_in_its_normal_part_has_ended() -> None:
    canceled = event(0x27, START + 50, bytes([1, 3, 0]))
    record = one(from_file(dual(START, 3, 1.5, 2, 120), canceled, dual_part(START + 50, 3, 1.5, 2, 0.8, 1, 120, 0)))
    assert (record.delivered_u, record.completed, record.extended_u) == (0.8, True, None)


def test_a_running_bolus_is_provisional() -> None:
    bolusing = status_answer(flags=(3, b"\x12"), so_far=(4, units(0.7)), number=(0x0E, b"\x09"))
    rtc = START + 7200
    found = decoded(visit(programmed(rtc - 60, 9, 3), answers={"013c": bolusing}))
    record = one(found)
    assert (record.delivered_u, record.programmed_u, record.completed) == (0.7, 3, False)
    assert record.annotation("bolus/provisional")
    done = decoded(visit(delivered(rtc + 60, 9, 3), rtc=rtc + 300), after(found))
    assert (one(done).id, one(done).delivered_u, one(done).completed) == (record.id, 3, True)
    assert not one(done).annotations


def test_a_running_bolus_of_another_number_has_given_nothing_yet() -> None:
    bolusing = status_answer(flags=(3, b"\x12"), so_far=(4, units(0.7)), number=(0x0E, b"\x08"))
    found = decoded(visit(programmed(START + 7140, 9, 3), answers={"013c": bolusing}))
    assert one(found).delivered_u == 0


def test_what_never_ended_is_not_invented() -> None:
    found = from_file(
        programmed(START, 9, 3), programmed(START + 3 * HOUR, 10, 1), delivered(START + 3 * HOUR, 10, 1)
    )
    assert [record.source_key for record in of_kind(found, "bolus")] == [f"{START + 3 * HOUR}:15"]
    assert [line.code for line in found.diagnostics] == ["bolus/unfinished"]


def test_an_end_at_the_edge_of_what_was_read_waits_for_its_beginning() -> None:
    """Its days are read later, and then it is one bolus, not two."""
    day = 86_400
    newest = decoded(visit(delivered(START + 30, 9, 3), event(0x08, START + day), rtc=START + day + 60))
    assert not of_kind(newest, "bolus")
    older = decoded(
        visit(programmed(START - 60, 9, 3), delivered(START + 30, 9, 3), rtc=START + day + 400), after(newest)
    )
    assert one(older).source_key == f"{START - 60}:15"
    without = decoded(
        visit(event(0x07, START - day), programmed(START - 60, 9, 3), rtc=START + day + 400), after(newest)
    )
    assert one(without).source_key == f"{START - 60}:15"
    assert one(without).completed


def test_the_edge_of_a_week_waits_too() -> None:
    """By then it is no longer among the last hours."""
    day = 86_400
    rtc = START + 7 * day
    days = [event(0x07, START + n * day) for n in range(1, 8)]
    newest = decoded(visit(delivered(START + 30, 9, 3), *days, rtc=rtc))
    again = decoded(visit(event(0x07, rtc + 60), rtc=rtc + 300), after(newest))
    assert not of_kind(newest, "bolus")
    older = decoded(visit(event(0x07, START - day), programmed(START - 60, 9, 3), rtc=rtc + 600), after(again))
    assert (one(older).source_key, one(older).delivered_u) == (f"{START - 60}:15", 3)
    assert not of_kind(decoded(visit(event(0x07, rtc + 660), rtc=rtc + 900), after(older)), "bolus")


def test_in_the_middle_an_end_without_a_beginning_is_kept() -> None:
    found = decoded(visit(event(0x07, START - 9 * HOUR), delivered(START, 9, 3)))
    assert one(found).source_key == f"{START}:DC"


def test_an_older_part_does_not_open_again_what_has_ended() -> None:
    """Days far back end in the middle of a bolus whose end was read before."""
    day = 86_400
    newest = decoded(visit(event(0x07, START), event(0x08, START + day), rtc=START + day + 60))
    older = decoded(
        visit(event(0x07, START - 4 * day), programmed(START - 3 * day, 9, 3), rtc=START + day + 90), after(newest)
    )
    assert not of_kind(older, "bolus")


# --- calculations ------------------------------------------------------------------------------------


def test_calculation_carbs_and_bolus_point_at_each_other() -> None:
    found = from_file(
        wizard(START, carbs=40, food_u=4, correction_u=-0.5, final_u=3.5, bg=80, isf=45, ratio=100),
        programmed(START + 20, 1, 3.5, 1), delivered(START + 150, 1, 3.5, source=1),
    )  # fmt: skip
    bolus, calculation, carbs = one(found), one(found, "bolus_calculation"), one(found, "carbs")
    assert (bolus.calculation_id, bolus.carbs_id, calculation.bolus_id) == (calculation.id, carbs.id, bolus.id)
    assert (carbs.grams, carbs.source_key, calculation.source_key) == (40, f"{START}:3D", f"{START}:3D")
    assert (calculation.carbs_g, calculation.carb_exchanges, calculation.bg_mgdl) == (40, None, 80)
    assert (calculation.recommended_carb_u, calculation.recommended_correction_u) == (4, -0.5)
    assert (calculation.carb_ratio_g_u, calculation.isf_mgdl_u) == (10, 45)


def test_exchanges_and_mmol() -> None:
    found = from_file(wizard(START, carbs=25, exchanges=True, ratio=1100, mmol=True, bg=83, isf=28))
    calculation, carbs = one(found, "bolus_calculation"), one(found, "carbs")
    assert (calculation.carb_exchanges, calculation.carbs_g, carbs.grams) == (2.5, 37.5, 37.5)
    assert calculation.carb_ratio_g_u == round(15 / 1.1, 3)
    assert (calculation.bg_mgdl, calculation.isf_mgdl_u) == (150, 50)
    assert (calculation.target_low_mgdl, calculation.target_high_mgdl) == (162, 216)


def test_only_the_last_estimate_of_that_amount_counts() -> None:
    found = from_file(
        wizard(START, carbs=20, food_u=2, final_u=2), wizard(START + 60, carbs=30, food_u=3, final_u=3),
        programmed(START + 90, 1, 3, 1), delivered(START + 150, 1, 3, source=1),
    )  # fmt: skip
    assert one(found, "carbs").grams == 30
    assert [record.bolus_id is None for record in of_kind(found, "bolus_calculation")] == [True, False]


def test_an_estimate_of_another_amount_is_passed_over() -> None:
    found = from_file(
        wizard(START, carbs=30, food_u=3, final_u=3), wizard(START + 60, carbs=20, food_u=2, final_u=2),
        programmed(START + 90, 1, 3, 1), delivered(START + 150, 1, 3, source=1),
    )  # fmt: skip
    assert one(found, "carbs").grams == 30


def test_an_estimate_of_hours_ago_is_not_its() -> None:
    found = from_file(
        wizard(START, carbs=30, food_u=3, final_u=3), programmed(START + 2 * HOUR, 1, 3, 1),
        delivered(START + 2 * HOUR + 99, 1, 3, source=1),
    )  # fmt: skip
    assert one(found).calculation_id is None


def test_a_manual_bolus_claims_no_estimate() -> None:
    found = from_file(
        wizard(START, carbs=20, food_u=2, final_u=2), programmed(START + 9, 1, 2), delivered(START + 90, 1, 2)
    )
    assert one(found).calculation_id is None
    assert not of_kind(found, "carbs")


def test_a_dual_bolus_claims_by_its_sum() -> None:
    found = from_file(
        wizard(START, carbs=40, food_u=3.5, final_u=3.5), dual(START + 9, 3, 1.5, 2, 120, 1),
        dual_part(START + 60, 3, 1.5, 2, 1.5, 1, 120, 0), dual_part(START + 7300, 3, 1.5, 2, 2, 2, 120, 120),
    )  # fmt: skip
    assert one(found).calculation_id == one(found, "bolus_calculation").id


def test_a_meal_of_the_closed_loop() -> None:
    body = b"\0" + u16(140) + u16(50) + units(0.4) + units(5) + units(5.4) + (100).to_bytes(4, "big")
    found = from_file(
        event(0x3E, START, body), programmed(START + 9, 1, 5.4, 8), delivered(START + 150, 1, 5.4, source=8)
    )
    calculation = one(found, "bolus_calculation")
    assert one(found).calculation_id == calculation.id
    assert (calculation.source_key, calculation.bg_mgdl, calculation.carbs_g) == (f"{START}:3E", 140, 50)
    assert (calculation.recommended_correction_u, calculation.recommended_net_u) == (0.4, 5.4)
    assert calculation.carb_ratio_g_u == 10


def test_food_alone() -> None:
    assert one(from_file(wizard(START, carbs=20)), "carbs").grams == 20
    marker = event(0x2E, START + 60, (START).to_bytes(4, "big") + OFFSET_BYTES + b"\1" + u16(15))
    found = one(from_file(marker), "carbs")
    assert (found.grams, found.source_key) == (22.5, f"{START + 60}:2E")
    assert found.device_time.isoformat() == "2017-09-01T12:00:00"


OFFSET_BYTES = (-1_592_387_759 & 0xFFFFFFFF).to_bytes(4, "big")


def test_estimate_read_before_and_bolus_read_now() -> None:
    first = decoded(visit(wizard(START + 7100, carbs=40, food_u=4, final_u=4)))
    assert not of_kind(first, "carbs")
    rtc = START + 7200 + 300
    later = decoded(
        visit(programmed(START + 7150, 1, 4, 1), delivered(START + 7300, 1, 4, source=1), rtc=rtc), after(first)
    )
    assert one(later).carbs_id == one(later, "carbs").id
    assert one(later, "bolus_calculation").bolus_id == one(later).id
