from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from bridge.contracts import OAuthToken, StaticToken
from bridge.credentials import Entry, Sessions, Vault
from bridge.errors import BridgeError, Moved, NotAllowed, Refused, Throttled, Transient, Unauthorised
from bridge.model.health import State
from tests.credentials.conftest import BOTH, Again, Provider
from tests.credentials.idp import jwt
from tests.support.clock import FakeClock

Link = Callable[..., Awaitable[Entry]]
STORES = BOTH


def _access(entry: Entry) -> str:
    assert isinstance(entry.credential, OAuthToken)
    return entry.credential.access_token


def _refresh(entry: Entry) -> str | None:
    assert isinstance(entry.credential, OAuthToken)
    return entry.credential.refresh_token


@pytest.mark.parametrize(("left_s", "calls"), [(3600, 0), (601, 0), (600, 1), (1, 1), (-5, 1)])
async def test_refreshes_when_less_than_the_margin_remains(
    sessions: Sessions, linked: Link, provider: Provider, left_s: float, calls: int
) -> None:
    before = await linked(life_s=left_s)
    entry = await sessions.keeper("p1").usable()
    assert provider.idp.calls == calls
    assert (_access(entry) != _access(before)) == bool(calls)


async def test_many_at_once_refresh_once(sessions: Sessions, linked: Link, provider: Provider) -> None:
    await linked(life_s=10)
    entries = await asyncio.gather(*(sessions.keeper("p1").usable() for _ in range(20)))
    assert provider.idp.calls == 1
    assert len({_access(entry) for entry in entries}) == 1


async def test_the_successor_is_on_the_disk_before_it_is_used(
    sessions: Sessions, linked: Link, provider: Provider, again: Again
) -> None:
    await linked(life_s=10)
    stored: list[str] = []

    class Client:
        @asynccontextmanager
        async def request(self, *args: Any, **kwargs: Any) -> AsyncIterator[aiohttp.ClientResponse]:
            if args[1].path == "/me":
                stored.append(_access(await again().load("p1")))
                assert kwargs["headers"]["Authorization"] == f"Bearer {stored[-1]}"
            async with sessions.client.request(*args, **kwargs) as response:
                yield response

    session = sessions.authorised("p1")
    session._client = Client()  # type: ignore[assignment]
    answer = await session.request("GET", f"{provider.base}/me")
    assert answer.status == 200
    assert len(stored) == provider.idp.calls == 1


async def test_an_answer_without_refresh_token_keeps_the_old(
    sessions: Sessions, linked: Link, provider: Provider
) -> None:
    provider.idp.rotate = False
    before = await linked(life_s=10)
    entry = await sessions.keeper("p1").usable()
    assert _refresh(entry) == _refresh(before)
    assert _access(entry) != _access(before)


async def test_expiry_is_the_earlier_of_jwt_and_answer(
    sessions: Sessions, linked: Link, provider: Provider, clock: FakeClock
) -> None:
    now = clock.now().timestamp()
    provider.idp.extra = {"access_token": jwt(now + 1000)}
    await linked(life_s=10)
    entry = await sessions.keeper("p1").usable()
    assert isinstance(entry.credential, OAuthToken)
    assert entry.credential.expires_at == now + 1000


async def test_a_short_lived_token_is_not_refreshed_at_every_use(
    sessions: Sessions, linked: Link, provider: Provider, clock: FakeClock
) -> None:
    provider.idp.life_s = 300
    await linked(life_s=10)
    for _ in range(10):
        await sessions.keeper("p1").usable()
        clock.advance(10)
    assert provider.idp.calls == 1
    clock.advance(100)
    await sessions.keeper("p1").usable()
    assert provider.idp.calls == 2


