"""Whatever an answer looks like, decoding ends in records or in Malformed, never in another error."""

from __future__ import annotations

import copy
import json
import os
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.contracts import Memory
from bridge.errors import Malformed
from bridge.model import to_json
from bridge.readers.carelink_cloud.decode import decode
from bridge.readers.carelink_cloud.privacy import redact
from tests.readers.carelink_cloud.decode.payloads import after, alert, bolus, capture, dose, marker, meal, payload, sg
from tests.support import vectors

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
JUNK: list[Any] = [
    None, True, False, 0, -1, 1, 255, 1e308, 5.5, 10**30, 10**400, "", "x", "NaN", "-5", "1_0", "1e400",
    "2026-03-10T06:30:00", "2026-03-10T06:30:00+02:00", "9999-12-31T23:59:59", "0001-01-01T00:00:00", "\ud800",
    "a|b|c", "\x00", "#" * 5000, [], {}, [[]], {"a": {}}, [1, 2], {"dataValues": []}, float("nan"), float("inf"),
    1762827660000, 1762827660000.7, "Nov 10, 2025 21:21:00", "Foo 99, 2025 99:99:99", {"type": "x"},
]  # fmt: skip


def small() -> dict[str, Any]:
    walls = [f"2026-03-10T06:{minute:02d}:00" for minute in (10, 15, 20, 25)]
    rows = [
        bolus(walls[0]), bolus(walls[1], bolusType="DUAL", programmedExtendedAmount="1"), meal(walls[0]),
        dose(walls[1]), dose(walls[2]), marker("BG_READING", walls[1], unitValue="120"),
        marker("CALIBRATION", walls[2], value=100),
        marker("TIME_CHANGE", walls[3], previousDateTime=walls[2]), marker("NEW", walls[3]),
        {"type": "AUTO_MODE_STATUS", "dateTime": walls[0], "autoModeOn": True},
        {"type": "LOW_GLUCOSE_SUSPENDED", "dateTime": walls[0], "deliverySuspended": True},
        {"type": "LOW_GLUCOSE_SUSPENDED", "dateTime": walls[2], "deliverySuspended": False},
    ]  # fmt: skip
    return payload(
        sgs=[sg(wall, 100 + n) for n, wall in enumerate(walls)],
        markers=rows,
        active=[alert("G1", walls[0]), alert(None, walls[1])],
        cleared=[alert("G1", walls[2], triggeredDateTime=walls[0])],
        activeInsulin={"amount": 1.5, "datetime": walls[3]},
        therapyAlgorithmState={"autoModeShieldState": "AUTO_BASAL"},
        lastSGTrend="UP", lastSG=sg(walls[3], 103), basal={"basalRate": 0.8},
        pumpBannerState=[{"type": "DUAL_BOLUS"}],
    )  # fmt: skip


def mutated(rng: random.Random, text: str) -> bytes:
    """The answer with some values, rows and bytes spoilt."""
    document = json.loads(text)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        _spoil(rng, document)
    try:
        body = json.dumps(document).encode("utf-8", "surrogatepass")
    except (ValueError, OverflowError):
        body = b"{}"
    return _bitten(rng, body) if rng.random() < 0.25 else body


def _spoil(rng: random.Random, node: Any) -> None:
    path: list[tuple[Any, Any]] = []
    while isinstance(node, dict | list) and node and (not path or rng.random() < 0.8):
        key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
        path.append((node, key))
        node = node[key]
    if not path:
        return
    parent, key = path[-1]
    action = rng.random()
    if action < 0.65:
        parent[key] = rng.choice(JUNK)
    elif action < 0.8:
        del parent[key]
    elif isinstance(parent, list):
        parent.insert(rng.randrange(len(parent) + 1), copy.deepcopy(parent[key]))
        rng.shuffle(parent)


def _bitten(rng: random.Random, body: bytes) -> bytes:
    spoilt = bytearray(body)
    for _ in range(rng.randint(1, 6)):
        if spoilt:
            spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
    return bytes(spoilt[: rng.randrange(len(spoilt) + 1)] if rng.random() < 0.2 else spoilt)


def decoded_or_malformed(body: bytes, memory: Memory) -> Memory:
    """Decode and check what must hold for any input; the memory for the next one."""
    try:
        found = decode(capture(redact(body)), memory)
    except Malformed:
        return memory
    assert len({record.id for record in found.records}) == len(found.records)
    assert [record.time for record in found.records] == sorted(record.time for record in found.records)
    assert len(json.dumps(found.state, allow_nan=False)) < 2000
    for record in found.records[:: 1 if LONG else 7]:
        to_json(record)
    for key, sighting in found.sightings.items():
        assert key.encode()
        assert sighting.source_key.encode()
    for diagnostic in found.diagnostics:
        assert len(diagnostic.text) < 300
    return after(memory, found) if len(memory.sightings) < 30 else Memory()


@pytest.mark.proof
def test_proof_no_mutation_raises() -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    names = ("guardian-connect.synthetic.json", "paradigm-legacy.json", "simplera-cgm-only.synthetic.json")
    documents = [json.dumps(small())] * 5
    documents += [json.dumps(vectors.document("carelink-cloud", name)) for name in names]
    memory = Memory()
    for count in range(1_000_000 if LONG else 20_000):
        body = mutated(rng, rng.choice(documents))
        try:
            memory = decoded_or_malformed(body, memory)
        except Exception as error:
            raise AssertionError(f"seed {seed}, number {count}: {body!r}") from error


def test_a_whole_day_mutated() -> None:
    rng = random.Random(7)
    document = vectors.path("carelink-cloud", "ngp-780g-smartguard.json").read_text("utf-8")
    memory = Memory()
    for _ in range(25):
        memory = decoded_or_malformed(mutated(rng, document), memory)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes(body: bytes) -> None:
    decoded_or_malformed(body, Memory())


@settings(max_examples=150, deadline=None)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(JUNK[13:20]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=15,
), st.data())  # fmt: skip
def test_any_json_in_any_place(value: Any, data: st.DataObject) -> None:
    document = small()
    patient = document["patientData"]
    place = data.draw(st.sampled_from(sorted(patient)))
    if isinstance(patient[place], list) and patient[place] and data.draw(st.booleans()):
        patient[place][data.draw(st.integers(0, len(patient[place]) - 1))] = value
    else:
        patient[place] = value
    decoded_or_malformed(json.dumps(document).encode("utf-8", "replace"), Memory())
