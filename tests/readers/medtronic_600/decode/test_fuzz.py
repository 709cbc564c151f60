"""Whatever bytes come, decoding ends in records or in Malformed, in bounded time and memory."""

from __future__ import annotations

import json
import os
import random
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bridge.contracts import Memory
from bridge.errors import Malformed
from bridge.model import Capture, to_json
from bridge.readers.medtronic_600 import payloads
from bridge.readers.medtronic_600.decode import decode
from bridge.readers.medtronic_600.event_types import EVENT_TYPES
from bridge.readers.medtronic_600.history import block_events, read_event, read_payload
from bridge.readers.medtronic_600.status_record import read_status
from tests.readers.medtronic_600.decode.builders import (
    START,
    alarm,
    block,
    blood,
    cleared,
    decoded,
    delivered,
    dual,
    dual_part,
    event,
    file,
    loop_blood,
    payload,
    programmed,
    segment,
    sensor,
    set_clock,
    settings_answers,
    square,
    square_done,
    status_answer,
    table_answer,
    temp,
    temp_done,
    time_answer,
    u16,
    visit,
    wizard,
)

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
TIMES = 250_000 if LONG else 20_000
CAPTURES = 25_000 if LONG else 2_000
ROWS = [
    programmed(START, 1, 2, 1), delivered(START + 60, 1, 2, source=1), delivered(START + 99, 2, 0.1, source=5),
    square(START + 200, 3, 2, 60), square_done(START + 900, 3, 2, 1, 60, 20), dual(START + 300, 4, 1, 2, 60),
    dual_part(START + 400, 4, 1, 2, 1, 1, 60, 0), dual_part(START + 900, 4, 1, 2, 2, 2, 60, 60),
    wizard(START - 9, carbs=20, food_u=2, final_u=2), segment(START, 0.5), temp(START + 70, 30, percent=50),
    temp_done(START + 1870, 30, percent=50, actual=30), event(0x1E, START + 2000, b"\2"),
    event(0x1F, START + 2100, b"\1"), event(0xDF, START + 2200, b"\1\0"), blood(START, 120, "BG1234567B"),
    loop_blood(START + 9, 130, 0), event(0x38, START + 400, u16(512) + u16(120)), alarm(START, 105),
    cleared(START + 500, 105), set_clock(START + 3000, 3600), event(0x2E, START, START.to_bytes(4, "big") + bytes(9)),
    event(0x1A, START, b"\1" + bytes(8)), event(0x36, START), event(0x5E, START, b"\0\1\0" + u16(45)),
    event(0x5F, START, b"\0\1\0" + u16(50)), event(0x52, START, b"\1\1" + bytes(5)),
    event(0x53, START, b"\1\1" + bytes(5)), event(0x59, START, bytes(8)), event(0x3E, START, bytes(30)),
]  # fmt: skip
SENSOR_ROWS = [sensor(START, (120, 0.5, 0, 0), (776, 0, 0, 1)), sensor(START + 300, (771, 0, 1, 0))]
ANSWERS: Sequence[tuple[Callable[[bytes], Any], bytes]] = (
    (payloads.read_time, time_answer(START)),
    (payloads.read_basal_pattern, settings_answers()["0123:1"]),
    (payloads.read_carb_ratios, settings_answers()["012c"]),
    (payloads.read_sensitivities, settings_answers()["012f"]),
    (payloads.read_targets, settings_answers()["0132"]),
    (payloads.read_basic_parameters, settings_answers()["0139"]),
    (payloads.read_characteristics, b"\1\2\1" + bytes(60)),
    (payloads.read_device_text, b"\1\1\x3b" + bytes(91)),
    (payloads.read_history_info, b"\1\3\x0d" + bytes(21)),
    (read_status, status_answer()),
    (lambda raw: payloads.read_carb_ratios(table_answer(0x012C, [raw[:9].ljust(9, b"\0")])), bytes(9)),
)


@pytest.fixture
def rng() -> random.Random:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    return random.Random(seed)


def bitten(rng: random.Random, raw: bytes) -> bytes:
    """Some bytes changed, cut, doubled or put in."""
    data = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(4):
            case 0 if at < len(data):
                data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 1:
                del data[at : at + rng.choice((1, 1, 4, 2000))]
            case 2:
                data[at:at] = rng.randbytes(rng.choice((1, 1, 4, 40)))
            case _:
                data[at:at] = data[: rng.choice((1, 8, 64))]
    return bytes(data)


