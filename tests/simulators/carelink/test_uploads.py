"""What reaches the cloud and when, and that nothing is invented or lost on the way."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bridge.simulators.carelink_cloud import CARER, CARRIES, CareLinkSim, Family
from bridge.simulators.patient import Bolus, Fact, SensorReading
from tests.simulators.carelink.cloud import NOW, client_of, cloud, facts_of, person
from tests.support.clock import FakeClock

HOURS = 24 * 14 if os.environ.get("GLUCOBRIDGE_PROOF") == "long" else 50


def said(facts: list[Fact]) -> Counter[tuple[str, datetime, float]]:
    return Counter((fact.kind, fact.time, round(fact.value, 3)) for fact in facts)


def document(sim: CareLinkSim, shape: Family = Family.NGP) -> dict[str, Any]:
    picture = sim.picture("patient1")
    assert picture is not None
    found: dict[str, Any] = json.loads(sim.answer(picture, shape))
    return found


def until(clock: FakeClock, when: datetime) -> None:
    clock.advance((when - clock.now()).total_seconds())


def test_a_reading_is_visible_five_to_twenty_seconds_later() -> None:
    sim, clock = cloud()
    delays = []
    for slot in list(sim.people["patient1"].patient.slots(NOW, NOW + timedelta(hours=2))):
        until(clock, slot)
        for second in range(60):
            picture = sim.picture("patient1")
            assert picture is not None
            if picture.newest >= slot or picture.taken_at > slot:
                delays.append(second)
                break
            clock.advance(1)
    assert 4 <= min(delays) <= max(delays) <= 21
    assert len(delays) == 24


def test_the_window_rolls_over_24_hours() -> None:
    sim, clock = cloud()
    for _ in range(3):
        rows = document(sim)["patientData"]["sgs"]
        first, last = (datetime.fromisoformat(row["timestamp"]) for row in (rows[0], rows[-1]))
        assert last - first < timedelta(hours=24)
        assert 250 < len(rows) <= 289
        clock.advance(7 * 3600)


def test_no_upload_before_the_start() -> None:
    sim, _ = cloud(person(start=NOW + timedelta(hours=1)))
    assert sim.picture("patient1") is None


def test_what_the_phone_missed_follows_when_it_is_online_again() -> None:
    span = (NOW + timedelta(hours=1), NOW + timedelta(hours=4))
    one = person()
    sim, clock = cloud(replace(one, offline=(span,)))
    until(clock, span[0] + timedelta(hours=2))
    before = document(sim)["patientData"]
    assert before["lastMedicalDeviceDataUpdateServerTime"] < span[0].timestamp() * 1000 + 20_000
    until(clock, span[1] + timedelta(seconds=25))
    after = document(sim)["patientData"]
    late = [row for row in after["sgs"] if row["isBackfill"]]
    assert 30 <= len(late) <= 40
    clock.advance(300)
    assert facts_of(document(sim)) == facts_of(document(CareLinkSim([one], clock.now)))


def test_a_long_silence_looks_back_to_the_last_upload() -> None:
    span = (NOW - timedelta(days=3), NOW + timedelta(days=1))
    sim, _ = cloud(replace(person(), offline=(span,)))
    picture = sim.picture("patient1")
    assert picture is not None
    assert span[0] - timedelta(minutes=10) < picture.taken_at < span[0]


def test_rows_without_signal_come_late_and_marked() -> None:
    patient = person(seed=2).patient
    late = next(
        event
        for event in patient.events(NOW, NOW + timedelta(days=40))
        if isinstance(event, SensorReading) and event.backfilled
    )
    sim, clock = cloud(person(seed=2))
    until(clock, late.known_at - timedelta(seconds=5))
    stamp = patient.pump.wall(late.time).isoformat()
    assert stamp not in {row["timestamp"] for row in document(sim)["patientData"]["sgs"]}
    until(clock, late.known_at + timedelta(minutes=6))
    assert [row["isBackfill"] for row in document(sim)["patientData"]["sgs"] if row["timestamp"] == stamp] == [True]


def test_a_bolus_grows_from_upload_to_upload() -> None:
    patient = person(seed=2).patient
    dual = next(
        event
        for event in patient.events(NOW, NOW + timedelta(days=40))
        if isinstance(event, Bolus) and event.shape == "DUAL"
    )
    sim, clock = cloud(person(seed=2))
    until(clock, dual.time + timedelta(minutes=20))
    seen = [_bolus(sim, dual)]
    for _ in range(12):
        clock.advance(600)
        seen.append(_bolus(sim, dual))
    amounts = [float(values["deliveredExtendedAmount"]) for values in seen]
    assert amounts == sorted(amounts)
    assert len(set(amounts)) > 5
    assert amounts[-1] == dual.extended_u
    assert [seen[0]["completed"], seen[-1]["completed"]] == [False, True]


def _bolus(sim: CareLinkSim, bolus: Bolus) -> dict[str, Any]:
    stamp = sim.people["patient1"].patient.pump.wall(bolus.time).isoformat()
    rows = document(sim)["patientData"]["markers"]
    values: dict[str, Any] = next(
        row["data"]["dataValues"]
        for row in rows
        if row["type"] == "INSULIN" and row["timestamp"] == stamp and row["data"]["dataValues"]["bolusType"] == "DUAL"
    )
    return values


def test_jittered_stamps_move_by_up_to_thirty_seconds_and_guids_stay() -> None:
    calm, _ = cloud()
    sim, _ = cloud(marker_jitter_s=30)
    true = document(calm)["patientData"]
    answers = [document(sim)["patientData"] for _ in range(3)]
    for found in answers:
        moves = [
            abs(datetime.fromisoformat(ours["displayTime"]) - datetime.fromisoformat(theirs["displayTime"]))
            for ours, theirs in zip(found["markers"], true["markers"], strict=True)
        ]
        assert timedelta(seconds=20) < max(moves) <= timedelta(seconds=30)
        assert found["sgs"] == true["sgs"]
        assert found["notificationHistory"] == true["notificationHistory"]
    assert answers[0]["markers"] != answers[1]["markers"]


@pytest.mark.parametrize("family", [Family.NGP, Family.SIMPLERA])
async def test_answers_and_book_hold_exactly_the_facts(family: Family) -> None:
    """Polled for days, the union of what was answered is what happened: no more, no less."""
    sim, clock = cloud(person(family))
    start, answered = NOW - timedelta(hours=18), Counter[tuple[str, datetime, float]]()
    async with client_of(sim) as client:
        for _ in range(HOURS // 5):
            clock.advance(5 * 3600)
            client.sign_in(CARER)
            async with client.message() as answer:
                answered |= facts_of(await answer.json())
    end = clock.now() - timedelta(hours=3)
    happened = said(sim.people["patient1"].patient.facts(start, end, CARRIES[family]))
    assert sum(happened.values()) > 500
    assert _between(said(sim.served.facts("patient1")), start, end) == happened
    final = Counter({one: count for one, count in answered.items() if one[0] != "bolus"})
    assert _between(final, start, end) == Counter({o: n for o, n in happened.items() if o[0] != "bolus"})
    assert not _between(Counter(happened), start, end) - answered


def _between(facts: Counter[Any], start: datetime, end: datetime) -> Counter[Any]:
    return Counter({fact: count for fact, count in facts.items() if start <= fact[1] < end})


def test_the_book_notes_only_new_uploads_and_what_the_shape_carries() -> None:
    sim, _ = cloud(person(Family.GUARDIAN))
    picture = sim.picture("patient1")
    assert picture is not None
    for _ in range(3):
        sim.served.book(picture, Family.GUARDIAN)
    assert sim.served.answers["patient1"] == 3
    kinds = Counter(fact.kind for fact in sim.served.facts("patient1"))
    assert set(kinds) == {"sensor_glucose", "calibration"}
    assert sim.served.facts("nobody") == []


async def test_several_people_do_not_mix() -> None:
    sim, _ = cloud(person(username="patient1", seed=1), person(username="patient2", seed=2))
    async with client_of(sim) as client:
        answers = []
        for name in ("patient1", "patient2", "patient1"):
            async with client.message(name) as answer:
                answers.append((await answer.json())["patientData"]["sgs"])
    assert answers[0] == answers[2] != answers[1]
    assert len(sim.served.calls) == 3
