"""A paired meter and a running service: what is tested on the meter arrives by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.ble import radio
from bridge.demo import Device, FastClock, begin_with
from bridge.engine.engine import Engine
from tests.support.house import House, built, records

SPEED = 240.0
DEADLINE_S = 90.0


async def test_each_new_finger_stick_arrives_when_the_meter_is_switched_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(radio, "SETTLE_S", 0.02)
    clock = FastClock(SPEED)
    async with built(tmp_path, clock) as house:
        device = await begin_with(house.settings, house.world.people[0].patient, "contour-next-one", clock)
        house = replace(house, settings=device.settings)
        async with house.engine(ble=device.ble) as engine, running(engine, device):
            await until(lambda: checks(house) > 3)
            remembered = checks(house)
            await until(lambda: checks(house) > remembered + 1)
        async with house.engine(ble=device.ble) as engine:
            found = await records(engine.journal)
            assert {(each.kind, each.reader) for each in found} == {("meter_glucose", "ble-glucose")}
            assert len({each.time for each in found}) == len(found)
            assert checks(house) <= len(found)


def checks(house: House) -> int:
    """Finger-sticks at the Nightscout site; each its own."""
    found = [each["created_at"] for each in house.site()["treatments"] if each["eventType"] == "BG Check"]
    assert len(set(found)) == len(found)
    return len(found)


@asynccontextmanager
async def running(engine: Engine, device: Device) -> AsyncIterator[None]:
    assert device.life is not None
    tasks = {asyncio.ensure_future(engine.run()), asyncio.ensure_future(device.life())}
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def until(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not so():  # noqa: ASYNC110 - it stands on a simulated server
            await asyncio.sleep(0.1)
