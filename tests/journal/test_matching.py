"""Which sightings are one event, and which are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contracts import StoredItem
from bridge.journal.matching import Devices, Likeness, item_likeness, likeness, pairs, serial_key
from bridge.model import Calibration, Device, Note, Record
from tests.contracts.journal_records import (
    CLOUD,
    METER,
    NOW,
    PUMP,
    USB,
    alarm,
    at,
    basal,
    bolus,
    carbs,
    dose,
    envelope,
    glucose,
    meter,
    status,
)

ENVELOPE = {
    "id", "time", "device_time", "utc_offset_min", "profile", "device", "reader", "source_key",
}  # fmt: skip


def match(one: Record, other: Record) -> bool:
    here, there = ([alike] if (alike := likeness(each)) else [] for each in (one, other))
    return bool(pairs(here, there, lambda _i, _j: True))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (glucose(0, 120), glucose(2.5, 121, USB)),
        (glucose(0, None), glucose(1, None, USB)),
        (meter(0, 120, CLOUD), meter(1, 120)),
        (bolus(0, 2), bolus(-1, 2.025, USB)),
        (bolus(0, 1.2, completed=False, programmed_u=3), bolus(0, 3, USB, programmed_u=3)),
        (bolus(0, 1.2, completed=False, programmed_u=3), bolus(0, 3, USB)),
        (bolus(0, 1.2, completed=False, programmed_u=3), bolus(0, 2.1, USB, completed=False, programmed_u=3)),
        (bolus(0, 1.2, completed=False), bolus(0, 1.2, USB, completed=False, programmed_u=3)),
        (dose(0, 0.1), dose(1, 0.125, USB)),
        (carbs(0, 30), carbs(1, 30.5, USB)),
        (alarm(0, "7"), alarm(1, 7, USB)),
    ],
)
def test_within_the_tolerances_it_is_one_event(one: Record, other: Record) -> None:
    assert match(one, other)
    assert match(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (glucose(0, 120), glucose(2.51, 120, USB)),
        (glucose(0, 120), glucose(0, 122, USB)),
        (glucose(0, None), glucose(0, 120, USB)),
        (meter(0, 120, CLOUD), meter(0, 121)),
        (meter(0, 120, CLOUD), meter(1.01, 120)),
        (meter(0, 120, CLOUD), meter(0, 120, control_solution=True)),
        (bolus(0, 2), bolus(1.01, 2, USB)),
        (bolus(0, 2), bolus(0, 2.026, USB)),
        (bolus(0, 2, programmed_u=4), bolus(0, 3, USB, programmed_u=4)),
        (dose(0, 0.1), basal(0, reader=USB)),
        (carbs(0, 30), carbs(0, 30.6, USB)),
        (alarm(0, "7"), alarm(0, "8", USB)),
        (bolus(0, 2), carbs(0, 2, USB)),
    ],
)
def test_beyond_the_tolerances_it_is_two(one: Record, other: Record) -> None:
    assert not match(one, other)
    assert not match(other, one)


@pytest.mark.parametrize("one", [basal(), status(), Note(text="x", **envelope("note", 0, "", CLOUD, {}))])
def test_other_kinds_are_known_by_id_alone(one: Record) -> None:
    assert likeness(one) is None


def test_wall_clocks_win_over_corrected_times() -> None:
    wall = NOW.replace(tzinfo=None)
    assert match(bolus(0, device_time=wall), bolus(300, reader=USB, device_time=wall))
    assert not match(bolus(0, device_time=wall), bolus(0, reader=USB, device_time=at(2).replace(tzinfo=None)))
    assert match(bolus(0, device_time=wall), bolus(0, reader=USB))


def test_the_wall_clocks_of_two_devices_are_not_compared() -> None:
    """A pump's clock may be a minute off its meter's: both were corrected, so the instants tell."""
    wall, later = NOW.replace(tzinfo=None), at(2).replace(tzinfo=None)
    told = meter(0.4, 120, USB, device=PUMP, entry="linked", device_time=later)
    assert match(meter(0, 120, device_time=wall), told)
    assert match(told, meter(0, 120, device_time=wall))
    assert not match(meter(2, 120, device_time=wall), meter(0, 120, USB, device=PUMP, device_time=wall))


def test_the_nearest_is_taken_one_to_one() -> None:
    here = [likeness(bolus(minutes, 1, key=str(minutes))) for minutes in (0, 0.5)]
    there = [likeness(bolus(minutes, 1, USB, key=str(minutes))) for minutes in (0.4, -0.5, 0.9)]
    found = pairs([each for each in here if each], [each for each in there if each], lambda _i, _j: True)
    assert sorted(found) == [(0, 1), (1, 0)]


GRID = st.builds(
    lambda name, second, tenth: Likeness(name, "bolus", second * 1000, None, tenth / 100, "bolus"),
    st.uuids().map(str),
    st.integers(0, 120),
    st.integers(0, 5),
)
SIDE = st.lists(GRID, max_size=8, unique_by=lambda each: each.name)


@given(SIDE, SIDE)
def test_neither_order_nor_side_changes_the_pairs(one: list[Likeness], other: list[Likeness]) -> None:
    def named(here: list[Likeness], there: list[Likeness]) -> set[frozenset[str]]:
        return {frozenset((here[i].name, there[j].name)) for i, j in pairs(here, there, lambda _i, _j: True)}

    first = named(one, other)
    shuffled = sorted(one, key=lambda each: each.name), sorted(other, key=lambda each: each.name, reverse=True)
    assert named(*shuffled) == named(other, one) == first
    assert len(first) == len({name for pair in first for name in pair}) / 2


# --- devices ---------------------------------------------------------------------------------------

NAMELESS = PUMP.model_copy(update={"serial": None})
STRANGE = Device(manufacturer=None, model=None, serial=None, family=None)
OTHER = PUMP.model_copy(update={"serial": "NG7654321H"})


def test_serials_are_compared_by_their_last_six() -> None:
    assert serial_key("ng-1234567h") == serial_key("34567H ") == "34567H"
    one = Devices([("NGP", "NG1234567H")])
    assert one.same(bolus(device=PUMP), bolus(device=PUMP.model_copy(update={"serial": "1234567h"})))
    assert not one.same(bolus(device=PUMP), bolus(device=OTHER))


@pytest.mark.parametrize(
    ("known", "one", "other", "same"),
    [
        ([("NGP", "NG1234567H")], PUMP, NAMELESS, True),
        ([("NGP", "NG1234567H"), ("NGP", "NG7654321H")], PUMP, NAMELESS, False),
        ([("NGP", "NG1234567H"), ("CONTOUR", "7800123")], PUMP, NAMELESS, True),
        ([("NGP", "NG1234567H"), ("CONTOUR", "7800123")], PUMP, STRANGE, False),
        ([("NGP", "NG1234567H")], PUMP, STRANGE, True),
        ([("NGP", "NG1234567H")], NAMELESS, NAMELESS, True),
        ([], NAMELESS, METER.model_copy(update={"serial": None}), False),
    ],
)
def test_without_a_serial_the_family_must_tell(
    known: list[tuple[str, str]], one: Device, other: Device, same: bool
) -> None:
    assert Devices(known).same(bolus(device=one), bolus(device=other)) is same
    assert Devices(known).same(bolus(device=other), bolus(device=one)) is same


def test_a_meters_value_seen_by_the_pump_is_the_meters() -> None:
    devices = Devices([("NGP", "NG1234567H"), ("CONTOUR", "7800123")])
    assert devices.same(meter(), meter(device=PUMP))
    second = METER.model_copy(update={"serial": "7800999"})
    assert not devices.same(meter(), meter(device=second))
    assert devices.same(meter(), meter(device=second, entry="linked"))


# --- documents found at a destination --------------------------------------------------------------


@pytest.mark.parametrize(
    "item",
    [
        StoredItem("k", "p", None, "bolus", NOW, 2.0),
        StoredItem("k", "p", "id", None, NOW, 2.0),
        StoredItem("k", "p", "id", "bolus", None, 2.0),
        StoredItem("k", "p", "id", "bolus", NOW, None),
        StoredItem("k", "p", "id", "pump_status", NOW, 2.0),
    ],
)
def test_a_document_that_shows_too_little_is_not_compared(item: StoredItem) -> None:
    assert item_likeness(item) is None


def test_a_document_is_compared_like_a_record() -> None:
    item = item_likeness(StoredItem("k", "p", "id", "sensor_glucose", at(1), 121.0))
    reading = likeness(glucose(0, 120))
    assert item is not None
    assert reading is not None
    assert pairs([reading], [item], lambda _i, _j: True) == [(0, 0)]


def test_a_calibration_seen_again_some_seconds_off_is_the_same() -> None:
    def calibration(minutes: float, mgdl: int) -> Record:
        return Calibration(**{**meter(minutes, mgdl).model_dump(include=ENVELOPE), "mgdl": mgdl})

    assert match(calibration(0, 98), calibration(0.9, 98))
    assert not match(calibration(0, 98), calibration(0.5, 99))
    assert not match(calibration(0, 98), calibration(1.1, 98))
