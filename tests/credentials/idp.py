"""An identity provider on loop-back that rotates refresh tokens and punishes reuse, with faults on order."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

CLIENT_ID, REDIRECT = "bridge-test", "com.example.bridge:/sso"


def jwt(exp: float, **claims: Any) -> str:
    """An unsigned-looking token with an `exp`."""
    parts = ({"alg": "RS256", "typ": "JWT"}, {"exp": exp, "jti": secrets.token_hex(8), **claims}, "signature")
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)


@dataclass
class Family:
    """One login: the living refresh token, its predecessor, and the access tokens that work."""

    living: str
    previous: str | None = None
    access: set[str] = field(default_factory=set)
    used: bool = True
    """Whether anything issued at the last rotation was used: then the predecessor is dead for good."""
    revoked: bool = False


class FakeIdP:
    """`faults` is consumed one per token request. `leeway`: a predecessor is forgiven until its successor is used."""

    def __init__(self, *, leeway: bool = False, life_s: int = 3600) -> None:
        self.leeway, self.life_s = leeway, life_s
        self.faults: deque[str] = deque()
        self.codes: dict[str, dict[str, str]] = {}
        self.families: dict[str, Family] = {}
        self.refreshes = self.exchanges = self.forgiven = self.calls = 0
        self.revocations: list[str] = []
        self.revocation_status = 200
        self.seen: list[dict[str, str]] = []
        self.gate: asyncio.Event | None = None
        self.lag_s: Callable[[], float] = lambda: 0.0
        self._stirred = asyncio.Event()
        self.client_id, self.rotate, self.offline, self.extra = CLIENT_ID, True, True, dict[str, Any]()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/oauth/token", self._token)
        app.router.add_post("/oauth/revoke", self._revoke)
        app.router.add_route("*", "/me", self._me)
        return app

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once a condition on the counts holds."""
        while not condition():
            self._stirred.clear()
            await self._stirred.wait()

    def login(self) -> tuple[str, str]:
        """Access and refresh token of a new family."""
        family = Family(secrets.token_urlsafe(32))
        self.families[family.living] = family
        access = f"access-{secrets.token_urlsafe(16)}"
        family.access.add(access)
        return access, family.living

    def kill(self) -> None:
        """Revoke everything, as a second login elsewhere would."""
        for family in self.families.values():
            family.revoked = True
            family.access.clear()

    async def _authorize(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        code = secrets.token_urlsafe(24)
        self.codes[code] = query
        location = f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"
        return web.Response(status=302, headers={"Location": location})

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.seen.append(form)
        self.calls += 1
        self._stirred.set()
        if self.gate is not None:
            await self.gate.wait()
        fault = self.faults.popleft() if self.faults else ""
        if plain := _plain_fault(fault):
            return plain
        if form.get("client_id") != self.client_id:
            return _error(401, "invalid_client")
        grant = {"authorization_code": self._exchanged, "refresh_token": self._refreshed}[form["grant_type"]](form)
        if isinstance(grant, web.Response):
            return grant
        await asyncio.sleep(self.lag_s())
        return await _answer(request, grant, fault)

    def _exchanged(self, form: dict[str, str]) -> dict[str, Any] | web.Response:
        asked = self.codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if asked is None or asked.get("code_challenge") != challenge.decode().rstrip("="):
            return _error(403, "invalid_grant")
        if form.get("redirect_uri") != asked["redirect_uri"] or asked.get("code_challenge_method") != "S256":
            return _error(403, "invalid_grant")
        self.exchanges += 1
        access, refresh = self.login()
        return self._grant(access, refresh)

    def _refreshed(self, form: dict[str, str]) -> dict[str, Any] | web.Response:
        shown = form.get("refresh_token", "")
        family = self.families.get(shown)
        if family is None or family.revoked:
            return _error(403, "invalid_grant")
        if shown != family.living:
            if not (self.leeway and shown == family.previous and not family.used):
                family.revoked = True
                family.access.clear()
                return _error(403, "invalid_grant")
            self.forgiven += 1
        return self._rotated(family, shown)

    def _rotated(self, family: Family, shown: str) -> dict[str, Any]:
        self.refreshes += 1
        self._stirred.set()
        if self.rotate:
            family.previous, family.living, family.used = shown, secrets.token_urlsafe(32), False
            self.families[family.living] = family
        access = f"access-{secrets.token_urlsafe(16)}"
        family.access = {access}
        return self._grant(access, family.living if self.rotate else None)

    def _grant(self, access: str, refresh: str | None) -> dict[str, Any]:
        granted = {"access_token": access, "token_type": "Bearer", "expires_in": self.life_s, **self.extra}
        if refresh and self.offline:
            granted["refresh_token"] = refresh
        return granted

    async def _revoke(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.seen.append(form)
        if self.revocation_status == 200:
            self.revocations.append(form["token_type_hint"])
            if family := self.families.get(form["token"]):
                family.revoked = True
                family.access.clear()
        return web.Response(status=self.revocation_status)

    async def _me(self, request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        for family in self.families.values():
            if token in family.access:
                family.used = True
                return web.json_response({"ok": True})
        return web.json_response({"error": "unauthorised"}, status=401)


def _error(status: int, code: str) -> web.Response:
    return web.json_response({"error": code, "error_description": "Unknown or invalid"}, status=status)


def _plain_fault(fault: str) -> web.Response | None:
    """Answers given before anything is rotated."""
    page = "<html>Blocked</html>"
    return {
        "invalid_grant_400": lambda: _error(400, "invalid_grant"),
        "invalid_grant_401": lambda: _error(401, "invalid_grant"),
        "invalid_grant_403": lambda: _error(403, "invalid_grant"),
        "invalid_client_400": lambda: _error(400, "invalid_client"),
        "invalid_client_401": lambda: _error(401, "invalid_client"),
        "404": lambda: web.Response(status=404, text="gone"),
        "400": lambda: _error(400, "invalid_request"),
        "400_html": lambda: web.Response(status=400, text=page, content_type="text/html"),
        "403_html": lambda: web.Response(status=403, text=page, content_type="text/html"),
        "302": lambda: web.Response(status=302, headers={"Location": "https://portal.example/"}),
        "429": lambda: web.Response(status=429, headers={"Retry-After": "120"}),
        "500": lambda: web.Response(status=500, text="boom"),
        "503_json": lambda: _error(503, "temporarily_unavailable"),
    }.get(fault, lambda: None)()


async def _answer(request: web.Request, grant: dict[str, Any], fault: str) -> web.StreamResponse:
    """The grant, or how it gets lost on its way: `hang`, `cut`, `drop`, `garbage` all rotate first."""
    if fault == "hang":
        await asyncio.sleep(0.6)
    if fault == "garbage":
        return web.Response(text="<html>", content_type="text/html")
    if fault in {"cut", "drop"} and request.transport is not None:
        if fault == "cut":
            request.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + json.dumps(grant).encode()[:40]
            )
            await asyncio.sleep(0.01)
        request.transport.close()
    return web.json_response(grant)
