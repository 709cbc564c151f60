"""What is read back is exactly what was sent: a document left out would count as deleted by a person."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest

from adapters.nightscout import NightscoutAdapter
from adapters.nightscout.ours import zero_keys
from adapters.stepping import stepped
from bridge.contracts import Interval, Setup
from bridge.errors import Forbidden, Transient
from bridge.model import from_json, from_ms, second_id
from bridge.simulators.nightscout import Fault
from tests.adapters.nightscout.conftest import EVERYTHING, Rig, entry, made_documents, note, rig_of, status
from tests.support import vectors
from tests.support.clock import FakeClock

RECORDS, DOCUMENTS = made_documents()
_KINDS = {
    "sensor_glucose": ("mgdl", 1), "meter_glucose": ("mgdl", 0), "carbs": ("grams", 0.01), "injection": ("dose_u", 0),
    "bolus": ("delivered_u", 0.01),
}  # fmt: skip


async def test_everything_sent_is_found(rig: Rig, ready: NightscoutAdapter) -> None:
    await ready.deliver(DOCUMENTS, ())
    found = await ready.stored(EVERYTHING)
    assert {one.key for one in found.items} == {one.key for one in DOCUMENTS}
    assert len(found.items) == len(DOCUMENTS)
    assert found.foreign == 0
    sent = {one.key: one for one in DOCUMENTS}
    for item in found.items:
        assert item.path == sent[item.key].path
        assert item.time == from_ms(sent[item.key].instant_ms)
        if sent[item.key].op != "put":
            zero = sent[item.key].key != sent[item.key].record_id
            assert item.record_id == (None if zero else sent[item.key].record_id)


async def test_kinds_and_values_are_those_of_the_records(rig: Rig, ready: NightscoutAdapter) -> None:
    await ready.deliver(DOCUMENTS, ())
    by_id = {one.record_id: one for one in (await ready.stored(EVERYTHING)).items if one.record_id}
    compared = 0
    for record in RECORDS:
        item = by_id.get(record.id)
        if item is None or record.kind not in _KINDS or record.annotation("bolus/provisional"):
            continue
        field, within = _KINDS[record.kind]
        if record.kind == "bolus" and (not record.completed or item.value is None):
            continue
        if item.kind != record.kind or item.value is None:
            assert record.kind == "injection", "a long-acting one is a note"
            continue
        assert abs(item.value - getattr(record, field)) <= within or item.value == 39, record
        compared += 1
    assert compared > 30


async def test_a_day_of_micro_doses_comes_back_with_its_pauses(clock: FakeClock) -> None:
    lines = vectors.path("mapping", "780g.records.ndjson").read_text("utf-8").splitlines()
    records = [from_json(line) for line in lines]
    async with rig_of(clock) as rig:
        adapter = rig.adapter()
        await adapter.prepare()
        documents = stepped(adapter.desired(records).documents.values())
        await adapter.deliver(documents, ())
        assert (len(rig.stored("entries")), len(rig.stored("treatments"))) == (288, 202)
        times = [record.time for record in records]
        whole = Interval(min(times), max(times) + timedelta(seconds=1))
        found = await adapter.stored(whole)
        assert len(found.items) == len(documents)
        doses = [one for one in found.items if one.kind == "basal" and one.record_id]
        assert sum(one.value or 0 for one in doses) == pytest.approx(16.55, abs=0.01)
        zeros = [one for one in found.items if one.record_id is None and one.kind is None]
        assert len(zeros) == 26
        ids = {record.id for record in records}
        assert {one.record_id for one in found.items if one.record_id} <= ids
        middle = whole.start + (whole.end - whole.start) / 2
        cuts = [Interval(one.time, one.time + timedelta(hours=1)) for one in zeros if one.time is not None]
        for part in (Interval(whole.start, middle), Interval(middle, whole.end), *cuts):
            inside = (await adapter.stored(part)).items
            assert {one.key for one in inside} == {
                one.key for one in found.items if one.time is not None and part.start <= one.time < part.end
            }
            assert {one.record_id for one in inside if one.record_id} <= ids, "a pause is never taken for a dose"


_FOREIGN_ENTRY = {"type": "sgv", "sgv": 100, "date": 1_773_000_000_000, "device": "xDrip-DexcomG6"}
_AT = "2026-03-09T12:00:00.000Z"


async def test_documents_of_others_are_counted_and_left_alone(rig: Rig, ready: NightscoutAdapter) -> None:
    v4, v5 = "7f1b7c1e-54bd-4f2e-9d33-2a8d7a2b1c11", "33776f85-aeed-57f9-abb9-a2bfda379e42"
    for name, body in (
        ("entries", _FOREIGN_ENTRY),
        ("entries", _FOREIGN_ENTRY | {"identifier": v4, "date": 1_773_000_000_001}),
        ("entries", _FOREIGN_ENTRY | {"identifier": v5, "srvModified": 1, "app": "AAPS", "date": 1_773_000_000_002}),
        ("treatments", {"eventType": "Bolus", "insulin": 1, "created_at": _AT, "enteredBy": "Mother"}),
        ("treatments", {"eventType": "SMB", "created_at": _AT, "identifier": v5, "enteredBy": "openaps://AAPS"}),
        ("devicestatus", {"created_at": _AT, "openaps": {}, "identifier": v5, "app": "AAPS"}),
        ("profile", {"startDate": _AT, "created_at": _AT, "enteredBy": "Mother"}),
    ):
        rig.sim.collections[name].insert({**body, "_id": rig.sim.next_id()})
    await ready.deliver([entry(1), note(1), status(1)], ())
    found = await ready.stored(EVERYTHING)
    assert sorted(one.key for one in found.items) == sorted([entry(1).key, note(1).key, status(1).key])
    assert found.foreign == 6, "statuses of others are not even fetched"


async def test_what_a_person_changed_is_still_ours_and_what_was_deleted_is_not(
    rig: Rig, ready: NightscoutAdapter
) -> None:
    await ready.deliver([note(1), note(2), note(3), entry(1)], ())
    treatments, entries = rig.sim.collections["treatments"], rig.sim.collections["entries"]
    first, second, _ = treatments
    treatments.replace(first["_id"], {**first, "enteredBy": "Mother"})
    treatments.replace(second["_id"], {**second, "isValid": False})
    reading = next(iter(entries))
    entries.replace(reading["_id"], {**reading, "device": "hidden by the site"})
    keys = {one.key for one in (await ready.stored(EVERYTHING)).items}
    assert keys == {note(1).key, note(3).key, entry(1).key}


async def test_an_odd_answer_is_never_taken_for_an_empty_site(rig: Rig, ready: NightscoutAdapter) -> None:
    await ready.deliver([entry(1), note(1)], ())
    for name in ("entries", "treatments", "devicestatus", "profile"):
        rig.sim.faults[:] = [Fault("null", "GET", f"/{name}.json")]
        with pytest.raises(Transient):
            await ready.stored(EVERYTHING)
    rig.sim.faults[:] = []
    rig.sim.database_up = False
    with pytest.raises(Transient):
        await ready.stored(EVERYTHING)


async def test_reads_are_bounded_windows_of_three_days(rig: Rig, ready: NightscoutAdapter) -> None:
    await ready.deliver([entry(n) for n in range(0, 600, 50)], ())
    rig.sim.log.clear()
    rig.clock.advance(30 * 86400)
    await ready.stored(Interval(EVERYTHING.start - timedelta(days=10), EVERYTHING.end))
    reads = [path for _, path, _ in rig.sim.log if "/profile" not in path]
    assert len(reads) == 3 * 6
    for path in reads:
        assert "gte" in path
        assert "lt%5D" in path or "$lt]" in path
        assert "count=5000" in path


async def test_a_full_window_is_read_in_halves(rig: Rig, ready: NightscoutAdapter, monkeypatch: Any) -> None:
    monkeypatch.setattr("adapters.nightscout.readback.MOST", 50)
    monkeypatch.setattr("adapters.nightscout.queries.MOST", 50)
    await ready.deliver([entry(n) for n in range(300)], ())
    found = await ready.stored(EVERYTHING)
    assert len({one.key for one in found.items}) == len(found.items) == 300


async def test_what_may_not_be_read_is_said(clock: FakeClock) -> None:
    async with rig_of(clock) as rig:
        rig.session.tokens = [rig.sim.add_subject("weak", ["api:entries,treatments,devicestatus:create,read"])]
        with pytest.raises(Forbidden, match="api:profile:read"):
            await rig.adapter().stored(EVERYTHING)
        without = rig.adapter(streams={"profile": False})
        assert (await without.stored(EVERYTHING)).items == []


async def test_after_a_lost_journal_the_same_documents_find_their_places(rig: Rig, ready: NightscoutAdapter) -> None:
    await ready.deliver(DOCUMENTS, ())
    again = NightscoutAdapter(Setup("p1", {"url": rig.base}, rig.clock, random.Random(2), rig.session))
    found = await again.stored(EVERYTHING)
    assert {one.key for one in found.items if one.record_id} <= {record.id for record in RECORDS}
    await again.deliver(DOCUMENTS, ())
    assert rig.counts() == {"entries": 16, "treatments": 82, "devicestatus": 5, "profile": 1}


def test_a_pause_is_known_by_the_dose_it_follows() -> None:
    dose = note(1).key
    assert zero_keys({dose: {}, second_id(dose, "zero"): {}, note(2).key: {}}) == {second_id(dose, "zero")}