@pytest.mark.parametrize("fault", ["invalid_grant_400", "invalid_grant_401", "invalid_grant_403"])
async def test_a_dead_grant_is_marked_and_never_asked_about_again(
    sessions: Sessions, linked: Link, provider: Provider, client: aiohttp.ClientSession, again: Again, fault: str
) -> None:
    before = await linked(life_s=10)
    provider.idp.faults.append(fault)
    for _ in range(5):
        with pytest.raises(Unauthorised) as caught:
            await sessions.keeper("p1").usable()
        assert caught.value.state == "login_required"
        with pytest.raises(Unauthorised):
            await sessions.authorised("p1").request("GET", f"{provider.base}/me")
        with pytest.raises(Unauthorised):
            await sessions.authorised("p1").renew()
    stored = await again().load("p1")
    restarted = Sessions(again(), client, sessions.clock)
    with pytest.raises(Unauthorised):
        await restarted.keeper("p1").usable()
    assert provider.idp.calls == 1
    assert stored.login_required is not None
    assert stored.credential == before.credential
    assert (await restarted.health())["p1"].state == State.LOGIN_REQUIRED


async def test_linking_again_wakes_a_dead_credential(sessions: Sessions, linked: Link, provider: Provider) -> None:
    await linked(life_s=10)
    provider.idp.faults.append("invalid_grant_403")
    with pytest.raises(Unauthorised):
        await sessions.keeper("p1").usable()
    await linked(life_s=3600)
    answer = await sessions.authorised("p1").request("GET", f"{provider.base}/me")
    assert answer.status == 200


OUTAGES: dict[str, type[BridgeError]] = {
    "invalid_client_400": Moved,
    "invalid_client_401": Moved,
    "404": Moved,
    "400": Refused,
    "400_html": Refused,
    "403_html": Transient,
    "302": Transient,
    "429": Throttled,
    "500": Transient,
    "503_json": Transient,
}


@pytest.mark.parametrize("fault", OUTAGES)
async def test_no_other_answer_destroys_a_token(
    sessions: Sessions, linked: Link, provider: Provider, vault: Vault, clock: FakeClock, fault: str
) -> None:
    before = await linked(life_s=-1)
    provider.idp.faults.append(fault)
    with pytest.raises(OUTAGES[fault]) as caught:
        await sessions.keeper("p1").usable()
    assert type(caught.value) is OUTAGES[fault]
    assert await vault.load("p1") == before
    clock.advance(121)
    assert _access(await sessions.keeper("p1").usable()) != _access(before)


@pytest.mark.parametrize("fault", [f for f in OUTAGES if OUTAGES[f] is not Moved])
async def test_an_outage_does_not_matter_while_the_old_token_works(
    sessions: Sessions, linked: Link, provider: Provider, clock: FakeClock, fault: str
) -> None:
    before = await linked(life_s=300)
    provider.idp.faults.append(fault)
    for _ in range(5):
        assert await sessions.keeper("p1").usable() == before
    assert provider.idp.calls == 1
    clock.advance(121)
    assert await sessions.keeper("p1").usable() != before


async def test_patience_is_kept_and_the_rest_of_it_told(
    sessions: Sessions, linked: Link, provider: Provider, clock: FakeClock
) -> None:
    await linked(life_s=-1)
    provider.idp.faults.append("429")
    left = []
    for _ in range(3):
        with pytest.raises(Throttled) as caught:
            await sessions.keeper("p1").usable()
        left.append(caught.value.retry_after_s)
        with pytest.raises(Throttled):
            await sessions.keeper("p1").renew(None)
        clock.advance(50)
    assert left == [120, pytest.approx(70), pytest.approx(20)]
    assert provider.idp.calls == 1


async def test_an_unreachable_provider_destroys_nothing(
    sessions: Sessions, linked: Link, vault: Vault, clock: FakeClock
) -> None:
    before = await linked(life_s=-1, token_url="http://127.0.0.1:9/oauth/token")
    for _ in range(3):
        with pytest.raises(Transient, match=r"127\.0\.0\.1 cannot be reached"):
            await sessions.keeper("p1").usable()
        clock.advance(600)
    assert await vault.load("p1") == before
    assert clock.slept == []


