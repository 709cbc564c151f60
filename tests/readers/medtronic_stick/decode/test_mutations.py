"""Whatever the bytes are, decoding ends in records or in Malformed, never in another error."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.contracts import Memory
from bridge.errors import Malformed
from bridge.model import Capture, to_json
from bridge.readers.medtronic_stick.commands import read_answer
from bridge.readers.medtronic_stick.decode import decode, decode_page
from bridge.readers.medtronic_stick.glucose import newest_time, read_glucose_page
from bridge.readers.medtronic_stick.model import pump_model
from bridge.readers.medtronic_stick.opcodes import opcodes
from bridge.readers.medtronic_stick.pages import read_page, record_at
from bridge.wire.crc import crc16
from tests.readers.medtronic_stick.decode.payloads import TOLD, capture, page
from tests.support import vectors

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
ROUNDS = 250_000 if LONG else 20_000
SLOWEST_S = 2.0
NOW = datetime(2025, 6, 1, tzinfo=UTC)
MODELS = ["512", "515", "522", "523", "551", "754"]
HISTORY = [
    (bytes.fromhex(row["page_hex"]), row["model"]) for row in vectors.rows("medtronic-stick", "history_pages.jsonl")
]
GLUCOSE = [
    (bytes.fromhex(row["glucose_hex"]), bytes.fromhex(row["isig_hex"]))
    for row in vectors.rows("medtronic-stick", "glucose_pages.jsonl")
    if "isig_hex" in row
]
RECORDS = [
    bytes.fromhex(record["raw"])
    for row in vectors.rows("medtronic-stick", "history_pages.jsonl")
    for record in row["records"]
]
JUNK: list[Any] = [
    None,
    True,
    0,
    -1,
    1e308,
    "",
    "x",
    "zz",
    [],
    {},
    {"0": 1},
    "00" * 1024,
    "2025-06-01T00:00:00Z",
    "\ud800",
]


def seeded() -> random.Random:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    return random.Random(seed)


def spoilt(rng: random.Random, data: bytes, most: int = 12) -> bytes:
    """Some bytes changed, cut out, put in or moved."""
    made = bytearray(data)
    for _ in range(rng.randint(1, most)):
        at, action = rng.randrange(len(made) or 1), rng.random()
        if action < 0.6 and made:
            made[at] = rng.randrange(256)
        elif action < 0.7:
            del made[at : at + rng.randint(1, 20)]
        elif action < 0.85:
            made[at:at] = rng.choice(RECORDS)
        else:
            made[at:at] = rng.randbytes(rng.randint(1, 40))
    return bytes(made)


def sealed(data: bytes) -> bytes:
    """1,022 bytes and their checksum."""
    cut = data[:1022].ljust(1022, b"\0")
    return cut + crc16(cut).to_bytes(2, "big")


def survives(work: Callable[[], object], what: bytes) -> None:
    begun = time.process_time()
    with suppress(Malformed):
        work()
    assert time.process_time() - begun < SLOWEST_S, what.hex()


@pytest.mark.proof
def test_mutated_records() -> None:
    rng = seeded()
    for _ in range(ROUNDS):
        raw = spoilt(rng, rng.choice(RECORDS), 4)
        if raw:
            known = opcodes(pump_model(rng.choice(MODELS)))
            survives(lambda raw=raw, known=known: record_at(raw, 0, known), raw)  # type: ignore[misc]


@pytest.mark.proof
def test_mutated_history_pages() -> None:
    rng = seeded()
    for _ in range(ROUNDS):
        raw, model = some_page(rng)
        found = read_page(raw, pump_model(model), rng.choice([None, NOW.replace(tzinfo=None)]))
        told = sum(len(record.data) for record in found.records) + sum(len(block.data) for block in found.unknown)
        assert told <= 1022


@pytest.mark.proof
def test_records_of_mutated_history_pages() -> None:
    rng = seeded()
    for _ in range(ROUNDS // 10):
        raw, model = some_page(rng)
        survives(lambda raw=raw, model=model: written(decode_page(raw, model, glucose=False, now=NOW)), raw)  # type: ignore[misc]


def some_page(rng: random.Random) -> tuple[bytes, str]:
    """A piece of a page, spoilt; seldom all of it, random bytes, or another model's."""
    (raw, model), how = rng.choice(HISTORY), rng.random()
    model = model if rng.random() < 0.8 else rng.choice(MODELS)
    if how < 0.05:
        return sealed(rng.randbytes(rng.randint(1, 1022))), model
    at = rng.randrange(900)
    piece = raw[:1022] if how < 0.1 else raw[at : at + rng.randint(20, 160)]
    return sealed(spoilt(rng, piece)), model


