"""A reverse proxy on loop-back that harms the traffic it carries, by seed or by plan."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Literal

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web
from yarl import URL

FaultName = Literal[
    "cut_before",  # reset before the request reaches the upstream
    "cut_after",  # the upstream has answered, the client never hears of it
    "cut_midway",  # half of the promised body, then a reset
    "stall",  # never answered, the upstream never asked; held until released
    "stall_after",  # as stall, but the upstream has carried it out
    "garble",  # some bytes of the body overwritten
    "truncate",  # half of the body in a well-formed answer
    "status",  # `status` (500, 502, 503, 504, 429 ...), the upstream never asked
    "html",  # `status` with a web page, the upstream never asked
    "delay",  # passed on after `seconds`
]
_ASKED_FIRST: frozenset[FaultName] = frozenset({"cut_after", "cut_midway", "stall_after", "garble", "truncate"})
_HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
    "upgrade", "content-length", "accept-encoding", "date", "server",
})  # fmt: skip
_PAGE = "<html><body><h1>Bad gateway</h1></body></html>"
_RESET = struct.pack("ii", 1, 0)
"""Linger for no time: closing sends a reset instead of an orderly end."""
_BODY_LIMIT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ProxyFault:
    """One harm. `status` and `retry_after` are used by `status` and `html`, `seconds` by `delay`."""

    name: FaultName
    status: int = 503
    retry_after: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as a plan sees it; `number` counts from 1."""

    number: int
    method: str
    path: str


Plan = Callable[[Seen, Random], ProxyFault | None]
"""Chooses the harm of each request; None lets it pass."""


def script(faults: Iterable[ProxyFault | None]) -> Plan:
    """One after the other; afterwards everything passes."""
    left = iter(faults)
    return lambda _seen, _random: next(left, None)


def chances(weights: Mapping[ProxyFault, float]) -> Plan:
    """Each fault with its probability (0..1 in all)."""

    def plan(_seen: Seen, random: Random) -> ProxyFault | None:
        draw = random.random()
        for fault, weight in weights.items():
            draw -= weight
            if draw < 0:
                return fault
        return None

    return plan


def nothing(_seen: Seen, _random: Random) -> ProxyFault | None:
    """Everything passes."""
    return None


