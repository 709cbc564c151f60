"""The plug comes out anywhere: no half record, no hang, the port given back, and the next visit completes."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from bridge.simulators.next_link import Faults
from tests.readers.medtronic_600.protocol.world import PATIENT, World, world

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
TIMES = 200 if LONG else 20
SEED = int(os.environ.get("GLUCOBRIDGE_SEED", "20260310"))


def _world() -> World:
    return world(patient=PATIENT, settings={"history_days": 1})


def _told(batch: Any) -> Mapping[str, Any]:
    told: Mapping[str, Any] = json.loads(batch.capture.body)
    return told


async def _whole() -> tuple[int, Mapping[str, Any]]:
    """Transfers of an undisturbed visit and what it reads."""
    there = _world()
    batch = await there.one()
    return there.link.transfers, _told(batch)


@pytest.mark.proof
async def test_unplugged_anywhere() -> None:
    chance, states = Random(SEED), Counter[str]()
    transfers, wanted = await _whole()
    print(f"seed {SEED}, {TIMES} times within {transfers} transfers")
    for _ in range(TIMES):
        there = _world()
        there.faults.unplug_after = chance.randrange(transfers)
        async with asyncio.timeout(20):
            batch = await there.one()
        states[batch.health.state.value] += 1
        assert batch.health.state.value in ("unplugged", "ok", "no_device")
        assert there.backend.opened == 0
        if batch.capture is not None:
            _only_whole(_told(batch), wanted)
        await _next_completes(there, wanted)
    print(dict(states))
    assert states["unplugged"] > TIMES * 0.8


def _only_whole(told: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Each answer and page that was kept is one of the undisturbed visit."""
    for name, answer in told["answers"].items():
        assert len(answer) == len(wanted["answers"][name])
    for kind, pages in told["history"].items():
        assert pages == wanted["history"][kind][: len(pages)]


async def _next_completes(there: World, wanted: Mapping[str, Any]) -> None:
    there.link.faults = Faults()
    there.link.power_cycle()
    if not there.backend._plugged:
        there.backend.plug(there.link)
    there.clock.advance(120)
    kept = there.memory.state.get("io", {}).get("pumps", {})
    batch = await there.one()
    assert batch.health.state.value == "ok"
    assert there.backend.opened == 0
    again = _told(batch)["history"]
    for kind in ("02", "03"):
        before = any(kept.values()) and any(pump["covered"].get(kind) for pump in kept.values())
        assert again[kind] or before
        assert there.kept["covered"][kind]
    assert wanted["pump"] == _told(batch)["pump"]


class _Cancelling:
    """Cancels a visit while its meter is being read for the n-th time."""

    def __init__(self, there: World, reads: int) -> None:
        self._read, self._left = there.link.read, reads
        self._loop = asyncio.get_running_loop()
        self.visit: asyncio.Task[Any] | None = None

    def __call__(self, endpoint: int, size: int, timeout_s: float) -> bytes | None:
        self._left -= 1
        if not self._left and self.visit is not None:
            self._loop.call_soon_threadsafe(self.visit.cancel)
        return self._read(endpoint, size, timeout_s)


@pytest.mark.proof
async def test_cancelled_anywhere_the_meter_is_handed_back() -> None:
    chance = Random(SEED)
    for _ in range(TIMES):
        there = _world()
        cancelling = _Cancelling(there, chance.randrange(5, 200))
        there.link.read = cancelling  # type: ignore[method-assign]
        cancelling.visit = asyncio.ensure_future(there.one())
        async with asyncio.timeout(20):
            with pytest.raises(asyncio.CancelledError):
                await cancelling.visit
        assert there.link.resting
        assert there.backend.opened == 0
