"""The meter in front of a pump has finger-sticks of its own and is read like any other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

from bridge.contracts import Memory, Setup
from bridge.model.health import State
from bridge.readers.contour_usb import ContourUsbReader
from bridge.simulators.usb.catalogue import plugged_in
from bridge.usb import PyUsbBus
from tests.support.clock import FakeClock

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


async def test_a_next_link_is_read_as_a_meter() -> None:
    clock = FakeClock(NOW)
    bus = PyUsbBus(plugged_in(["640g"], clock.now))
    setup = Setup("p1", {"devices": ["1234567"]}, clock, Random(1), usb=bus, timezone="Europe/Berlin")
    (batch,) = [each async for each in ContourUsbReader(setup).read(Memory(), None)]
    assert batch.health.state is State.OK, batch.health
    assert batch.decoded is not None
    readings = batch.decoded.records
    assert {record.kind for record in readings} == {"meter_glucose"}
    assert len(readings) > 5
    assert all(NOW - timedelta(days=8) < record.time <= NOW for record in readings)
