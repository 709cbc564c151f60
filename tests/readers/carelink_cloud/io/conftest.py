"""Fixtures: a fake CareLink on loop-back and a reader at it, with a stub in the decoder's place."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.readers.carelink_cloud.io.fakes import (
    START,
    Bench,
    FakeCareLink,
    Tokens,
    reader_at,
    running,
    use_stub_decoder,
)
from tests.support.clock import FakeClock


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """A carer's reader with a working account and the stub decoder."""
    use_stub_decoder(monkeypatch)
    async with running() as (fake, client):
        clock = FakeClock(START)
        session = Tokens(client, fake.base, "token-1")
        yield Bench(fake, client, clock, session, reader_at(fake, clock, session))


@pytest.fixture
async def fake_and_session() -> AsyncIterator[tuple[FakeCareLink, Tokens]]:
    """A working account without a reader."""
    async with running() as (fake, client):
        yield fake, Tokens(client, fake.base, "token-1")
