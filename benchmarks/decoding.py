"""Payload decode and the unchanged poll, against the JSON parse of the same bytes."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from benchmarks.table import Row, at_most, median_s
from bridge.contracts import Memory
from bridge.model import Capture
from bridge.readers.carelink_cloud.decode import decode
from bridge.simulators.carelink_cloud import CareLinkSim, Family, Person
from bridge.simulators.patient import VirtualPatient

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def answers() -> tuple[bytes, bytes]:
    """A day's answer, and the same rows again a minute later."""
    now = [NOON]
    person = Person("patient1", VirtualPatient(1))
    sim = CareLinkSim([person], lambda: now[0])
    picture = sim.picture("patient1")
    assert picture is not None
    first = sim.answer(picture, Family.NGP)
    now[0] = NOON.replace(minute=1)
    return first, sim.answer(picture, Family.NGP)


def rows() -> list[Row]:
    first, second = answers()
    capture = Capture("p1", "carelink-cloud", "carelink:eu:patient1", NOON, first)
    again = Capture("p1", "carelink-cloud", "carelink:eu:patient1", NOON, second)
    decoded = decode(capture, Memory())
    memory = Memory(decoded.sightings, decoded.state)
    parse = median_s(lambda: json.loads(first), 50)
    return [
        at_most(
            f"decode of a day ({len(decoded.records)} records)", median_s(lambda: decode(capture, Memory())), parse, 8
        ),
        at_most("poll with the same rows", median_s(lambda: decode(again, memory)), parse, 3),
    ]
