"""A virtual patient's days in a pump's memory: sound pages that only ever grow, and what happened is in them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from bridge.simulators.patient import VirtualPatient
from bridge.simulators.stick import Life, memory, remember
from bridge.wire.crc import crc16

START = datetime(2026, 3, 20, 6, tzinfo=UTC)
DAYS = timedelta(days=1)
MODELS = ("522", "523", "554")


def life(model: str, days: float, seed: int = 9) -> Life:
    return remember(VirtualPatient(seed), model, START, START + days * DAYS)


@pytest.mark.parametrize("model", MODELS)
def test_pages_are_sound(model: str) -> None:
    held = life(model, 9).memory
    assert held.history
    for page in (*held.history, *held.glucose.values()):
        assert len(page) == 1024
        assert crc16(page[:1022]) == int.from_bytes(page[1022:], "big")
    for page in held.isig.values():
        assert len(page) == 2048
        assert crc16(page[:2044]) == page[2044] << 8 | page[2046]
    assert held.counter == len(held.history) - 1
    assert set(held.glucose) == set(held.isig)


@pytest.mark.parametrize("model", ["522", "523"])
def test_what_is_written_stays_and_what_comes_is_added(model: str) -> None:
    """The seeds hold temp basals, pauses, extended boluses and a change of the clock."""
    for seed in (3, 9):
        for days in (7.9, 8.4):
            before, after = life(model, days, seed).memory, life(model, days + 0.4, seed).memory
            old, new = before.history[::-1], after.history[::-1]
            assert new[: len(old) - 1] == old[:-1]
            assert new[len(old) - 1].startswith(old[-1][:1022].rstrip(b"\0"))
            newest = max(before.glucose)
            assert all(
                after.glucose[number] == before.glucose[number] for number in before.glucose if number < newest
            )
            grown = before.glucose[newest][:1022].rstrip(b"\0")
            assert after.glucose[newest].startswith(grown.removesuffix(b"\x01"))


def test_only_the_newest_pages_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = life("523", 9).memory
    monkeypatch.setattr(memory, "_HISTORY_KEPT", 2)
    monkeypatch.setattr(memory, "_GLUCOSE_KEPT", 2)
    kept = life("523", 9).memory
    assert kept.history == whole.history[:2]
    assert kept.counter == whole.counter == len(whole.history) - 1
    assert kept.glucose == {number: whole.glucose[number] for number in sorted(whole.glucose)[-2:]}
    assert set(kept.isig) == set(kept.glucose)


@pytest.mark.parametrize("model", MODELS)
def test_facts_are_the_patients_own_as_the_pump_rounds_them(model: str) -> None:
    patient, told = VirtualPatient(9), life(model, 9)
    kinds = Counter(fact.kind for fact in told.facts)
    assert {"sensor_glucose", "bolus", "carbs", "meter_glucose", "calibration"} <= set(kinds)
    lived = {fact.time for fact in patient.facts(START, START + 9 * DAYS)}
    assert {fact.time for fact in told.facts} <= lived
    steps = 10 if model == "522" else 40
    for fact in told.facts:
        if fact.kind == "bolus":
            assert round(fact.value * steps, 6) == round(fact.value * steps)
        if fact.kind == "sensor_glucose" and model == "522":
            assert fact.value % 2 == 0


def test_basal_runs_without_a_hole() -> None:
    basal = life("523", 9).basal
    assert all(one.start <= next_.start for one, next_ in pairwise(basal.spans))
    assert {span.rate_u_h for span in basal.spans} >= {0.0, 0.4, 0.75, 0.8, 0.9, 1.1}
    day = basal.given_u(START + DAYS, START + 2 * DAYS)
    assert 15 < day < 24


def test_a_change_of_the_clock_stands_in_both_logs() -> None:
    held = life("523", 14).memory
    assert any(b"\x17\x00" in page and b"\x18\x00" in page for page in held.history)
