"""The backends that the journal's contract suite runs on."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import Protocol

import pytest

from bridge.contracts import Clock, Journal, Sealer
from bridge.errors import VaultLocked
from bridge.journal import Retention, open_journal
from bridge.journal.mongo import open_mongo_journal
from tests.support.mongod import ReplicaSet

KEEP = Retention()


class Opener(Protocol):
    """Opens the test's journal; opening again meets what was written before."""

    def __call__(
        self, *, clock: Clock, sealer: Sealer | None = None, read_only: bool = False, keep: Retention = KEEP
    ) -> Awaitable[Journal]: ...


class Backend(Protocol):
    """A storage to test: where a test's journal lives."""

    def __call__(self, request: pytest.FixtureRequest) -> Opener: ...


def sqlite(request: pytest.FixtureRequest) -> Opener:
    """One file in the test's folder."""
    folder: Path = request.getfixturevalue("tmp_path")

    async def opener(
        *, clock: Clock, sealer: Sealer | None = None, read_only: bool = False, keep: Retention = KEEP
    ) -> Journal:
        path = folder / "journal.db"
        return await open_journal(path, clock=clock, sealer=sealer, read_only=read_only, keep=keep)

    return opener


def mongo(request: pytest.FixtureRequest) -> Opener:
    """An emptied database of the session's replica set."""
    servers: ReplicaSet = request.getfixturevalue("mongo")
    database = servers.emptied("contract")

    async def opener(
        *, clock: Clock, sealer: Sealer | None = None, read_only: bool = False, keep: Retention = KEEP
    ) -> Journal:
        return await open_mongo_journal(
            servers.uri, database, clock=clock, sealer=sealer, read_only=read_only, keep=keep
        )

    return opener


BACKENDS: dict[str, Backend] = {"sqlite": sqlite, "mongo": mongo}


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
