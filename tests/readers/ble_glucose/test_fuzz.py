"""Mutated values: typed errors only, and no hang."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from random import Random

import pytest

from bridge.contracts import Memory
from bridge.errors import Malformed
from bridge.model.capture import Capture
from bridge.model.records import to_json
from bridge.readers.ble_glucose.clocks import CLOCKS, shown
from bridge.readers.ble_glucose.context import parse_context
from bridge.readers.ble_glucose.decode import decode
from bridge.readers.ble_glucose.measurement import parse_measurement
from bridge.wire import racp
from tests.readers.ble_glucose.bodies import NOW
from tests.support import vectors

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
VALUES = 500_000 if LONG else 20_000
BODIES = 20_000 if LONG else 1_000
FOLDER = "ble-and-contour"
FILES = {
    "2A18": "glucose_measurement.jsonl",
    "2A34": "glucose_context.jsonl",
    "2A52": "racp.jsonl",
    "2A2B": "clocks.jsonl",
}
SEEDS = {
    uuid: [bytes.fromhex(row["value_hex"]) for row in vectors.rows(FOLDER, name)] for uuid, name in FILES.items()
}


def clocks(value: bytes) -> None:
    for kind in CLOCKS:
        with contextlib.suppress(Malformed):
            shown(kind.uuid, value)


def measurement(value: bytes) -> None:
    found = parse_measurement(value)
    _ = (found.user_facing_time, found.mg_dl, found.mmol_l, found.control, found.out_of_range, found.questions)


DECODERS: dict[str, Callable[[bytes], object]] = {
    "2A18": measurement,
    "2A34": parse_context,
    "2A52": racp.parse,
    "2A2B": clocks,
}


def mutated(random: Random, seed: bytes) -> bytes:
    value = bytearray(seed)
    for _ in range(random.randint(1, 4)):
        way = random.randrange(4)
        if way == 0 and value:
            value[random.randrange(len(value))] = random.randrange(256)
        elif way == 1:
            value.insert(random.randint(0, len(value)), random.randrange(256))
        elif way == 2:
            del value[random.randint(0, len(value)) :]
        else:
            value += random.randbytes(random.randint(0, 8))
    return bytes(value)


@pytest.mark.proof
@pytest.mark.parametrize("uuid", DECODERS)
def test_mutated_values_end_in_typed_errors(uuid: str) -> None:
    seed = Random().randrange(2**32)
    print(f"seed {seed}")
    random, refused = Random(seed), 0
    for _ in range(VALUES):
        value = mutated(random, random.choice(SEEDS[uuid]))
        try:
            DECODERS[uuid](value)
        except Malformed:
            refused += 1
    assert refused < VALUES


@pytest.mark.proof
def test_mutated_bodies_end_in_typed_errors_and_whole_records() -> None:
    seed = Random().randrange(2**32)
    print(f"seed {seed}")
    random, made = Random(seed), 0
    for _ in range(BODIES):
        lines = [
            f"{uuid} {mutated(random, random.choice(values)).hex()}"
            for uuid, values in SEEDS.items()
            for _ in range(random.randint(0, 5))
        ]
        body = "\n".join(lines).encode()
        if random.random() < 0.2:
            body = mutated(random, body)
        context = {"timezone": random.choice(["", "UTC", "Europe/Berlin"]), "complete": random.choice(["yes", "no"])}
        if random.random() < 0.7:
            context["host_clock"] = "2024-05-01T12:00:00.000Z"
        try:
            found = decode(Capture("p", "ble-glucose", "ble", NOW, body, context), Memory())
        except Malformed:
            continue
        made += sum(len(to_json(record)) > 0 for record in found.records)
        assert len({record.id for record in found.records}) == len(found.records)
    assert made > BODIES / 5
