"""Each fault of the proxy, seen from a client and from the server behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from random import Random
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from bridge.simulators.fault_proxy import FaultName, FaultProxy, Plan, ProxyFault, chances, nothing, script
from bridge.simulators.serving import serve

BODY = b'{"numbers":[' + b",".join(b"%d" % number for number in range(900)) + b"]}"
Client = Callable[..., Coroutine[Any, Any, tuple[int, bytes]]]


class Upstream:
    """Notes what reached it."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes, dict[str, str]]] = []
        self.base = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.seen.append((request.method, request.raw_path, await request.read(), dict(request.headers)))
        if request.path == "/moved":
            return web.Response(status=302, headers={"Location": "/elsewhere"})
        answer = web.Response(body=BODY, content_type="application/json", headers={"X-Own": "kept"})
        answer.set_cookie("one", "1")
        answer.set_cookie("two", "2")
        return answer


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    one = Upstream()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", one.handle)
    async with serve(app) as one.base:
        yield one


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as http:

        async def ask(url: str, method: str = "GET", **more: Any) -> tuple[int, bytes]:
            async with http.request(method, url, allow_redirects=False, **more) as answer:
                return answer.status, await answer.read()

        yield ask


async def test_without_faults_everything_passes_unchanged(upstream: Upstream) -> None:
    proxy = FaultProxy(upstream.base)
    async with proxy as base, aiohttp.ClientSession() as http:
        url = URL(f"{base}/a%20b/c?x=1&x=%2F", encoded=True)
        async with http.put(url, data=b"\x00body", headers={"X-Mine": "yes"}) as answer:
            assert (answer.status, await answer.read()) == (200, BODY)
            assert answer.headers["X-Own"] == "kept"
            assert answer.headers.getall("Content-Type") == ["application/json"]
            assert len(answer.headers.getall("Set-Cookie")) == 2
    method, path, body, headers = upstream.seen[0]
    assert (method, path, body, headers["X-Mine"]) == ("PUT", "/a%20b/c?x=1&x=%2F", b"\x00body", "yes")
    assert headers["Host"] == base.removeprefix("http://")
    assert proxy.counts == {"passed": 1}


async def test_redirects_are_the_clients_business(upstream: Upstream, client: Client) -> None:
    async with FaultProxy(upstream.base) as base:
        assert (await client(f"{base}/moved"))[0] == 302
    assert len(upstream.seen) == 1


async def test_a_compressed_body_passes_as_it_is(upstream: Upstream, client: Client) -> None:
    async with FaultProxy(upstream.base) as base:
        await client(base, "POST", data=b"\x1f\x8bnot even gzip", headers={"Content-Encoding": "gzip"})
    assert upstream.seen == []
    """The upstream's own server refuses it: the proxy neither unpacked nor mended it."""


@pytest.mark.parametrize(
    ("name", "asked"), [("cut_before", 0), ("cut_after", 1), ("cut_midway", 1)]
)  # fmt: skip
async def test_cuts(name: FaultName, asked: int, upstream: Upstream, client: Client) -> None:
    proxy = FaultProxy(upstream.base, script([ProxyFault(name)]))
    async with proxy as base:
        with pytest.raises(aiohttp.ClientError):
            await client(base, "POST", data=b"{}")
        assert len(upstream.seen) == asked
        assert await client(base) == (200, BODY)
    assert proxy.counts == {name: 1, "passed": 1}


@pytest.mark.parametrize(("name", "asked"), [("stall", 0), ("stall_after", 1)])
async def test_a_stalled_request_hangs_until_released(
    name: FaultName, asked: int, upstream: Upstream, client: Client
) -> None:
    proxy = FaultProxy(upstream.base, script([ProxyFault(name)]))
    async with proxy as base:
        call = asyncio.create_task(client(base, "POST"))
        await _until(lambda: proxy.counts[name] == 1 and len(upstream.seen) == asked)
        await asyncio.sleep(0.02)
        assert not call.done()
        proxy.release()
        with pytest.raises(aiohttp.ClientError):
            await call


async def test_a_client_may_give_up_on_a_stall(upstream: Upstream, client: Client) -> None:
    async with FaultProxy(upstream.base, script([ProxyFault("stall")])) as base:
        with pytest.raises(TimeoutError):
            await client(base, "POST", timeout=aiohttp.ClientTimeout(total=0.03))
        assert await client(base) == (200, BODY)


async def test_leaving_does_not_wait_for_held_connections(upstream: Upstream, client: Client) -> None:
    proxy = FaultProxy(upstream.base)
    async with proxy as base:
        proxy.storm(ProxyFault("stall"))
        calls = [asyncio.create_task(client(base)) for _ in range(5)]
        await _until(lambda: proxy.counts["stall"] == 5)
        begin = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - begin < 1
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(end, aiohttp.ClientError) for end in ends)


