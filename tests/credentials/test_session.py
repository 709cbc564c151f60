from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bridge.contracts import OAuthToken, Session, StaticToken
from bridge.credentials import Entry, OpenSession, Sessions, Vault
from bridge.errors import ContractViolation, NotAllowed, Transient, Unauthorised
from bridge.simulators.serving import serve
from tests.credentials.conftest import Provider

NS_TOKEN = "glucobridg-0123456789abcdef"


@pytest.fixture
async def site() -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """A server that notes what it is asked, and misbehaves by path."""
    seen: list[dict[str, Any]] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append({
            "method": request.method, "url": str(request.rel_url), "headers": dict(request.headers),
            "body": await request.read(),
        })  # fmt: skip
        kind = request.path.strip("/")
        if kind == "redirect":
            return web.Response(status=307, headers={"Location": "https://evil.example/", "Set-Cookie": "a=b"})
        if kind == "slow":
            await asyncio.sleep(0.2)
        if kind == "big":
            return web.Response(body=b"x" * 5000)
        if kind == "bomb":
            return web.Response(body=zlib.compress(b"0" * 1_000_000), headers={"Content-Encoding": "deflate"})
        if kind == "endless":
            return await _endless(request)
        if kind in {"cut", "drop"} and request.transport is not None:
            if kind == "cut":
                request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf")
                await asyncio.sleep(0.01)
            request.transport.close()
        return web.json_response({"ok": True}, status=418 if kind == "teapot" else 200, headers={"X-Thing": "A"})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    async with serve(app) as base:
        yield base, seen


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(50):
        await response.write(b"drip")
        await asyncio.sleep(0.02)
    return response


Site = tuple[str, list[dict[str, Any]]]


@pytest.fixture
async def nightscout(vault: Vault, sessions: Sessions, site: Site) -> Session:
    host = site[0].removeprefix("http://")
    await vault.store("site", Entry("nightscout", StaticToken(NS_TOKEN, "api-secret"), (host, "ns.example"), (), 0.0))
    return sessions.authorised("site")


async def test_the_credential_goes_in_its_header_and_nowhere_else(nightscout: Session, site: Site) -> None:
    base, seen = site
    answer = await nightscout.request(
        "POST",
        f"{base}/api",
        params=[("find[a][$gte]", "1"), ("count", "2")],
        json={"a": 1},
        headers={"API-Secret": "x"},
    )
    assert (answer.status, answer.json(), answer.headers["x-thing"]) == (200, {"ok": True}, "A")
    assert answer.url == f"{base}/api"
    (asked,) = seen
    assert [v for k, v in asked["headers"].items() if k.lower() == "api-secret"] == [NS_TOKEN]
    assert NS_TOKEN not in asked["url"]
    assert asked["body"] == b'{"a": 1}'
    assert "%5B" in asked["url"] or "find[a]" in asked["url"]
    assert asked["headers"]["User-Agent"].startswith("glucobridge/")


async def test_without_authorise_no_credential_leaves(nightscout: Session, site: Site) -> None:
    await nightscout.request("GET", f"{site[0]}/api/v3/version", authorise=False)
    assert NS_TOKEN not in str(site[1])


async def test_oauth_tokens_are_bearers_or_bare(vault: Vault, sessions: Sessions, site: Site) -> None:
    host = site[0].removeprefix("http://")
    for header in ("Authorization", "X-Tidepool-Session-Token"):
        token = OAuthToken("c", f"{site[0]}/token", "acc", "ref", 9e9, header=header)
        await vault.store("t", Entry("tidepool", token, (host,), (), 0.0))
        await sessions.authorised("t").request("GET", f"{site[0]}/data")
    first, second = (asked["headers"] for asked in site[1])
    assert first["Authorization"] == "Bearer acc"
    assert second["X-Tidepool-Session-Token"] == "acc"
    assert "Authorization" not in second


async def test_the_token_may_stand_in_a_path_but_shows_nowhere(nightscout: Session, site: Site) -> None:
    answer = await nightscout.request("GET", f"{site[0]}/api/v2/authorization/request/{{token}}?x=1", authorise=False)
    assert site[1][0]["url"] == f"/api/v2/authorization/request/{NS_TOKEN}?x=1"
    assert "api-secret" not in {name.lower() for name in site[1][0]["headers"]}
    assert NS_TOKEN not in answer.url


@pytest.mark.parametrize(
    "url", ["https://ns.example/?token={token}", "https://{token}.ns.example/", "https://ns.example/#{token}"]
)
async def test_the_token_goes_into_no_other_part(nightscout: Session, url: str) -> None:
    with pytest.raises((NotAllowed, Transient)) as caught:
        await nightscout.request("GET", url)
    assert NS_TOKEN not in str(caught.value)


async def test_a_rotating_token_never_stands_in_an_address(
    sessions: Sessions, linked: Callable[..., Awaitable[Entry]], provider: Provider
) -> None:
    await linked()
    with pytest.raises(NotAllowed):
        await sessions.authorised("p1").request("GET", f"{provider.base}/{{token}}")


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "http://ns.example/",
        "http://127.0.0.1:1/",
        "https://u:p@ns.example/",
        "ftp://ns.example/",
        "x",
    ],
)
@pytest.mark.parametrize("authorise", [True, False])
async def test_other_hosts_are_not_asked(nightscout: Session, site: Site, url: str, authorise: bool) -> None:
    with pytest.raises(NotAllowed):
        await nightscout.request("GET", url, authorise=authorise)
    assert site[1] == []


