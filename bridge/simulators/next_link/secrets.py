"""What a meter and a pump share: serial numbers, radio addresses, the packed link key, the cipher."""

from __future__ import annotations

from hashlib import sha256
from random import Random

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

_BLOCK = 16
_PACKED = 55


def opening(model_serial: str) -> bytes:
    """What the meter wants to hear before it opens its radio."""
    text = f"{model_serial.split('-')[1]}A4BD6CED9A42602564F413123"
    return bytes(reversed(sha256(text.encode("ascii")).digest()))


def packed_key(key: bytes, model_serial: str, random: Random) -> bytes:
    """The key among noise, as the meter hands it out; the last digit of its serial says where it begins."""
    packed = bytearray(random.randbytes(_PACKED))
    place = int(model_serial[-1]) % 8
    for value in key:
        flip, near = random.random() < 0.5, random.random() < 0.5
        packed[place] = ~value & 0xFF if flip else value
        packed[place + 1] = packed[place + 1] & 0xFC | flip | near << 1
        place += 2 if near else 3
    return bytes(packed)


def address(serial: str) -> int:
    """Radio address of the device with this serial (`NG1234567H`)."""
    number = (ord(serial[2]) - 55 if serial[2].isalpha() else int(serial[2])) * 1_000_000 + int(serial[3:9])
    family = 0
    for letter in serial[0] + serial[1] + serial[-1]:
        family = family * 26 + ord(letter) - ord("A")
    high = family * 2 + (1 if number > 16_581_375 else 0)
    return int.from_bytes(b"\x00\x23\xf7" + high.to_bytes(2, "big") + (number % 2**24).to_bytes(3, "big"), "big")


class AirCipher:
    """AES with each block fed back, block by block by hand."""

    def __init__(self, key: bytes, channel: int) -> None:
        self._start = bytes((channel,)) + key[1:]
        self._aes = Cipher(AES(key), ECB())  # noqa: S305 - one block at a time, fed back below

    def _stream(self, block: bytes) -> bytes:
        worker = self._aes.encryptor()
        return worker.update(block) + worker.finalize()

    def encrypt(self, plain: bytes) -> bytes:
        """What goes over the air."""
        done, before = b"", self._start
        for at in range(0, len(plain), _BLOCK):
            before = _mixed(plain[at : at + _BLOCK], self._stream(before))
            done += before
        return done

    def decrypt(self, sealed: bytes) -> bytes:
        """What came over the air."""
        done, before = b"", self._start
        for at in range(0, len(sealed), _BLOCK):
            block = sealed[at : at + _BLOCK]
            done += _mixed(block, self._stream(before))
            before = block
        return done


def _mixed(data: bytes, stream: bytes) -> bytes:
    return bytes(left ^ right for left, right in zip(data, stream, strict=False))