class FaultProxy:
    """`async with FaultProxy(upstream, plan) as base_url`: forwards all HTTP to `upstream`, harming as planned.

    The Host header stays the client's, so that addresses an upstream makes of it lead through the proxy again.
    Bodies are read whole; no web sockets. `counts`: faults by name, `passed`, and `upstream_unreachable` (502).
    """

    def __init__(self, upstream: str, plan: Plan = nothing, random: Random | None = None) -> None:
        self.upstream, self.plan, self.random = upstream.rstrip("/"), plan, random or Random(0)
        self.counts: Counter[str] = Counter()
        self.requests = 0
        self._storm: tuple[ProxyFault, float] | None = None
        self._released = asyncio.Event()
        self._port = 0
        self._runner: web.AppRunner | None = None
        self._client: ClientSession | None = None

    @property
    def url(self) -> str:
        """Base URL, the same for the proxy's whole life."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> str:
        self._client = ClientSession(
            auto_decompress=False, connector=TCPConnector(limit=0), cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=None),
        )  # fmt: skip
        await self.come_back()
        return self.url

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.go_away()
        if self._client is not None:
            await self._client.close()

    # --- what a test turns ---

    def storm(self, fault: ProxyFault, seconds: float = float("inf")) -> None:
        """Every request suffers `fault` for so many seconds, or until `calm`; the plan waits."""
        self._storm = (fault, asyncio.get_running_loop().time() + seconds)

    def calm(self) -> None:
        """The storm is over."""
        self._storm = None

    def release(self) -> None:
        """Break all connections that are held without an answer."""
        self._released.set()
        self._released = asyncio.Event()

    async def go_away(self) -> None:
        """Close the port and all connections: clients are refused."""
        self.release()
        runner, self._runner = self._runner, None
        if runner is None:
            return
        for site in list(runner.sites):
            await site.stop()
        for _ in range(3):
            await asyncio.sleep(0)  # a connection that was just accepted shows up only now
        _break_connections(runner)
        await runner.cleanup()

    async def come_back(self) -> None:
        """Listen again, on the same port as before."""
        if self._runner is not None:
            return
        app = web.Application(client_max_size=_BODY_LIMIT_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2, auto_decompress=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()
        self._port = int(self._runner.addresses[0][1])

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Refuse connections inside the block."""
        self.counts["away"] += 1
        await self.go_away()
        try:
            yield
        finally:
            await self.come_back()

    # --- one request ---

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        body = await request.read()
        fault = self._fault_of(Seen(self.requests, request.method, request.path))
        self.counts["passed" if fault is None else fault.name] += 1
        if fault is None:
            return await self._forward(request, body)
        if fault.name in _ASKED_FIRST:
            return await self._harmed(request, await self._forward(request, body), fault)
        return await self._instead(request, body, fault)

    def _fault_of(self, seen: Seen) -> ProxyFault | None:
        if self._storm is not None and asyncio.get_running_loop().time() < self._storm[1]:
            return self._storm[0]
        return self.plan(seen, self.random)

    async def _instead(self, request: web.Request, body: bytes, fault: ProxyFault) -> web.StreamResponse:
        """Faults of which the upstream learns nothing, and the delay."""
        headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
        match fault.name:
            case "status":
                return web.Response(status=fault.status, headers=headers)
            case "html":
                return web.Response(text=_PAGE, status=fault.status, headers=headers, content_type="text/html")
            case "delay":
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._released.wait(), fault.seconds)
                return await self._forward(request, body)
            case "stall":
                await self._released.wait()
        return _cut(request)

    async def _harmed(self, request: web.Request, answer: web.Response, fault: ProxyFault) -> web.StreamResponse:
        """Faults that befall an answer on its way back."""
        body = answer.body if isinstance(answer.body, bytes) else b""
        match fault.name:
            case "garble":
                answer.body = self._garbled(body)
                return answer
            case "truncate":
                answer.body = body[: len(body) // 2]
                return answer
            case "cut_midway":
                await _half(request, answer, body)
            case "stall_after":
                await self._released.wait()
        return _cut(request)

    def _garbled(self, body: bytes) -> bytes:
        spoilt = bytearray(body)
        for place in self.random.sample(range(len(body)), k=(len(body) + 39) // 40):
            spoilt[place] ^= self.random.randint(1, 255)
        return bytes(spoilt)

    async def _forward(self, request: web.Request, body: bytes) -> web.Response:
        if self._client is None:
            raise web.HTTPBadGateway
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP]
        url = URL(self.upstream + request.raw_path, encoded=True)
        try:
            async with self._client.request(
                request.method, url, headers=headers, data=body or None, allow_redirects=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            ) as answer:  # fmt: skip
                content = await answer.read()
        except (ClientError, OSError):
            self.counts["upstream_unreachable"] += 1
            return web.Response(status=502)
        return _copied(answer.status, answer.headers.items(), content)


def _break_connections(runner: web.AppRunner) -> None:
    for connection in runner.server.connections if runner.server else ():
        if connection.transport is not None:
            connection.transport.abort()


def _copied(status: int, headers: Iterable[tuple[str, str]], content: bytes) -> web.Response:
    response = web.Response(status=status, body=content)
    response.headers.popall("Content-Type", None)
    for name, value in headers:
        if name.lower() not in _HOP_BY_HOP:
            response.headers.add(name, value)
    return response


async def _half(request: web.Request, answer: web.Response, body: bytes) -> None:
    """Promise the whole body and send half of it."""
    started = web.StreamResponse(status=answer.status, headers=answer.headers)
    started.content_length = len(body)
    with suppress(ConnectionError):
        await started.prepare(request)
        await started.write(body[: len(body) // 2])


def _cut(request: web.Request) -> web.Response:
    """Reset the client's connection; the answer returned goes nowhere."""
    if request.transport is not None:
        raw = request.transport.get_extra_info("socket")
        if raw is not None:
            with suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        request.transport.abort()
    return web.Response(status=503)
