"""The upload server's web application, with faults laid over the true answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from bridge.simulators.upload_server.coverage import covered, listed
from bridge.simulators.upload_server.faults import Fault, FaultKind, Faults, Step
from bridge.simulators.upload_server.store import Problem, Store, Upload

MANY_BYTES = 512 * 1024 * 1024
_PAGE = "<html><body><h1>We will be back soon</h1></body></html>"
_BEFORE = frozenset({FaultKind.CUT_IN, FaultKind.STATUS, FaultKind.PAGE, FaultKind.EXPIRED})


class UploadServer:
    """`tokens`: bearer tokens that are accepted (None: everybody is), each with its scopes.

    `gate_bytes`: what something before the server takes of a request body, told to nobody. `requests` are all
    calls that came, by step.
    """

    def __init__(
        self,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        max_part_bytes: int = 4 * 1024 * 1024,
        accepts: tuple[str, ...] = ("gzip", "identity"),
        tokens: dict[str, frozenset[str]] | None = None,
        looks: int = 1,
        gate_bytes: int | None = None,
    ) -> None:
        self.clock, self.max_part_bytes, self.accepts, self.tokens = clock, max_part_bytes, accepts, tokens
        self.store, self.faults, self.gate_bytes = Store(looks), Faults(), gate_bytes
        self.requests: list[Step] = []

    def app(self) -> web.Application:
        """The application; serve it with `bridge.simulators.serving`."""
        app = web.Application(middlewares=[_middleware(self)], client_max_size=MANY_BYTES)
        add = app.router.add_route
        add("GET", "/v1/capabilities", self._capabilities, name=Step.CAPABILITIES)
        add("POST", "/v1/uploads", self._create, name=Step.CREATE)
        add("GET", "/v1/uploads", self._list, name=Step.LIST)
        add("GET", "/v1/coverage", self._coverage, name=Step.COVERAGE)
        add("GET", "/v1/uploads/{id}", self._state, name=Step.STATE)
        add("DELETE", "/v1/uploads/{id}", self._abort, name=Step.ABORT)
        add("PUT", "/v1/uploads/{id}/parts/{n}", self._part, name=Step.PART)
        add("POST", "/v1/uploads/{id}/complete", self._complete, name=Step.COMPLETE)
        app.on_response_prepare.append(self._dated)
        return app

    async def _dated(self, _request: web.Request, answer: web.StreamResponse) -> None:
        answer.headers["Date"] = format_datetime(self.clock(), usegmt=True)

    # --- calls ---

    async def _capabilities(self, _request: web.Request) -> web.Response:
        told = {
            "contract": "clu-1", "max_part_bytes": self.max_part_bytes, "max_upload_bytes": 268_435_456,
            "accepts": list(self.accepts), "server_time": self.clock().isoformat(),
        }  # fmt: skip
        return web.json_response(told)

    async def _create(self, request: web.Request) -> web.Response:
        key = request.headers.get("Idempotency-Key", "")
        status, upload = self.store.create(key, _json(await request.read()), self.clock())
        return web.json_response(upload.document(), status=status)

    async def _part(self, request: web.Request) -> web.Response:
        body = await request.read()
        if len(body) > self.max_part_bytes:
            raise Problem(413, "part_too_large")
        if request.get("garbled"):
            body = bytes([body[0] ^ 1]) + body[1:]
        digest = request.headers.get("Content-Digest", "")
        return web.Response(status=self.store.put(self._upload(request), int(request.match_info["n"]), body, digest))

    async def _state(self, request: web.Request) -> web.Response:
        return web.json_response(self.store.look(self._upload(request)).document())

    async def _complete(self, request: web.Request) -> web.Response:
        upload, told = self._upload(request), _json(await request.read())
        status = self.store.complete(upload, told.get("sha256"), self.clock())
        return web.json_response(upload.document(), status=status)

    async def _abort(self, request: web.Request) -> web.Response:
        self.store.abort(self._upload(request))
        return web.Response(status=204)

    async def _list(self, request: web.Request) -> web.Response:
        limit = int(request.query.get("limit", "30"))
        return web.json_response(listed(self.store.complete_ones(), limit))

    async def _coverage(self, _request: web.Request) -> web.Response:
        return web.json_response(covered(self.store.complete_ones()))

    def _upload(self, request: web.Request) -> Upload:
        return self.store.upload(request.match_info["id"], self.clock())

    # --- who may ---

    def refuse(self, request: web.Request) -> web.Response | None:
        """The answer for somebody who may not; None for who may."""
        if self.tokens is None:
            return None
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self.tokens:
            return _problem(Problem(401, "unauthorised"))
        wanted = "uploads:read" if request.method == "GET" else "snapshot:write"
        return None if wanted in self.tokens[token] else _problem(Problem(403, "missing_scope"))

    def expire(self, request: web.Request) -> None:
        """The token of a request is over."""
        if self.tokens is not None:
            self.tokens.pop(request.headers.get("Authorization", "").partition(" ")[2], None)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise Problem(422, "no_json") from None


def _problem(problem: Problem) -> web.Response:
    return web.json_response(problem.body, status=problem.status)


# --- faults ----------------------------------------------------------------------------------------


def _middleware(server: UploadServer) -> Middleware:
    @web.middleware
    async def faulty(request: web.Request, handler: Handler) -> web.StreamResponse:
        name = request.match_info.route.name
        if name is None:
            return await handler(request)
        step = Step(name)
        server.requests.append(step)
        if server.gate_bytes is not None and (request.content_length or 0) > server.gate_bytes:
            await request.read()
            return web.Response(status=413, text=_PAGE, content_type="text/html")
        fault = server.faults.take(step)
        if fault is not None and fault.kind in _BEFORE:
            return await _instead(server, request, fault)
        return await _after(server, request, handler, fault)

    return faulty


async def _instead(server: UploadServer, request: web.Request, fault: Fault) -> web.Response:
    if fault.kind is FaultKind.CUT_IN:
        if fault.after_bytes:
            await request.content.read(fault.after_bytes)
        return _cut(request)
    await request.read()
    if fault.kind is FaultKind.EXPIRED:
        server.expire(request)
        return _problem(Problem(401, "unauthorised"))
    headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
    if fault.kind is FaultKind.PAGE:
        return web.Response(status=fault.status, text=_PAGE, content_type="text/html", headers=headers)
    body = {
        "error": {
            "code": fault.code,
            "message": "",
            "retryable": fault.status in {408, 425, 429} or fault.status >= 500,
        }
    }
    return web.json_response(body, status=fault.status, headers=headers)


async def _after(
    server: UploadServer, request: web.Request, handler: Handler, fault: Fault | None
) -> web.StreamResponse:
    """The true answer, or what is left of it."""
    if fault is not None and fault.kind is FaultKind.FORGOTTEN:
        server.store.forget()
    request["garbled"] = fault is not None and fault.kind is FaultKind.GARBLED
    answer = server.refuse(request) or await _carried_out(request, handler)
    if fault is not None and fault.kind is FaultKind.LOST:
        return _cut(request)
    if fault is not None and fault.kind is FaultKind.CUT_OUT and isinstance(answer, web.Response):
        return await _partly(request, answer, fault.after_bytes)
    return answer


async def _carried_out(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Problem as problem:
        return _problem(problem)


async def _partly(request: web.Request, answer: web.Response, count: int) -> web.Response:
    """Promise the whole body and send its beginning."""
    body = answer.body if isinstance(answer.body, bytes) else b""
    begun = web.StreamResponse(status=answer.status)
    begun.content_type = "application/json"
    begun.content_length = len(body) or None
    with suppress(ConnectionError):
        await begun.prepare(request)
        await begun.write(body[:count])
    return _cut(request)


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=503)
