from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from bridge.contracts import Authorise, Grant, Hold, OAuthToken, Session, StaticToken, Step
from bridge.credentials import Linked, PendingAuthorisation, Sessions, Vault, Walk
from bridge.errors import ContractViolation, Refused, SettingsInvalid, Transient, VaultLocked
from tests.credentials.conftest import Provider
from tests.credentials.idp import REDIRECT
from tests.credentials.plugins import PATIENT, REGION, Bringing, Plugin
from tests.support.clock import FakeClock


@pytest.fixture
def plugin(provider: Provider) -> Plugin:
    return Plugin(provider.base)


@pytest.fixture
def walk(plugin: Plugin, sessions: Sessions) -> Walk:
    return Walk("p1", plugin, {}, sessions)


async def _browse(client: aiohttp.ClientSession, pending: PendingAuthorisation) -> str:
    """Where the browser ends after signing in."""
    async with client.get(pending.url, allow_redirects=False) as answer:
        return answer.headers["Location"]


async def _to_login(walk: Walk) -> PendingAuthorisation:
    assert await walk.step() == REGION
    walk.answer("region", "eu")
    pending = await walk.step()
    assert isinstance(pending, PendingAuthorisation)
    return pending


async def test_a_whole_walk_stores_at_the_grant_and_not_before(
    walk: Walk, plugin: Plugin, vault: Vault, client: aiohttp.ClientSession, provider: Provider, sessions: Sessions
) -> None:
    pending = await _to_login(walk)
    assert await walk.step() == pending
    walk.answer("redirect", await _browse(client, pending))
    assert await walk.step() == PATIENT
    assert await vault.names() == []
    walk.answer("patient", " Anna , ben")
    linked = await walk.step()
    assert linked == Linked("p1", "Reads Anna.", {"patient": "anna,ben"}, {"Ben": {"patient": "ben"}})
    assert plugin.asked[-1] == {"region": "EU", "authorised": "yes", "patient": "anna,ben"}
    entry = await vault.load("p1")
    assert (entry.plug_in, entry.hosts, entry.scopes) == ("carelink-cloud", (provider.host,), ("read",))
    assert isinstance(entry.credential, OAuthToken)
    assert entry.credential.refresh_margin_s == 600.0
    assert entry.credential.revocation_url == f"{provider.base}/oauth/revoke"
    assert (await sessions.authorised("p1").request("GET", f"{provider.base}/me")).status == 200
    await walk.close()
    assert provider.idp.revocations == []


async def test_wrong_pastes_leave_the_login_open(
    walk: Walk, client: aiohttp.ClientSession, provider: Provider
) -> None:
    pending = await _to_login(walk)
    right = await _browse(client, pending)
    for wrong in (right.replace("state=", "state=x"), "https://evil.example/", REDIRECT):
        with pytest.raises(Refused):
            walk.answer("redirect", wrong)
        assert await walk.step() == pending
    assert provider.idp.calls == 0
    walk.answer("redirect", urlsplit(right).query)
    assert await walk.step() == PATIENT


async def test_an_outage_in_the_exchange_can_be_tried_again(
    walk: Walk, client: aiohttp.ClientSession, provider: Provider
) -> None:
    pending = await _to_login(walk)
    walk.answer("redirect", await _browse(client, pending))
    provider.idp.faults.append("500")
    with pytest.raises(Transient):
        await walk.step()
    assert await walk.step() == PATIENT


async def test_a_used_code_begins_a_new_login(walk: Walk, client: aiohttp.ClientSession, provider: Provider) -> None:
    pending = await _to_login(walk)
    walk.answer("redirect", await _browse(client, pending))
    provider.idp.codes.clear()
    with pytest.raises(Refused, match="expired or was already used"):
        await walk.step()
    again = await walk.step()
    assert isinstance(again, PendingAuthorisation)
    assert again.url != pending.url


async def test_an_old_login_is_replaced(walk: Walk, client: aiohttp.ClientSession, clock: FakeClock) -> None:
    pending = await _to_login(walk)
    late = await _browse(client, pending)
    clock.advance(timedelta(minutes=16).total_seconds())
    with pytest.raises(Refused, match="15 minutes"):
        walk.answer("redirect", late)
    again = await walk.step()
    assert isinstance(again, PendingAuthorisation)
    assert again.url != pending.url
    with pytest.raises(Refused):
        walk.answer("redirect", late)


async def test_a_grant_without_offline_access_fails_loudly(
    walk: Walk, client: aiohttp.ClientSession, provider: Provider, vault: Vault
) -> None:
    provider.idp.offline = False
    pending = await _to_login(walk)
    walk.answer("redirect", await _browse(client, pending))
    with pytest.raises(Refused, match="no refresh token"):
        await walk.step()
    assert await vault.names() == []


async def test_a_refused_answer_is_asked_again_and_nothing_is_stored(
    walk: Walk, plugin: Plugin, client: aiohttp.ClientSession, provider: Provider, vault: Vault
) -> None:
    plugin.refuse = True
    pending = await _to_login(walk)
    walk.answer("redirect", await _browse(client, pending))
    assert await walk.step() == PATIENT
    walk.answer("patient", "all")
    with pytest.raises(Refused, match="not followed"):
        await walk.step()
    assert await walk.step() == PATIENT
    assert await vault.names() == []
    await walk.close()
    assert provider.idp.revocations == ["access_token", "refresh_token"]
    assert await vault.names() == []


async def test_answers_nobody_asked_for_or_outside_the_choices_are_refused(walk: Walk) -> None:
    with pytest.raises(Refused):
        walk.answer("region", "EU")
    await walk.step()
    with pytest.raises(Refused, match="EU, US"):
        walk.answer("region", "Mars")
    with pytest.raises(Refused):
        walk.answer("patient", "anna")
    with pytest.raises(Refused):
        walk.answer("authorised", "yes")
    with pytest.raises(Refused):
        walk.answer("redirect", "x")


