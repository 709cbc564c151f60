"""What every adapter promises, against its simulated destination."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from pydantic import BaseModel

from bridge.contracts import Adapter, Document, Interval, LedgerDocument, Memory, Outcome, Setup, Verdict
from bridge.credentials import Sessions, Vault, create_key, http_client
from bridge.engine.build import adapters
from bridge.engine.planning import stepped
from bridge.engine.registry import adapter_class, reader_class
from bridge.errors import Forbidden, Incompatible, Moved, Refused, Throttled, Transient, Unauthorised
from bridge.model import Record
from bridge.model.capture import Capture
from bridge.model.health import State
from bridge.simulators.carelink_cloud import CareLinkSim, Family, Person
from bridge.simulators.fault_proxy import FaultProxy, ProxyFault
from bridge.simulators.patient import VirtualPatient
from tests.support.clock import FakeClock
from tests.support.house import built

NAMES = ["nightscout", "tidepool"]
EVENING = datetime(2026, 3, 10, 18, 0, tzinfo=UTC)
WINDOW = Interval(EVENING - timedelta(days=2), EVENING + timedelta(hours=1))
HANDLED = (Transient, Throttled, Unauthorised, Forbidden, Incompatible, Refused, Moved)


def _day() -> list[Record]:
    """A day of a virtual patient as the cloud's reader decodes it."""
    person = Person("patient1", VirtualPatient(1))
    cloud = CareLinkSim([person], lambda: EVENING)
    picture = cloud.picture("patient1")
    assert picture is not None
    body = cloud.answer(picture, Family.NGP)
    reader = reader_class("carelink-cloud")(Setup("p1", {}, FakeClock(EVENING), Random(1)))
    return list(reader.decode(Capture("p1", "carelink-cloud", "carelink:eu:p", EVENING, body), Memory()).records)


RECORDS = _day()


@dataclass
class Bench:
    """An adapter linked to its simulator through a proxy."""

    adapter: Adapter
    proxy: FaultProxy
    clock: FakeClock

    def documents(self) -> list[Document]:
        """Everything the day becomes, on free slots as the engine places it."""
        waiting: Sequence[Document] = list(self.adapter.desired(RECORDS).documents.values())
        placed: list[Document] = []
        taken: dict[str, str] = {}
        while waiting:
            ready, waiting = stepped(waiting, {}, taken)
            placed += ready
            taken |= {slot: doc.key for doc in ready if (slot := doc.slot()) is not None}
        return placed

    async def post(self, documents: Sequence[Document]) -> list[Outcome]:
        """All of them, by as many as the adapter wants at once."""
        outcomes: list[Outcome] = []
        while len(outcomes) < len(documents):
            outcomes += await self.adapter.deliver(documents[len(outcomes) :][: self.adapter.batch], [])
        return outcomes

    async def keys(self) -> set[str]:
        """What the destination holds of ours."""
        inventory = await self.adapter.stored(WINDOW)
        found = [item.key for item in inventory.items]
        assert len(found) == len(set(found))
        assert inventory.foreign == 0
        return set(found)


@pytest.fixture(params=NAMES)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    name, clock = str(request.param), FakeClock(EVENING)
    async with built(tmp_path, clock, proxied=[name]) as house:
        sessions = Sessions(Vault(tmp_path, create_key(tmp_path)), http_client(), clock)
        try:
            found = adapters(house.settings, sessions.authorised, clock, Random(1))
            adapter = next(each for destination, each in found if destination.name == name)
            yield Bench(adapter, house.proxies[name], clock)
        finally:
            await sessions.close()


def _pure(name: str) -> Adapter:
    """An adapter that no network is allowed to."""
    return adapter_class(name)(Setup("p1", {}, FakeClock(EVENING), Random(1), timezone="Europe/Berlin"))


def _all_keys(documents: Sequence[Document]) -> set[str]:
    return {doc.key for doc in documents} | {key for doc in documents for key in doc.books}


def _ledger(documents: Sequence[Document], outcomes: Sequence[Outcome]) -> list[LedgerDocument]:
    return [
        LedgerDocument(doc.key, doc.record_id, doc.content_hash, doc.path, doc.instant_ms, doc.slot(), out.server_id)
        for doc, out in zip(documents, outcomes, strict=True)
    ]


def _bytes(documents: Mapping[str, Document]) -> dict[str, tuple[bytes, str, str, int]]:
    return {key: (doc.encoded, doc.path, doc.content_hash, doc.instant_ms) for key, doc in documents.items()}


# --- pure ---


