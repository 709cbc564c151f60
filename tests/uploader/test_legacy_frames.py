"""The frames of the first generation's key exchange, as documented: a small codec of their stream, in both ways.

Nothing here is sent by the program; what of it is in use is the digest that opens a meter.
"""

from __future__ import annotations

from hashlib import sha256

from bridge.readers.medtronic_600.crypto import open_digest
from tests.support.vectors import document

FRAMES = document("carelink-upload", "snapshotserver.json")
MAGIC = bytes.fromhex("aced0005")
ARRAY = bytes.fromhex("757200025b42acf317f8060854e00200007870")
HMAC, KEY = 0x1C, 0x1F


def number(value: int) -> bytes:
    return b"\x77\x04" + value.to_bytes(4, "big")


def text(value: str) -> bytes:
    return b"\x74" + len(value).to_bytes(2, "big") + value.encode()


def array(value: bytes) -> bytes:
    return ARRAY + len(value).to_bytes(4, "big") + value


def short(serial: str) -> str:
    return serial.rpartition("-")[2]


def test_the_serials() -> None:
    assert short(FRAMES["longSerial"]) == FRAMES["shortSerial"]
    assert FRAMES["note"]


def test_the_requests() -> None:
    assert (MAGIC + number(HMAC) + text(FRAMES["shortSerial"])).hex() == FRAMES["hmac_request_hex"]
    assert (MAGIC + number(KEY) + text(FRAMES["longSerial"])).hex() == FRAMES["key_request_hex"]


def test_the_answers() -> None:
    used = bytes.fromhex(FRAMES["hmac_value_hex_as_used"])
    assert (MAGIC + array(used[::-1])).hex() == FRAMES["hmac_response_hex"]
    key = bytes.fromhex(FRAMES["key_hex"])
    assert (MAGIC + number(len(key)) + array(key) + number(FRAMES["count"])).hex() == FRAMES["key_response_hex"]
    assert (MAGIC + number(0)).hex() == FRAMES["no_key_response_hex"]


def test_the_digest_needs_no_server() -> None:
    used = FRAMES["hmac_value_hex_as_used"]
    assert open_digest(FRAMES["longSerial"]).hex() == used
    assert sha256(f"{FRAMES['shortSerial']}A4BD6CED9A42602564F413123".encode()).digest()[::-1].hex() == used
