"""What every reader promises, against its simulated source."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from pydantic import BaseModel

from bridge.contracts import Batch, Decoded, Memory, Reader, Setup
from bridge.credentials import Sessions, Vault, create_key, http_client
from bridge.engine.build import readers
from bridge.engine.registry import reader_class
from bridge.errors import Malformed
from bridge.model import Record
from bridge.model.capture import Capture
from bridge.model.health import State
from bridge.simulators.carelink_cloud import CareLinkSim, Family, Person
from bridge.simulators.fault_proxy import FaultProxy, ProxyFault
from bridge.simulators.patient import VirtualPatient
from tests.support.clock import FakeClock
from tests.support.house import built

PROXIES = {"carelink-cloud": "carelink"}
"""Where each reader's source answers in the house."""
NAMES = list(PROXIES)
EVENING = datetime(2026, 3, 10, 18, 0, tzinfo=UTC)
FOREIGN = [
    b"", b" ", b"{}", b"[]", b"null", b"1e999", b'"text"', b"<html><body>Sign in</body></html>", b"\xff\xfe\x00",
    b'{"sgs": 5, "markers": {}}', b'{"sgs": [[]], "markers": [null, 1, {}]}', b'{"patientData": []}',
    b'{"currentServerTime": "x", "sgs": [{"sg": "high"}]}', b"[" * 20_000, b"9" * 50_000, b"PK\x03\x04" + bytes(100),
    b'[{"sgv": 120, "date": 1}]', b"Index;Date;Time\n1;2026/01/01;10:00:00\n", json.dumps({"sgs": [{}] * 3}).encode(),
]  # fmt: skip


def _answers(name: str, family: Family = Family.NGP) -> list[tuple[datetime, bytes]]:
    """Answers of one source, some minutes apart."""
    assert name == "carelink-cloud"
    clock = FakeClock(EVENING)
    cloud = CareLinkSim([Person("patient1", VirtualPatient(1), family)], clock.now)
    answers = []
    for _ in range(4):
        picture = cloud.picture("patient1")
        assert picture is not None
        answers.append((clock.now(), cloud.answer(picture, family)))
        clock.advance(420)
    return answers


def _reader(name: str) -> Reader:
    """A reader that no network is allowed to."""
    return reader_class(name)(Setup("p1", {}, FakeClock(EVENING), Random(1)))


def _capture(name: str, body: bytes, at: datetime = EVENING) -> Capture:
    return Capture("p1", name, _reader(name).file_feed, at, body)


def _shown(records: object) -> list[str]:
    assert isinstance(records, (list, tuple))
    return [record.model_dump_json() for record in records]


def _grown(memory: Memory, decoded: Decoded) -> Memory:
    """As the journal keeps it: through JSON."""
    state = json.loads(json.dumps(dict(decoded.state)))
    return Memory({**memory.sightings, **decoded.sightings}, state)


# --- pure ---


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_class_has_what_the_engine_needs(name: str) -> None:
    plugin, reader = reader_class(name), _reader(name)
    assert plugin.linking is not None
    assert plugin.name == reader.name == plugin.linking.name == name
    assert issubclass(plugin.Settings, BaseModel)
    assert reader.file_feed
    assert plugin.linking.scopes


@pytest.mark.parametrize("family", [Family.NGP, Family.NGP_FLAT])
@pytest.mark.parametrize("name", NAMES)
def test_decoding_is_pure_and_the_same_every_time(name: str, family: Family) -> None:
    at, body = _answers(name, family)[0]
    memory, reader = Memory(), _reader(name)
    first = reader.decode(_capture(name, body, at), memory)
    assert len(first.records) > 300
    assert memory == Memory()
    later = reader.decode(_capture(name, body, at + timedelta(days=9)), memory)
    for again in (reader.decode(_capture(name, body, at), memory), later):
        assert _shown(again.records) == _shown(first.records)
        assert (again.sightings, again.state, again.health) == (first.sightings, first.state, first.health)
    assert _shown(_reader(name).decode(_capture(name, body, at), memory).records) == _shown(first.records)


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_of_one_record_each_and_carry_the_profile(name: str) -> None:
    at, body = _answers(name)[0]
    records = _reader(name).decode(_capture(name, body, at), Memory()).records
    assert len({record.id for record in records}) == len(records)
    assert {record.profile for record in records} == {"p1"}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_remembered_is_not_new_again(name: str) -> None:
    at, body = _answers(name)[0]
    reader = _reader(name)
    first = reader.decode(_capture(name, body, at), Memory())
    memory = _grown(Memory(), first)
    again = reader.decode(_capture(name, body, at), memory)
    assert {record.id for record in again.records} <= {record.id for record in first.records}
    assert not again.sightings
    assert again.state == memory.state


@pytest.mark.parametrize("name", NAMES)
def test_later_answers_bring_only_what_happened_since(name: str) -> None:
    reader, memory = _reader(name), Memory()
    held: dict[str, Record] = {}
    for at, body in _answers(name):
        decoded = reader.decode(_capture(name, body, at), memory)
        fresh = [record for record in decoded.records if record.id not in held]
        assert not held or all(record.time > at - timedelta(minutes=30) for record in fresh)
        for record in decoded.records:
            assert held.setdefault(record.id, record).time == record.time
        memory = _grown(memory, decoded)
    glucose = [record.time for record in held.values() if record.kind == "sensor_glucose"]
    assert len(glucose) == len(set(glucose))