def spoilt_event(rng: random.Random, raw: bytes) -> bytes:
    """Other content under a header whose size fits; often of another type."""
    body = bitten(rng, raw[11:]) if rng.random() < 0.8 else rng.randbytes(rng.randrange(245))
    head = bytearray(raw[:11])
    if rng.random() < 0.3:
        head[0] = rng.randrange(256)
    if rng.random() < 0.2:
        head[3:11] = rng.randbytes(8)
    head[2] = min(255, 11 + len(body))
    return bytes(head) + body[:244]


@pytest.mark.proof
def test_answers(rng: random.Random) -> None:
    for n in range(TIMES):
        read, raw = ANSWERS[n % len(ANSWERS)]
        try:
            read(bitten(rng, raw))
        except Malformed:
            continue


@pytest.mark.proof
def test_payloads_and_blocks(rng: random.Random) -> None:
    pages = block(b"".join(ROWS)) + block(b"".join(ROWS[::-1]))
    whole = [payload(pages), payload(pages, compressed=False)]
    for n in range(TIMES):
        raw = bitten(rng, whole[n % 2])
        if rng.random() < 0.5 and len(raw) > 12:
            raw = raw[:3] + (len(raw) - 12).to_bytes(4, "big") + raw[7:]
        try:
            list(read_payload(raw).events())
        except Malformed:
            continue


@pytest.mark.proof
def test_events(rng: random.Random) -> None:
    kinds = [event(kind, START, bytes(60)) for kind in EVENT_TYPES]
    for n in range(TIMES):
        raw = spoilt_event(rng, (ROWS + SENSOR_ROWS + kinds)[n % (len(ROWS) + len(SENSOR_ROWS) + len(kinds))])
        assert read_event(raw).raw == raw
        try:
            list(block_events(bitten(rng, raw)))
        except Malformed:
            continue


@pytest.mark.proof
def test_captures(rng: random.Random) -> None:
    """Spoilt events in sound blocks, spoilt answers, spoilt bodies; one after the other through one memory."""
    memory = Memory()
    for n in range(CAPTURES):
        rows, seen = rng.sample(ROWS, rng.randrange(1, 12)), list(SENSOR_ROWS)
        rows += [spoilt_event(rng, rng.choice(ROWS)) for _ in range(rng.randrange(4))]
        seen += [spoilt_event(rng, rng.choice(SENSOR_ROWS))]
        rng.shuffle(rows)
        capture = spoilt_capture(rng, rows, seen)
        try:
            found = decode(capture, memory if rng.random() < 0.5 else Memory())
        except Malformed:
            continue
        if n % 20 == 0:
            assert all(to_json(record) for record in found.records)
            assert len(json.dumps(found.state)) < 200_000
            memory = Memory(found.sightings, found.state) if n % 200 else Memory()


def spoilt_capture(rng: random.Random, rows: list[bytes], seen: list[bytes]) -> Capture:
    choice = rng.random()
    if choice < 0.3:
        return file(payload(block(b"".join(rows))), rng.choice(("Europe/Prague", None)))
    answers = {"013c": status_answer(), **settings_answers()}
    name = rng.choice(sorted(answers))
    answers[name] = bitten(rng, answers[name])
    made = visit(*rows, rtc=START + rng.choice((0, 3600, 10_000_000)), sensor_events=seen, answers=answers)
    if choice > 0.9:
        body = bitten(rng, made.body)
        return Capture(made.profile, made.reader, made.feed, made.taken_at, body, made.context)
    return made


@pytest.mark.proof
def test_a_bomb_stays_small() -> None:
    """An announced size beyond the limit is refused unread; what grows beyond it is bounded by its own input."""
    data = bytes(60 * 2048)
    tracemalloc.start()
    for size in (None, 2048, 65_536):
        with pytest.raises(Malformed):
            read_payload(payload(data, size=size))
    longest = b"\x03\x0e\x02" + (70_000).to_bytes(4, "big") + (65_536).to_bytes(4, "big") + b"\1"
    with pytest.raises(Malformed):
        read_payload(longest + b"\x12" + bytes(69_999))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6


def test_an_event_that_makes_many_readings_is_bounded() -> None:
    rows = [sensor(START + n, *[(120, 0, 0, 0)] * 26) for n in range(8)]
    assert len(decoded(file(payload(block(b"".join(rows)), 3))).records) <= 8 * 26
