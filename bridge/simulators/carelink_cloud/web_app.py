"""The web application: all hosts of the cloud on one address, with faults laid over the true answers."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from bridge.simulators.carelink_cloud.cloud import Cloud
from bridge.simulators.carelink_cloud.faults import Call, Fault, FaultKind
from bridge.simulators.carelink_cloud.web_account import add_account_routes
from bridge.simulators.carelink_cloud.web_data import OFFERED, add_data_routes
from bridge.simulators.carelink_cloud.web_reports import add_report_routes
from bridge.simulators.carelink_cloud.web_sign_in import add_sign_in_routes

_PAGE = "<html><head><title>CareLink</title></head><body><h1>We will be back soon</h1></body></html>"
_NO_PERMISSION = {"error": {"type": "NoPermission", "group": "AUTH"}}


def build_app(cloud: Cloud) -> web.Application:
    """All routes of the cloud."""
    app = web.Application(middlewares=[_middleware(cloud)])
    add_sign_in_routes(app, cloud)
    add_account_routes(app, cloud)
    add_report_routes(app, cloud)
    add_data_routes(app, cloud)
    return app


def call_of(path: str) -> Call:
    """The kind of call a path is."""
    if "/discover/" in path or path.startswith("/configs/"):
        return Call.DISCOVERY
    if path in ("/oauth/token", "/oauth/revoke"):
        return Call.TOKEN
    if path in ("/authorize", "/u/login"):
        return Call.SIGN_IN
    data = path.endswith(("/display/message", "/connect/data", "/monitor/data")) or "/connect/data/" in path
    return Call.DATA if data else Call.ACCOUNT


def _middleware(cloud: Cloud) -> Middleware:
    @web.middleware
    async def faulty(request: web.Request, handler: Handler) -> web.StreamResponse:
        fault = cloud.faults.take(call_of(request.path), cloud.clock())
        made_up = _made_up(fault)
        if made_up is not None:
            return made_up
        answer = await _spoilt(request, await handler(request), fault)
        offered = request.get(OFFERED)
        if offered is not None and (fault is None or fault.kind is FaultKind.SLOW):
            cloud.served.book(*offered)
        return answer

    return faulty


def _made_up(fault: Fault | None) -> web.Response | None:
    """An answer that needs no handler; None when the true one is needed."""
    if fault is None:
        return None
    match fault.kind:
        case FaultKind.STATUS:
            headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
            return web.Response(status=fault.status, headers=headers)
        case FaultKind.HTML:
            return web.Response(text=_PAGE, content_type="text/html", status=fault.status)
        case FaultKind.EMPTY:
            return web.Response(content_type="application/json")
        case FaultKind.ARRAY:
            return web.json_response({"metadata": {}, "patientData": []})
        case FaultKind.ERROR_JSON:
            return web.json_response(_NO_PERMISSION)
    return None


async def _spoilt(request: web.Request, answer: web.StreamResponse, fault: Fault | None) -> web.StreamResponse:
    """The true answer, made late, cut or overwritten."""
    if fault is None or not isinstance(answer, web.Response):
        return answer
    body = answer.body if isinstance(answer.body, bytes) else b""
    match fault.kind:
        case FaultKind.SLOW:
            await asyncio.sleep(fault.seconds)
        case FaultKind.LOST:
            if request.transport is not None:
                request.transport.abort()
        case FaultKind.TRUNCATED:
            return web.Response(body=body[: len(body) // 2], content_type="application/json")
        case FaultKind.GARBLED:
            third = len(body) // 3
            spoilt = body[:third] + b'\xff\x00"' * 10 + body[third + 30 :]
            return web.Response(body=spoilt, content_type="application/json")
    return answer
