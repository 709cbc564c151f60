"""The virtual meter against bytes that it did not make."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from lzallright import LZOCompressor

from bridge.simulators.next_link import PUMP, SENSOR, Faults, NextLink, Pump, in_blocks, in_pages, page
from bridge.simulators.next_link.frames import Envelope, open_pump_word, open_radio_frame, pump_word, radio_frame
from bridge.simulators.next_link.secrets import AirCipher, address, opening, packed_key
from bridge.wire import abc
from bridge.wire.crc import crc16
from tests.support import vectors
from tests.support.clock import FakeClock

KEYS = vectors.document("medtronic-600", "keys.json")
REQUESTS = vectors.rows("medtronic-600", "requests.jsonl")
RESPONSES = vectors.rows("medtronic-600", "responses.jsonl")
FRAMES = vectors.rows("medtronic-600", "frames.jsonl")
PAGES = {
    PUMP: vectors.document("medtronic-600", "history_pump.json")["payloads_hex"],
    SENSOR: [vectors.document("medtronic-600", "history_sensor.json")["payload_hex"]],
}
KEY = bytes.fromhex(KEYS["session"]["key"])


@pytest.mark.parametrize("row", KEYS["serial_to_mac"], ids=lambda row: row["serial"])
def test_addresses(row: dict[str, str]) -> None:
    assert f"{address(row['serial'].upper()):016x}" == row["mac"]


@pytest.mark.parametrize("row", KEYS["hmac"], ids=lambda row: row["serial"])
def test_openings(row: dict[str, str]) -> None:
    assert opening(row["serial"]).hex() == row["hmac"]


def _unpacked(packed: bytes, serial: str) -> bytes:
    place, key = int(serial[-1]) & 7, b""
    for _ in range(16):
        flip, near = packed[place + 1] & 1, packed[place + 1] & 2
        key += bytes((packed[place] ^ 0xFF * flip,))
        place += 2 if near else 3
    return key


@pytest.mark.parametrize("row", KEYS["link_key"], ids=lambda row: row["serial"])
def test_packed_keys(row: dict[str, str]) -> None:
    key = bytes.fromhex(row["key"])
    assert _unpacked(bytes.fromhex(row["packed"]), row["serial"]) == key
    for seed in range(50):
        packed = packed_key(key, row["serial"], Random(seed))
        assert len(packed) == 55
        assert _unpacked(packed, row["serial"]) == key


@pytest.mark.parametrize("row", REQUESTS, ids=lambda row: row["name"])
def test_requests_are_understood_and_would_be_made_equal(row: dict[str, Any]) -> None:
    message = Envelope.decode(bytes.fromhex(row["message_hex"]))
    assert message.encode().hex() == row["message_hex"]
    if message.operation == 0x12:
        command, body = open_radio_frame(message.payload)
        assert radio_frame(body, command) == message.payload
        if command == 5:
            sealed = body[11:]
            sequence, word, parameters = open_pump_word(AirCipher(KEY, row["channel"]).decrypt(sealed))
            plain = pump_word(sequence, word.to_bytes(2, "big") + parameters)
            assert AirCipher(KEY, row["channel"]).encrypt(plain) == sealed


@pytest.mark.parametrize("row", RESPONSES, ids=lambda row: row["command"] + "-" + str(row["seq"]))
def test_answers_are_made_equal(row: dict[str, Any]) -> None:
    plain = bytes.fromhex(row["plaintext_hex"])
    message = Envelope.decode(bytes.fromhex(row["message_hex"]))
    _, body = open_radio_frame(message.payload)
    assert AirCipher(KEY, 0x14).encrypt(plain) == body[22:]
    sequence, command, parameters = open_pump_word(plain)
    assert pump_word(sequence, command.to_bytes(2, "big") + parameters) == plain
    assert (sequence, f"0x{command:04x}") == (row["seq"], row["command"])


@pytest.mark.parametrize("row", FRAMES, ids=lambda row: row["name"])
def test_captured_frames_are_made_equal(row: dict[str, Any]) -> None:
    message = Envelope.decode(bytes.fromhex(row["message_hex"]))
    assert message.encode().hex() == row["message_hex"]
    assert radio_frame(open_radio_frame(message.payload)[1]) == message.payload


def test_a_network_looks_as_captured() -> None:
    captured = next(row for row in FRAMES if row["name"] == "join_network_response_0x80")
    link = NextLink(Pump(FakeClock().now, channel=17))
    body = link._network(17, joined=True)
    wanted = bytes.fromhex(captured["expected"]["body_hex"])
    rssi = 0x18
    assert body[:rssi] + body[rssi + 1 :] == wanted[:rssi] + wanted[rssi + 1 :]


def _plain(whole: bytes) -> bytes:
    data, size = whole[12:], int.from_bytes(whole[7:11], "big")
    return LZOCompressor.decompress(data, size) if whole[11] & 1 else data


@pytest.mark.parametrize(("kind", "number"), [(kind, n) for kind, told in PAGES.items() for n in range(len(told))])
@pytest.mark.parametrize("pressed", [True, False])
def test_pages_built_anew_hold_the_same_blocks(kind: int, number: int, pressed: bool) -> None:
    plain = _plain(bytes.fromhex(PAGES[kind][number]))
    blocks = [plain[at : at + 2048] for at in range(0, len(plain), 2048)]
    again = b"".join(_plain(each) for each in in_pages(kind, blocks, pressed=pressed))
    assert again == plain
    assert all(each[:3] == bytes((3, 0x0E, kind)) for each in in_pages(kind, blocks, pressed=pressed))
    used = [block[: int.from_bytes(block[0x7FC:0x7FE], "big")] for block in blocks]
    assert [crc16(each) for each in used] == [int.from_bytes(block[0x7FE:], "big") for block in blocks]
    rebuilt = [in_blocks([each])[0] for each in used]
    assert [each[: len(part)] for each, part in zip(rebuilt, used, strict=True)] == used
    assert [each[0x7FC:] for each in rebuilt] == [block[0x7FC:] for block in blocks]


def test_page_says_how_it_is_pressed() -> None:
    zeros = page(PUMP, bytes(4096))
    assert (zeros[11], int.from_bytes(zeros[3:7], "big")) == (1, len(zeros) - 12)
    noise = page(PUMP, Random(1).randbytes(2048))
    assert (noise[11], noise[12:]) == (0, Random(1).randbytes(2048))


def test_reports_are_whole() -> None:
    link = NextLink(None, faults=Faults())
    link.write(0x04, next(abc.reports(b"X")))
    reports = []
    while (report := link.read(0x83, 64, 0.1)) is not None:
        reports.append(report)
    assert all(len(report) == 64 and report.startswith(b"ABC") for report in reports)
    assert abc.payload(reports[-1]) == b"\x05"