@pytest.mark.proof
def test_mutated_glucose_pages() -> None:
    rng = seeded()
    for _ in range(ROUNDS):
        page_of = some_glucose(rng)
        for record in (records := read_glucose_page(page_of)):
            assert record.known in (True, False)
            assert 0 <= record.sub < 256
        newest_time(records)


def some_glucose(rng: random.Random) -> bytes:
    raw, at = rng.choice(GLUCOSE)[0], rng.randrange(900)
    return sealed(spoilt(rng, raw[at : at + rng.randint(5, 120)]))


@pytest.mark.proof
def test_mutated_answers() -> None:
    rng = seeded()
    rows = vectors.rows("medtronic-stick", "commands.jsonl")
    for _ in range(ROUNDS):
        row = rng.choice(rows)
        payload = spoilt(rng, bytes.fromhex(row["payload_hex"]), 4)
        opcode = int(row["op"], 16) if rng.random() < 0.9 else rng.randrange(256)
        model = pump_model(rng.choice(MODELS))
        survives(lambda opcode=opcode, payload=payload, model=model: read_answer(opcode, payload, model), payload)  # type: ignore[misc]


@pytest.mark.proof
def test_mutated_captures() -> None:
    rng = seeded()
    memory = Memory()
    for _ in range(ROUNDS // 10):
        document = small(rng)
        for _ in range(rng.choice([1, 1, 2, 4])):
            spoil(rng, document)
        body = json.dumps(document).encode("utf-8", "surrogatepass")
        if rng.random() < 0.2:
            body = spoilt(rng, body)
        made = Capture("default", "medtronic-stick", "medtronic", NOW, body, {"timezone": rng.choice(ZONES)})
        survives(lambda made=made, memory=memory: written(decode(made, memory)), body)  # type: ignore[misc]
        memory = recalled(rng, made, memory)


ZONES = ["Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati", "x"]
WHOLE = capture(
    [HISTORY[5][0], HISTORY[18][0], page()], now="2016-09-01 12:00", answers=TOLD, glucose={4: GLUCOSE[1][0]},
    isig={4: GLUCOSE[1][1]}, ahead_s=90,
)  # fmt: skip


def small(rng: random.Random) -> dict[str, Any]:
    """A read of a few records."""
    pages = {n: some_page(rng)[0] for n in range(rng.randint(0, 3))}
    made = capture(
        pages, now="2014-06-01 12:00", model=rng.choice(MODELS), answers=TOLD,
        glucose={n: some_glucose(rng) for n in range(rng.randint(0, 2))}, isig={0: GLUCOSE[0][1]},
        ahead_s=rng.choice([0, 90, 4000]),
    )  # fmt: skip
    document: dict[str, Any] = json.loads(made.body)
    return document


def spoil(rng: random.Random, document: dict[str, Any]) -> None:
    key = rng.choice(list(document))
    value = document[key]
    if isinstance(value, dict) and value and rng.random() < 0.8:
        inner = rng.choice(list(value))
        if rng.random() < 0.3:
            value[inner] = deepcopy(rng.choice(JUNK))
        elif isinstance(value[inner], str) and key == "answers":
            value[inner] = f"{rng.randbytes(3).hex()}{value[inner]}" if rng.random() < 0.5 else value[inner][::-1]
    elif rng.random() < 0.5:
        document[key] = deepcopy(rng.choice(JUNK))
    elif key == "host_utc":
        document[key] = f"20{rng.randrange(100):02d}-0{rng.randint(1, 9)}-11T10:00:00Z"
    elif key == "clock" and isinstance(value, str):
        document[key] = rng.randbytes(7).hex()


def recalled(rng: random.Random, made: Capture, memory: Memory) -> Memory:
    if rng.random() < 0.9:
        return memory
    try:
        decoded = decode(made, memory)
    except Malformed:
        return Memory()
    return Memory(decoded.sightings, decoded.state)


def written(decoded: Any) -> None:
    """Every record has a line of JSON, and all of them different ids; the state is JSON."""
    for record in decoded.records:
        to_json(record)
    assert len({record.id for record in decoded.records}) == len(decoded.records)
    json.dumps(decoded.state)


def test_the_whole_capture_decodes() -> None:
    decoded = decode(WHOLE, Memory())
    assert {record.kind for record in decoded.records} >= {"bolus", "basal", "pump_settings", "pump_status"}
    assert decode(WHOLE, Memory()) == decoded
