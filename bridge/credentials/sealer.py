"""Encryption at rest for the journal, with the vault's key."""

from __future__ import annotations

from bridge.credentials.vault import Vault


class VaultSealer:
    """A `Sealer`. What it seals can never be taken for a credential, and the other way round."""

    def __init__(self, vault: Vault) -> None:
        self._ring = vault.ring

    def seal(self, plain: bytes, purpose: str) -> bytes:
        """Ciphertext with key id and nonce, bound to `purpose`."""
        return self._ring.seal(plain, f"sealed:{purpose}")

    def unseal(self, sealed: bytes, purpose: str) -> bytes:
        """The plain bytes. Raises VaultLocked when no key or not the purpose fits."""
        return self._ring.unseal(sealed, f"sealed:{purpose}")