@pytest.mark.parametrize("name", NAMES)
def test_an_adapter_class_has_what_the_engine_needs(name: str) -> None:
    plugin, adapter = adapter_class(name), _pure(name)
    assert plugin.name == adapter.name == plugin.linking.name == name
    assert issubclass(plugin.Settings, BaseModel)
    assert plugin.linking.scopes
    assert isinstance(adapter.batch, int)
    assert adapter.batch >= 1
    assert adapter.state == {}


@pytest.mark.parametrize("name", NAMES)
def test_desired_needs_no_session_and_is_the_same_in_any_order(name: str) -> None:
    adapter, given = _pure(name), list(RECORDS)
    first = adapter.desired(given)
    assert given == RECORDS
    assert len(first.documents) > 300
    for seed in range(3):
        shuffled = Random(seed).sample(RECORDS, len(RECORDS))
        again = (adapter if seed else _pure(name)).desired(iter(shuffled))
        assert _bytes(again.documents) == _bytes(first.documents)
        assert again.fates == first.fates


@pytest.mark.parametrize("name", NAMES)
def test_every_record_has_exactly_one_fate(name: str) -> None:
    desired = _pure(name).desired(RECORDS)
    assert desired.fates.keys() == {record.id for record in RECORDS}
    counted: dict[str, int] = {}
    for key, doc in desired.documents.items():
        assert key == doc.key
        counted[doc.record_id] = counted.get(doc.record_id, 0) + 1
    for record_id, fate in desired.fates.items():
        ways = [fate.documents > 0, fate.carried_by is not None, fate.skipped is not None]
        assert sum(ways) == 1, f"{record_id}: {fate}"
        assert fate.documents == counted.get(record_id, 0)
        if fate.carried_by is not None:
            assert desired.fates[fate.carried_by].documents > 0


@pytest.mark.parametrize("name", NAMES)
def test_nothing_becomes_nothing(name: str) -> None:
    desired = _pure(name).desired([])
    assert not desired.documents
    assert not desired.fates


# --- with a destination ---


async def test_prepare_is_well_and_cheap_when_fresh(bench: Bench) -> None:
    health = await bench.adapter.prepare()
    assert (health.state, health.text) == (State.OK, "")
    before = bench.proxy.requests
    assert (await bench.adapter.prepare()).state is State.OK
    assert bench.proxy.requests == before


async def test_delivering_twice_is_delivering_once(bench: Bench) -> None:
    await bench.adapter.prepare()
    documents = bench.documents()
    outcomes = await bench.post(documents)
    assert [(doc.path, out.reason) for doc, out in zip(documents, outcomes, strict=True) if not _well(out)] == []
    assert await bench.keys() == _all_keys(documents)
    assert all(map(_well, await bench.post(documents)))
    assert await bench.keys() == _all_keys(documents)


def _well(outcome: Outcome) -> bool:
    return outcome.verdict is Verdict.ACCEPTED


async def test_stored_shows_what_was_sent(bench: Bench) -> None:
    """Enough to recognise every record after a lost journal."""
    await bench.adapter.prepare()
    documents = bench.documents()
    await bench.post(documents)
    records = {record.id: record for record in RECORDS}
    by_key = {doc.key: doc for doc in documents}
    named = set()
    for item in (await bench.adapter.stored(WINDOW)).items:
        doc = by_key.get(item.key)
        assert item.time is not None
        if doc is not None and item.record_id is not None:
            record = records[item.record_id]
            named.add(record.id)
            assert doc.record_id == record.id
            assert item.kind in {record.kind, None}
            assert abs(item.time - record.time) < timedelta(seconds=1)
            if record.kind in {"sensor_glucose", "bolus", "carbs"}:
                assert item.kind == record.kind
                shown = {"sensor_glucose": "mgdl", "bolus": "delivered_u", "carbs": "grams"}[record.kind]
                assert item.value == pytest.approx(getattr(record, shown))
    told = {"sensor_glucose", "bolus", "carbs", "basal"}
    assert named >= {doc.record_id for doc in documents if records[doc.record_id].kind in told}


async def test_stored_keeps_to_its_window(bench: Bench) -> None:
    await bench.adapter.prepare()
    await bench.post(bench.documents())
    window = Interval(EVENING - timedelta(hours=6), EVENING - timedelta(hours=3))
    items = (await bench.adapter.stored(window)).items
    assert len(items) > 30
    assert all(item.time is not None and window.start <= item.time < window.end for item in items)


async def test_outcomes_are_posts_then_deletes_and_deletes_remove(bench: Bench) -> None:
    await bench.adapter.prepare()
    documents = [doc for doc in bench.documents() if _lasting(doc)]
    older, newer = documents[:20], documents[20:40]
    gone = _ledger(older, await bench.post(older))
    outcomes = await bench.adapter.deliver(newer, gone)
    assert len(outcomes) == len(newer) + len(gone)
    assert all(map(_well, outcomes))
    assert await bench.keys() == _all_keys(newer)
    again = await bench.adapter.deliver([], gone)
    assert [out.verdict for out in again] == [Verdict.ACCEPTED] * len(gone)
    assert await bench.keys() == _all_keys(newer)


