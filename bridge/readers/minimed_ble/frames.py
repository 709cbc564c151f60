"""Secured frames: what is said after the handshake, sealed with the session's key and a counter of each direction."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from hmac import compare_digest

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR, ECB
from cryptography.hazmat.primitives.cmac import CMAC

from bridge.errors import Malformed, Transient

TAG_BYTES = 2
OVERHEAD_BYTES = 1 + TAG_BYTES
_MOST_WRONG = 3
_BLOCK_COUNTER = bytes(3)
_COUNTER_BYTES = 5


def cmac(key: bytes, message: bytes) -> bytes:
    """AES-CMAC, 16 bytes."""
    sum_ = CMAC(AES(key))
    sum_.update(message)
    return sum_.finalize()


def encrypt_block(key: bytes, block: bytes) -> bytes:
    """One block of AES."""
    return Cipher(AES(key), ECB()).encryptor().update(block)  # noqa: S305 - the protocol's


def decrypt_block(key: bytes, block: bytes) -> bytes:
    """One block of AES, backwards."""
    return Cipher(AES(key), ECB()).decryptor().update(block)  # noqa: S305 - the protocol's


class Direction(IntEnum):
    """Who sends. The server is the side that advertises."""

    CLIENT_TO_SERVER = 0
    SERVER_TO_CLIENT = 1


@dataclass(frozen=True, slots=True)
class SessionKey:
    """What both sides worked out: 16 bytes key, 8 bytes nonce. Its text shows nothing of them."""

    key: bytes = field(repr=False)
    nonce: bytes = field(repr=False)

    def crypt(self, direction: Direction, counter: int, data: bytes) -> bytes:
        """Encrypt or decrypt."""
        block = self._number(direction, counter) + _BLOCK_COUNTER
        return Cipher(AES(self.key), CTR(block)).encryptor().update(data)

    def tag(self, direction: Direction, counter: int, ciphertext: bytes) -> bytes:
        """Two bytes that go behind the ciphertext."""
        return cmac(self.key, self._number(direction, counter) + _BLOCK_COUNTER + ciphertext)[:TAG_BYTES]

    def _number(self, direction: Direction, counter: int) -> bytes:
        return (2 * counter + direction).to_bytes(_COUNTER_BYTES, "big") + self.nonce


class Sealer:
    """Seals what leaves. One a link: the counter is shared by all characteristics, in the order of sending."""

    def __init__(self, session: SessionKey, direction: Direction, counter: int = 0) -> None:
        self._session, self._direction, self._counter = session, direction, counter

    def seal(self, plain: bytes) -> bytes:
        """Three bytes longer than the plain value."""
        counter, self._counter = self._counter, self._counter + 1
        hidden = self._session.crypt(self._direction, counter, plain)
        return hidden + bytes([counter & 0xFF]) + self._session.tag(self._direction, counter, hidden)


class Opener:
    """Opens what arrives, in the order of arrival; up to 255 lost frames are bridged."""

    def __init__(self, session: SessionKey, direction: Direction, counter: int = 0) -> None:
        self._session, self._direction = session, direction
        self.expected = counter
        """The counter of the next frame; a wrong tag does not move it."""
        self.missed = 0
        """So many frames did not arrive, or not whole."""
        self._wrong = 0

    def open(self, wire: bytes) -> bytes:
        """The plain value. Raises Malformed for a wrong tag, Transient (`incomplete`) for the third in a row."""
        hidden, low, tag = wire[:-OVERHEAD_BYTES], wire[-OVERHEAD_BYTES:-TAG_BYTES], wire[-TAG_BYTES:]
        if not low:
            raise self._refused("A secured value from the pump is cut short.")
        counter = self.expected + (low[0] - self.expected) % 256
        if not compare_digest(tag, self._session.tag(self._direction, counter, hidden)):
            raise self._refused("The seal of a value from the pump is wrong.")
        self.missed += max(counter - self.expected - self._wrong, 0)
        self.expected, self._wrong = counter + 1, 0
        return self._session.crypt(self._direction, counter, hidden)

    def _refused(self, text: str) -> Malformed | Transient:
        self._wrong += 1
        self.missed += 1
        if self._wrong < _MOST_WRONG:
            return Malformed(text)
        return Transient(
            "The secured link with the pump is out of step; it is dropped and begun again.", state="incomplete"
        )
