"""Rows that stand as they were first seen are left aside: whoever keeps what came has the same in the end."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from bridge.contracts import Memory, Sighting
from bridge.model import Capture, Record, to_json
from bridge.readers.carelink_cloud import reading_rows
from bridge.readers.carelink_cloud.decode import decode
from bridge.readers.carelink_cloud.plain import Plain
from bridge.simulators.carelink_cloud import CareLinkSim, Family, Person
from bridge.simulators.patient import VirtualPatient

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
START = datetime(2026, 3, 28, 12, tzinfo=UTC)
"""The clocks of Berlin go forward in the night after."""


class Kept:
    """Everything that came, as a journal has it: first sightings stay, a record is as last told."""

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}
        self.sightings: dict[str, Sighting] = {}
        self.state: dict[str, Any] = {}
        self.given = 0

    def take(self, capture: Capture) -> None:
        decoded = decode(capture, Memory(dict(self.sightings), dict(self.state)))
        self.records |= {record.id: _told(record) for record in decoded.records}
        self.sightings = {**decoded.sightings, **self.sightings}
        self.state, self.given = dict(decoded.state), self.given + len(decoded.records)


def _told(record: Record) -> bytes:
    return to_json(record)


def _careful(patient: Any, *_: object) -> Plain:
    return Plain(patient)


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(40 if LONG else 2))
@pytest.mark.parametrize("jitter_s", [0, 25])
def test_a_day_of_answers_ends_as_if_every_row_were_read_anew(
    seed: int, jitter_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick, careful = Kept(), Kept()
    for capture in answers(seed, jitter_s):
        quick.take(capture)
        with monkeypatch.context() as patch:
            patch.setattr(reading_rows, "take_plain", _careful)
            careful.take(capture)
    assert quick.records == careful.records
    assert quick.sightings == careful.sightings
    assert {**quick.state, "io": 0} == {**careful.state, "io": 0}
    if not jitter_s:
        assert quick.given < careful.given * 2 / 3


def answers(seed: int, jitter_s: int) -> list[Capture]:
    """About a day in steps of up to half an hour, over the night in which the clocks change."""
    random, now = Random(seed), [START]
    person = Person("patient1", VirtualPatient(seed + 1))
    sim = CareLinkSim([person], lambda: now[0], seed=seed, marker_jitter_s=jitter_s)
    made = []
    while now[0] < START + timedelta(hours=26):
        picture = sim.picture("patient1")
        assert picture is not None
        body = sim.answer(picture, Family.NGP)
        made.append(Capture("p1", "carelink-cloud", "carelink:eu:patient1", now[0], body))
        now[0] += timedelta(minutes=random.choice([2, 5, 5, 10, 30]))
    return made


@pytest.mark.parametrize("change", [lambda state: state.update(read=1), lambda state: state.pop("read")])
def test_after_an_update_of_the_program_every_row_is_read_once_more(change: Callable[[dict[str, Any]], Any]) -> None:
    first, second = answers(1, 0)[:2]
    kept = Kept()
    kept.take(first)
    change(kept.state)
    before = kept.given
    kept.take(second)
    assert kept.given - before > 300


def test_one_row_seen_under_another_clock_sends_all_the_careful_way() -> None:
    first, second = answers(1, 0)[:2]
    kept = Kept()
    kept.take(first)
    name, seen = next(iter(kept.sightings.items()))
    kept.sightings[name] = replace(seen, time=seen.time + timedelta(hours=1))
    before = kept.given
    kept.take(second)
    assert kept.given - before > 300
