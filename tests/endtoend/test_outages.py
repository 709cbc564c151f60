"""Outages of every side: no hole afterwards, nothing twice, and one destination never waits for the other."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from bridge.contracts import DeliveryState
from bridge.simulators.carelink_cloud import Person
from bridge.simulators.fault_proxy import ProxyFault, Seen
from bridge.simulators.patient import VirtualPatient
from tests.support.clock import FakeClock
from tests.support.house import House, built, require_complete, require_conserved

EVENING = datetime(2026, 3, 10, 18, 0, tzinfo=UTC)
LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"


async def _polled(house: House, engine: object, hours: float, every_min: float = 60) -> None:
    from bridge.engine.engine import Engine

    assert isinstance(engine, Engine)
    for _ in range(int(hours * 60 / every_min)):
        house.clock.advance(every_min * 60)  # type: ignore[attr-defined]
        await engine.once()


async def test_a_source_away_for_23_hours_leaves_no_hole(tmp_path: Path) -> None:
    clock = FakeClock(EVENING)
    async with built(tmp_path, clock, proxied=["carelink"]) as house, house.engine() as engine:
        await engine.once()
        await house.proxies["carelink"].go_away()
        await _polled(house, engine, 23, 180)
        await house.proxies["carelink"].come_back()
        await _polled(house, engine, 1, 20)
        await require_conserved(house, engine)
        await require_complete(
            house, engine.journal, EVENING - timedelta(hours=23), clock.now() - timedelta(minutes=45)
        )


@pytest.mark.parametrize("name", ["nightscout", "tidepool"])
async def test_a_destination_away_for_a_week_keeps_nobody_waiting(tmp_path: Path, name: str) -> None:
    clock = FakeClock(EVENING)
    days = 7 if LONG else 2
    async with built(tmp_path, clock, proxied=[name]) as house, house.engine() as engine:
        await engine.once()
        await house.proxies[name].go_away()
        await _polled(house, engine, days * 24, 240)
        for status in await engine.journal.destinations():
            waits = status.counts.get(DeliveryState.PENDING, 0) + status.counts.get(DeliveryState.LEASED, 0)
            assert (waits > 100) == (status.destination.name == name)
        await house.proxies[name].come_back()
        await _polled(house, engine, 4, 30)
        await require_conserved(house, engine)


@pytest.mark.proof
@pytest.mark.parametrize("name", ["nightscout", "tidepool"])
@pytest.mark.timeout(3600 if LONG else 120)
async def test_a_lost_acknowledgement_doubles_nothing(tmp_path: Path, name: str) -> None:
    """The server stores, the answer is cut: every post once lost is sent again."""
    clock, wanted = FakeClock(EVENING), 1000 if LONG else 20
    cut = 0

    def plan(seen: Seen, random: Random) -> ProxyFault | None:
        nonlocal cut
        writes = seen.method == "POST" and ("/api/" in seen.path or seen.path.endswith("/data"))
        if writes and random.random() < 0.5:
            cut += 1
            return ProxyFault("cut_after")
        return None

    async with built(tmp_path, clock, proxied=[name]) as house, house.engine() as engine:
        house.proxies[name].plan = plan
        for _ in range(wanted * 20):
            clock.advance(300)
            await engine.once()
            if cut >= wanted:
                break
        assert cut >= wanted
        house.proxies[name].plan = lambda seen, random: None
        await _polled(house, engine, 2, 20)
        await require_conserved(house, engine)
        print(f"\n{name}: {cut} acknowledgements lost")


@pytest.mark.proof
@pytest.mark.timeout(3600 if LONG else 120)
async def test_the_same_payload_again_and_again_with_moved_markers(tmp_path: Path) -> None:
    """The phone has gone offline: the cloud repeats what it has, every marker moved by up to 30 s each time."""
    clock, times = FakeClock(EVENING), 1000 if LONG else 25
    quiet = [(EVENING, EVENING + timedelta(days=365))]
    person = Person("patient1", VirtualPatient(1), offline=quiet)
    async with built(tmp_path, clock, [person], marker_jitter_s=30) as house, house.engine() as engine:
        await engine.once()
        before = house.counts()
        for _ in range(times):
            clock.advance(20)
            await engine.once()
        after = house.counts()
        # A planned reminder may fall due in these hours: the one kind of record that is rightly new.
        assert {name: count for name, count in after.items() if name != "deviceEvent"} == {
            name: count for name, count in before.items() if name != "deviceEvent"
        }
        assert after["deviceEvent"] - before["deviceEvent"] <= 1
        await require_conserved(house, engine)
