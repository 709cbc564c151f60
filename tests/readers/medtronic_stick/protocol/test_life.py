"""Proof: days of a virtual patient, read pass by pass with faults in between, arrive complete and once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from bridge.contracts import Memory, Setup
from bridge.model.health import State
from bridge.model.records import Record
from bridge.readers.medtronic_stick import MedtronicStickReader
from bridge.simulators.patient import VirtualPatient
from bridge.simulators.stick import Life, VirtualPump, VirtualStick, remember
from bridge.simulators.usb import VirtualBackend
from bridge.usb import PyUsbBus
from tests.readers.medtronic_stick.protocol.bench import SERIAL
from tests.support.clock import FakeClock

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
KNOBS = ("crc_error", "lost_fragment", "half_page", "stale_reply", "stick_nak", "hang", "stall")
VALUES: dict[str, tuple[int, Callable[[Any], float | None]]] = {
    "bolus": (1, lambda record: record.delivered_u),
    "carbs": (1, lambda record: record.grams),
    "meter_glucose": (1, lambda record: record.mgdl),
    "calibration": (60, lambda record: record.mgdl),
    "sensor_glucose": (60, lambda record: record.mgdl),
}
"""How exactly the pump keeps a kind's time, in seconds, and its value."""


class Walk:
    """A pump that lives on, and a reader that comes by."""

    def __init__(self, seed: int, model: str) -> None:
        self.chance, self.model = Random(seed), model
        self.clock = FakeClock(datetime.fromisoformat("2026-03-20T06:00:00+00:00"))
        self.start = self.clock.now()
        self.patient = VirtualPatient(seed)
        self.pump = VirtualPump(SERIAL, model, self._life().memory, lambda: self.patient.pump.wall(self.clock.now()))
        self.stick = VirtualStick([self.pump])
        self.backend = VirtualBackend([self.stick])
        bus = PyUsbBus(backend=self.backend)
        self.setup = Setup("p1", {"devices": [SERIAL]}, self.clock, Random(seed), timezone="Europe/Berlin", usb=bus)
        self.reader = MedtronicStickReader(self.setup)
        self.memory = Memory()
        self.records: dict[str, Record] = {}

    def _life(self) -> Life:
        return remember(self.patient, self.model, self.start, self.clock.now())

    def live(self, hours: float) -> Life:
        self.clock.advance(hours * 3600)
        life = self._life()
        self.pump.memory = life.memory
        return life

    async def come_by(self) -> State:
        async for batch in self.reader.read(self.memory, None):
            if batch.decoded is not None:
                sightings = {**self.memory.sightings, **batch.decoded.sightings}
                self.memory = Memory(sightings, batch.decoded.state)
                self._arrived(batch.decoded.records)
            state = batch.health.state
        assert self.backend.opened == 0
        return state

    def _arrived(self, records: Any) -> None:
        for record in records:
            known = self.records.get(record.id)
            assert known is None or known.time == record.time, "a record seen before moved"
            self.records[record.id] = record

    def trouble(self) -> None:
        for knob in KNOBS:
            setattr(self.stick, knob, self.chance.choice((0, 0, 0, 0, 1, 2, 6)))
        self.pump.asleep = self.chance.random() < 0.3
        if self.chance.random() < 0.3:
            self.stick.unplug_after = self.chance.randrange(3, 900)

    def calm(self) -> None:
        for knob in KNOBS:
            setattr(self.stick, knob, 0)
        self.stick.unplug_after = None
        self.backend.pull(self.stick)
        self.backend.plug(self.stick)


def _require_all(walk: Walk, life: Life) -> None:
    """Every fact that has a sure time is one record, and nothing else is."""
    for kind, (grain_s, value) in VALUES.items():
        facts = [(fact.time, fact.value) for fact in life.facts if fact.kind == kind]
        got = [(record.time, value(record)) for record in walk.records.values() if record.kind == kind]
        if kind == "sensor_glucose":
            assert life.stamped is not None
            facts = [fact for fact in facts if fact[0] <= life.stamped]
            got = [each for each in got if each[0] <= life.stamped + timedelta(seconds=grain_s)]
        for (told, amount), (lived, given) in zip(sorted(got), sorted(facts), strict=True):
            assert abs((told - lived).total_seconds()) <= grain_s, kind
            assert kind in ("sensor_glucose", "calibration") or amount == given
        assert Counter(amount for _, amount in got) == Counter(given for _, given in facts), kind


@pytest.mark.proof
@pytest.mark.parametrize("model", ["522", "523", "554"])
async def test_days_with_faults_arrive_complete_and_once(model: str) -> None:
    for seed in range(3, 23) if LONG else (3,):
        print(f"seed {seed} model {model}")
        walk = Walk(seed, model)
        for _ in range(8):
            walk.live(walk.chance.uniform(6, 40))
            walk.trouble()
            await walk.come_by()
            walk.calm()
        life = walk.live(2)
        states = []
        for _ in range(4):
            states.append(await walk.come_by())
            walk.clock.advance(1800)
        assert states[-1] is State.OK
        _require_all(walk, life)


@pytest.mark.parametrize("model", ["522", "523"])
async def test_one_good_pass_over_days_says_all(model: str) -> None:
    walk = Walk(9, model)
    life = walk.live(9 * 24)
    assert await walk.come_by() is State.OK
    _require_all(walk, life)