@pytest.mark.parametrize("body", FOREIGN, ids=lambda body: repr(body[:12]))
@pytest.mark.parametrize("name", NAMES)
def test_foreign_bytes_are_malformed_and_nothing_else(name: str, body: bytes) -> None:
    try:
        decoded = _reader(name).decode(_capture(name, body), Memory())
    except Malformed as error:
        assert error.message  # noqa: PT017
    else:
        assert not decoded.records


@pytest.mark.parametrize("name", NAMES)
def test_bytes_of_other_trades_are_refused(name: str) -> None:
    """A page, another site's list or a spreadsheet is not an answer without data."""
    for body in (b"<html></html>", b'[{"sgv": 120}]', b"Index;Date\n1;2", b"PK\x03\x04", b"\xff\xfe\x00"):
        with pytest.raises(Malformed):
            _reader(name).decode(_capture(name, body), Memory())


@pytest.mark.parametrize("name", NAMES)
def test_spoilt_answers_never_end_in_another_error(name: str) -> None:
    at, body = _answers(name)[0]
    random, reader, refused = Random(7), _reader(name), 0
    for _ in range(60):
        try:
            reader.decode(_capture(name, _spoilt(body, random), at), Memory())
        except Malformed:
            refused += 1
    assert 0 < refused < 60


def _spoilt(body: bytes, random: Random) -> bytes:
    """Cut, or with some digits and letters changed (often still JSON)."""
    if random.random() < 0.2:
        return body[: random.randrange(len(body))]
    changed = bytearray(body)
    for place in random.sample(range(len(body)), 40):
        if chr(changed[place]).isalnum():
            changed[place] = random.choice(b"0159eEnx-")
    return bytes(changed)


# --- with a source ---


@dataclass
class Bench:
    """A reader linked to its simulator through a proxy."""

    reader: Reader
    proxy: FaultProxy
    clock: FakeClock
    memory: Memory

    async def read(self) -> list[Batch]:
        """One pass, remembered as the journal would."""
        batches = [batch async for batch in self.reader.read(self.memory, None)]
        for batch in batches:
            if batch.decoded is not None:
                self.memory = _grown(self.memory, batch.decoded)
        return batches


@pytest.fixture(params=NAMES)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    name, clock = str(request.param), FakeClock(EVENING)
    async with built(tmp_path, clock, proxied=[PROXIES[name]]) as house:
        sessions = Sessions(Vault(tmp_path, create_key(tmp_path)), http_client(), clock)
        try:
            found = readers(house.settings, sessions.authorised, clock, Random(1))
            reader = next(each for _, each in found if each.name == name)
            yield Bench(reader, house.proxies[PROXIES[name]], clock, Memory())
        finally:
            await sessions.close()


async def test_a_read_yields_batches_that_their_captures_explain(bench: Bench) -> None:
    (batch,) = await bench.read()
    assert (batch.profile, batch.reader) == ("p1", bench.reader.name)
    assert batch.health.state is State.OK
    assert batch.next_due > bench.clock.now()
    assert batch.covered is not None
    assert batch.covered.start < batch.covered.end <= bench.clock.now()
    assert batch.decoded is not None
    assert batch.capture is not None
    assert len(batch.decoded.records) > 300
    assert _shown(bench.reader.decode(batch.capture, Memory()).records) == _shown(batch.decoded.records)


async def test_a_second_read_brings_nothing_known(bench: Bench) -> None:
    (first,) = await bench.read()
    bench.clock.advance(30)
    (second,) = await bench.read()
    assert first.decoded is not None
    assert second.decoded is not None
    assert {record.id for record in second.decoded.records} <= {record.id for record in first.decoded.records}


async def test_an_outage_is_a_state_and_a_later_time(bench: Bench) -> None:
    for _ in range(2):
        await bench.proxy.go_away()
        for _ in range(3):
            (batch,) = await bench.read()
            assert batch.health.state is State.UNREACHABLE
            assert batch.health.text
            assert (batch.decoded, batch.covered) == (None, None)
            assert batch.next_due > bench.clock.now()
        await bench.proxy.come_back()
        bench.clock.advance(600)
        (batch,) = await bench.read()
        assert batch.health.state is State.OK


STORMS = [
    ProxyFault("status", 401), ProxyFault("status", 403), ProxyFault("status", 404), ProxyFault("status", 429),
    ProxyFault("status", 500), ProxyFault("status", 503, "120"), ProxyFault("html", 200), ProxyFault("html", 502),
    ProxyFault("garble"), ProxyFault("truncate"), ProxyFault("cut_before"), ProxyFault("cut_after"),
    ProxyFault("cut_midway"),
]  # fmt: skip


@pytest.mark.parametrize("fault", STORMS, ids=lambda fault: f"{fault.name}-{fault.status}")
async def test_no_storm_is_raised_or_taken_for_data(bench: Bench, fault: ProxyFault) -> None:
    await bench.read()
    bench.clock.advance(600)
    bench.proxy.storm(fault)
    for _ in range(2):
        for batch in await bench.read():
            assert batch.next_due > bench.clock.now()
            assert batch.health.state is not State.OK
            assert batch.health.text
            assert batch.decoded is None
        bench.clock.advance(300)
    bench.proxy.calm()
    bench.clock.advance(600)
    (batch,) = await bench.read()
    assert batch.health.state in {State.OK, State.ACCOUNT_SHARED, State.LOGIN_REQUIRED}
    assert (batch.health.state is State.OK) or fault.status in {401, 403}
