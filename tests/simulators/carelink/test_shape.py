"""The shapes of the answers, against what the cloud really sends."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from typing import Any

import pytest

from bridge.simulators.carelink_cloud import CareLinkSim, Family, Person
from bridge.simulators.patient import PumpClock, fixed
from tests.simulators.carelink.cloud import NOW, cloud, person
from tests.support import vectors

REAL = vectors.document("carelink-cloud", "ngp-780g-smartguard.json")
GUARDIAN = vectors.document("carelink-cloud", "guardian-connect.synthetic.json")
PARADIGM = vectors.document("carelink-cloud", "paradigm-legacy.json")
SIMPLERA = vectors.document("carelink-cloud", "simplera-cgm-only.synthetic.json")

SELDOM = {"BG_READING", "CALIBRATION", "TIME_CHANGE"}


def answer(sim: CareLinkSim, username: str = "patient1", shape: Family | None = None) -> dict[str, Any]:
    picture = sim.picture(username)
    assert picture is not None
    document: dict[str, Any] = json.loads(sim.answer(picture, shape or picture.person.family))
    return document


def typed(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every path of a document with the type found there; markers apart by type."""
    if isinstance(value, dict):
        for key, inner in value.items():
            kind = f"[{value['type']}]" if key in ("data", "views") and "displayTime" in value else ""
            yield from typed(inner, f"{path}.{key}{kind}")
    elif isinstance(value, list):
        yield path, "list"
        for inner in value:
            yield from typed(inner, path + "[]")
    else:
        yield path, type(value).__name__


def _plain_day() -> dict[str, Any]:
    """An answer whose day holds what the real one holds: alarms with and without glucose, no extended bolus."""
    for seed in range(60):
        sim, _ = cloud(person(seed=seed))
        document = answer(sim)
        markers = document["patientData"]["markers"]
        text = json.dumps(document)
        history = document["patientData"]["notificationHistory"]["clearedNotifications"]
        dull = any("sg" in row["additionalInfo"] for row in history) and document["patientData"]["basal"] is None
        last = "sg" in document["patientData"]["lastAlarm"]["additionalInfo"]
        if dull and last and "Extended" not in text and not {marker["type"] for marker in markers} & SELDOM:
            return document
    raise AssertionError("no seed has a plain day")


def test_the_780g_answer_has_the_keys_and_types_of_the_real_one() -> None:
    ours, real = set(typed(_plain_day())), set(typed(REAL))
    assert ours - real == set()
    assert real - ours == set()


def test_key_order_of_rows_is_that_of_the_real_answer() -> None:
    ours, real = _plain_day()["patientData"], REAL["patientData"]
    assert list(ours["sgs"][0]) == list(real["sgs"][0])
    assert list(ours["markers"][-1]) == list(real["markers"][-1])
    cleared = ours["notificationHistory"]["clearedNotifications"][0]
    assert list(cleared) == list(real["notificationHistory"]["clearedNotifications"][0])


def test_numbers_in_markers_are_text_with_float_noise() -> None:
    sim, _ = cloud()
    doses = [m for m in answer(sim)["patientData"]["markers"] if m["type"] == "AUTO_BASAL_DELIVERY"]
    found = {dose["data"]["dataValues"]["bolusAmount"] for dose in doses}
    real = {
        marker["data"]["dataValues"]["bolusAmount"]
        for marker in REAL["patientData"]["markers"]
        if marker["type"] == "AUTO_BASAL_DELIVERY"
    }
    assert found == real
    assert {dose["data"]["dataValues"]["maxAutoBasalRate"] for dose in doses} == {"1.4615999460220337"}


def test_markers_are_grouped_by_type_and_show_their_view_once() -> None:
    sim, _ = cloud()
    markers = answer(sim)["patientData"]["markers"]
    groups = [kind for kind, _ in groupby(markers, key=lambda marker: marker["type"])]
    assert len(groups) == len(set(groups)) >= 5
    times = [marker["timestamp"] for marker in markers]
    assert times != sorted(times)
    shown = [marker["type"] for marker in markers if "views" in marker]
    assert sorted(shown) == sorted(groups)


def test_the_window_begins_with_two_markers_without_values() -> None:
    sim, _ = cloud()
    patient = answer(sim)["patientData"]
    edges = [m for m in patient["markers"] if m["type"] in ("AUTO_MODE_STATUS", "LOW_GLUCOSE_SUSPENDED")]
    start = patient["limits"][0]["timestamp"]
    assert {edge["type"] for edge in edges if edge["timestamp"] == start} == {
        "AUTO_MODE_STATUS",
        "LOW_GLUCOSE_SUSPENDED",
    }
    assert all(edge["data"]["dataValues"] == {} for edge in edges)


def test_a_reminder_lies_in_the_future() -> None:
    sim, _ = cloud()
    patient = answer(sim)["patientData"]
    pump = datetime.fromtimestamp(patient["medicalDeviceTime"] / 1000, NOW.tzinfo).replace(tzinfo=None)
    active = patient["notificationHistory"]["activeNotifications"]
    ahead = [row for row in active if datetime.fromisoformat(row["triggeredDateTime"]) > pump]
    assert [row["type"] for row in ahead] == ["REMINDER"]


def test_the_server_advances_the_pumps_clock_to_the_request() -> None:
    sim, clock = cloud(person(pump=fixed(-300)))
    first = answer(sim)["patientData"]
    clock.advance(49)
    second = answer(sim)["patientData"]
    assert second["lastMedicalDeviceDataUpdateServerTime"] == first["lastMedicalDeviceDataUpdateServerTime"]
    assert second["medicalDeviceTime"] - first["medicalDeviceTime"] == 49_000
    assert second["currentServerTime"] - second["medicalDeviceTime"] == 300 * 60_000


