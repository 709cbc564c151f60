"""Several people, shared computer, swapped meters: nobody's data lands in another's record."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from bridge.contracts import Memory, Setup
from bridge.engine.bindings import Bindings
from bridge.engine.build import readers
from bridge.errors import SettingsInvalid
from bridge.settings import Settings
from bridge.simulators.contour import CONTOUR_NEXT, CONTOUR_USB, VirtualMeter, glucose
from bridge.simulators.usb import VirtualBackend
from bridge.usb import PyUsbBus
from tests.support.clock import FakeClock

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
ATTEMPTS = 10_000 if LONG else 300
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
SERIALS = [f"4293{n:03}" for n in range(6)]


def household(random: Random) -> dict[str, list[str]]:
    """Who claims which meter; now and then two claim one, and serials that only look alike."""
    people: dict[str, list[str]] = {name: [] for name in ("child", "father", "mother")[: random.randint(2, 3)]}
    for serial in SERIALS:
        for _ in range(random.choice((0, 1, 1, 1, 1, 2)) if random.random() < 0.15 else random.choice((0, 1))):
            people[random.choice(list(people))].append(serial)
    if random.random() < 0.2:
        people[random.choice(list(people))].append(random.choice(SERIALS)[:-1])
    return people


def settings_of(people: dict[str, list[str]]) -> Settings:
    tables: dict[str, Any] = {
        name: {"timezone": "Europe/Berlin", "readers": {"contour-usb": {"devices": serials}}}
        for name, serials in people.items()
    }
    return Settings.model_validate({"profiles": tables})


def plugged(random: Random, clock: FakeClock) -> list[VirtualMeter]:
    """Meters of this house and of guests, in any order, each with values that tell whose it is."""
    meters = []
    for serial in random.sample([*SERIALS, "9999999"], random.randint(1, 3)):
        kind = random.choice((CONTOUR_NEXT, CONTOUR_USB))
        number = SERIALS.index(serial) if serial in SERIALS else 50
        wall = NOON.replace(tzinfo=None, hour=8, minute=random.randint(0, 59))
        stored = [glucose(wall + timedelta(minutes=5 * n), 100 + number, mmol=kind.mmol) for n in range(2)]
        meters.append(VirtualMeter(kind, serial, clock.now, stored))
    return meters


async def attempt(random: Random) -> int:
    """One household and what is plugged in; how many records were read."""
    people, clock = household(random), FakeClock(NOON)
    settings = settings_of(people)
    claimed = [serial for serials in people.values() for serial in set(serials)]
    if len(claimed) != len(set(claimed)):
        with pytest.raises(SettingsInvalid):
            Bindings(settings)
        return 0
    bus, read = PyUsbBus(VirtualBackend(plugged(random, clock))), 0
    for profile, reader in readers(settings, None, clock, random, bus):
        async for batch in reader.read(Memory(), None):
            assert batch.profile == profile
            for record in batch.decoded.records if batch.decoded is not None else ():
                assert record.profile == profile
                assert record.device is not None
                assert record.device.serial in people[profile]
                read += 1
            if batch.capture is not None:
                assert batch.capture.profile == profile
                assert batch.capture.feed.rpartition(":")[2] in people[profile]
    return read


@pytest.mark.proof
@pytest.mark.timeout(3600 if LONG else 120)
async def test_no_way_of_mixing_people_up_works() -> None:
    seed = int(os.environ.get("GLUCOBRIDGE_SEED", "0")) or Random().randrange(10**6)
    print(f"\nmix-ups: {ATTEMPTS}, seed {seed}")
    random = Random(seed)
    read = sum([await attempt(random) for _ in range(ATTEMPTS)])
    assert read > ATTEMPTS // 2


def test_a_reader_is_told_what_belongs_to_others() -> None:
    seen: dict[str, frozenset[str]] = {}
    settings = settings_of({"child": ["4293001"], "father": ["4293002", "4293003"]})
    for profile, reader in readers(settings, None, FakeClock(), Random(1), None):
        setup: Setup = reader._setup  # type: ignore[attr-defined]
        seen[profile] = setup.bound_elsewhere
    assert seen == {"child": {"4293002", "4293003"}, "father": {"4293001"}}
