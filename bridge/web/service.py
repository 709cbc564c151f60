"""/healthz, /readyz and /metrics. The first two name nobody; beyond loop-back the rest needs the token."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address

from aiohttp import web
from aiohttp.typedefs import Middleware

from bridge.engine.engine import Engine
from bridge.errors import SettingsInvalid
from bridge.settings import ServiceSettings
from bridge.web.metrics import Attending, exposition

_ENGINE = web.AppKey("engine", Engine)
_ATTENDING: web.AppKey[Attending | None] = web.AppKey("attending")
_OPEN = frozenset({"/healthz", "/readyz"})
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(
    engine: Engine, settings: ServiceSettings, attending: Attending | None = None
) -> AsyncIterator[int]:
    """The port while the service answers. Raises SettingsInvalid when it cannot be had."""
    runner = web.AppRunner(application(engine, settings, attending), access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, settings.host, settings.port).start()
        except OSError as error:
            raise SettingsInvalid(
                f"Port {settings.port} of {settings.host} cannot be used: {error.strerror}.",
                next_step="Set service.port to a free one.",
            ) from None
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def application(engine: Engine, settings: ServiceSettings, attending: Attending | None = None) -> web.Application:
    """The web application."""
    app = web.Application(middlewares=[_guard(settings)])
    app[_ENGINE] = engine
    app[_ATTENDING] = attending
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _readyz)
    app.router.add_get("/metrics", _metrics)
    return app


def _guard(settings: ServiceSettings) -> Middleware:
    token = settings.token.get_secret_value().encode() if settings.token else None

    @web.middleware
    async def guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
        if request.path in _OPEN or (token is None and _is_loopback(request.remote)):
            return await handler(request)
        given = request.headers.get("Authorization", "").removeprefix("Bearer ").encode()
        if token is not None and hmac.compare_digest(given, token):
            return await handler(request)
        raise web.HTTPUnauthorized(text="The service token is needed: Authorization: Bearer <service.token>.\n")

    return guard


def _is_loopback(remote: str | None) -> bool:
    try:
        return remote is not None and ip_address(remote).is_loopback
    except ValueError:
        return False


async def _healthz(_: web.Request) -> web.Response:
    """Alive: the loop answers."""
    return web.json_response({"status": "ok"})


async def _readyz(request: web.Request) -> web.Response:
    """Ready: the journal can be read. Names nobody."""
    await request.app[_ENGINE].journal.version()
    return web.json_response({"status": "ready"})


async def _metrics(request: web.Request) -> web.Response:
    body, kind = await exposition(request.app[_ENGINE], request.app[_ATTENDING])
    return web.Response(body=body, headers={"Content-Type": kind})
