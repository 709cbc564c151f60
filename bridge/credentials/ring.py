"""Encryption with the current key; what older keys sealed stays readable."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.credentials.key import VaultKey, key_id_of
from bridge.errors import VaultLocked


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Seals with `current`, unseals by the key id in the bytes, also with `older` keys."""

    current: VaultKey
    older: tuple[VaultKey, ...] = ()

    @property
    def keys(self) -> tuple[VaultKey, ...]:
        """All of them, the current one first."""
        return (self.current, *self.older)

    def seal(self, plain: bytes, purpose: str) -> bytes:
        """Ciphertext with key id and nonce, bound to `purpose`."""
        return self.current.encrypt(plain, purpose)

    def unseal(self, sealed: bytes, purpose: str) -> bytes:
        """The plain bytes. Raises VaultLocked when no key or not the purpose fits."""
        wanted = key_id_of(sealed)
        for key in self.keys:
            if key.id == wanted:
                return key.decrypt(sealed, purpose)
        raise VaultLocked(
            f"This was encrypted with the vault key {wanted}, but the key in use is {self.current.id}.",
            next_step="Set the key this vault was made with.",
        )
