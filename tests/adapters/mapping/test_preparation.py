"""Partners, the basal line, thinning, numbers."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from adapters.preparation import Prepared, number, shown
from adapters.preparation.numbers import finite, minutes
from tests.adapters.mapping.made import (
    BOTH,
    METER,
    NGP,
    OLD_PUMP,
    dose,
    event,
    make,
    reason,
    to_nightscout,
    to_tidepool,
)


def prepared(*records: Any) -> Prepared:
    return Prepared(records, 15)


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (5.0, 4, "5"),
        (0.03125, 4, "0.0312"),
        (-0.0, 4, "0"),
        (2.5, 0, "2"),
        (0.00004, 4, "0"),
        (126.4567, 3, "126.457"),
    ],
)
def test_numbers(value: float, digits: int, expected: str) -> None:
    assert shown(value, digits) == expected
    assert isinstance(number(5.0), int)


def test_minutes_and_finite() -> None:
    assert minutes(90_000) == 1.5
    assert minutes(299_999) == 5
    assert [finite(one) for one in (3, 2.5, True, "3", None, float("nan"))] == [3, 2.5, None, None, None, None]


def test_only_the_highest_revision_counts() -> None:
    old, new = (make("sensor_glucose", mgdl=mgdl, revision=revision) for revision, mgdl in ((2, 100), (10, 120)))
    for records in ([old, new], [new, old], [new, old, new]):
        assert prepared(*records).records == [new]


def bolus(minute: float, name: str = "", **fields: Any) -> Any:
    return make("bolus", minute, name, **({"delivered_u": 1} | fields))


def test_several_boluses_claim_one_meal() -> None:
    carbs = make("carbs", 10, grams=40)
    far, near = bolus(0, carbs_id=carbs.id), bolus(12, carbs_id=carbs.id)
    links = prepared(carbs, far, near).links
    assert links.bolus_of_carbs[carbs.id] == near
    assert links.meal(near).grams == 40
    assert not links.meal(far).eaten


def test_of_equally_near_claims_the_earlier_then_the_lower_id_wins() -> None:
    carbs = make("carbs", 10, grams=40)
    before, after = bolus(8, carbs_id=carbs.id), bolus(12, carbs_id=carbs.id)
    assert prepared(after, carbs, before).links.bolus_of_carbs[carbs.id] == before
    twins = [bolus(8, name, carbs_id=carbs.id) for name in "xyz"]
    assert prepared(carbs, *twins).links.bolus_of_carbs[carbs.id].id == min(one.id for one in twins)


@pytest.mark.parametrize(
    "fields", [{"automatic": True}, {"requested_by": "closed_loop"}, {"delivered_u": 0, "completed": True}]
)
def test_automatic_and_cancelled_boluses_claim_nothing(fields: dict[str, Any]) -> None:
    carbs, calculation = make("carbs", grams=40), make("bolus_calculation", carbs_g=40)
    one = bolus(0, **({"carbs_id": carbs.id, "calculation_id": calculation.id} | fields))
    links = prepared(carbs, calculation, one).links
    assert not links.bolus_of_carbs
    assert not links.bolus_of_calculation


def test_a_bolus_names_its_calculation_before_a_calculation_names_its_bolus() -> None:
    named = make("bolus_calculation", 0, "named")
    one = bolus(1, calculation_id=named.id)
    naming = make("bolus_calculation", 1, "naming", bolus_id=one.id)
    links = prepared(named, naming, one).links
    assert links.bolus_of_calculation == {named.id: one}
    other = bolus(2)
    pointing = [make("bolus_calculation", at, bolus_id=other.id) for at in (0, 1.5)]
    assert prepared(*pointing, other).links.bolus_of_calculation == {pointing[1].id: other}


def test_grams_are_of_the_carbs_record_first() -> None:
    carbs, calculation = make("carbs", grams=40), make("bolus_calculation", carbs_g=35)
    with_both = bolus(0, carbs_id=carbs.id, calculation_id=calculation.id)
    assert prepared(carbs, calculation, with_both).links.meal(with_both).grams == 40
    assert prepared(calculation, with_both).links.meal(with_both).grams == 35


def test_the_loser_of_a_claim_counts_no_carbs_of_its_calculation() -> None:
    carbs, calculation = make("carbs", 5, grams=40), make("bolus_calculation", 8, carbs_g=40)
    winner = bolus(5, carbs_id=carbs.id)
    loser = bolus(8, carbs_id=carbs.id, calculation_id=calculation.id)
    bodies = [one.body for one in to_nightscout([carbs, calculation, winner, loser]).documents.values()]
    assert sum(body.get("carbs", 0) for body in bodies) == 40
    assert [body["eventType"] for body in bodies] == ["Meal Bolus", "Meal Bolus"]


def segment(first: Any, *others: Any) -> Any:
    return prepared(first, *others).segments[first.id]


def basal(minute: float, delivery: str = "scheduled", name: str = "", **fields: Any) -> Any:
    return make("basal", minute, name, **({"delivery": delivery, "rate_u_h": 1} | fields))


def test_a_segment_ends_with_its_own_end_or_the_next_record() -> None:
    assert segment(basal(0, duration_min=10), basal(30)).length_ms == 600_000
    assert segment(basal(0, duration_min=60), basal(30)).length_ms == 1_800_000
    assert segment(basal(0), basal(30)).length_ms == 1_800_000
    assert segment(basal(0)).length_ms is None
    assert segment(basal(0, duration_min=10)).length_ms == 600_000


def test_only_the_own_device_cuts() -> None:
    assert segment(basal(0), basal(30, device=OLD_PUMP)).length_ms is None
    twin = NGP.model_copy(update={"serial": "NG7654321H"})
    assert segment(basal(0), basal(30, device=twin)).length_ms is None
    nameless = OLD_PUMP.model_copy(update={"serial": None})
    assert segment(basal(0, device=nameless), basal(30, name="b", device=nameless)).length_ms == 1_800_000


def test_a_micro_dose_is_never_cut() -> None:
    assert segment(dose(0), dose(3)).length_ms == 300_000
    assert segment(dose(0, duration_min=None)).length_ms == 300_000
    assert segment(basal(0, "automatic", duration_min=5), dose(3)).length_ms == 180_000


def test_of_two_starts_in_one_instant_the_first_has_no_length() -> None:
    twins = sorted((basal(0, name=name) for name in "ab"), key=lambda one: one.id)
    for become in BOTH:
        desired = become([*twins, basal(30)])
        assert become is to_nightscout or reason(desired, twins[0]) == "zero_length"
        assert become is to_nightscout or desired.fates[twins[1].id].documents == 1


def kept(*steps: dict[str, Any], every: float = 5) -> list[int]:
    first: dict[str, Any] = {
        "iob_u": 1.0, "reservoir_u": 100, "battery_pct": 80, "battery_v": 1.4, "transmitter_battery_pct": 80,
        "uploader_battery_pct": 80, "mode": "auto", "in_range": True,
    }  # fmt: skip
    records = [make("pump_status", every * index, **(first | step)) for index, step in enumerate(({}, *steps))]
    ids = prepared(*records).kept
    return [index for index, one in enumerate(records) if one.id in ids]


@pytest.mark.parametrize(
    ("step", "news"),
    [
        ({"iob_u": 1.24}, False), ({"iob_u": 1.25}, True), ({"iob_u": 0.75}, True), ({"iob_u": None}, True),
        ({"reservoir_u": 98.1}, False), ({"reservoir_u": 98}, True),
        ({"battery_pct": 76}, False), ({"battery_pct": 75}, True),
        ({"battery_v": 1.36}, False), ({"battery_v": 1.35}, True),
        ({"transmitter_battery_pct": 71}, False), ({"transmitter_battery_pct": 70}, True),
        ({"uploader_battery_pct": 71}, False), ({"uploader_battery_pct": 70}, True),
        ({"mode": "manual"}, True), ({"suspended": False}, True), ({"bolusing": True}, True),
        ({"sensor_state": "X"}, True), ({"in_range": None}, True),
        ({"sensor_minutes_left": 5, "active_basal_u_h": 3}, False),
    ],
)  # fmt: skip
def test_a_status_is_kept_for_its_news(step: dict[str, Any], news: bool) -> None:
    assert kept(step) == ([0, 1] if news else [0])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"reservoir_u": 10}, {"reservoir_u": 9.9}), ({"reservoir_u": 5}, {"reservoir_u": 4.9}),
        ({"battery_pct": 30}, {"battery_pct": 29}), ({"battery_pct": 20}, {"battery_pct": 19}),
        ({"battery_v": 1.35}, {"battery_v": 1.34}), ({"battery_v": 1.3}, {"battery_v": 1.29}),
        ({"uploader_battery_pct": 30}, {"uploader_battery_pct": 29}),
    ],
)  # fmt: skip
def test_a_threshold_crossed_is_news(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert kept(before, after) == [0, 1, 2]
    assert kept(before, before) == [0, 1]


def test_one_status_a_quarter_of_an_hour_and_always_against_the_last_kept() -> None:
    assert kept({}, {}, {}, {}) == [0, 3]
    assert kept({"iob_u": 1.1}, {"iob_u": 1.2}, {"iob_u": 1.3}, every=1) == [0, 3]


def test_thinning_goes_on_from_the_last_kept() -> None:
    random = Random(5)
    records = [make("pump_status", 3 * index, iob_u=random.choice([1, 1.1, 1.4])) for index in range(200)]
    whole = prepared(*records).kept
    last = max(index for index, one in enumerate(records[:120]) if one.id in whole)
    assert prepared(*records[last:]).kept == {one.id for one in records[last:] if one.id in whole}


def test_both_destinations_keep_the_same() -> None:
    records = [make("pump_status", 4 * index, reservoir_u=100, battery_pct=50) for index in range(40)]
    site, tidepool = to_nightscout(records), to_tidepool(records)
    assert {one for one, fate in site.fates.items() if fate.documents} == {
        one for one, fate in tidepool.fates.items() if fate.documents
    }


@pytest.mark.parametrize(
    ("minute", "mgdl", "carried"), [(5, 121, True), (-5, 119, True), (5.01, 120, False), (1, 122, False)]
)
def test_a_calibration_finds_its_finger_stick(minute: float, mgdl: int, carried: bool) -> None:
    calibration = make("calibration", 0, mgdl=120)
    meter = make("meter_glucose", minute, mgdl=mgdl, device=METER)
    desired = to_nightscout([calibration, meter])
    assert (desired.fates[calibration.id].carried_by == meter.id) is carried
    control = make("meter_glucose", minute, mgdl=mgdl, control_solution=True)
    assert to_nightscout([calibration, control]).fates[calibration.id].documents == 1


def test_set_changes_meet_within_an_hour_on_one_device() -> None:
    rewind = event("rewind", 0)
    for minute, device, meets in ((60, None, True), (-60, None, True), (61, None, False), (5, OLD_PUMP, False)):
        extra = {} if device is None else {"device": device}
        change = event("reservoir_change", minute, **extra)
        for become in BOTH:
            carrier = become([rewind, change]).fates[rewind.id].carried_by
            assert carrier == (change.id if meets else None)
