"""Addresses as people paste them, and redirects that a credential may follow."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from adapters.nightscout.address import host_of, normal_url, redirected, secure
from adapters.nightscout.client import SiteClient
from bridge.errors import Incompatible, Refused, Throttled
from bridge.simulators.serving import serve
from tests.adapters.nightscout.conftest import LoopSession, entry, rig_of
from tests.support.clock import FakeClock


@pytest.mark.parametrize(
    ("pasted", "normal"),
    [
        ("https://my.site.org", "https://my.site.org"),
        ("https://My.Site.org/", "https://my.site.org"),
        ("my.site.org", "https://my.site.org"),
        ("https://my.site.org/api/v1", "https://my.site.org"),
        ("https://my.site.org/api/v1/", "https://my.site.org"),
        ("https://my.site.org/api/v1/entries.json?count=1", "https://my.site.org"),
        ("https://my.site.org/?token=reader-0123456789abcdef", "https://my.site.org"),
        ("https://my.site.org/api", "https://my.site.org"),
        ("https://my.site.org:443/", "https://my.site.org"),
        ("https://my.site.org:8443/ns/", "https://my.site.org:8443/ns"),
        ("https://house.example/ns/api/v1#x", "https://house.example/ns"),
        ("https://house.example/my-api", "https://house.example/my-api"),
        ("127.0.0.1:1337", "http://127.0.0.1:1337"),
        ("localhost:1337/", "http://localhost:1337"),
        ("http://[::1]:1337", "http://[::1]:1337"),
    ],
)
def test_normal(pasted: str, normal: str) -> None:
    assert normal_url(pasted) == normal
    assert normal_url(normal) == normal


@pytest.mark.parametrize(
    "text", ["", "https://", "ftp://x.org", "https://u:p@x.org", "https://x.org:seven", "a b.org"]
)
def test_no_address(text: str) -> None:
    with pytest.raises(Refused) as caught:
        normal_url(text)
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("base", "safe"),
    [
        ("http://my.site.org", "https://my.site.org"),
        ("https://my.site.org", "https://my.site.org"),
        ("http://127.0.0.1:1337", "http://127.0.0.1:1337"),
        ("http://192.168.1.4:1337", "http://192.168.1.4:1337"),
        ("http://nas.local", "http://nas.local"),
    ],
)
def test_only_a_house_is_asked_in_plain_text(base: str, safe: str) -> None:
    assert secure(base) == safe


def test_hosts() -> None:
    assert host_of("https://my.site.org/ns") == "my.site.org"
    assert host_of("http://127.0.0.1:1337") == "127.0.0.1:1337"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://my.site.org/x", "https://my.site.org/x"),
        ("/y", "http://my.site.org/y"),
        ("https://my.site.org:8443/x", "https://my.site.org:8443/x"),
        ("https://evil.org/x", None),
        ("http://my.site.org:8080/x", None),
        ("//evil.org/x", None),
        ("javascript:x", None),
        ("https://my.site.org:many/x", None),
        ("http://[bad/x", None),
        ("", "http://my.site.org/x"),
    ],
)
def test_redirects(location: str, target: str | None) -> None:
    assert redirected("http://my.site.org/x", location) == target


def test_a_redirect_never_leaves_https() -> None:
    assert redirected("https://my.site.org/x", "http://my.site.org/x") is None


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as client:
        yield client


async def test_a_redirect_on_the_host_keeps_method_and_body(client: aiohttp.ClientSession) -> None:
    seen: list[tuple[str, bytes, str | None]] = []

    async def moved(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": f"/new{request.path_qs}"})

    async def arrived(request: web.Request) -> web.Response:
        seen.append((request.method, await request.read(), request.headers.get("api-secret")))
        return web.json_response([])

    app = web.Application()
    app.add_routes([web.post("/new/api/v1/entries.json", arrived), web.post("/{rest:.*}", moved)])
    async with serve(app) as base:
        site = SiteClient(LoopSession(client, "t"), base)
        answer = await site.request("POST", "/api/v1/entries.json", body=b"[1]")
        assert answer.status == 200
        assert seen == [("POST", b"[1]", "t")]


async def test_a_redirect_elsewhere_carries_nothing(client: aiohttp.ClientSession) -> None:
    reached: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        reached.append(request.path)
        return web.json_response([])

    other = web.Application()
    other.add_routes([web.route("*", "/{rest:.*}", elsewhere)])
    async with serve(other) as foreign:

        async def moved(_: web.Request) -> web.Response:
            return web.Response(status=302, headers={"Location": foreign + "/api/v1/entries.json"})

        app = web.Application()
        app.add_routes([web.route("*", "/{rest:.*}", moved)])
        async with serve(app) as base:
            site = SiteClient(LoopSession(client, "t"), base)
            with pytest.raises(Incompatible):
                await site.request("POST", "/api/v1/entries.json", body=b"[]")
    assert reached == []


async def test_a_circle_ends(client: aiohttp.ClientSession) -> None:
    async def moved(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": request.path})

    app = web.Application()
    app.add_routes([web.route("*", "/{rest:.*}", moved)])
    async with serve(app) as base:
        with pytest.raises(Incompatible, match="circle"):
            await SiteClient(LoopSession(client, "t"), base).request("GET", "/x")


@pytest.mark.parametrize(
    ("header", "wait_s"), [("90", 90.0), ("Wed, 11 Mar 2026 10:00:30 GMT", 30.0), ("soon", None), ("", None)]
)
async def test_patience_as_asked(header: str, wait_s: float | None, client: aiohttp.ClientSession) -> None:
    async def busy(_: web.Request) -> web.Response:
        headers = {"Date": "Wed, 11 Mar 2026 10:00:00 GMT", **({"Retry-After": header} if header else {})}
        return web.Response(status=429, headers=headers)

    app = web.Application()
    app.add_routes([web.get("/x", busy)])
    async with serve(app) as base:
        with pytest.raises(Throttled) as caught:
            await SiteClient(LoopSession(client, "t"), base).request("GET", "/x")
    assert caught.value.retry_after_s == wait_s


async def test_a_site_below_a_prefix(clock: FakeClock) -> None:
    async with rig_of(clock, prefix="/ns") as rig:
        adapter = rig.adapter(url=rig.base + "/api/v1/")
        assert (await adapter.prepare()).state == "ok"
        await adapter.deliver([entry(1)], ())
        assert len(rig.stored("entries")) == 1