async def test_another_host_does_not_even_cost_a_refresh(
    sessions: Sessions, linked: Callable[..., Awaitable[Entry]], provider: Provider
) -> None:
    await linked(life_s=-1)
    with pytest.raises(NotAllowed):
        await sessions.authorised("p1").request("GET", "https://evil.example/")
    assert provider.idp.calls == 0


async def test_redirects_come_back_as_answers_and_cookies_are_forgotten(nightscout: Session, site: Site) -> None:
    answer = await nightscout.request("GET", f"{site[0]}/redirect")
    assert (answer.status, answer.headers["location"]) == (307, "https://evil.example/")
    await nightscout.request("GET", f"{site[0]}/after")
    assert "Cookie" not in site[1][1]["headers"]


async def test_any_status_is_an_answer(nightscout: Session, site: Site) -> None:
    assert (await nightscout.request("GET", f"{site[0]}/teapot")).status == 418


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("slow", "did not answer within 0.1 s"),
        ("endless", "did not answer within 0.1 s"),
        ("cut", "broke before its answer was complete"),
        ("drop", "broke before its answer was complete"),
        ("big", "larger than 1000 bytes"),
        ("bomb", "larger than 1000 bytes"),
    ],
)
async def test_outages_name_the_host_and_nothing_of_the_request(
    nightscout: Session, site: Site, path: str, says: str
) -> None:
    with pytest.raises(Transient, match=says) as caught:
        await nightscout.request(
            "GET",
            f"{site[0]}/{path}",
            params={"secret": "q-secret"},
            timeout_s=0.1 if path in {"slow", "endless"} else 10,
            limit_bytes=1000,
        )
    assert "127.0.0.1" in str(caught.value)
    assert "q-secret" not in str(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


async def test_a_body_of_just_the_limit_is_read(nightscout: Session, site: Site) -> None:
    answer = await nightscout.request("GET", f"{site[0]}/big", limit_bytes=5000)
    assert len(answer.body) == 5000


async def test_nobody_there_is_an_outage(sessions: Sessions) -> None:
    with pytest.raises(Transient, match="cannot be reached"):
        await sessions.open().request("GET", "http://127.0.0.1:9/")


async def test_tls_to_a_plain_server_is_an_outage(sessions: Sessions, site: Site) -> None:
    with pytest.raises(Transient, match="secure connection"):
        await sessions.open().request("GET", site[0].replace("http", "https"), timeout_s=2)


async def test_what_http_cannot_carry_is_a_bug_without_the_value(nightscout: Session, site: Site) -> None:
    with pytest.raises(ContractViolation) as caught:
        await nightscout.request("GET", f"{site[0]}/", headers={"X": "a\r\nsecret: b"})
    assert "secret: b" not in str(caught.value)


async def test_unlinked_is_said_before_anything_is_sent(sessions: Sessions, site: Site) -> None:
    with pytest.raises(Unauthorised) as caught:
        await sessions.authorised("nothing").request("GET", site[0])
    assert caught.value.state == "not_linked"


async def test_renew_is_about_the_refused_token(
    sessions: Sessions, linked: Callable[..., Awaitable[Entry]], provider: Provider
) -> None:
    await linked()
    one, two = sessions.authorised("p1"), sessions.authorised("p1")
    provider.idp.kill()
    for session in (one, two):
        assert (await session.request("GET", f"{provider.base}/me")).status == 401
    next(iter(provider.idp.families.values())).revoked = False
    await asyncio.gather(one.renew(), two.renew())
    assert provider.idp.calls == 1
    assert (await one.request("GET", f"{provider.base}/me")).status == 200


async def test_the_open_session_carries_nothing_and_needs_https(sessions: Sessions, site: Site) -> None:
    session = sessions.open()
    await session.request("GET", f"{site[0]}/x", headers={"api-secret": "mine"})
    assert site[1][0]["headers"]["api-secret"] == "mine"
    for url in ("http://ns.example/", "http://192.168.1.4/", "file:///etc/passwd"):
        with pytest.raises(NotAllowed):
            await session.request("GET", url)
    with pytest.raises(Unauthorised):
        await session.renew()


async def test_plain_http_at_home_by_setting_only(client: aiohttp.ClientSession) -> None:
    session = OpenSession(client, allow_private_http=True)
    with pytest.raises(NotAllowed):
        await session.request("GET", "http://ns.example.org/")


async def test_the_check_is_asked_after_the_token_was_got_and_before_anything_leaves(
    sessions: Sessions, linked: Callable[..., Awaitable[Entry]], provider: Provider
) -> None:
    """Getting a token may take longer than a worker's lease."""
    await linked(life_s=-1)
    seen: list[int] = []

    def check() -> None:
        seen.append(provider.idp.refreshes)
        raise Transient("The lease is over.")

    with pytest.raises(Transient, match="lease is over"):
        await sessions.authorised("p1", check).request("GET", f"{provider.base}/me")
    assert seen == [1]
    assert (await sessions.authorised("p1", lambda: None).request("GET", f"{provider.base}/me")).status == 200
