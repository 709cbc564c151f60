"""Catches a login's redirect on a loop-back address."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

from aiohttp import web

from bridge.credentials.login import PendingLogin, loopback_target
from bridge.errors import Refused, SettingsInvalid

_PAGE = "<!doctype html><meta charset=utf-8><title>glucobridge</title><p>{}</p>"
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'",
}


async def wait_for_redirect(login: PendingLogin, timeout_s: float) -> str:
    """The address the browser was sent to, for `read_redirect`; listens only for this one login.

    Raises SettingsInvalid when the port is taken or the redirect is not a loop-back address, Refused when
    nobody came in time. A call with another state is turned away and the wait goes on.
    """
    target = loopback_target(login.authorise.redirect_uri)
    if target is None:
        raise SettingsInvalid("The redirect is not a loop-back address.", next_step="Paste the address instead.")
    host, port, path = target
    caught: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    app = web.Application()
    app.router.add_get(path, _handler(login, caught), allow_head=False)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await _listen(runner, host, port)
        return await asyncio.wait_for(caught, timeout_s)
    except TimeoutError:
        raise Refused("Nobody finished the login in the browser.", next_step="Begin again.") from None
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise SettingsInvalid(
            f"Port {port} of this machine cannot be listened on: {error.strerror}.",
            next_step="Paste the address the browser ends at instead.",
        ) from None


def _handler(login: PendingLogin, caught: asyncio.Future[str]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        query = request.url.raw_query_string
        if parse_qs(query).get("state") != [login.state]:
            return _page(400, "This is not the login that is waited for.")
        if not caught.done():
            caught.set_result(f"{login.authorise.redirect_uri}?{query}")
        return _page(200, "Signed in. This window can be closed.")

    return handle


def _page(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=_PAGE.format(text), content_type="text/html", headers=_HEADERS)
