"""The SAKE handshake, on the side that advertises: six messages of 20 bytes make a session. Sans I/O."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from enum import Enum
from hmac import compare_digest

from bridge.errors import Malformed, Unauthorised
from bridge.readers.minimed_ble.frames import (
    Direction,
    Opener,
    Sealer,
    SessionKey,
    cmac,
    decrypt_block,
    encrypt_block,
)
from bridge.readers.minimed_ble.keys import KEY_BYTES, DeviceType, KeyDatabase, Keys

MESSAGE_BYTES = 20
KICKOFF = bytes(MESSAGE_BYTES)
"""Sent as soon as the other side listens, and its answer."""
_VERSION = 1
_MATERIAL, _NONCE, _MAC, _PERMIT_TAG = 8, 4, 8, 4
Random = Callable[[int], bytes]


class Step(Enum):
    """What is awaited of the other side, or how it ended."""

    KICKOFF = "its readiness"
    MATERIAL = "its key material"
    PROOF = "the proof of its keys"
    PERMIT = "its permit"
    DONE = "nothing"
    FAILED = "nothing any more"


class Handshake:
    """One run with one pump. `sealer` and `opener` go on where the handshake ends.

    Errors: Malformed for what no handshake sends, Unauthorised (`not_linked`) when the keys do not fit. Both end it.
    """

    def __init__(self, database: KeyDatabase, remote: int = DeviceType.PUMP, random: Random = secrets.token_bytes):
        self._local, self._remote, self._random = database.local, remote, random
        self._keys: Keys = database.shared_with(remote)
        self._own_material, self._own_nonce, self._proof, self._material = b"", b"", b"", b""
        self._sealer: Sealer | None = None
        self._opener: Opener | None = None
        self.step = Step.KICKOFF

    @property
    def session(self) -> tuple[Sealer, Opener] | None:
        """What seals and opens from now on, None before the end."""
        if self.step is not Step.DONE or self._sealer is None or self._opener is None:
            return None
        return self._sealer, self._opener

    def feed(self, message: bytes) -> bytes | None:
        """The answer to a message; None after the last."""
        answer = _ANSWERS.get(self.step)
        if answer is None or len(message) != MESSAGE_BYTES:
            self.step = Step.FAILED
            raise Malformed("The pump sent something else than the handshake.")
        self.step, awaited = Step.FAILED, self.step
        reply, self.step = answer(self, message), _NEXT[awaited]
        return reply

    def _hello(self, message: bytes) -> bytes:
        if message != KICKOFF:
            raise Malformed("The pump did not begin the handshake as it should.")
        return bytes([self._local, _VERSION]) + self._random(MESSAGE_BYTES - 2)

    def _agree(self, message: bytes) -> bytes:
        material, peer, nonce = message[:_MATERIAL], message[_MATERIAL], message[_MATERIAL + 1 :][:_NONCE]
        if peer != self._remote:
            raise Unauthorised(
                f"A device of type {peer} wants to be linked, not the one that the keys are for.",
                state="not_linked",
            )
        self._material = material
        self._own_material, self._own_nonce = self._random(_MATERIAL), self._random(_NONCE)
        both = self._own_material + material
        session = SessionKey(encrypt_block(self._keys.derivation, both), nonce + self._own_nonce)
        self._sealer = Sealer(session, Direction.SERVER_TO_CLIENT)
        self._opener = Opener(session, Direction.CLIENT_TO_SERVER)
        self._proof = cmac(self._keys.handshake, both + self._keys.derivation)[:_MAC]
        return self._proof + self._own_material + self._own_nonce

    def _permit(self, message: bytes) -> bytes:
        proof = cmac(self._keys.handshake, self._proof + self._own_material + self._keys.derivation)[:_MAC]
        if self._sealer is None or not compare_digest(proof, message[:_MAC]):
            raise _misfit()
        return self._sealer.seal(self._keys.payload + self._random(1))

    def _finish(self, message: bytes) -> None:
        if self._opener is None:
            raise _misfit()
        try:
            payload = self._opener.open(message)[:KEY_BYTES]
        except Malformed:
            raise _misfit() from None
        if not _permitted(self._keys, payload, self._remote):
            raise _misfit()


def _permitted(keys: Keys, payload: bytes, remote: int) -> bool:
    """Whether a payload says, provably, that it is of a device of that type."""
    plain = decrypt_block(keys.permit_decrypt, payload)
    tag = cmac(keys.permit_auth, plain[:-_PERMIT_TAG])[:_PERMIT_TAG]
    return compare_digest(tag, plain[-_PERMIT_TAG:]) and plain[:2] == bytes([0, remote])


def _misfit() -> Unauthorised:
    return Unauthorised(
        "The pump and the key database do not fit each other.",
        next_step="Use the key database that belongs to your pump.",
        state="not_linked",
    )


_ANSWERS: dict[Step, Callable[[Handshake, bytes], bytes | None]] = {
    Step.KICKOFF: Handshake._hello,  # noqa: SLF001
    Step.MATERIAL: Handshake._agree,  # noqa: SLF001
    Step.PROOF: Handshake._permit,  # noqa: SLF001
    Step.PERMIT: Handshake._finish,  # noqa: SLF001
}
_NEXT = {
    Step.KICKOFF: Step.MATERIAL,
    Step.MATERIAL: Step.PROOF,
    Step.PROOF: Step.PERMIT,
    Step.PERMIT: Step.DONE,
}
