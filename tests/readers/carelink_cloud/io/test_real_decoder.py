"""The reader with the decoder and the redaction that ship with it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from bridge.contracts import Memory
from bridge.model.health import State
from bridge.model.time import from_ms
from tests.readers.carelink_cloud.io.fakes import (
    GUARDIAN_CARER,
    MESSAGE,
    Bench,
    Scripted,
    Tokens,
    reader_at,
    running,
)
from tests.support import vectors
from tests.support.clock import FakeClock

SKEW = timedelta(seconds=17)


def vector(name: str) -> Any:
    return vectors.document("carelink-cloud", name)


@pytest.fixture
async def real() -> AsyncIterator[Bench]:
    """A carer's reader whose local clock is 17 s behind the server of the 780G vector."""
    now = from_ms(vector("ngp-780g-smartguard.json")["patientData"]["currentServerTime"]) - SKEW
    async with running() as (fake, client):
        clock = FakeClock(now)
        session = Tokens(client, fake.base, "token-1")
        fake.on(MESSAGE, Scripted(body=vector("ngp-780g-smartguard.json")))
        yield Bench(fake, client, clock, session, reader_at(fake, clock, session))


async def test_a_whole_answer_becomes_records_once(real: Bench) -> None:
    batch = await real.read()
    assert batch.decoded is not None
    readings = [record for record in batch.decoded.records if record.kind == "sensor_glucose"]
    assert len(readings) == 288
    assert {record.profile for record in batch.decoded.records} == {"p1"}
    assert batch.health == batch.decoded.health
    assert batch.health.state is State.OK
    assert batch.covered is not None
    assert batch.covered.end - batch.covered.start == timedelta(hours=24)


async def test_the_next_read_follows_the_upload_on_the_servers_clock(real: Bench) -> None:
    batch = await real.read()
    uploaded = from_ms(vector("ngp-780g-smartguard.json")["patientData"]["lastMedicalDeviceDataUpdateServerTime"])
    behind_s = (batch.next_due + SKEW - uploaded).total_seconds()
    assert 330 <= behind_s <= 340


async def test_the_capture_decodes_to_the_same_records_and_names_nobody(real: Bench) -> None:
    answer = vector("ngp-780g-smartguard.json")
    answer["patientData"] |= {"firstName": "Verysecret", "lastName": "Personsname"}
    real.fake.on(MESSAGE, Scripted(body=answer))
    batch = await real.read()
    assert batch.capture is not None
    assert batch.decoded is not None
    assert b"Verysecret" not in batch.capture.body
    assert b"Personsname" not in batch.capture.body
    assert real.reader.decode(batch.capture, Memory()).records == batch.decoded.records


async def test_what_is_remembered_survives_a_restart(real: Bench) -> None:
    batch = await real.read()
    assert batch.decoded is not None
    memory = Memory(batch.decoded.sightings, json.loads(json.dumps(dict(batch.decoded.state))))
    real.restart()
    real.clock.advance(60)
    (again,) = [later async for later in real.reader.read(memory, None)]
    assert again.decoded is not None
    assert len(real.fake.paths()) == 3
    first = {record.id for record in batch.decoded.records}
    assert {record.id for record in again.decoded.records} <= first


async def test_an_answer_cut_short_is_kept_for_a_person_to_look_at(real: Bench) -> None:
    whole = json.dumps(vector("ngp-780g-smartguard.json")).encode()
    for body in (whole[: len(whole) // 2], b"[1, 2]", b"\xff\xfe\x00", b"7"):
        real.fake.on(MESSAGE, Scripted(body=body))
        batch = await real.read(60)
        assert batch.health.state is State.MALFORMED
        assert batch.decoded is None
        assert batch.capture is not None


async def test_a_guardian_on_its_own_route(real: Bench) -> None:
    real.fake.on(MESSAGE, Scripted(204))
    real.fake.on(GUARDIAN_CARER, Scripted(body=vector("guardian-connect.synthetic.json")))
    batch = await real.read()
    assert batch.decoded is not None
    assert batch.decoded.state["io"]["route"] == "guardian"


@pytest.mark.parametrize("name", ["simplera-cgm-only.synthetic.json", "paradigm-legacy.json"])
async def test_every_other_answer(real: Bench, name: str) -> None:
    real.fake.on(MESSAGE, Scripted(body=vector(name)))
    batch = await real.read()
    assert batch.decoded is not None
    assert batch.decoded.records
