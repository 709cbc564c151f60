"""Secrets that follow from what the attached meter tells, and the pump's cipher. Pure."""

from __future__ import annotations

import re
from hashlib import sha256

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from bridge.errors import Malformed

try:
    from cryptography.hazmat.decrepit.ciphers.modes import CFB
except ImportError:  # before cryptography 47
    from cryptography.hazmat.primitives.ciphers.modes import CFB

_SALT = "A4BD6CED9A42602564F413123"
_SERIAL = re.compile(r"[A-Z]{2}[A-Z0-9][0-9]{6}[A-Z]")
_PACKED = 55
_VENDOR = 0x0023F7 << 40
_CARRY_ABOVE = 255**3


def open_digest(meter_serial: str) -> bytes:
    """32 bytes that open and close the meter's bridge; `meter_serial` is `NNNN-NNNNNNN`."""
    short = meter_serial.rpartition("-")[2]
    return sha256((short + _SALT).encode()).digest()[::-1]


def unpack_link_key(packed: bytes, meter_serial: str) -> bytes:
    """The 16-byte key out of the meter's 55 bytes. Raises Malformed for any other length."""
    if len(packed) != _PACKED:
        raise Malformed("The meter's link key does not have the length that it should have.")
    at, key = ord(meter_serial[-1]) & 7, bytearray()
    for _ in range(16):
        value, choice = packed[at], packed[at + 1]
        key.append(value ^ 0xFF if choice & 1 else value)
        at += 2 if choice & 2 else 3
    return bytes(key)


def mac_of(serial: str) -> int:
    """The radio address of a device by its serial as shown (`NG1234567H`). Raises Malformed."""
    text = serial.upper()
    if not _SERIAL.fullmatch(text):
        raise Malformed("That is not a serial number of this kind.")
    first, second, third = (ord(letter) - 65 for letter in (text[0], text[1], text[9]))
    letters = first * 676 + second * 26 + third
    number = int(text[2], 36) * 10**6 + int(text[3:9])
    return _VENDOR | (letters << 1 | (number > _CARRY_ABOVE)) << 24 | number & 0xFFFFFF


def serial_of(mac: int) -> str:
    """The serial as shown of a radio address: the inverse of `mac_of`. Raises Malformed."""
    high, low = mac >> 24 & 0xFFFF, mac & 0xFFFFFF
    letters, carry = high >> 1, high & 1
    number = low + (1 << 24 if carry and low <= _CARRY_ABOVE else 0)
    first, rest = divmod(letters, 676)
    lead, tail = divmod(number, 10**6)
    if mac >> 40 != _VENDOR >> 40 or first > 25 or lead > 35:
        raise Malformed("The meter names a pump address that no pump of this kind has.")
    lead_text = str(lead) if lead < 10 else chr(55 + lead)
    return f"{chr(65 + first)}{chr(65 + rest // 26)}{lead_text}{tail:06d}{chr(65 + rest % 26)}"


class PumpCipher:
    """AES-128 in CFB with whole blocks and no padding, anew for each message."""

    def __init__(self, key: bytes, channel: int) -> None:
        self._cipher = Cipher(AES(key), CFB(bytes((channel,)) + key[1:]))

    def encrypt(self, plain: bytes) -> bytes:
        """Same length as `plain`."""
        worker = self._cipher.encryptor()
        return worker.update(plain) + worker.finalize()

    def decrypt(self, encrypted: bytes) -> bytes:
        """Same length as `encrypted`."""
        worker = self._cipher.decryptor()
        return worker.update(encrypted) + worker.finalize()
