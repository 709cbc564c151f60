"""One person's pump read by USB and seen in the CareLink cloud: one record for each event, the device's body."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bridge.contracts import Interval
from bridge.model import Basal, Record
from bridge.settings import PlugInSettings, Settings
from bridge.simulators.next_link import NextLink, Pump
from bridge.simulators.usb import VirtualBackend
from bridge.usb import PyUsbBus
from tests.support.clock import FakeClock
from tests.support.house import House, built, records, require_conserved

START = datetime(2026, 3, 10, 18, 0, tzinfo=UTC)
DAY = Interval(START - timedelta(hours=22), START - timedelta(hours=1))


def with_pump(house: House, clock: FakeClock) -> tuple[Settings, PyUsbBus]:
    """The person's own pump also hangs on USB."""
    patient = house.world.people[0].patient
    serial = f"NG{patient.seed % 10**7:07d}H"
    pump = Pump(clock.now, patient, kind="670G", serial=serial)
    person = house.settings.profiles["p1"]
    table = PlugInSettings.model_validate({"devices": [serial]})
    both = person.model_copy(update={"readers": {**person.readers, "medtronic-600": table}})
    profiles = {**house.settings.profiles, "p1": both}
    return house.settings.model_copy(update={"profiles": profiles}), PyUsbBus(VirtualBackend([NextLink(pump)]))


async def test_the_same_hours_from_cloud_and_device_are_one_record_an_event(tmp_path: Path) -> None:
    clock = FakeClock(START)
    async with built(tmp_path, clock) as house:
        settings, bus = with_pump(house, clock)
        house = replace(house, settings=settings)
        async with house.engine(usb=bus) as engine:
            assert {source.poller.reader.name for source in engine.sources} == {"carelink-cloud", "medtronic-600"}
            for _ in range(3):
                await engine.once()
                clock.advance(300)
            found = [r for r in await records(engine.journal) if DAY.start <= r.time < DAY.end]
            require_one_each(house, found)
            assert {record.reader for record in found if record.kind == "sensor_glucose"} == {"medtronic-600"}
            micro = [record for record in found if isinstance(record, Basal) and record.dose_u]
            assert len(micro) == len(house.world.people[0].patient.facts(DAY.start, DAY.end, ["basal"]))
            await require_conserved(house, engine)


def require_one_each(house: House, found: list[Record]) -> None:
    patient = house.world.people[0].patient
    kinds = ("sensor_glucose", "bolus", "carbs", "meter_glucose", "calibration")
    assert patient.facts(DAY.start, DAY.end, ["bolus"])
    assert patient.facts(DAY.start, DAY.end, ["carbs"])
    for kind in kinds:
        facts = patient.facts(DAY.start, DAY.end, [kind])
        have = [record for record in found if record.kind == kind and getattr(record, "mgdl", 0) is not None]
        assert len(have) == len(facts), kind
