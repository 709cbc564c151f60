"""Requests and replies as bytes, against captured conversations."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime
from random import Random
from typing import Any

import pytest

from bridge.errors import Malformed
from bridge.readers.medtronic_stick.frames import (
    LINK_STATUS,
    PRODUCT_INFO,
    RADIO_STATS,
    SIGNAL,
    USB_STATS,
    parse_link,
    parse_product,
    parse_radio,
    parse_stats,
    parse_status,
    read_radio,
    sound_isig_page,
    sound_page,
    transmit,
)
from bridge.simulators.stick.stamps import stamp2, stamp4, stamp5
from bridge.wire.crc import crc8, crc16
from tests.readers.medtronic_stick.protocol.bench import page
from tests.support import vectors

CODEC = vectors.rows("medtronic-stick", "codec.jsonl")
EXCHANGES = vectors.rows("medtronic-stick", "stick_exchanges.jsonl")
_FOUR_TO_SIX = bytes([0x15, 0x31, 0x32, 0x23, 0x34, 0x25, 0x26, 0x16, 0x1A, 0x19, 0x2A, 0x0B, 0x2C, 0x0D, 0x0E, 0x1C])


def _on_air(data: bytes) -> bytes:
    """Six bits for four, most significant first; a half byte left over is filled with nibble 5."""
    bits = "".join(f"{_FOUR_TO_SIX[byte >> 4]:06b}{_FOUR_TO_SIX[byte & 15]:06b}" for byte in data)
    bits += "" if len(bits) % 8 == 0 else "0101"
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))


def _from_air(data: bytes) -> bytes:
    bits = "".join(f"{byte:08b}" for byte in data)
    nibbles = [_FOUR_TO_SIX.index(int(bits[at : at + 6], 2)) for at in range(0, len(bits) - 5, 6)]
    return bytes(high << 4 | low for high, low in zip(nibbles[::2], nibbles[1::2], strict=False))


def _codec(row: dict[str, Any]) -> object:
    data = bytes.fromhex(row.get("data", ""))
    match row["kind"]:
        case "crc8":
            return crc8(data)
        case "crc16":
            return crc16(data)
        case "transmit":
            params = bytes.fromhex(row["params"])
            return transmit(row["serial"], row["op"], params, records=row["records"], retries=row["retries"]).hex()
        case "4b6b_encode":
            return _on_air(data).hex()
        case "4b6b_decode":
            return _from_air(data).hex()
    raise AssertionError(row["kind"])


@pytest.mark.parametrize(
    "row", [row for row in CODEC if not row["kind"].startswith("date")], ids=lambda row: row["id"]
)
def test_codec(row: dict[str, Any]) -> None:
    assert _codec(row) == row["expected"]


@pytest.mark.parametrize("row", [row for row in CODEC if row["kind"].startswith("date")], ids=lambda row: row["id"])
def test_dates_as_the_simulator_writes_them(row: dict[str, Any]) -> None:
    stamp, spare = {
        "date5": (stamp5, bytes([0, 0, 0xE0, 0xE0, 0x80])),
        "date2": (stamp2, bytes([0, 0])),
        "date4": (stamp4, bytes([0x20, 0, 0x60, 0x80])),
    }[row["kind"]]
    data = bytes(byte & ~free for byte, free in zip(bytes.fromhex(row["data"]), spare, strict=True))
    assert stamp(datetime.fromisoformat(row["expected"])) == data


def _exchanges() -> list[tuple[dict[str, Any], bytes, bytes]]:
    return [
        (row, bytes.fromhex(each["tx"]), bytes.fromhex(reply))
        for row in EXCHANGES
        for each in row["exchanges"]
        for reply in each["rx"]
    ]


def test_every_captured_request_is_one_that_we_build() -> None:
    announced = 0
    for row, sent, reply in _exchanges():
        match sent[0]:
            case 0x01:
                records, params = sent[11], sent[15:-1]
                built = transmit(row["serial"], sent[13], params, records=records, retries=sent[10])
            case 0x0C:
                built = read_radio(announced)
            case _:
                built = {3: LINK_STATUS, 4: PRODUCT_INFO, 6: SIGNAL}.get(sent[0], b"")
                built = built or {0: RADIO_STATS, 1: USB_STATS}[sent[1]]
        assert sent == built, row["id"]
        if sent == LINK_STATUS:
            announced = parse_link(parse_status(reply).body).waiting


def test_every_captured_reply_is_understood() -> None:
    for row, sent, reply in _exchanges():
        if sent[0] == 0x0C:
            assert parse_radio(reply).intact, row["id"]
            assert parse_radio(reply).serial == row["serial"]
        elif row["id"] == "st-019":
            assert not parse_status(reply).accepted
            assert parse_status(reply).code == row["expected"]["stick_nak"]
        else:
            assert parse_status(reply).accepted, row["id"]
        if sent == LINK_STATUS:
            assert parse_link(parse_status(reply).body).ready


def _replies(row: dict[str, Any], request: bytes) -> list[bytes]:
    return [bytes.fromhex(x) for each in row["exchanges"] if each["tx"] == request.hex() for x in each["rx"] if x]


def _said(row: dict[str, Any]) -> dict[str, object]:
    """What the pump said in a captured conversation, in the words of the expectations."""
    parts = [parse_radio(bytes.fromhex(each["rx"][0])) for each in row["exchanges"] if each["tx"].startswith("0c")]
    data = b"".join(part.data for part in parts)
    said: dict[str, object] = {"data": data.hex(), "page_len": len(data)}
    if parts:
        said |= {"radio_status": parts[-1].status, "eod": parts[-1].last, "nak_code": parts[-1].data[0]}
        said["model"] = data[1 : 1 + data[0]].decode("ascii", "replace")
    for reply in _replies(row, PRODUCT_INFO)[:1] if row["expected"] else ():
        product = parse_product(parse_status(reply).body)
        said["product"] = {
            "serial": product.serial,
            "rf": product.radio,
            "product_version": product.version,
            "description": product.description,
            "software_version": product.software,
            "interfaces": [list(pair) for pair in product.interfaces],
        }
        said["signal"] = parse_status(_replies(row, SIGNAL)[0]).body[0]
    if row["id"] == "st-019":
        said["stick_nak"] = parse_status(_replies(row, SIGNAL)[0]).code
    return said


@pytest.mark.parametrize("row", EXCHANGES, ids=lambda row: row["id"])
def test_captured_conversation(row: dict[str, Any]) -> None:
    said, expected = _said(row), row["expected"] or {}
    assert {name: said.get(name) for name in expected} == expected
    if "page_len" in expected:
        assert sound_page(bytes.fromhex(str(said["data"])))


def test_stats() -> None:
    stats = parse_stats(parse_status(_replies(EXCHANGES[0], USB_STATS)[0]).body)
    assert (stats.crc_errors, stats.timeouts, stats.received, stats.sent) == (0, 0, 0x76, 0x76)


def test_late_product_info_is_not_taken_for_one() -> None:
    late, own = (parse_status(reply).body for reply in _replies(EXCHANGES[17], PRODUCT_INFO))
    with pytest.raises(Malformed):
        parse_product(late)
    assert parse_product(own).serial == "aabbcc"


def test_a_page_with_one_wrong_bit_is_not_sound() -> None:
    for good, sound in ((page(1), sound_page), (page(1, 2048), sound_isig_page)):
        assert sound(good)
        for at in (0, 511, 1021):
            assert not sound(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        assert not sound(good[:-1])
        assert not sound(good + b"\0")


@pytest.mark.proof
def test_mutated_replies_raise_malformed_only() -> None:
    times = 250_000 if os.environ.get("GLUCOBRIDGE_PROOF") == "long" else 20_000
    seed = 20260310
    print(f"seed {seed}")
    chance = Random(seed)
    replies = [reply for _, _, reply in _exchanges()]
    for _ in range(times):
        data = bytearray(chance.choice(replies))
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.3:
            del data[chance.randrange(len(data)) :]
        for parse in (parse_radio, _all_of_status):
            with suppress(Malformed):
                parse(bytes(data))


def _all_of_status(reply: bytes) -> None:
    body = parse_status(reply).body
    parse_link(body)
    parse_stats(body)
    parse_product(body)
