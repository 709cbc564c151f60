"""A finger-stick on the meter, linked to the pump, seen in the cloud: one record, in any order of arrival."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from bridge.ble import radio
from bridge.contracts import Interval
from bridge.demo.air import virtual_radio
from bridge.model import MeterGlucose, Record
from bridge.settings import PlugInSettings, Settings
from bridge.simulators.ble import Air, Stick, VirtualMeter, values
from bridge.simulators.carelink_cloud import Person
from bridge.simulators.next_link import NextLink, Pump
from bridge.simulators.patient import FingerStick, VirtualPatient
from bridge.simulators.usb import VirtualBackend
from bridge.usb import PyUsbBus
from tests.support.clock import FakeClock
from tests.support.house import House, built, records, require_conserved

START = datetime(2026, 3, 10, 18, 0, tzinfo=UTC)
DAY = Interval(START - timedelta(hours=22), START - timedelta(hours=1))
SEED = 6
"""This patient tests twice that day."""
METER, PUMP, CLOUD = "ble-glucose", "medtronic-600", "carelink-cloud"
BEHIND = timedelta(seconds=-25)
"""The meter's clock against the pump's."""
_NOTED = {"meal": 2}


def meter_of(air: Air, patient: VirtualPatient, clock: FakeClock) -> VirtualMeter:
    """It remembers the same blood as the pump it is linked to, by its own clock, and knows whether somebody ate."""

    def shows() -> datetime:
        return (clock.now() + BEHIND).replace(tzinfo=None)

    meter = VirtualMeter(air, "C0:00:00:00:00:01", shows)
    sticks = [each for each in patient.events(DAY.start, START) if isinstance(each, FingerStick)]
    for number, each in enumerate(sticks, start=1):
        wall = (each.time + BEHIND).replace(tzinfo=None)
        value = values.glucose(number, wall, each.mgdl, offset_min=0, note_follows=True)
        meter.sticks.append(Stick(number, wall, value, values.note(number, **_NOTED)))
    return meter


def bound(house: House, pump: Pump, meter: VirtualMeter) -> Mapping[str, Settings]:
    """The settings with one of the three readers each, and with all of them."""
    person = house.settings.profiles["p1"]
    own: dict[str, Any] = {
        METER: PlugInSettings.model_validate({"devices": [meter.model.serial], "scan_s": 0.3}),
        PUMP: PlugInSettings.model_validate({"devices": [pump.serial]}),
        CLOUD: person.readers[CLOUD],
    }
    chosen = {name: {name: table} for name, table in own.items()} | {"all": own}
    return {
        name: house.settings.model_copy(
            update={"profiles": {"p1": person.model_copy(update={"readers": tables, "timezone": "UTC"})}}
        )
        for name, tables in chosen.items()
    }


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(radio, "SETTLE_S", 0.02)


@pytest.mark.parametrize("order", list(permutations((METER, PUMP, CLOUD))), ids="-".join)
async def test_one_record_and_one_document_in_any_order(order: Sequence[str], tmp_path: Path) -> None:
    await read_in_order(order, tmp_path, VirtualPatient(SEED, zone="UTC", start=START - timedelta(hours=8)))


async def test_a_whole_day_keeps_every_document_around(tmp_path: Path) -> None:
    """Also those of a pause in the insulin that only readings hours after the finger-stick explain."""
    await read_in_order((CLOUD, METER, PUMP), tmp_path, VirtualPatient(SEED, zone="UTC"))


async def read_in_order(order: Sequence[str], folder: Path, patient: VirtualPatient) -> None:
    clock = FakeClock(START)
    person = Person("patient1", patient, first_name="Robin", last_name="Example")
    async with built(folder, clock, [person]) as house:
        pump, air = Pump(clock.now, patient, kind="670G", serial=f"NG{patient.seed % 10**7:07d}H"), Air()
        meter, bus = meter_of(air, patient, clock), PyUsbBus(VirtualBackend([NextLink(pump)]))
        air.computer.begins.append(meter.switch_on)
        ble, settings = virtual_radio(air), bound(house, pump, meter)
        times: dict[str, datetime] = {}
        for name in (*order, "all", "all"):
            house = replace(house, settings=settings[name])
            async with house.engine(usb=bus, ble=ble) as engine:
                cycle = await engine.once()
                assert not cycle.needs_person, cycle
                found = blood(await records(engine.journal))
                times |= {each.id: times.get(each.id, each.time) for each in found}
                assert {each.id: each.time for each in found} == times, "a time moved, or a record vanished"
                await require_conserved(house, engine)
            clock.advance(1200)
        require_one_each(house, found, patient)


def blood(found: Sequence[Record]) -> list[MeterGlucose]:
    return [each for each in found if isinstance(each, MeterGlucose) and DAY.start <= each.time < DAY.end]


def require_one_each(house: House, found: Sequence[MeterGlucose], patient: VirtualPatient) -> None:
    """One record a finger-stick with the body that the meter gave, and one document each."""
    facts = patient.facts(DAY.start, DAY.end, ["meter_glucose"])
    assert facts
    assert sorted(each.mgdl for each in found) == sorted(round(fact.value) for fact in facts)
    assert {(each.reader, each.entry, each.meal) for each in found} == {(METER, "meter", "after")}
    assert {each.device.serial for each in found} == {"0000001"}
    treatments, datums = house.site()["treatments"], house.datums()
    checks = [each for each in treatments if each["eventType"] == "BG Check" and in_day(each["created_at"])]
    bloods = [each for each in datums if each["type"] == "smbg" and in_day(each["time"])]
    assert len(checks) == len(bloods) == len(facts)


def in_day(text: str) -> bool:
    return DAY.start <= datetime.fromisoformat(text) < DAY.end
