"""The pre-validator agrees with the platform: recorded cases, everything the mapper makes, and a long fuzz."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from adapters.tidepool.validation import problems
from bridge.simulators.tidepool.batches import read_batch
from tests.support import vectors

VALID = vectors.rows("tidepool", "datums_valid.jsonl")
INVALID = vectors.rows("tidepool", "datums_invalid.jsonl")
MAPPED = [
    row["document"]
    for name in ("tidepool.expected.ndjson", "780g.tidepool.expected.ndjson")
    for row in vectors.rows("mapping", name)
]


@pytest.mark.parametrize("case", VALID, ids=lambda case: case["name"])
def test_accepted_cases_are_accepted(case: dict[str, Any]) -> None:
    assert [problems(datum) for datum in case["batch"] if problems(datum)] == []


@pytest.mark.parametrize(
    "case", [case for case in INVALID if case["name"] != "not_object"], ids=lambda case: case["name"]
)
def test_refused_cases_are_refused_at_the_same_field(case: dict[str, Any]) -> None:
    found = {f"/{index}{each.pointer}" for index, datum in enumerate(case["batch"]) for each in problems(datum)}
    expected = {error["pointer"] for error in case["errors"]}
    assert expected <= found
    assert found == expected or case["stage"] == "parse"


def test_everything_the_mapper_makes_is_sound() -> None:
    assert len(MAPPED) > 500
    assert [(datum["type"], problems(datum)) for datum in MAPPED if problems(datum)] == []


def test_a_reason_names_field_and_value() -> None:
    datum = {"type": "bolus", "subType": "normal", "time": "2026-03-10T06:00:00Z", "normal": 200}
    assert [str(each) for each in problems(datum)] == ["normal: 200 should be less than or equal to 100"]
    wizard = {"type": "wizard", "time": "2026-03-10T06:00:00Z", "units": "mg/dL", "bolus": datum}
    assert [str(each) for each in problems(wizard)] == ["bolus.normal: 200 should be less than or equal to 100"]
    assert str(problems({"type": "pumpStatus", "time": "2026-03-10T06:00:00Z"})[0]).startswith("datum: needs")


def test_a_reason_shows_no_text_of_a_person() -> None:
    datum = {**VALID[0]["batch"][0], "notes": ["private " * 300], "payload": {"note": "private" * 900}}
    said = " ".join(str(each) for each in problems(datum))
    assert "notes.0" in said
    assert "payload" in said
    assert "private" not in said


def test_a_thousand_datums_are_checked_quickly() -> None:
    batch = (MAPPED * 2)[:1000]
    took = []
    for _ in range(5):
        start = time.process_time()
        for datum in batch:
            problems(datum)
        took.append(time.process_time() - start)
    print(f"1000 datums checked: {min(took) * 1000:.0f} ms")
    assert min(took) < 0.5


# --- fuzz ------------------------------------------------------------------------------------------

VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 1.5, 100, 100.5, 250.1, 1001, 86_400_001, 604_800_001, -100.5, 1e9, "", "x", "100",
    "grams", "mg/dL", "mmol/L", "x" * 101, "x" * 1001, [], {}, [1], ["x", "x"], {"a": 1}, {"a": "y" * 5000},
    "2026-03-10T06:00:00Z", "2026-03-10T06:00:00", "2026-02-30T06:00:00Z", "Europe/Helsinki", "0" * 32,
]  # fmt: skip
NOT_SENT = {"alert", "cgmSettings", "controllerSettings", "dosingDecision", "water"}
"""Types that only other programs send: checked as far as the recorded cases go."""


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield (*path, name)
        if name not in ("payload", "annotations"):
            yield from _places(inner, (*path, name))


def _changed(datum: dict[str, Any], random: Random, fields: list[str]) -> dict[str, Any]:
    datum = copy.deepcopy(datum)
    if random.random() < 0.3:
        datum[random.choice(fields)] = copy.deepcopy(random.choice(VALUES))
        return datum
    path = random.choice(list(_places(datum)))
    holder: Any = datum
    for name in path[:-1]:
        holder = holder[name]
    if isinstance(holder, dict) and random.random() < 0.25:
        del holder[path[-1]]
    else:
        holder[path[-1]] = copy.deepcopy(random.choice(VALUES))
    return datum


@pytest.mark.proof
def test_both_validators_agree_on_changed_datums() -> None:
    rounds = 200_000 if os.environ.get("GLUCOBRIDGE_PROOF") == "long" else 6000
    seed = int(os.environ.get("GLUCOBRIDGE_SEED", "0")) or Random().randrange(1 << 32)
    print(f"seed {seed}")
    random = Random(seed)
    pool = [datum for case in VALID for datum in case["batch"]] + MAPPED[:160]
    pool = [datum for datum in pool if datum["type"] not in NOT_SENT]
    fields = sorted({name for datum in pool for name in datum})
    for _ in range(rounds):
        datum = random.choice(pool)
        for _ in range(random.choice((1, 1, 2))):
            datum = _changed(datum, random, fields)
        refused = read_batch([datum]).faults
        found = problems(datum)
        assert bool(found) == bool(refused), (datum, found, [(each.pointer, each.detail) for each in refused])
        mine, theirs = {_field(f"/0{each.pointer}") for each in found}, {_field(each.pointer) for each in refused}
        assert mine & theirs or not mine, (datum, mine, theirs)


def _field(pointer: str) -> str:
    """The outermost field: inside, the two may name different ones of a pair that does not fit."""
    return "/".join(pointer.split("/")[:3])
