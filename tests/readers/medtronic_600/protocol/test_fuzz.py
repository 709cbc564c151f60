"""Mutated bytes: only Malformed comes out."""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from bridge.errors import DeviceUnreachable, Malformed, NotAllowed
from bridge.readers.medtronic_600 import allowed, answers, comd, crypto, envelope, info, ngp
from bridge.readers.medtronic_600.glance import Glance, glance, rtc_of
from bridge.readers.medtronic_600.multipacket import Transfer
from bridge.readers.medtronic_600.recall import Recall
from bridge.wire import abc

TIMES = 250_000 if os.environ.get("GLUCOBRIDGE_PROOF") == "long" else 20_000
SEED = 600
KEY = bytes(range(16))
CIPHER = crypto.PumpCipher(KEY, 20)
WORD = comd.pack(comd.Said(1, 0x0403))
PACKET = ngp.pack(5, ngp.transmit_body(1, 1, CIPHER.encrypt(WORD)))
ANSWER = ngp.pack(0x55, b"\0\x06" + bytes(19) + bytes((len(WORD),)) + CIPHER.encrypt(WORD))
HEADER = rb"\x04\x021H|\^&||1|Bayer6210^01.12\01.04^6213-1234567^0000-^BG1234567B|A=1" + b"\x0300\r\n"


def _segments(data: bytes) -> None:
    transfer = Transfer(data[:10])
    for at in range(10, len(data), 6):
        transfer.add(data[at : at + 6])
    if not transfer.complete:
        first, count = transfer.ask_again()
        assert 0 <= first < first + count <= transfer.count


def _answer(data: bytes) -> None:
    message = envelope.unpack(data)
    answers.heard(message)
    answers.sent(message)
    frame = ngp.unpack(message.payload)
    ngp.joined(frame)
    comd.unpack(CIPHER.decrypt(ngp.received(frame)))


def _resealed_answer(data: bytes) -> None:
    """Past the sums: the inner parts are reached."""
    inner = ngp.pack(0x55, data[:100])
    _answer(envelope.pack(0x80, 1, inner))


def _recall(data: bytes) -> None:
    Recall.restore({"glance": dict.fromkeys(Glance.__dataclass_fields__, data[0] if data else None)})
    Recall.restore({"channel": data, "owed": [str(data[:1])], "seen_at": data.decode("latin-1")})


TARGETS: dict[str, tuple[Callable[[bytes], Any], bytes]] = {
    "report": (abc.payload, next(abc.reports(PACKET))),
    "envelope": (_answer, envelope.pack(0x80, 1, ANSWER)),
    "answer": (_resealed_answer, b"\0\x06" + bytes(19) + b"\x07" + CIPHER.encrypt(WORD)),
    "frame": (ngp.unpack, ANSWER),
    "word": (comd.unpack, WORD),
    "info": (info.parse, HEADER),
    "key": (lambda data: crypto.unpack_link_key(data[:55], "6213-1234567"), bytes(range(60))),
    "serial": (lambda data: crypto.mac_of(data.decode("latin-1")), b"NG1234567H"),
    "address": (lambda data: crypto.serial_of(int.from_bytes(data[:8], "big")), bytes.fromhex("0023f745ee12d687")),
    "transfer": (_segments, (12).to_bytes(4, "big") + b"\0\x04\0\x04\0\x03" + b"\0\x01abcd\0\0abcd\0\x02abcd"),
    "status": (glance, bytes(96)),
    "time": (rtc_of, b"\x01\x04\x07\x01" + bytes(8)),
    "recall": (_recall, b"2026-03-10T06:00:00Z"),
}


def _mutated(chance: Random, seed: bytes) -> bytes:
    data = bytearray(seed)
    for _ in range(chance.randint(1, 4)):
        kind, at = chance.randrange(4), chance.randrange(len(data) + 1)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[at:at] = chance.randbytes(chance.randint(1, 8))
        elif kind == 2:
            del data[at : at + chance.randint(1, 8)]
        elif at < len(data):
            data[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_only_malformed_comes_out(name: str) -> None:
    target, seed = TARGETS[name]
    chance = Random(f"{SEED}-{name}")
    for _ in range(TIMES):
        try:
            target(_mutated(chance, seed))
        except (Malformed, DeviceUnreachable):
            continue


def test_no_mutation_gets_a_forbidden_message_out() -> None:
    """Whatever the gate lets out reads: of mutated questions, sums made right again."""
    chance, out = Random(SEED), 0
    for _ in range(TIMES // 10):
        frame = _mutated(chance, PACKET)[:-2]
        message = envelope.pack(
            chance.choice((0x10, 0x12, 0x14, 0x17, 0x80)), 1, ngp.pack(frame[0] if frame else 0, frame[2:])
        )
        try:
            allowed.require(message, CIPHER.decrypt)
        except NotAllowed:
            continue
        out += 1
        sent = envelope.unpack(message)
        assert sent.operation in (0x10, 0x12, 0x14)
        if sent.operation == 0x12:
            inner = ngp.unpack(sent.payload)
            assert inner.command in (3, 5)
            if inner.command == 5:
                assert comd.unpack(CIPHER.decrypt(ngp.transmitted(inner))).command in allowed.PUMP
    assert out
