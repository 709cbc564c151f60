"""Mutated values and bodies: typed errors only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from random import Random

import pytest

from bridge.contracts import Memory
from bridge.errors import Malformed, SettingsInvalid, Transient, Unauthorised
from bridge.model.records import to_json
from bridge.readers.minimed_ble import history_requests, keys
from bridge.readers.minimed_ble.decode import decode
from bridge.readers.minimed_ble.frames import Direction, Opener, SessionKey
from bridge.readers.minimed_ble.handshake import KICKOFF, Handshake
from bridge.readers.minimed_ble.history import parse_event
from bridge.readers.minimed_ble.status import parse_answer, parse_features, parse_status
from bridge.simulators.ble import pump_records as records
from tests.readers.minimed_ble.bodies import BEGAN, Body
from tests.support import vectors

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
TIMES = 500_000 if LONG else 20_000
BODIES = 20_000 if LONG else 300
SEED = int(os.environ.get("GLUCOBRIDGE_SEED", "20260310"))
TOLD = vectors.document("ble-and-contour", "sake_synthetic.json")
ROWS = [bytes.fromhex(row["value_hex"]) for row in vectors.rows("ble-and-contour", "idd.jsonl")]
SESSION = SessionKey(bytes(16), bytes(8))
DATABASE = bytes.fromhex(TOLD["server_key_db_hex"])


def spoilt(chance: Random, value: bytes) -> bytes:
    changed = bytearray(value)
    for _ in range(chance.randint(1, 4)):
        match chance.randrange(4):
            case 0 if changed:
                changed[chance.randrange(len(changed))] = chance.randrange(256)
            case 1 if changed:
                del changed[chance.randrange(len(changed)) :]
            case 2:
                changed += chance.randbytes(chance.randint(1, 6))
            case _:
                changed[:2] = chance.choice(ROWS)[:2]
    return bytes(changed)


PARSERS: dict[str, tuple[list[bytes], Callable[[bytes], object]]] = {
    "event": (ROWS, parse_event),
    "answer": (ROWS, parse_answer),
    "status": (ROWS, parse_status),
    "features": (ROWS, parse_features),
    "racp": ([b"\x0f\x0f\x33\xf0", b"\x66\x0f\1\0\0\0"], history_requests.parse),
}


@pytest.mark.proof
@pytest.mark.parametrize("name", PARSERS)
def test_values(name: str) -> None:
    chance = Random(SEED)
    print(f"seed {SEED}, {TIMES} values")
    seeds, parse = PARSERS[name]
    refused = 0
    for _ in range(TIMES):
        try:
            parse(spoilt(chance, chance.choice(seeds)))
        except Malformed:
            refused += 1
    assert 0 < refused < TIMES


@pytest.mark.proof
def test_frames_and_handshakes() -> None:
    chance = Random(SEED)
    frames = [bytes.fromhex(row["wire_hex"]) for row in TOLD["data_frames"]]
    database = keys.parse(DATABASE)
    messages = [KICKOFF, *(bytes.fromhex(row["hex"]) for row in TOLD["handshake"])]
    for _ in range(TIMES // 10):
        opener, handshake = Opener(SESSION, Direction.CLIENT_TO_SERVER), Handshake(database)
        for _ in range(4):
            with contextlib.suppress(Malformed, Transient):
                opener.open(spoilt(chance, chance.choice(frames)))
            with contextlib.suppress(Malformed, Unauthorised):
                handshake.feed(chance.choice((KICKOFF, spoilt(chance, chance.choice(messages)))))
        assert handshake.session is None


@pytest.mark.proof
def test_key_databases() -> None:
    chance = Random(SEED)
    for _ in range(TIMES // 10):
        changed = spoilt(chance, DATABASE)
        if changed != DATABASE:
            with pytest.raises(SettingsInvalid):
                keys.parse(changed)


EVENTS = [
    (records.BASAL, records.basal(500, 800)),
    (records.GLUCOSE, records.glucose(120)),
    (records.BOLUS_ASKED, records.bolus(1, 1000, 500, 30)),
    (records.BOLUS_ASKED_MORE, records.asked_more()),
    (records.BOLUS_GIVEN, records.bolus(1, 1000, 500, 30)),
    (records.BOLUS_GIVEN_MORE, records.given_more(60)),
    (records.STOPPED, b"\2"),
    (records.RESTARTED, b"\1"),
    (records.LOOP, b"\0"),
    (records.MICRO, records.micro(1, 25)),
    (records.ALERT, records.alert(0x69, 1, 5)),
    (records.ALERT_OVER, records.alert_over(0x69, 1)),
    (records.MEAL, records.meal(30)),
    (records.BLOOD, records.blood(99)),
    (0xF004, bytes.fromhex("1f190000fd02330a0000fe")),
    (records.REFERENCE, records.clock(BEGAN)),
]


def whole() -> Body:
    body = Body()
    for step, (kind, data) in enumerate(EVENTS):
        body.event(kind, step * 60, data)
    return body


@pytest.mark.proof
def test_bodies() -> None:
    chance = Random(SEED)
    print(f"seed {SEED}, {BODIES} bodies")
    told = whole()
    memory = Memory()
    for _ in range(BODIES):
        lines = list(told.lines)
        for _ in range(chance.randint(1, 5)):
            at = chance.randrange(len(lines))
            uuid, _, value = lines[at].partition(" ")
            lines[at] = f"{uuid} {spoilt(chance, bytes.fromhex(value)).hex()}"
        body = Body()
        body.lines = lines
        try:
            said = decode(body.capture(BEGAN), memory)
        except Malformed:
            continue
        for record in said.records:
            to_json(record)
        memory = Memory(state=said.state)