def _ask_for(sessions: Sessions, fault: str, provider: Provider) -> None:
    provider.idp.faults.append(fault)
    if fault == "hang":
        sessions.provider._timeout_s = 0.3


@pytest.mark.parametrize("fault", ["hang", "cut", "drop", "garbage"])
async def test_a_lost_answer_is_asked_for_once_more_with_the_same_token(
    sessions: Sessions, linked: Link, provider: Provider, clock: FakeClock, vault: Vault, fault: str
) -> None:
    provider.idp.leeway = True
    before = await linked(life_s=-1)
    _ask_for(sessions, fault, provider)
    entry = await sessions.keeper("p1").usable()
    assert [form["refresh_token"] for form in provider.idp.seen] == [_refresh(before)] * 2
    assert provider.idp.forgiven == 1
    assert len(clock.slept) == 1
    assert 2 <= clock.slept[0] <= 5
    assert await vault.load("p1") == entry


@pytest.mark.parametrize("fault", ["hang", "cut", "drop", "garbage"])
async def test_a_provider_without_leeway_means_a_new_login(
    sessions: Sessions, linked: Link, provider: Provider, vault: Vault, fault: str
) -> None:
    await linked(life_s=-1)
    _ask_for(sessions, fault, provider)
    with pytest.raises(Unauthorised):
        await sessions.keeper("p1").usable()
    assert provider.idp.calls == 2
    assert (await vault.load("p1")).login_required is not None


async def test_two_lost_answers_are_an_outage(
    sessions: Sessions, linked: Link, provider: Provider, vault: Vault
) -> None:
    before = await linked(life_s=-1)
    provider.idp.leeway = True
    provider.idp.faults.extend(["cut", "drop"])
    with pytest.raises(Transient):
        await sessions.keeper("p1").usable()
    assert provider.idp.calls == 2
    assert await vault.load("p1") == before


async def test_renewing_the_same_refusal_twice_refreshes_once(
    sessions: Sessions, linked: Link, provider: Provider
) -> None:
    spent = _access(await linked())
    kept = sessions.keeper("p1")
    await asyncio.gather(*(kept.renew(spent) for _ in range(5)))
    assert provider.idp.calls == 1
    await kept.renew(_access(await kept.current()))
    assert provider.idp.calls == 2


async def test_a_moved_provider_is_followed_within_the_hosts_only(
    sessions: Sessions, linked: Link, provider: Provider, vault: Vault
) -> None:
    await linked(life_s=-1, client_id="old")
    kept = sessions.keeper("p1")
    with pytest.raises(Moved):
        await kept.usable()
    with pytest.raises(NotAllowed):
        await kept.renew(None, token_url="https://evil.example/oauth/token")
    with pytest.raises(Unauthorised):
        await kept.renew(None, client_id="wrong as well")
    assert (await vault.load("p1")).login_required is None
    await kept.renew(None, client_id=provider.idp.client_id, token_url=f"{provider.base}/oauth/token")
    stored = (await vault.load("p1")).credential
    assert isinstance(stored, OAuthToken)
    assert stored.client_id == provider.idp.client_id


async def test_without_refresh_token_only_a_person_helps(
    sessions: Sessions, linked: Link, provider: Provider
) -> None:
    await linked(life_s=-1, refresh_token=None)
    with pytest.raises(Unauthorised):
        await sessions.keeper("p1").usable()
    assert provider.idp.calls == 0


async def test_a_static_token_is_never_refreshed(sessions: Sessions, vault: Vault) -> None:
    entry = Entry("nightscout", StaticToken("glucobridg-0123456789abcdef", "api-secret"), ("ns.example",), (), 0.0)
    await vault.store("site", entry)
    assert await sessions.keeper("site").usable() == entry
    with pytest.raises(Unauthorised):
        await sessions.keeper("site").renew(None)
    assert await vault.load("site") == entry