def _lasting(doc: Document) -> bool:
    """Statuses are never deleted by the engine."""
    return next(r for r in RECORDS if r.id == doc.record_id).kind in {"sensor_glucose", "bolus", "carbs"}


async def test_a_refused_document_is_named_in_its_own_place(bench: Bench) -> None:
    """One that may not go costs itself alone, and the order of the outcomes stays."""
    from dataclasses import replace

    await bench.adapter.prepare()
    documents = [doc for doc in bench.documents() if _lasting(doc)][:9]
    spoilt = replace(documents[4], body={**documents[4].body, "type": None, "value": "high", "sgv": -5})
    outcomes = await bench.adapter.deliver([*documents[:4], spoilt, *documents[5:]], [])
    verdicts = [out.verdict for out in outcomes]
    assert verdicts == [Verdict.ACCEPTED] * 4 + [Verdict.QUARANTINED] + [Verdict.ACCEPTED] * 4
    assert outcomes[4].reason


async def test_an_empty_delivery_is_fine(bench: Bench) -> None:
    await bench.adapter.prepare()
    assert list(await bench.adapter.deliver([], [])) == []


async def test_nobody_there_is_an_outage(bench: Bench) -> None:
    documents = bench.documents()[:5]
    async with bench.proxy.away():
        assert (await bench.adapter.prepare()).state is State.UNREACHABLE
        with pytest.raises(Transient):
            await bench.adapter.deliver(documents, [])
        with pytest.raises(Transient):
            await bench.adapter.stored(WINDOW)
    assert (await bench.adapter.prepare()).state is State.OK
    with_state = dict(bench.adapter.state)
    async with bench.proxy.away():
        with pytest.raises(Transient):
            await bench.adapter.deliver(documents, [])
        with pytest.raises(Transient):
            await bench.adapter.stored(WINDOW)
    assert bench.adapter.state == with_state
    assert all(map(_well, await bench.post(documents)))


STORMS = [
    ProxyFault("status", 401), ProxyFault("status", 403), ProxyFault("status", 429),
    ProxyFault("status", 500), ProxyFault("html", 200), ProxyFault("html", 502), ProxyFault("garble"),
    ProxyFault("truncate"), ProxyFault("cut_before"), ProxyFault("cut_after"), ProxyFault("cut_midway"),
]  # fmt: skip


async def test_storms_end_as_handled_errors_or_as_retry(bench: Bench) -> None:
    """And afterwards the destination holds every document once."""
    await bench.adapter.prepare()
    documents = [doc for doc in bench.documents() if _lasting(doc)][:12]
    for fault in STORMS:
        bench.proxy.storm(fault)
        try:
            outcomes = await bench.adapter.deliver(documents, [])
        except HANDLED as error:
            assert str(error)  # noqa: PT017
        else:
            assert len(outcomes) == len(documents), fault
            assert fault.name in {"garble", "truncate"} or not any(map(_well, outcomes)), fault
        try:
            await bench.adapter.stored(WINDOW)
        except HANDLED as error:
            assert str(error)  # noqa: PT017
        else:
            assert fault.name == "garble", f"{fault}: absence would count as deleted"
        bench.proxy.calm()
        bench.clock.advance(15)
    bench.clock.advance(7 * 3600)
    assert (await bench.adapter.prepare()).state is State.OK
    assert all(map(_well, await bench.post(documents)))
    assert await bench.keys() == _all_keys(documents)


@pytest.mark.parametrize("hours", [0, 24], ids=["fresh", "token-due"])
async def test_a_server_that_knows_nothing_is_a_handled_error(bench: Bench, hours: int) -> None:
    """A wrong gateway answers 404 to everything, the sign-in included."""
    await bench.adapter.prepare()
    documents = bench.documents()
    await bench.post(documents[:5])
    bench.clock.advance(hours * 3600)
    bench.proxy.storm(ProxyFault("status", 404))
    with pytest.raises(HANDLED):
        await bench.adapter.stored(WINDOW)
    with pytest.raises(HANDLED):
        await bench.adapter.deliver(documents[5:9], [])


async def test_the_state_is_small_json_that_another_life_can_use(bench: Bench) -> None:
    await bench.adapter.prepare()
    documents = bench.documents()[:5]
    await bench.post(documents)
    text = json.dumps(bench.adapter.state)
    assert len(text) < 4096
    bench.adapter.state = json.loads(text)
    assert (await bench.adapter.prepare()).state is State.OK
    assert all(map(_well, await bench.post(documents)))
    assert await bench.keys() == _all_keys(documents)
