"""Days of a virtual patient, as an independent pump remembers them, come back as what happened."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.contracts import Decoded, Memory
from bridge.model import Capture
from bridge.model.time import iso_ms
from bridge.readers.medtronic_stick.decode import decode
from bridge.simulators.patient import VirtualPatient
from bridge.simulators.stick.memory import Life, remember
from bridge.simulators.stick.pump import VirtualPump
from tests.readers.medtronic_stick.decode.payloads import SERIAL, codes, of_kind

ZONE = "Europe/Berlin"
ASKED = (0x72, 0x73, 0x79, 0x88, 0x89, 0x8A, 0x8B, 0x9F, 0xC0, 0x92, 0x93, 0x94, 0x98, 0xCE)
SPRING, AUTUMN = datetime(2025, 4, 2, 10, 2, tzinfo=UTC), datetime(2025, 10, 30, 10, 2, tzinfo=UTC)
VALUES = {"bolus": "delivered_u", "carbs": "grams", "meter_glucose": "mgdl"}


def capture_of(life: Life, patient: VirtualPatient, model: str, now: datetime) -> Capture:
    pump = VirtualPump(SERIAL, model, life.memory, lambda: patient.pump.wall(now))
    answers = {
        f"{opcode:02x}": payload.hex() for opcode in ASKED if isinstance(payload := pump.ask(opcode, b""), bytes)
    }
    clock = pump.ask(0x70, b"")
    assert isinstance(clock, bytes)
    told = {
        "model": model, "serial": SERIAL, "host_utc": iso_ms(now), "clock": clock.hex(), "answers": answers,
        "history": {str(number): data.hex() for number, data in enumerate(life.memory.history)},
        "glucose": {str(number): data.hex() for number, data in life.memory.glucose.items()},
        "isig": {str(number): data.hex() for number, data in life.memory.isig.items()},
    }  # fmt: skip
    return Capture(
        "default", "medtronic-stick", f"medtronic:{SERIAL}", now, json.dumps(told).encode(), {"timezone": ZONE}
    )


def second(at: datetime) -> datetime:
    return at.replace(microsecond=0)


@pytest.fixture(
    scope="module", params=[(model, now) for model in ("522", "523") for now in (SPRING, AUTUMN)], ids=str
)
def read(request: pytest.FixtureRequest) -> tuple[Life, Decoded, datetime]:
    model, now = request.param
    patient = VirtualPatient(11, ZONE)
    life = remember(patient, model, now - timedelta(days=8), now)
    return life, decode(capture_of(life, patient, model, now), Memory()), now


def test_what_was_done_comes_back(read: tuple[Life, Decoded, datetime]) -> None:
    life, decoded, _ = read
    for kind, field in VALUES.items():
        expected = {(second(fact.time), fact.value) for fact in life.facts if fact.kind == kind}
        found = {(record.time, getattr(record, field)) for record in of_kind(decoded, kind)}
        assert found == expected, kind
        assert found
    moved = [fact.value for fact in life.facts if fact.kind == "time_change"]
    changes = [event for event in of_kind(decoded, "device_event") if event.event == "time_change"]
    assert [(event.clock_to - event.clock_from) / timedelta(minutes=1) for event in changes] == moved
    assert set(codes(decoded)) <= {"glucose_without_time"}
    assert decoded.understood


def test_what_the_sensor_told_comes_back(read: tuple[Life, Decoded, datetime]) -> None:
    life, decoded, _ = read
    readings = [fact for fact in life.facts if fact.kind == "sensor_glucose"]
    found: list[Any] = of_kind(decoded, "sensor_glucose")
    assert life.stamped is not None
    assert len(found) >= sum(fact.time <= life.stamped for fact in readings) > 0
    for record, fact in zip(found, readings, strict=False):
        assert record.mgdl == fact.value
        assert timedelta() <= fact.time - record.time < timedelta(minutes=1)


def test_the_basal_line_is_what_ran(read: tuple[Life, Decoded, datetime]) -> None:
    """But for the tubing, after whose prime delivery is taken to go on: the pump waits for the cannula's."""
    life, decoded, now = read
    basals: list[Any] = of_kind(decoded, "basal")
    begin = (now - timedelta(days=7)).replace(hour=0)
    given = 0.0
    for one, following in zip(basals, [*basals[1:], None], strict=True):
        end = following.time if following is not None else now
        given += one.rate_u_h * max((end - max(one.time, begin)) / timedelta(hours=1), 0.0)
    assert given == pytest.approx(life.basal.given_u(begin, now), abs=0.05)


@pytest.mark.parametrize("model", ["522", "523"])
@pytest.mark.parametrize("now", [SPRING, AUTUMN], ids=str)
def test_a_short_read_says_the_same_as_a_long_one(model: str, now: datetime) -> None:
    """Keys, times and bodies do not hang on how many pages are read, once all were."""
    patient = VirtualPatient(11, ZONE)
    life = remember(patient, model, now - timedelta(days=8), now)
    whole = decode(capture_of(life, patient, model, now), Memory())
    told = {record.id: record for record in whole.records}
    life.memory.history = life.memory.history[:1]
    short = decode(capture_of(life, patient, model, now), Memory(state={"decoder": whole.state["decoder"]}))
    assert 10 < len([record for record in short.records if record.kind != "sensor_glucose"]) < len(told)
    assert [record for record in short.records if told.get(record.id) != record] == []


@pytest.mark.parametrize("model", ["522", "523"])
def test_reads_one_after_another_never_move_what_was_told(model: str) -> None:
    patient = VirtualPatient(11, ZONE)
    begin = SPRING - timedelta(days=5)
    memory, told = Memory(), dict[str, Any]()
    for hours in range(0, 30, 5):
        now = SPRING - timedelta(hours=30 - hours)
        life = remember(patient, model, begin, now)
        decoded = decode(capture_of(life, patient, model, now), memory)
        memory = Memory({**memory.sightings, **decoded.sightings}, decoded.state)
        for record in decoded.records:
            first = told.setdefault(record.id, record)
            assert (first.time, first.source_key) == (record.time, record.source_key)
    alone = {record.id for record in decoded.records if record.kind not in ("pump_status", "pump_settings")}
    assert {key for key, record in told.items() if record.kind not in ("pump_status", "pump_settings")} <= alone
