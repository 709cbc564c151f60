"""The key database that the owner of a pump supplies. None is shipped, shown, logged or kept elsewhere."""

from __future__ import annotations

import re
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType
from zlib import crc32

from bridge.errors import SettingsInvalid

KEY_BYTES = 16
_HEAD_BYTES, _ENTRY_BYTES = 6, 1 + 5 * KEY_BYTES
_MOST_BYTES = 64 * 1024
_HEX = re.compile(rb"[0-9A-Fa-f]+")
_NEXT_STEP = "Give the path of the key database that belongs to your pump."


class DeviceType(IntEnum):
    """Who talks to whom."""

    PUMP = 1
    SENSOR = 2
    METER = 3
    MOBILE = 4
    CARELINK = 5
    FIRMWARE_UPDATE = 6
    DIAGNOSTIC = 7
    PRIMARY_DISPLAY = 8


@dataclass(frozen=True, slots=True)
class Keys:
    """What is shared with one type of device, 16 bytes each. Its text shows nothing of them."""

    derivation: bytes = field(repr=False)
    handshake: bytes = field(repr=False)
    permit_decrypt: bytes = field(repr=False)
    permit_auth: bytes = field(repr=False)
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyDatabase:
    """Whose keys they are, and the keys by the type of the other side."""

    local: int
    keys: Mapping[int, Keys] = field(repr=False)

    def shared_with(self, remote: int) -> Keys:
        """The keys for talking to that type. Raises SettingsInvalid when there are none."""
        found = self.keys.get(remote)
        if found is None:
            raise SettingsInvalid(f"The key database has no keys for device type {remote}.", next_step=_NEXT_STEP)
        return found


def parse(content: bytes) -> KeyDatabase:
    """A database from its bytes or from hexadecimal text. Raises SettingsInvalid for a wrong length or checksum."""
    raw = _binary(content)
    count = raw[5] if len(raw) >= _HEAD_BYTES else 0
    if not count or len(raw) != _HEAD_BYTES + count * _ENTRY_BYTES:
        raise SettingsInvalid("The key database has a wrong length.", next_step=_NEXT_STEP)
    if crc32(raw[4:]) != int.from_bytes(raw[:4], "big"):
        raise SettingsInvalid("The checksum of the key database is wrong.", next_step=_NEXT_STEP)
    entries = (raw[at : at + _ENTRY_BYTES] for at in range(_HEAD_BYTES, len(raw), _ENTRY_BYTES))
    return KeyDatabase(raw[4], MappingProxyType({entry[0]: _keys(entry) for entry in entries}))


def load(path: Path) -> KeyDatabase:
    """The database in a file. Raises SettingsInvalid when it cannot be read, is none, or others can read it too."""
    try:
        if sys.platform != "win32" and path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
            raise SettingsInvalid(
                "The key database can be read by everybody on this machine; it was not opened.",
                next_step="Make the file yours alone: chmod 600.",
            )
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES)
    except OSError:
        raise SettingsInvalid("The key database cannot be read.", next_step=_NEXT_STEP) from None
    return parse(content)


def _binary(content: bytes) -> bytes:
    digits = b"".join(content.split())
    if len(digits) % 2 or not _HEX.fullmatch(digits):
        return content
    return bytes.fromhex(digits.decode("ascii"))


def _keys(entry: bytes) -> Keys:
    return Keys(*(entry[at : at + KEY_BYTES] for at in range(1, _ENTRY_BYTES, KEY_BYTES)))
