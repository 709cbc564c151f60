"""Linking an upload server: a sign-in at its issuer, or a token, and what the server says to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from bridge.contracts import Authorise, Grant, Hold, StaticToken, Step
from bridge.errors import Forbidden, Incompatible, SettingsInvalid, Unauthorised
from bridge.model.health import State
from bridge.simulators.serving import serve
from bridge.simulators.upload_server import Fault, FaultKind, UploadServer
from bridge.simulators.upload_server import Step as Call
from bridge.uploader import HttpTransport
from tests.support.session import PlainSession

LINKING = HttpTransport.linking
BOTH = frozenset({"snapshot:write", "uploads:read"})


@asynccontextmanager
async def opened(server: UploadServer) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    async with serve(server.app()) as base, aiohttp.ClientSession() as http:
        yield base, http


async def test_a_token_of_the_operator() -> None:
    async with opened(UploadServer(tokens={"given": BOTH})) as (base, http):
        settings, host = {"upload_base_url": base, "installation": "x"}, base.removeprefix("http://")
        asked = await LINKING.begin(PlainSession(http), settings, {})
        assert isinstance(asked, Step)
        assert asked.secret
        held = await LINKING.begin(PlainSession(http), settings, {"token": " given "})
        assert held == Hold(StaticToken("Bearer given", "Authorization"), (host,))
        linked = await LINKING.begin(PlainSession(http, "Authorization", "given"), settings, {"authorised": ""})
        assert isinstance(linked, Grant)
        assert (linked.hosts, linked.scopes) == ((host,), ("snapshot:write", "uploads:read"))
        assert "carelink" not in linked.summary.lower()


async def test_a_sign_in_at_the_issuer_asks_for_both_rights() -> None:
    async def described(_request: web.Request) -> web.Response:
        return web.json_response({"authorization_endpoint": "https://id/auth", "token_endpoint": "https://id/token"})

    issuer = web.Application()
    issuer.router.add_get("/.well-known/openid-configuration", described)
    async with serve(issuer) as base, aiohttp.ClientSession() as http:
        settings = {"upload_base_url": "https://uploads.example.org", "issuer": base, "client_id": "bridge"}
        step = await LINKING.begin(PlainSession(http), settings, {})
        assert step == Authorise(
            client_id="bridge", authorization_url="https://id/auth", token_url="https://id/token",
            redirect_uri="http://127.0.0.1:8788/callback", scope="snapshot:write uploads:read offline_access",
            hosts=("uploads.example.org",),
        )  # fmt: skip
        with pytest.raises(Incompatible):
            await LINKING.begin(PlainSession(http), {**settings, "issuer": f"{base}/other"}, {})


async def test_what_the_server_says_to_a_bad_token() -> None:
    server = UploadServer(tokens={"writes": frozenset({"snapshot:write"})})
    async with opened(server) as (base, http):
        for token, error in (("wrong", Unauthorised), ("writes", Forbidden)):
            with pytest.raises(error):
                await LINKING.begin(
                    PlainSession(http, "Authorization", token), {"upload_base_url": base}, {"authorised": ""}
                )


@pytest.mark.parametrize(("status", "state"), [
    (503, State.UNREACHABLE), (401, State.LOGIN_REQUIRED), (403, State.PERMISSION_DENIED), (404, State.INCOMPATIBLE),
])  # fmt: skip
async def test_the_check_names_a_state(status: int, state: State) -> None:
    server = UploadServer()
    async with opened(server) as (base, http):
        settings = {"upload_base_url": base}
        assert (await LINKING.check(PlainSession(http), settings)).state is State.OK
        server.faults.script(Call.LIST, Fault(FaultKind.STATUS, status))
        assert (await LINKING.check(PlainSession(http), settings)).state is state
        server.faults.script(Call.CAPABILITIES, Fault(FaultKind.PAGE, 200))
        assert (await LINKING.check(PlainSession(http), settings)).state is State.INCOMPATIBLE
        assert (await LINKING.check(PlainSession(http), {})).state is State.SETTINGS_INVALID
        assert "stays on the server" in await LINKING.revoke(PlainSession(http), settings)


async def test_settings_that_do_not_fit_are_said() -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(SettingsInvalid):
            await LINKING.begin(
                PlainSession(http), {"upload_base_url": "https://x.org", "issuer": "https://y.org"}, {}
            )
