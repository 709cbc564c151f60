"""Equal slots moved apart, in a fixed turn."""

from __future__ import annotations

from itertools import permutations

from adapters.stepping import fate_lines, map_lines, stepped
from bridge.contracts import Document
from tests.adapters.mapping.made import make, to_nightscout, to_tidepool


def at(key: str, instant_ms: int, group: str | None = "g") -> Document:
    body = {"date": instant_ms, "name": key}
    return Document(key, key, "post", "/p", body, instant_ms, slot_group=group, moves=("date",))


def test_a_moved_document_takes_the_next_free_slot() -> None:
    documents = [at("a", 10), at("b", 10), at("c", 11), at("d", 10, "other"), at("e", 10, None), at("f", 10, None)]
    for order in permutations(documents):
        got = {one.key: one.instant_ms for one in stepped(order)}
        assert got == {"a": 10, "b": 11, "c": 12, "d": 10, "e": 10, "f": 10}
    assert all(one.body["date"] == one.instant_ms for one in stepped(documents))


def test_readings_and_treatments_move_by_their_own_fields() -> None:
    sgv = [make("sensor_glucose", 0, name, mgdl=100) for name in "ab"]
    notes = [make("note", 0, name, text=name) for name in "ab"]
    exercise = make("exercise", 0)
    lines = list(map_lines(to_nightscout([*sgv, *notes, exercise])))
    entries, treatments = [line["document"] for line in lines[:2]], [line["document"] for line in lines[2:]]
    assert [one["date"] % 1000 for one in entries] == [0, 1]
    assert [one["dateString"][-5:] for one in entries] == [".000Z", ".001Z"]
    created = sorted((one["eventType"], one["created_at"][-5:]) for one in treatments)
    assert created == [("Exercise", ".000Z"), ("Note", ".000Z"), ("Note", ".001Z")]


def test_datums_never_move() -> None:
    readings = [make("sensor_glucose", 0, name, mgdl=100) for name in "ab"]
    times = {line["document"]["time"] for line in map_lines(to_tidepool(readings))}
    assert len(times) == 1


def test_fates_are_told_in_one_line_each() -> None:
    carbs = make("carbs", grams=20)
    bolus = make("bolus", 1, delivered_u=2, carbs_id=carbs.id)
    empty = make("note", text=" ")
    lines = list(fate_lines(to_nightscout([carbs, bolus, empty])))
    assert sorted(lines) == sorted([f"{carbs.id}: carried by {bolus.id}", f"{empty.id}: skipped, empty_note"])
