"""Where a token may go: Medtronic's never to another host, another server's never to Medtronic."""

from __future__ import annotations

from random import Random
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bridge.contracts import Interval, OAuthToken, Sent, Setup, Snapshot
from bridge.credentials import AuthorisedSession, Entry
from bridge.errors import NotAllowed
from bridge.simulators.serving import serve
from bridge.uploader import CareLinkVerifier, HttpTransport
from tests.support.clock import FakeClock
from tests.uploader.facts import DEVICE, NOW, glucose, request

SNAPSHOT = Snapshot([glucose(NOW)])


class Held:
    """A credential as the vault would hold it."""

    def __init__(self, *hosts: str) -> None:
        token = OAuthToken("app", "https://example.org/token", "a-token-of-medtronic", "refresh", 4e9)
        self.entry, self.used = Entry("carelink-cloud", token, hosts, (), 0.0), 0

    async def current(self) -> Entry:
        return self.entry

    async def usable(self) -> Entry:
        self.used += 1
        return self.entry

    async def renew(self, spent: str | None, client_id: str | None = None, token_url: str | None = None) -> None: ...


def noting(seen: list[dict[str, str]], location: str = "") -> web.Application:
    """An application that notes the headers of everything that comes, and sends it elsewhere where told to."""

    async def handler(each: web.Request) -> web.Response:
        seen.append(dict(each.headers))
        return web.Response(status=307, headers={"Location": location + each.path}) if location else web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    return app


async def test_a_medtronic_token_never_reaches_another_host() -> None:
    """Not a byte leaves: the credential is not even taken from the vault."""
    seen: list[dict[str, str]] = []
    held = Held(".minimed.eu", ".minimed.com")
    async with serve(noting(seen)) as base, aiohttp.ClientSession() as http:
        session = AuthorisedSession(held, http)
        for url in (base, "https://uploads.example.org", "https://minimed.eu.example.org"):
            setup = Setup("p1", {"upload_base_url": url}, FakeClock(NOW), Random(1), session)
            result = await HttpTransport(setup).upload(request(), SNAPSHOT)
            assert result.state is Sent.REJECTED
            assert "may not go to" in result.detail
            with pytest.raises(NotAllowed):
                await CareLinkVerifier.of_clu1(setup).examine(DEVICE, Interval(NOW, NOW), [])
        read_back = Setup("p1", {"region": "EU", "base_url": base}, FakeClock(NOW), Random(1), session)
        with pytest.raises(NotAllowed):
            await CareLinkVerifier.of_carelink(read_back, lambda body: []).examine(DEVICE, Interval(NOW, NOW), [])
    assert seen == []
    assert held.used == 0


async def test_another_servers_token_does_not_follow_to_medtronic() -> None:
    held = Held("uploads.example.org")
    async with aiohttp.ClientSession() as http:
        session = AuthorisedSession(held, http)
        settings = {"upload_base_url": "https://api.minimed.eu/given", "targets_medtronic": True}
        result = await HttpTransport(Setup("p1", settings, FakeClock(NOW), Random(1), session)).upload(
            request(), SNAPSHOT
        )
        assert result.state is Sent.REJECTED
    assert held.used == 0


async def test_a_server_that_sends_elsewhere_is_not_followed() -> None:
    """A redirect is an answer: neither token nor readings go where it points."""
    here: list[dict[str, str]] = []
    there: list[dict[str, str]] = []
    async with serve(noting(there)) as elsewhere, aiohttp.ClientSession() as http:
        async with serve(noting(here, elsewhere)) as base:
            held = Held(base.removeprefix("http://"))
            setup = Setup("p1", {"upload_base_url": base}, FakeClock(NOW), Random(1), AuthorisedSession(held, http))
            result = await HttpTransport(setup).upload(request(), SNAPSHOT)
    assert result.state is Sent.REJECTED
    assert there == []
    assert here


async def test_no_token_stands_in_a_result_or_a_repr() -> None:
    held: Any = Held("uploads.example.org")
    async with aiohttp.ClientSession() as http:
        setup = Setup(
            "p1", {"upload_base_url": "https://elsewhere.example.org"}, FakeClock(NOW), Random(1),
            AuthorisedSession(held, http),
        )  # fmt: skip
        transport = HttpTransport(setup)
        result = await transport.upload(request(), SNAPSHOT)
    assert "a-token" not in f"{result!r}{transport!r}{setup!r}"
