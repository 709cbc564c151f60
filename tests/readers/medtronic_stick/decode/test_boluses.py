"""Boluses, dual waves, calculations and carbohydrates."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bridge.contracts import Memory
from bridge.readers.medtronic_stick.checks import wizard_doubt
from bridge.readers.medtronic_stick.decode import decode
from bridge.readers.medtronic_stick.fields_insulin import WizardFields
from bridge.readers.medtronic_stick.model import pump_model
from bridge.readers.medtronic_stick.pages import read_page
from tests.readers.medtronic_stick.decode.payloads import (
    bolus,
    capture,
    codes,
    date5,
    keys,
    of_kind,
    page,
    plain,
    read,
    wall,
    wizard,
)
from tests.support import vectors

NOW: dict[str, Any] = {"now": "06-02 12:00"}
RECORDS = {row["id"]: row for row in vectors.rows("medtronic-stick", "records.jsonl")}


def boluses(decoded: Any) -> list[Any]:
    return of_kind(decoded, "bolus")


def test_a_normal_bolus() -> None:
    (one,) = boluses(read(bolus("06-01 08:00", 3.6, 2.1, iob=2.2), **NOW))
    assert (one.shape, one.programmed_u, one.delivered_u, one.completed) == ("normal", 3.6, 2.1, True)
    assert (one.immediate_u, one.extended_u, one.duration_min) == (None, None, None)
    assert (one.requested_by, one.automatic) == ("manual", False)


@pytest.mark.parametrize(("requestor", "by"), [(0, "manual"), (2, "remote"), (3, None)])
def test_who_asked_for_it(requestor: int, by: str | None) -> None:
    (one,) = boluses(read(bolus("06-01 08:00", 1, requestor=requestor), **NOW))
    assert one.requested_by == by


def test_nothing_given_of_nothing_is_no_bolus_but_a_cancelled_one_is() -> None:
    decoded = read(bolus("06-01 08:00", 0), bolus("06-01 09:00", 2, 0), **NOW)
    assert [(one.programmed_u, one.delivered_u) for one in boluses(decoded)] == [(2, 0)]


def test_a_square_bolus_that_was_stopped() -> None:
    (one,) = boluses(read(bolus("06-01 08:00", 2, 0.5, kind=3, minutes=60), **NOW))
    assert (one.shape, one.extended_u, one.programmed_extended_u) == ("square", 0.5, 2)
    assert (one.duration_min, one.delivered_duration_min) == (60, 15)


def test_the_dual_wave_vector() -> None:
    row = RECORDS["rec-002"]
    expected = row["expected"]
    decoded = read(*map(bytes.fromhex, row["raw"]), now="2016-11-15 12:00", model="551")
    (one,) = boluses(decoded)
    assert (one.shape, one.device_time.isoformat()) == (expected["subtype"], expected["time"])
    assert (one.immediate_u, one.extended_u) == (expected["normal"], expected["extended"])
    assert one.programmed_extended_u == expected["expected_extended"]
    assert one.delivered_duration_min * 60_000 == expected["duration_ms"]
    assert one.duration_min * 60_000 == expected["expected_duration_ms"]
    assert one.source_key.startswith("01:")


def test_dual_waves_of_both_forms_bear_the_key_of_the_normal_part() -> None:
    normal, square = bolus("06-01 08:00", 2, kind=4), bolus("06-01 08:00", 1, kind=5, minutes=120)
    alone = read(normal, **NOW)
    (one,) = boluses(read(square, plain(0x21, 0, "06-01 08:02"), normal, **NOW))
    assert (one.shape, one.delivered_u, one.programmed_u) == ("dual", 3, 3)
    assert keys([one]) == keys(boluses(alone))
    old = [bolus("06-01 08:00", 2, kind=4, new=False), bolus("06-01 09:00", 0.5, new=False)]
    late = bolus("06-01 08:02", 1, kind=5, minutes=120, new=False)
    decoded = boluses(read(*old, late, model="522", **NOW))
    assert [one.shape for one in decoded] == ["dual", "normal"]
    assert decoded[0].delivered_duration_min == 120


def test_parts_that_are_far_apart_are_two() -> None:
    normal, square = bolus("06-01 08:10", 2, kind=4), bolus("06-01 08:00", 1, kind=5, minutes=120)
    assert [one.shape for one in boluses(read(square, normal, **NOW))] == ["square", "normal"]


def test_parts_on_two_pages_are_one() -> None:
    normal, square = bolus("06-01 08:00", 2, kind=4), bolus("06-01 08:00", 1, kind=5, minutes=120)
    decoded = decode(capture([page(normal), page(square)], **NOW), Memory())
    assert [one.shape for one in boluses(decoded)] == ["dual"]


@pytest.mark.parametrize("new", [True, False])
def test_a_read_that_begins_between_the_parts_tells_no_half(new: bool) -> None:
    """The first read had both parts and the calculation; the next begins after the first of them."""
    model = "523" if new else "522"
    normal, square = bolus("06-01 08:00", 2, kind=4, new=new), bolus("06-01 08:00", 1, kind=5, minutes=60, new=new)
    parts = (square, normal) if new else (normal, square)
    rest = parts[1], bolus("06-01 10:00", 3, new=new)
    first = read(*parts, model=model, **NOW)
    again = read(*rest, model=model, memory=Memory(state=first.state), **NOW)
    assert [one.delivered_u for one in boluses(again)] == [3]
    assert [one.delivered_u for one in boluses(read(*rest, model=model, **NOW))] == [2 if new else 1, 3]


def test_a_bolus_is_not_told_again_without_its_calculation() -> None:
    calculation, dose = wizard("06-01 08:00", carbs=30, food=3), bolus("06-01 08:00", 3)
    first = read(calculation, dose, **NOW)
    memory = Memory(state=first.state)
    assert boluses(read(dose, memory=memory, **NOW)) == []
    assert boluses(read(calculation, dose, memory=memory, **NOW)) == boluses(first)
    odd: list[Any] = [5, [5], {}, None]
    for junk in odd:
        state = {"decoder": {"123456": {"boluses": junk}}}
        assert len(boluses(read(dose, memory=Memory(state=state), **NOW))) == 1


# --- what still runs -------------------------------------------------------------------------------


def test_a_running_square_bolus_is_provisional_and_keeps_its_key() -> None:
    begun = read(bolus("06-01 11:30", 2, kind=3, minutes=60), now="06-01 12:00")
    (running,) = boluses(begun)
    assert (running.completed, running.delivered_duration_min) == (False, None)
    assert running.annotation("bolus/provisional")
    (stopped,) = boluses(read(bolus("06-01 11:30", 2, 0.8, kind=3, minutes=60), now="06-01 12:00"))
    assert (stopped.completed, stopped.delivered_u, stopped.id) == (True, 0.8, running.id)
    (done,) = boluses(read(bolus("06-01 11:30", 2, kind=3, minutes=60), now="06-01 12:31"))
    assert (done.completed, done.annotations, done.id) == (True, (), running.id)


def test_a_running_dual_wave() -> None:
    parts = bolus("06-01 11:30", 1, kind=5, minutes=60), bolus("06-01 11:30", 2, kind=4)
    (running,) = boluses(read(*parts, now="06-01 12:00"))
    (done,) = boluses(read(*parts, now="06-01 13:00"))
    assert (running.shape, running.completed, running.id) == ("dual", False, done.id)


def test_a_new_pumps_dual_wave_waits_for_its_normal_part() -> None:
    square = bolus("06-01 11:59", 1, kind=5, minutes=60)
    assert boluses(read(square, now="06-01 12:00")) == []
    assert [one.shape for one in boluses(read(square, now="06-01 14:00"))] == ["square"]
    assert [one.shape for one in boluses(read(square, bolus("06-01 12:00", 1), now="06-01 12:00"))] == [
        "square",
        "normal",
    ]


def test_an_old_pumps_normal_part_alone_is_provisional_for_hours() -> None:
    part = bolus("06-01 11:00", 2, kind=4, new=False)
    (running,) = boluses(read(part, now="06-01 12:00", model="522"))
    (done,) = boluses(read(part, now="06-01 20:00", model="522"))
    assert (running.completed, done.completed, running.id == done.id) == (False, True, True)
    (square,) = boluses(read(bolus("06-01 11:30", 2, kind=3, minutes=60, new=False), now="06-01 12:00", model="522"))
    assert square.completed


def test_an_unknown_kind_is_told() -> None:
    decoded = read(bolus("06-01 08:00", 2, kind=7), **NOW)
    assert [one.shape for one in boluses(decoded)] == ["normal"]
    assert "unknown_bolus_kind" in codes(decoded)
    assert not decoded.understood


# --- calculations ----------------------------------------------------------------------------------


def test_a_calculation_joins_its_bolus_and_makes_carbs() -> None:
    decoded = read(
        wizard("06-01 08:00", carbs=300, bg=260, food=4, correction=3.2, iob=0.5, estimate=6.7),
        bolus("06-01 08:00:29", 6.7, iob=0.75),
        **NOW,
    )
    (one,), (advice,), (carbs,) = boluses(decoded), of_kind(decoded, "bolus_calculation"), of_kind(decoded, "carbs")
    assert (one.requested_by, one.calculation_id, one.carbs_id) == ("wizard", advice.id, carbs.id)
    assert advice.bolus_id == one.id
    assert advice.source_key == carbs.source_key
    assert (advice.carbs_g, advice.carb_exchanges, advice.bg_mgdl, carbs.grams) == (300, None, 260, 300)
    assert (advice.recommended_carb_u, advice.recommended_correction_u, advice.recommended_net_u) == (4, 3.2, 6.7)
    assert (advice.carb_ratio_g_u, advice.isf_mgdl_u, advice.target_low_mgdl, advice.target_high_mgdl) == (
        10,
        50,
        100,
        120,
    )
    assert advice.iob_u == 0.75, "a new pump's bolus knows better"
    assert advice.annotations == ()


def test_thirty_seconds_are_too_long() -> None:
    decoded = read(wizard("06-01 08:00", carbs=30, food=3), bolus("06-01 08:00:30", 3), **NOW)
    assert boluses(decoded)[0].calculation_id is None
    assert of_kind(decoded, "bolus_calculation")[0].bolus_id is None
    assert of_kind(decoded, "carbs") == [], "a calculation that was left is no meal"


def test_of_two_calculations_the_later_was_used() -> None:
    decoded = read(
        wizard("06-01 08:00:00", carbs=30, food=3), wizard("06-01 08:00:10", carbs=40, food=4),
        bolus("06-01 08:00:10", 4), **NOW,
    )  # fmt: skip
    assert [carbs.grams for carbs in of_kind(decoded, "carbs")] == [40]
    assert [advice.bolus_id is None for advice in of_kind(decoded, "bolus_calculation")] == [True, False]


def test_a_meal_that_needs_no_insulin_is_a_meal() -> None:
    decoded = read(wizard("06-01 08:00", carbs=10, bg=60, food=1, correction=-1.5), **NOW)
    (advice,) = of_kind(decoded, "bolus_calculation")
    assert (advice.recommended_correction_u, advice.recommended_net_u) == (-1.5, 0)
    assert [carbs.grams for carbs in of_kind(decoded, "carbs")] == [10]


def test_units_of_mmol_and_exchanges_become_mgdl_and_grams() -> None:
    fields = WizardFields(12.2, 2.5, 1.2, 2.3, 5.4, 5.4, 2.9, 3.0, 0.0, 5.9, mmol=True, exchanges=True)
    assert round(fields.mgdl(fields.bg)) == 220
    assert (fields.grams, fields.grams_per_u) == (38, 12.5)
    assert fields._replace(ratio=0).grams_per_u == 0


@pytest.mark.parametrize(
    ("food", "correction", "iob", "estimate", "fits"),
    [(4, 3, 1, 6, True), (4, 3, 5, 4, True), (4, -1, 5, 3, True), (0, -1, 0, 0, True), (4, 3, 1, 7, False)],
)
def test_the_identity(food: float, correction: float, iob: float, estimate: float, fits: bool) -> None:
    fields = WizardFields(200, 40, 10, 50, 100, 120, correction, food, iob, estimate, mmol=False, exchanges=False)
    assert bool(wizard_doubt(fields)) is not fits


def test_all_calculations_of_the_vectors_add_up() -> None:
    found = 0
    for row in vectors.rows("medtronic-stick", "history_pages.jsonl"):
        for record in read_page(bytes.fromhex(row["page_hex"]), pump_model(row["model"])).records:
            if isinstance(record.fields, WizardFields):
                assert wizard_doubt(record.fields) == ()
                found += 1
    assert found == 218


def test_a_calculation_that_does_not_add_up_is_in_doubt() -> None:
    decoded = read(wizard("06-01 08:00", carbs=30, food=3, estimate=9), **NOW)
    assert of_kind(decoded, "bolus_calculation")[0].annotation("wizard/implausible")
    assert "wizard_doubt" in codes(decoded)


def test_markers() -> None:
    at = date5(wall("06-01 08:00"))
    decoded = read(
        bytes([0x40, 1]) + at + bytes([0x2C, 1]),
        bytes([0x40, 0]) + at + bytes([25, 2]),
        bytes([0x42, 35]) + at + b"\0",
        bytes([0x41, 0]) + at + b"\0",
        plain(0x43, 0, "06-01 09:00"),
        **NOW,
    )
    assert [carbs.grams for carbs in of_kind(decoded, "carbs")] in ([300, 38], [38, 300])
    assert [(shot.dose_u, shot.action) for shot in of_kind(decoded, "injection")] == [(3.5, None)]
    assert len(of_kind(decoded, "exercise")) == len(of_kind(decoded, "note")) == 1


def test_an_exact_repeat_is_one() -> None:
    one = bolus("06-01 08:00", 3)
    twice = wizard("06-01 08:00", carbs=30, food=3), one, wizard("06-01 08:00", carbs=30, food=3), one
    decoded = read(*twice, **NOW)
    assert len(boluses(decoded)) == len(of_kind(decoded, "carbs")) == 1
    assert boluses(decoded)[0].time - of_kind(decoded, "carbs")[0].time == timedelta(0)
