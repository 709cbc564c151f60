"""The pump's side of the secured link, written for itself: a virtual pump answers the handshake and seals values."""

from __future__ import annotations

import secrets
import struct

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR, ECB
from cryptography.hazmat.primitives.cmac import CMAC

SIZE = 20
_FROM_PUMP, _TO_PUMP = 0, 1


def _mac(key: bytes, *parts: bytes) -> bytes:
    mac = CMAC(AES(key))
    for part in parts:
        mac.update(part)
    return mac.finalize()


class WrongTag(Exception):
    """The other side's seal or proof is wrong."""


class Client:
    """One link. `database` is a synthetic one with a single entry: what a pump knows of a phone."""

    def __init__(self, database: bytes) -> None:
        self.kind = database[4]
        fields = [database[at : at + 16] for at in range(7, 87, 16)]
        self.derivation, self.handshake, self.opens_permit, self.proves_permit, self.payload = fields
        self.sent = self.received = 0
        self.ready = False
        self.steps = 0
        self._material, self._nonce = secrets.token_bytes(8), secrets.token_bytes(4)
        self._other = self._first_proof = self._session = self._session_nonce = b""

    def feed(self, message: bytes) -> bytes | None:
        """The next message, None when nothing is left to say."""
        self.steps += 1
        match self.steps:
            case 1:
                return bytes(SIZE)
            case 2:
                return self._material + bytes([self.kind]) + self._nonce + secrets.token_bytes(7)
            case 3:
                return self._prove(message)
            case 4:
                return self._admit(message)
        return None

    def _prove(self, message: bytes) -> bytes:
        self._first_proof, self._other = message[:8], message[8:16]
        if _mac(self.handshake, self._other, self._material, self.derivation)[:8] != self._first_proof:
            raise WrongTag
        block = Cipher(AES(self.derivation), ECB()).encryptor()  # noqa: S305 - the protocol's
        self._session = block.update(self._other + self._material)
        self._session_nonce = self._nonce + message[16:20]
        second = _mac(self.handshake, self._first_proof, self._other, self.derivation)[:8]
        return second + secrets.token_bytes(12)

    def _admit(self, message: bytes) -> bytes:
        permit = self.open(message)[:16]
        block = Cipher(AES(self.opens_permit), ECB()).decryptor()  # noqa: S305 - the protocol's
        plain = block.update(permit)
        if _mac(self.proves_permit, plain[:12])[:4] != plain[12:]:
            raise WrongTag
        self.ready = True
        return self.seal(self.payload + secrets.token_bytes(1))

    def seal(self, plain: bytes) -> bytes:
        """A value as it goes over the air."""
        number, self.sent = self.sent, self.sent + 1
        hidden = self._crypt(number, _FROM_PUMP, plain)
        return hidden + struct.pack("B", number & 0xFF) + self._tag(number, _FROM_PUMP, hidden)

    def open(self, wire: bytes) -> bytes:
        """What the other side sealed; it loses nothing."""
        number = self.received
        if wire[-3] != number & 0xFF or self._tag(number, _TO_PUMP, wire[:-3]) != wire[-2:]:
            raise WrongTag
        self.received += 1
        return self._crypt(number, _TO_PUMP, wire[:-3])

    def _block(self, number: int, way: int) -> bytes:
        return struct.pack(">BI", 0, number * 2 | way) + self._session_nonce + bytes(3)

    def _crypt(self, number: int, way: int, data: bytes) -> bytes:
        return Cipher(AES(self._session), CTR(self._block(number, way))).encryptor().update(data)

    def _tag(self, number: int, way: int, hidden: bytes) -> bytes:
        return _mac(self._session, self._block(number, way), hidden)[:2]
