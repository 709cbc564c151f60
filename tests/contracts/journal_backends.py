"""The backends that the journal's contract suite runs on."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import Protocol

from bridge.contracts import Clock, Journal, Sealer
from bridge.errors import VaultLocked
from bridge.journal import Retention, open_journal

KEEP = Retention()


class Opener(Protocol):
    """Opens the test's journal; opening again meets what was written before."""

    def __call__(
        self, *, clock: Clock, sealer: Sealer | None = None, read_only: bool = False, keep: Retention = KEEP
    ) -> Awaitable[Journal]: ...


class Backend(Protocol):
    """A storage to test: where a test's journal lives."""

    def __call__(self, folder: Path) -> Opener: ...


def sqlite(folder: Path) -> Opener:
    """One file in the test's folder."""

    async def opener(
        *, clock: Clock, sealer: Sealer | None = None, read_only: bool = False, keep: Retention = KEEP
    ) -> Journal:
        path = folder / "journal.db"
        return await open_journal(path, clock=clock, sealer=sealer, read_only=read_only, keep=keep)

    return opener


BACKENDS: dict[str, Backend] = {"sqlite": sqlite}


class MaskingSealer:
    """A stand-in for the vault: masks bytes and binds them to their purpose."""

    def __init__(self, key: int = 0x5A) -> None:
        self._key = key

    def seal(self, plain: bytes, purpose: str) -> bytes:
        return self._mask(len(purpose).to_bytes(2, "big") + purpose.encode() + plain)

    def unseal(self, sealed: bytes, purpose: str) -> bytes:
        opened = self._mask(sealed)
        end = 2 + len(purpose)
        if opened[:end] != len(purpose).to_bytes(2, "big") + purpose.encode():
            raise VaultLocked("Key or purpose does not fit.")
        return opened[end:]

    def _mask(self, text: bytes) -> bytes:
        return bytes(byte ^ self._key for byte in text)
