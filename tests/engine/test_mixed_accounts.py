"""An account, a shared care partner or an export file that shows another person's pump: nothing of it is taken."""

from __future__ import annotations

import os
import random
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bridge.contracts import Answer, Memory, Setup
from bridge.engine.importing import Importer
from bridge.errors import Malformed
from bridge.journal import open_journal
from bridge.model.health import State
from bridge.readers.carelink_cloud import CareLinkCloudReader
from bridge.readers.carelink_csv import CareLinkCsvReader
from bridge.simulators.carelink_cloud import CareLinkSim, Family, Person
from bridge.simulators.carelink_cloud.export_csv import Export
from bridge.simulators.patient import VirtualPatient
from tests.support.clock import FakeClock

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
ATTEMPTS = 3_000 if LONG else 60
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
PEOPLE = ("child", "father", "mother")


@dataclass(frozen=True)
class Shown:
    """What CareLink shows of a person: a feed's answer and an export, both with the pump's serial."""

    serial: str
    answer: bytes
    export: bytes


@cache
def shown(name: str) -> Shown:
    patient = VirtualPatient(PEOPLE.index(name) + 3, "Europe/Berlin")
    person = Person(name, patient)
    sim = CareLinkSim([person], lambda: NOON)
    picture = sim.picture(name)
    assert picture is not None
    events = patient.events(NOON - timedelta(hours=30), NOON)
    export = Export(person).write(events, (NOON - timedelta(days=1)).date(), NOON.date())
    return Shown(Export(person).serial, sim.answer(picture, Family.NGP), export)


def setup_of(name: str, bound: frozenset[str], **more: Any) -> Setup:
    clock = FakeClock(NOON)
    return Setup(name, {}, clock, random.Random(1), timezone="Europe/Berlin", bound_elsewhere=bound, **more)


def others(name: str) -> frozenset[str]:
    return frozenset(shown(each).serial for each in PEOPLE if each != name)


def by_cloud(name: str, answer: bytes, bound: frozenset[str]) -> tuple[State, set[str | None], bool]:
    """How a read of this answer ends for a person: state, serials of the records, whether the answer is kept."""
    account = {"region": "EU", "username": "carer", "role": "carepartner", "patient": name}
    setup = setup_of(name, bound, session=object())
    reader = CareLinkCloudReader(Setup(**{**{f: getattr(setup, f) for f in setup.__slots__}, "settings": account}))
    assert reader._source is not None
    batch = reader._read(reader._source, Answer(200, {}, answer), Memory())
    records = batch.decoded.records if batch.decoded is not None else ()
    assert {record.profile for record in records} <= {name}
    return batch.health.state, {record.device.serial for record in records}, batch.capture is not None


async def by_file(name: str, export: bytes, bound: frozenset[str], folder: Path) -> set[str | None]:
    """Serials of the records that an import of this file leaves in a person's journal."""
    journal = await open_journal(folder / f"{random.random()}.db", clock=FakeClock(NOON))
    try:
        importer = Importer(journal, CareLinkCsvReader(setup_of(name, bound)), name, FakeClock(NOON), bound)
        with suppress(Malformed):
            await importer.take(export, {"timezone": "Europe/Berlin"})
        records = [record async for record in journal.records(name)]
        assert {record.profile for record in records} <= {name}
        return {record.device.serial for record in records}
    finally:
        await journal.close()


def test_an_answer_with_another_persons_pump_is_refused_and_kept() -> None:
    state, serials, kept = by_cloud("child", shown("father").answer, others("child"))
    assert (state, serials, kept) == (State.WRONG_DEVICE, set(), True)
    state, serials, _ = by_cloud("child", shown("child").answer, others("child"))
    assert serials == {shown("child").serial}
    assert state is not State.WRONG_DEVICE


async def test_a_file_with_another_persons_pump_is_refused_whole(tmp_path: Path) -> None:
    assert await by_file("child", shown("father").export, others("child"), tmp_path) == set()
    assert await by_file("child", shown("child").export, others("child"), tmp_path) == {shown("child").serial}


@pytest.mark.proof
@pytest.mark.timeout(7200 if LONG else 120)
async def test_no_mixed_account_or_file_puts_a_record_into_another_journal(tmp_path: Path) -> None:
    """A care partner of all of them, accounts linked to the wrong person, files taken for another's."""
    seed = int(os.environ.get("GLUCOBRIDGE_SEED", "0")) or random.Random().randrange(10**6)
    print(f"\nmixed accounts: {ATTEMPTS}, seed {seed}")
    dice, taken = random.Random(seed), 0
    for _ in range(ATTEMPTS):
        name, whose = dice.choice(PEOPLE), dice.choice(PEOPLE)
        if dice.random() < 0.7:
            _, serials, _ = by_cloud(name, shown(whose).answer, others(name))
        else:
            serials = await by_file(name, shown(whose).export, others(name), tmp_path)
        assert serials == ({shown(name).serial} if whose == name else set())
        taken += bool(serials)
    assert taken > ATTEMPTS // 6
