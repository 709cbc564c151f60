"""Discovery, the sign-in page and the token endpoint."""

from __future__ import annotations

import html
from collections.abc import Mapping
from urllib.parse import urlencode

from aiohttp import web

from bridge.simulators.carelink_cloud import discovery
from bridge.simulators.carelink_cloud.cloud import Cloud
from bridge.simulators.carelink_cloud.tokens import REDIRECT_URI, GrantRefused

_NO_STORE = {"Cache-Control": "no-store"}


def add_sign_in_routes(app: web.Application, cloud: Cloud) -> None:
    """Routes that need no token."""
    pages = _SignIn(cloud)
    app.router.add_get("/connect/carepartner/{base}/discover/android/{version}", pages.discover)
    app.router.add_get("/configs/v1/{name}", pages.sso)
    app.router.add_get("/authorize", pages.authorize)
    app.router.add_get("/u/login", pages.form)
    app.router.add_post("/u/login", pages.login)
    app.router.add_post("/oauth/token", pages.token)
    app.router.add_post("/oauth/revoke", pages.revoke)


class _SignIn:
    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.waiting: dict[str, dict[str, str]] = {}

    async def discover(self, request: web.Request) -> web.Response:
        base, version = request.match_info["base"], request.match_info["version"]
        if base in discovery.OTHER_BASES:
            return web.Response(status=discovery.OTHER_BASES[base])
        if base == "v11":
            return web.json_response(discovery.trials_document(version))
        if base != "v13":
            return web.Response(status=404)
        root = f"{request.scheme}://{request.host}"
        found = discovery.document(version, self.cloud.versions.get(version), root)
        return web.json_response(found, headers={"x-cum-signature": "simulated"})

    async def sso(self, request: web.Request) -> web.Response:
        region = next((name for name, path in discovery.AUTH0_PATHS.items() if path == request.path), None)
        if region is None:
            return web.Response(status=404)
        url = request.url
        client_id = self.cloud.tokens.client_ids[region]
        told = discovery.sso_document(region, client_id, url.host or "127.0.0.1", url.port or 80)
        return web.json_response(told)

    async def authorize(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        if asked.get("client_id") not in self.cloud.tokens.client_ids.values():
            return _page("Unknown client", status=403)
        if asked.get("redirect_uri") != REDIRECT_URI or asked.get("response_type") != "code":
            return _page("Callback URL mismatch", status=403)
        if asked.get("code_challenge") and asked.get("code_challenge_method") != "S256":
            return _page("Unsupported code challenge method", status=400)
        if self.cloud.auto_consent is not None:
            return self._through(asked, self.cloud.auto_consent)
        ticket = self.cloud.random.randbytes(16).hex()
        self.waiting[ticket] = asked
        return web.Response(status=302, headers={"Location": f"/u/login?{urlencode({'state': ticket})}"})

    async def form(self, request: web.Request) -> web.Response:
        if request.query.get("state") not in self.waiting:
            return _page("This sign-in has expired", status=400)
        return _login_page(request.query["state"])

    async def login(self, request: web.Request) -> web.Response:
        sent = await _fields(request)
        ticket = sent.get("state") or request.query.get("state", "")
        if ticket not in self.waiting:
            return _page("This sign-in has expired", status=400)
        account = self.cloud.accounts.get(sent.get("username", ""))
        if account is None or account.password != sent.get("password"):
            return _login_page(ticket, "Wrong username or password")
        return self._through(self.waiting.pop(ticket), account.username)

    def _through(self, asked: Mapping[str, str], username: str) -> web.Response:
        challenge = asked.get("code_challenge", "")
        code = self.cloud.tokens.code(username, asked["client_id"], challenge, asked["redirect_uri"])
        back = urlencode({"code": code, "state": asked.get("state", "")})
        return web.Response(status=302, headers={"Location": f"{asked['redirect_uri']}?{back}"})

    async def token(self, request: web.Request) -> web.Response:
        try:
            return web.json_response(self.cloud.tokens.grant(await _fields(request)), headers=_NO_STORE)
        except GrantRefused as refused:
            told = {"error": refused.error, "error_description": refused.description}
            return web.json_response(told, status=refused.status, headers=_NO_STORE)

    async def revoke(self, request: web.Request) -> web.Response:
        self.cloud.tokens.revoke((await _fields(request)).get("token", ""))
        return web.Response()


async def _fields(request: web.Request) -> dict[str, str]:
    """A form, or the same as JSON."""
    if request.content_type == "application/json":
        sent = await request.json()
        return {str(name): str(value) for name, value in sent.items()} if isinstance(sent, dict) else {}
    return {name: value for name, value in (await request.post()).items() if isinstance(value, str)}


def _page(text: str, status: int = 200) -> web.Response:
    return web.Response(text=f"<html><body><p>{html.escape(text)}</p></body></html>", content_type="text/html",
                        status=status)  # fmt: skip


def _login_page(ticket: str, trouble: str = "") -> web.Response:
    said = f'<p id="error" class="wrong-credentials">{html.escape(trouble)}</p>' if trouble else ""
    text = f"""<html><head><title>Log in | CareLink (simulated)</title></head><body>{said}
<form method="post" action="/u/login?{urlencode({"state": ticket})}">
<input type="hidden" name="state" value="{html.escape(ticket, quote=True)}">
<label>Username <input name="username" autocomplete="username"></label>
<label>Password <input name="password" type="password"></label>
<button name="action" value="default">Continue</button>
</form></body></html>"""
    return web.Response(text=text, content_type="text/html")
