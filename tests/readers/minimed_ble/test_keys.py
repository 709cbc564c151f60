"""The key database file: what is taken, what is refused."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import pytest

from bridge.errors import SettingsInvalid
from bridge.readers.minimed_ble import keys
from tests.support import vectors


def database(count: int = 1, *, local: int = 4) -> bytes:
    body = bytes([local, count]) + b"".join(bytes([each + 1]) + bytes(range(80)) for each in range(count))
    return crc32(body).to_bytes(4, "big") + body


@pytest.mark.parametrize("count", [1, 2, 7])
def test_binary_and_hexadecimal(count: int) -> None:
    raw = database(count)
    spaced = raw.hex(" ", 16).replace(" ", "\n").upper().encode() + b"\n"
    for content in (raw, raw.hex().encode(), spaced):
        found = keys.parse(content)
        assert found.local == 4
        assert set(found.keys) == set(range(1, count + 1))
        assert found.shared_with(1).derivation == bytes(range(16))
        assert found.shared_with(1).payload == bytes(range(64, 80))


@pytest.mark.parametrize("content", [b"", b"zz", bytes(6), database()[:-1], database() + b"\0", b"00" * 87])
def test_refused(content: bytes) -> None:
    with pytest.raises(SettingsInvalid) as told:
        keys.parse(content)
    assert told.value.next_step


def test_every_flipped_bit_is_noticed() -> None:
    raw = database()
    for at in range(len(raw) * 8):
        wrong = bytearray(raw)
        wrong[at // 8] ^= 1 << at % 8
        with pytest.raises(SettingsInvalid):
            keys.parse(bytes(wrong))


def test_the_told_bad_checksum() -> None:
    told = vectors.document("ble-and-contour", "sake_synthetic.json")
    assert keys.parse(bytes.fromhex(told["client_key_db_hex"])).local == 1
    with pytest.raises(SettingsInvalid, match="checksum"):
        keys.parse(bytes.fromhex(told["bad_crc_db_hex"]))


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.bin"
    path.write_bytes(database())
    path.chmod(0o600)
    assert keys.load(path).local == 4
    for mode in (0o604, 0o602, 0o666):
        path.chmod(mode)
        with pytest.raises(SettingsInvalid, match="everybody"):
            keys.load(path)


def test_no_file(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(SettingsInvalid):
            keys.load(path)
