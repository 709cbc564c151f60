"""Proof: pulled out at any moment, nothing partial is taken for whole, nothing hangs, nothing is lost."""

from __future__ import annotations

import os
from random import Random

import pytest

from bridge.model.health import State
from tests.readers.medtronic_stick.protocol.bench import bench, filled, pages_of

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"


@pytest.mark.proof
async def test_unplugged_at_random_points() -> None:
    seed = 4711
    print(f"seed {seed}")
    chance = Random(seed)
    whole = bench(filled(10, 3))
    await whole.sync()
    for _ in range(200 if LONG else 20):
        b = bench(filled(10, 3))
        b.stick.unplug_after = chance.randrange(whole.stick.transfers)
        got: dict[str, dict[int, bytes]] = {"history": {}, "glucose": {}}
        broken = await b.sync()
        assert broken[-1].health.state is State.UNPLUGGED
        b.replug()
        after = await b.next_sync(1)
        assert after[-1].health.state is State.OK
        for batch in (*broken, *after):
            for kind, pages in got.items():
                pages |= pages_of(batch, kind) if batch.capture is not None else {}
        assert got == {"history": dict(enumerate(b.pump.memory.history)), "glucose": b.pump.memory.glucose}


@pytest.mark.proof
async def test_any_mixture_of_faults_ends_and_the_next_good_pass_completes() -> None:
    seed = 815
    print(f"seed {seed}")
    chance = Random(seed)
    knobs = ("crc_error", "lost_fragment", "half_page", "stale_reply", "stick_nak", "hang", "stall")
    for _ in range(200 if LONG else 20):
        b = bench(filled(6, 2), model=chance.choice(("522", "523", "554")), slow=True)
        got: dict[str, dict[int, bytes]] = {"history": {}, "glucose": {}}
        for number in range(4):
            for knob in knobs:
                setattr(b.stick, knob, chance.choice((0, 0, 0, 1, 2, 5, 30)) if number < 2 else 0)
            b.pump.asleep = chance.random() < 0.3
            begun = b.clock.monotonic()
            batches = await b.next_sync()
            assert b.clock.monotonic() - begun - 1800 < 150
            for batch in batches:
                for kind, pages in got.items():
                    pages |= pages_of(batch, kind) if batch.capture is not None else {}
        assert batches[-1].health.state is State.OK
        assert got == {"history": dict(enumerate(b.pump.memory.history)), "glucose": b.pump.memory.glucose}