async def test_a_slow_person_meets_a_fresh_token(
    walk: Walk, client: aiohttp.ClientSession, provider: Provider, clock: FakeClock, vault: Vault
) -> None:
    pending = await _to_login(walk)
    walk.answer("redirect", await _browse(client, pending))
    await walk.step()
    clock.advance(4000)
    walk.answer("patient", "ben")
    assert isinstance(await walk.step(), Linked)
    stored = (await vault.load("p1")).credential
    assert isinstance(stored, OAuthToken)
    assert stored.refresh_token is not None
    assert provider.idp.families[stored.refresh_token].living == stored.refresh_token


async def test_a_full_disk_at_the_end_can_be_tried_again(
    walk: Walk, client: aiohttp.ClientSession, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise VaultLocked("No space left on device.")

    pending = await _to_login(walk)
    walk.answer("redirect", await _browse(client, pending))
    await walk.step()
    walk.answer("patient", "anna")
    with monkeypatch.context() as patch:
        patch.setattr(Vault, "store", fail)
        with pytest.raises(VaultLocked):
            await walk.step()
    assert isinstance(await walk.step(), Linked)
    assert await vault.names() == ["p1"]


async def test_a_brought_token_is_held_and_stored(provider: Provider, sessions: Sessions, vault: Vault) -> None:
    walk = Walk("site", Bringing(provider.base), {}, sessions)
    await walk.step()
    walk.answer("token", " whatever ")
    assert isinstance(await walk.step(), Linked)
    assert (await vault.load("site")).credential == Bringing.credential


async def test_a_brought_grant_is_not_revoked_when_linking_fails(provider: Provider, sessions: Sessions) -> None:
    plugin = Bringing(provider.base, refuse=True)
    held = provider.entry(sessions.clock.now().timestamp()).credential
    plugin.credential = held
    walk = Walk("p1", plugin, {}, sessions)
    await walk.step()
    walk.answer("token", "x")
    with pytest.raises(Refused):
        await walk.step()
    await walk.close()
    assert provider.idp.revocations == []


@pytest.mark.parametrize("token", ["two words", "line\nend", "tab\t", "ä"])
async def test_a_token_no_header_carries_is_refused(provider: Provider, sessions: Sessions, token: str) -> None:
    plugin = Bringing(provider.base)
    plugin.credential = StaticToken(token, "api-secret")
    walk = Walk("site", plugin, {}, sessions)
    await walk.step()
    walk.answer("token", "x")
    with pytest.raises(Refused, match="Copy it again") as caught:
        await walk.step()
    assert token not in str(caught.value)


async def test_breaking_the_linking_contract_is_a_bug(provider: Provider, sessions: Sessions) -> None:
    class Wild(Plugin):
        outcome: Any = None

        async def begin(
            self, session: Session, settings: Mapping[str, Any], answers: Mapping[str, str]
        ) -> Step | Authorise | Hold | Grant:
            assert isinstance(self.outcome, (Step, Hold, Grant))
            return self.outcome

    wild = Wild(provider.base)
    for outcome in (
        Step("redirect", "?"),
        Step("authorised", "?"),
        Grant(("ns.example",), (), {}, ""),
        Hold(StaticToken("abcdefgh", "x"), ("*",)),
        Hold(StaticToken("abcdefgh", "x"), ("ns.example",)),
    ):
        wild.outcome = outcome
        with pytest.raises(ContractViolation):
            await Walk("p1", wild, {}, sessions).step()


# --- the loop-back receiver ---


async def test_the_redirect_is_caught_on_loopback(
    provider: Provider, sessions: Sessions, client: aiohttp.ClientSession, unused_tcp_port: int
) -> None:
    uri = f"http://127.0.0.1:{unused_tcp_port}/callback"
    walk = Walk("p1", Plugin(provider.base, redirect_uri=uri), {}, sessions)
    pending = await _to_login(walk)
    assert pending.receivable
    waiting = asyncio.create_task(walk.receive(5))
    right = await _browse(client, pending)
    assert await _status(client, f"{uri}?code=evil&state=wrong") == 400
    assert await _status(client, uri.replace("callback", "other")) == 404
    assert not waiting.done()
    assert await _status(client, right) == 200
    await waiting
    assert await walk.step() == PATIENT


async def _status(client: aiohttp.ClientSession, url: str) -> int:
    for _ in range(100):
        try:
            async with client.get(url) as answer:
                assert answer.headers.get("Cache-Control", "no-store") == "no-store"
                return answer.status
        except aiohttp.ClientConnectorError:
            await asyncio.sleep(0.01)
    raise AssertionError("nobody listens")


async def test_a_taken_port_or_nobody_coming_say_so(
    provider: Provider, sessions: Sessions, unused_tcp_port: int
) -> None:
    taken = Walk("p1", Plugin(provider.base, redirect_uri=f"{provider.base}/cb"), {}, sessions)
    await _to_login(taken)
    with pytest.raises(SettingsInvalid, match="cannot be listened on"):
        await taken.receive(1)
    alone = Walk("p1", Plugin(provider.base, redirect_uri=f"http://127.0.0.1:{unused_tcp_port}/cb"), {}, sessions)
    await _to_login(alone)
    with pytest.raises(Refused, match="Nobody finished"):
        await alone.receive(0.02)
    private = Walk("p1", Plugin(provider.base), {}, sessions)
    with pytest.raises(Refused):
        await private.receive(1)
    await _to_login(private)
    with pytest.raises(SettingsInvalid, match="not a loop-back"):
        await private.receive(1)
