"""A virtual wearer's days, over the wire and through the decoder: every fact is one record, with its value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bridge.readers.medtronic_600 import Medtronic600Reader
from bridge.simulators.patient import Fact, fact
from tests.readers.medtronic_600.protocol.world import PATIENT, World, world

VALUES = {
    "sensor_glucose": "mgdl", "bolus": "delivered_u", "carbs": "grams", "basal": "dose_u", "meter_glucose": "mgdl",
    "calibration": "mgdl",
}  # fmt: skip


def _facts(there: World, start: datetime, end: datetime) -> list[Fact]:
    life = there.pump._life
    assert life is not None
    found = (fact(event) for event in life.happened(start, end))
    return sorted(one for one in found if one is not None and one.kind in VALUES)


def _values(records: Iterable[Any]) -> list[Fact]:
    told = [(each, VALUES.get(each.kind)) for each in records]
    values = [(each, getattr(each, name)) for each, name in told if name is not None]
    return [Fact(each.kind, each.time, value) for each, value in values if value is not None]


def _missing(facts: list[Fact], told: list[Fact]) -> tuple[list[Fact], list[Fact]]:
    """Facts without a record and records without a fact."""
    left, missing = list(told), []
    for wanted in facts:
        match = next((each for each in left if _same(wanted, each)), None)
        if match is None:
            missing.append(wanted)
        else:
            left.remove(match)
    return missing, left


def _same(wanted: Fact, told: Fact) -> bool:
    near = abs((wanted.time - told.time).total_seconds()) <= 2.5
    return wanted.kind == told.kind and near and abs(wanted.value - told.value) < 0.001


@pytest.mark.parametrize("kind", ["670G", "640G"])
async def test_two_days_arrive_whole(kind: str) -> None:
    there = world(patient=PATIENT, cls=Medtronic600Reader, kind=kind, settings={"history_days": 2})
    batch = await there.one()
    assert batch.decoded is not None
    assert batch.health.state.value == "ok"
    assert batch.decoded.understood
    end = there.clock.now() - timedelta(minutes=100)
    start = end - timedelta(hours=40)
    facts = _facts(there, start, end)
    missing, extra = _missing(facts, _values(batch.decoded.records))
    assert not missing
    inner = [each for each in extra if start + timedelta(hours=2) < each.time < end - timedelta(minutes=5)]
    unasked = [each for each in inner if not _calibrates(each, facts)]
    assert [each for each in unasked if kind == "670G" or each.kind != "basal"] == []
    assert len(facts) > (700 if kind == "670G" else 480)
    moved = there.link.bytes_in + there.link.bytes_out
    print(f"{kind}: {moved} bytes in reports for {len(batch.decoded.records)} records")
    assert moved / len(batch.decoded.records) < 64


async def test_rereading_moves_and_doubles_nothing() -> None:
    there = world(patient=PATIENT, cls=Medtronic600Reader, settings={"history_days": 1})
    seen: dict[str, datetime] = {}
    batch = await there.one()
    start, records = there.clock.now() - timedelta(hours=20), dict[str, Any]()
    for _ in range(40):
        assert batch.decoded is not None
        for record in batch.decoded.records:
            assert seen.setdefault(record.id, record.time) == record.time
            records[record.id] = record
        there.until_due(batch)
        batch = await there.one()
    assert len(there.pump.spans[2]) > 2
    end = there.clock.now() - timedelta(hours=2, minutes=10)
    facts = _facts(there, start, end)
    missing, extra = _missing(facts, _values(records.values()))
    assert not missing
    inner = [each for each in extra if start + timedelta(minutes=5) < each.time < end]
    assert [each for each in inner if not _calibrates(each, facts)] == []


def _calibrates(told: Fact, facts: list[Fact]) -> bool:
    """A finger-stick that the sensor was given is told as both."""
    return any(_same(each, replace(told, kind="calibration")) for each in facts)


async def test_capture_alone_gives_the_same_records() -> None:
    there = world(patient=PATIENT, cls=Medtronic600Reader, settings={"history_days": 1})
    before = there.memory
    batch = await there.one()
    assert batch.capture is not None
    assert batch.decoded is not None
    again = there.reader.decode(batch.capture, before)
    assert list(again.records) == list(batch.decoded.records)
