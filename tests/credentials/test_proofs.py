from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from bridge.contracts import OAuthToken
from bridge.credentials import Entry, Sessions
from bridge.errors import Moved, Refused, Transient
from tests.credentials.conftest import BOTH, KEY, Again, Provider, Servers
from tests.support.clock import FakeClock

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
STORES = BOTH
HARMLESS = ("500", "503_json", "403_html", "302", "400", "429", "404", "invalid_client_401")
LOST = ("cut", "drop", "garbage")


@pytest.fixture
def dice() -> random.Random:
    seed = int(os.environ.get("GLUCOBRIDGE_SEED", secrets.randbelow(1 << 32)))
    print(f"seed {seed}")
    return random.Random(seed)


def _refresh_token(entry: Entry) -> str:
    assert isinstance(entry.credential, OAuthToken)
    assert entry.credential.refresh_token is not None
    return entry.credential.refresh_token


@pytest.mark.proof
async def test_rotations_across_restarts_lose_none(
    provider: Provider,
    linked: Callable[..., Awaitable[Entry]],
    client: aiohttp.ClientSession,
    clock: FakeClock,
    again: Again,
    dice: random.Random,
) -> None:
    """Every start opens the vault anew; half of the refreshes meet an outage or a lost answer first."""
    rotations = 200 if LONG else 30
    provider.idp.leeway = True
    family = provider.idp.families[_refresh_token(await linked())]
    for number in range(1, rotations + 1):
        sessions = Sessions(again(), client, clock)
        if dice.random() < 0.5:
            provider.idp.faults.append(dice.choice(HARMLESS + LOST))
        await _until_refreshed(sessions, clock)
        entry = await again().load("p1")
        assert _refresh_token(entry) == family.living
        assert entry.refreshes == number
        assert (await sessions.authorised("p1").request("GET", f"{provider.base}/me")).status == 200
        await sessions.keeper("p1").settle()
    assert not family.revoked
    print(f"{rotations} rotations, {provider.idp.calls} requests, {provider.idp.forgiven} answers lost on their way")


def _rotated(provider: Provider, times: int) -> bool:
    return provider.idp.refreshes >= times


async def _until_refreshed(sessions: Sessions, clock: FakeClock) -> None:
    for _ in range(3):
        try:
            return await sessions.keeper("p1").renew(None)
        except (Transient, Refused, Moved):
            clock.advance(130)
    raise AssertionError("three refreshes failed")


@pytest.fixture
def turn_s() -> float:
    """Of a killed worker the next one waits this out."""
    return 3.0


@pytest.fixture
def place(stored_in: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a process finds the vault: a data folder, or address, database and length of a turn."""
    if stored_in == "folder":
        return str(tmp_path)
    found: Servers = request.getfixturevalue("servers")
    return f"{found.uri} {found.name} {found.turn_s}"


@pytest.fixture
async def spawner(
    provider: Provider, place: str
) -> AsyncIterator[Callable[[], Awaitable[asyncio.subprocess.Process]]]:
    started: list[asyncio.subprocess.Process] = []

    async def start() -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.credentials.rotator", place, KEY.text(), provider.base,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 10)


async def _worker(process: asyncio.subprocess.Process, what: str) -> int:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{what}\n".encode())
    return int(await asyncio.wait_for(process.stdout.readline(), 20))


async def _ended(process: asyncio.subprocess.Process) -> int:
    assert process.stdout is not None
    return int(await asyncio.wait_for(process.stdout.readline(), 20))


@pytest.mark.proof
async def test_a_kill_at_any_moment_loses_no_token(
    provider: Provider,
    sessions: Sessions,
    linked: Callable[..., Awaitable[Entry]],
    spawner: Callable[[], Awaitable[asyncio.subprocess.Process]],
    dice: random.Random,
) -> None:
    """The provider forgives a predecessor only until anything of its successor was used: a token used before it
    was stored would kill the family here."""
    kills = 200 if LONG else 20
    provider.idp.leeway = True
    provider.idp.lag_s = lambda: dice.uniform(0, 0.004)
    await linked()
    process = await spawner()
    for _ in range(kills):
        reached = provider.idp.refreshes + dice.randint(1, 3)
        worker = await _worker(process, "rotate")
        await asyncio.wait_for(provider.idp.until(partial(_rotated, provider, reached)), 20)
        await asyncio.sleep(dice.uniform(0, 0.02))
        os.kill(worker, signal.SIGKILL)
        assert await _ended(process) == -signal.SIGKILL
    provider.idp.lag_s = lambda: 0.0
    await sessions.keeper("p1").renew(None)
    assert (await sessions.authorised("p1").request("GET", f"{provider.base}/me")).status == 200
    assert not any(family.revoked for family in provider.idp.families.values())
    print(f"{kills} kills, {provider.idp.refreshes} rotations, {provider.idp.forgiven} answers unknown to the killed")


@pytest.mark.proof
async def test_processes_that_need_a_token_at_once_refresh_once(
    provider: Provider,
    linked: Callable[..., Awaitable[Entry]],
    spawner: Callable[[], Awaitable[asyncio.subprocess.Process]],
) -> None:
    rounds, processes = (50 if LONG else 5), [await spawner() for _ in range(2)]
    provider.idp.lag_s = lambda: 0.02
    for number in range(1, rounds + 1):
        await linked(obtained_at=0.0, refreshed_at=0.0, expires_at=1.0)
        await asyncio.gather(*(_worker(process, "once") for process in processes))
        assert await asyncio.gather(*(_ended(process) for process in processes)) == [0, 0]
        assert provider.idp.refreshes == number
    print(f"{rounds} rounds of 2 processes, {provider.idp.calls} requests")


@pytest.mark.proof
async def test_a_long_outage_deletes_nothing(
    provider: Provider,
    sessions: Sessions,
    linked: Callable[..., Awaitable[Entry]],
    clock: FakeClock,
    dice: random.Random,
) -> None:
    before = await linked(life_s=-1)
    tries = 300 if LONG else 40
    for _ in range(tries):
        provider.idp.faults.append(dice.choice(("500", "503_json", "403_html", "302")))
        with pytest.raises(Transient):
            await sessions.keeper("p1").usable()
        clock.advance(60)
    assert await sessions.vault.load("p1") == before
    assert (await sessions.authorised("p1").request("GET", f"{provider.base}/me")).status == 200