async def test_leaving_does_not_wait_for_an_upstream_that_hangs(client: Client) -> None:
    asked, over = asyncio.Event(), asyncio.Event()

    async def hang(_request: web.Request) -> web.Response:
        asked.set()
        await over.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/", hang)
    async with serve(app) as upstream:
        async with FaultProxy(upstream) as base:
            call = asyncio.create_task(client(base, "POST"))
            await asked.wait()
            begin = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - begin < 1
        over.set()
    with pytest.raises(aiohttp.ClientError):
        await call


async def test_garbled_bodies_keep_their_length(upstream: Upstream, client: Client) -> None:
    found = []
    for _ in range(2):
        async with FaultProxy(upstream.base, script([ProxyFault("garble")]), Random(3)) as base:
            found.append(await client(base))
    assert found[0] == found[1], "the same seed garbles the same bytes"
    status, body = found[0]
    assert (status, len(body)) == (200, len(BODY))
    assert body != BODY


async def test_truncated_bodies_are_well_formed_answers(upstream: Upstream, client: Client) -> None:
    async with FaultProxy(upstream.base, script([ProxyFault("truncate")])) as base:
        assert await client(base) == (200, BODY[: len(BODY) // 2])


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
async def test_statuses_never_reach_the_upstream(status: int, upstream: Upstream, client: Client) -> None:
    async with FaultProxy(upstream.base, script([ProxyFault("status", status)])) as base:
        assert await client(base) == (status, b"")
    assert upstream.seen == []


async def test_retry_after_and_html(upstream: Upstream) -> None:
    plan = script([ProxyFault("status", 429, retry_after="7"), ProxyFault("html", 502)])
    async with FaultProxy(upstream.base, plan) as base, aiohttp.ClientSession() as http:
        async with http.get(base) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
        async with http.get(base) as answer:
            assert (answer.status, answer.content_type) == (502, "text/html")
            assert "<html>" in await answer.text()


async def test_a_delay_passes_in_the_end(upstream: Upstream, client: Client) -> None:
    async with FaultProxy(upstream.base, script([ProxyFault("delay", seconds=0.04)])) as base:
        begin = asyncio.get_running_loop().time()
        assert await client(base) == (200, BODY)
        assert asyncio.get_running_loop().time() - begin >= 0.035


async def test_a_storm_goes_before_the_plan(upstream: Upstream, client: Client) -> None:
    proxy = FaultProxy(upstream.base, script([ProxyFault("status", 500)]))
    async with proxy as base:
        proxy.storm(ProxyFault("status", 504))
        assert [(await client(base))[0] for _ in range(3)] == [504] * 3
        proxy.calm()
        assert [(await client(base))[0] for _ in range(2)] == [500, 200]
        proxy.storm(ProxyFault("status", 503), seconds=0.03)
        assert (await client(base))[0] == 503
        await asyncio.sleep(0.04)
        assert (await client(base))[0] == 200
    assert proxy.counts == {"status": 5, "passed": 2}


async def test_away_refuses_and_comes_back_on_the_same_port(upstream: Upstream, client: Client) -> None:
    proxy = FaultProxy(upstream.base)
    async with proxy as base:
        assert (await client(base))[0] == 200
        for _ in range(2):
            async with proxy.away():
                with pytest.raises(aiohttp.ClientConnectorError):
                    await client(base)
            assert proxy.url == base
            assert (await client(base))[0] == 200
    assert proxy.counts == {"passed": 3, "away": 2}
    with pytest.raises(aiohttp.ClientConnectorError):
        await client(base)


async def test_an_absent_upstream_is_a_bad_gateway(client: Client) -> None:
    proxy = FaultProxy("http://127.0.0.1:9")
    async with proxy as base:
        assert (await client(base))[0] == 502
    assert proxy.counts == {"passed": 1, "upstream_unreachable": 1}


async def _statuses(upstream: Upstream, client: Client, plan: Plan, seed: int) -> list[int]:
    async with FaultProxy(upstream.base, plan, Random(seed)) as base:
        return [(await client(base))[0] for _ in range(60)]


async def test_chances_follow_the_seed(upstream: Upstream, client: Client) -> None:
    plan = chances({ProxyFault("status", 500): 0.3, ProxyFault("status", 503): 0.2})
    one, same, other = [await _statuses(upstream, client, plan, seed) for seed in (1, 1, 2)]
    assert one == same != other
    assert {200, 500, 503} == set(one)
    assert 15 <= one.count(200) <= 45


async def test_a_plan_may_look_at_the_request(upstream: Upstream, client: Client) -> None:
    def only_posts(seen: Any, random: Random) -> ProxyFault | None:
        return ProxyFault("status", 500) if seen.method == "POST" and seen.path == "/write" else nothing(seen, random)

    async with FaultProxy(upstream.base, only_posts) as base:
        assert (await client(f"{base}/write", "POST"))[0] == 500
        assert (await client(f"{base}/write"))[0] == 200
        assert (await client(f"{base}/other", "POST"))[0] == 200


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
