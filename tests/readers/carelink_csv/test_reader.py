"""The reader: nothing to poll, pure decoding, equal ids every time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from pydantic import ValidationError

from bridge.contracts import Memory, Setup
from bridge.model import Capture
from bridge.model.health import State
from bridge.readers.carelink_csv import CareLinkCsvReader
from tests.readers.carelink_csv.exports import TAKEN, decoded, g2, g2_row, shown
from tests.support import vectors
from tests.support.clock import FakeClock


def _reader(clock: FakeClock | None = None) -> CareLinkCsvReader:
    return CareLinkCsvReader(Setup("p1", {}, clock or FakeClock(), Random(1)))


async def test_a_read_says_that_files_are_imported() -> None:
    clock = FakeClock()
    [batch] = [batch async for batch in _reader(clock).read(Memory(), None)]
    assert (batch.profile, batch.reader, batch.health.state) == ("p1", "carelink-csv", State.NO_DATA)
    assert "import" in batch.health.text
    assert batch.next_due == clock.now() + timedelta(days=1)
    assert (batch.decoded, batch.capture, batch.covered) == (None, None, None)


def test_settings_are_none() -> None:
    assert CareLinkCsvReader.Settings.model_validate({})
    with pytest.raises(ValidationError):
        CareLinkCsvReader.Settings.model_validate({"folder": "x"})
    assert CareLinkCsvReader.linking is None
    assert (CareLinkCsvReader.name, CareLinkCsvReader.file_feed) == ("carelink-csv", "carelink-csv")


@pytest.mark.parametrize("name", ["v1_revel723_week_dst", "v2_us_780g_54col"])
def test_the_same_file_gives_the_same_ids_whenever_it_is_imported(name: str) -> None:
    body = vectors.path("carelink-csv", f"{name}.csv").read_bytes()
    context = {"timezone": "US/Pacific"}
    capture = Capture("p1", "carelink-csv", "carelink-csv", TAKEN, body, context)
    later = Capture("p1", "carelink-csv", "carelink-csv", datetime(2027, 5, 1, tzinfo=UTC), body, context)
    first = _reader().decode(capture, Memory())
    memory = Memory(first.sightings, first.state)
    for again in (_reader().decode(capture, Memory()), _reader().decode(later, memory)):
        assert shown(again) == shown(first)
        assert again.state == first.state
    assert len({record.id for record in first.records}) == len(first.records)
    assert {record.profile for record in first.records} == {"p1"}
    assert [record.time for record in first.records] == sorted(record.time for record in first.records)


def test_another_locale_of_the_same_export_gives_the_same_ids() -> None:
    us = g2(sensor=[g2_row("2025/01/31 12:00:00", Sensor_Glucose="7.3")], unit="mmol/L")
    eu = g2(sensor=[g2_row("2025/01/31 12:00:00", delimiter=";", Sensor_Glucose="7,3")], unit="mmol/L", delimiter=";")
    assert [record.id for record in decoded(us).records] == [record.id for record in decoded(eu).records]


def test_overlapping_exports_agree_on_the_rows_they_share() -> None:
    rows = [g2_row(f"2025/01/{day:02} 12:00:00", Sensor_Glucose="120") for day in range(31, 0, -1)]
    early, late = decoded(g2(sensor=rows[10:])).records, decoded(g2(sensor=rows[:20])).records
    shared = {record.id for record in early} & {record.id for record in late}
    assert len(shared) == 10