def test_stamps_are_wall_clocks_of_a_pump_that_may_be_wrong() -> None:
    right, wrong = cloud(person())[0], cloud(person(pump=fixed(345)))[0]
    ours, theirs = answer(right)["patientData"], answer(wrong)["patientData"]
    apart = datetime.fromisoformat(theirs["lastSG"]["timestamp"]) - datetime.fromisoformat(
        ours["lastSG"]["timestamp"]
    )
    assert apart == timedelta(minutes=240 + 345)
    assert ours["lastConduitDateTime"] == theirs["lastConduitDateTime"]
    assert theirs["medicalDeviceTime"] - theirs["currentServerTime"] == 345 * 60_000


def test_drift_shows_between_the_clocks() -> None:
    drifting = fixed(-300, drift_s_day=-4.0, drift_from=NOW - timedelta(days=10))
    patient = answer(cloud(person(pump=drifting))[0])["patientData"]
    assert patient["medicalDeviceTime"] - patient["currentServerTime"] + 300 * 60_000 == pytest.approx(
        -40_000, abs=20
    )


def test_a_clock_change_is_a_marker_and_moves_later_stamps() -> None:
    changed = PumpClock(((NOW - timedelta(days=90), -300), (NOW - timedelta(hours=3), -240)))
    patient = answer(cloud(person(pump=changed))[0])["patientData"]
    assert [marker["type"] for marker in patient["markers"]].count("TIME_CHANGE") == 1
    stamps = [datetime.fromisoformat(row["timestamp"]) for row in patient["sgs"]]
    jumps = [new - old for old, new in pairwise(stamps) if new - old > timedelta(minutes=60)]
    assert len(jumps) == 1
    assert jumps[0] < timedelta(minutes=70)


def test_mmol_is_only_a_wish_of_the_display() -> None:
    one = person()
    sim, _ = cloud(Person("patient1", one.patient, display_mmol=True))
    patient = answer(sim)["patientData"]
    assert patient["bgUnits"] == "MMOL_L"
    assert min(row["sg"] for row in patient["sgs"] if row["sg"]) >= 40


@pytest.mark.parametrize(
    ("family", "vector"), [(Family.GUARDIAN, GUARDIAN), (Family.PARADIGM, PARADIGM), (Family.SIMPLERA, SIMPLERA)]
)
def test_other_families_have_the_keys_and_types_of_their_kind(family: Family, vector: dict[str, Any]) -> None:
    sim, _ = cloud(person(family))
    document = answer(sim)
    ours, theirs = dict(typed(document)), dict(typed(vector))
    quiet = {path for path in theirs if ".lastAlarm" in path or path.startswith((".metadata", ".patientData.basal"))}
    missing = {path for path in theirs if path not in ours} - quiet
    assert missing == set()
    assert {path: kind for path, kind in theirs.items() if path in ours and not _alike(ours[path], kind)} == {}


def _alike(ours: str, theirs: str) -> bool:
    return ours == theirs or {ours, theirs} <= {"int", "float"} or "NoneType" in (ours, theirs)


def test_guardian_calibrations_have_an_index_instead_of_a_time() -> None:
    document = answer(cloud(person(Family.GUARDIAN))[0])
    assert document["markers"]
    for marker in document["markers"]:
        assert "dateTime" not in marker
        assert 0 <= marker["index"] <= 287
    assert document["sMedicalDeviceTime"].endswith(".000-00:00")


def test_paradigm_speaks_english_and_ends_with_an_empty_row() -> None:
    document = answer(cloud(person(Family.PARADIGM))[0])
    assert document["sMedicalDeviceTime"].startswith("Mar 10, 2026 14:0")
    assert document["sgs"][-1] == {"kind": "SG", "sg": 0, "version": 1}


def test_flat_pump_answers_carry_numbers_on_the_marker() -> None:
    document = answer(cloud(person(Family.NGP_FLAT))[0])
    assert "patientData" not in document
    insulin = next(marker for marker in document["markers"] if marker["type"] == "INSULIN")
    assert isinstance(insulin["deliveredFastAmount"], float)
    assert insulin["dateTime"].endswith(".000-00:00")
    assert document["medicalDeviceTime"] == document["lastConduitTime"] == 0
    assert {"faultId", "messageId", "referenceGUID"} <= set(
        document["notificationHistory"]["clearedNotifications"][0]
    )


def test_arrows_follow_the_newest_rows() -> None:
    seen = set()
    sim, clock = cloud(person(Family.PARADIGM))
    for minute in range(0, 9 * 60, 5):
        clock.jump((NOW + timedelta(minutes=minute) - clock.now()).total_seconds())
        document = answer(sim)
        rows = [row["sg"] for row in document["sgs"][-3:-1]]
        if len(rows) == 2 and all(rows):
            rising = rows[1] - rows[0]
            arrow = document["lastSGTrend"]
            seen.add(arrow)
            assert arrow.startswith("UP") == (rising >= 5) or abs(abs(rising) - 5) <= 1
    assert seen >= {"NONE", "UP", "DOWN"}


def test_an_answer_costs_little() -> None:
    sim, clock = cloud()
    answer(sim)
    fresh_s = []
    for _ in range(12):
        clock.advance(300)
        fresh_s.append(_cost_s(sim))
    assert sorted(fresh_s)[len(fresh_s) // 2] < 0.04  # a guard against a new loop, not a measurement
    assert min(_cost_s(sim) for _ in range(50)) < 0.005


def _cost_s(sim: CareLinkSim) -> float:
    begin = time.process_time()
    picture = sim.picture("patient1")
    assert picture is not None
    sim.answer(picture, Family.NGP)
    return time.process_time() - begin
