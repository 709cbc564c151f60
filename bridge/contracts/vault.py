"""The seam under the vault: where sealed credentials lie, and whose turn it is to refresh one.

A store sees names and sealed bytes, never a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a store holds under a name. `stamp` changes with every write of it."""

    content: bytes
    stamp: str


class Turn(Protocol):
    """The right to refresh one credential, held by one process at a time."""

    def check(self) -> None:
        """Raises Transient when somebody else may have the turn before another request is answered."""
        ...

    async def release(self) -> None:
        """Give it back; twice is harmless."""
        ...


class CredentialStore(Protocol):
    """Sealed credentials by name, each replaced whole or not at all, durable when a call returns.

    Names that begin with a dot are the vault's own notes. Raises Transient when the store does not answer (what was
    written may stand then), VaultLocked when it cannot be written.
    """

    async def names(self) -> list[str]:
        """Names of all credentials, sorted, without notes."""
        ...

    async def stamp(self, name: str) -> str | None:
        """The stamp of what is there, None for nothing; may lag behind other hosts by some seconds."""
        ...

    async def read(self, name: str) -> Sealed | None:
        """What is there now, None for nothing."""
        ...

    async def write(self, name: str, content: bytes, over: str | None, turn: Turn | None = None) -> bool:
        """Put `content` in place of what has the stamp `over` (None: of nothing), while `turn`, if given, stands.

        False, and nothing is written, when something else is there by now or the turn is another's.
        """
        ...

    async def delete(self, name: str) -> bool:
        """Forget it; whether it was there."""
        ...

    async def turn(self, name: str, deadline_s: float) -> Turn:
        """Wait for the turn to refresh a credential. Raises Transient after the deadline."""
        ...
