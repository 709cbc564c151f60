"""Signing in: environment info, the OpenID provider, the older login, and who shares with whom."""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from aiohttp import web

from bridge.simulators.tidepool.accounts import CODE_LIFE_S, Account, Code, Login
from bridge.simulators.tidepool.answers import answer
from bridge.simulators.tidepool.world import TOKEN_HEADER, World


def _oauth_error(error: str, description: str, status: int = 400) -> web.Response:
    return answer({"error": error, "error_description": description}, status)


class SignIn:
    """Handlers of `/info`, the realm, `/auth` and `/metadata`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        realm = f"/realms/{self._world.realm}"
        protocol = realm + "/protocol/openid-connect"
        return [
            web.get("/info", self.info), web.get(realm + "/.well-known/openid-configuration", self.discovery),
            web.get(protocol + "/auth", self.authorize), web.post(protocol + "/token", self.token),
            web.post(protocol + "/revoke", self.revoke), web.get(protocol + "/userinfo", self.userinfo),
            web.post("/auth/login", self.legacy_login), web.get("/auth/login", self.legacy_refresh),
            web.post("/auth/logout", self.legacy_logout), web.get("/auth/user", self.user),
            web.get("/metadata/users/{user}/users", self.sharing),
        ]  # fmt: skip

    # --- OpenID ---

    async def info(self, request: web.Request) -> web.Response:
        """Where to sign in."""
        auth = {"realm": self._world.realm, "url": str(request.url.origin())}
        return answer({"auth": auth, "versions": {"schema": 3}})

    async def discovery(self, request: web.Request) -> web.Response:
        """The provider's addresses."""
        issuer = f"{request.url.origin()}/realms/{self._world.realm}"
        protocol = issuer + "/protocol/openid-connect"
        return answer({
            "issuer": issuer, "authorization_endpoint": protocol + "/auth", "token_endpoint": protocol + "/token",
            "userinfo_endpoint": protocol + "/userinfo", "revocation_endpoint": protocol + "/revoke",
            "code_challenge_methods_supported": ["S256"], "response_types_supported": ["code"],
            "scopes_supported": ["openid", "offline_access", "email", "profile"],
        })  # fmt: skip

    async def authorize(self, request: web.Request) -> web.Response:
        """The sign-in page, with nobody in front of it: consents at once, as whom `consent` says."""
        query = request.query
        client = self._world.accounts.clients.get(query.get("client_id", ""))
        if client is None or query.get("redirect_uri") not in client.redirect_uris:
            return web.Response(status=400, text="Invalid parameter: client_id or redirect_uri")
        redirect = str(query["redirect_uri"])
        state = {"state": query["state"]} if "state" in query else {}
        if query.get("response_type") != "code" or query.get("code_challenge_method") != "S256":
            return _redirect(redirect, {"error": "invalid_request", **state})
        if self._world.consent is None:
            return _redirect(redirect, {"error": "access_denied", **state})
        code = secrets.token_hex(16)
        self._world.accounts.codes[code] = Code(
            self._world.consent, client.client_id, redirect, query["code_challenge"], query.get("scope", "openid"),
            self._world.accounts.seconds() + CODE_LIFE_S,
        )  # fmt: skip
        return _redirect(redirect, {"code": code, **state})

    async def token(self, request: web.Request) -> web.Response:
        """Code or refresh token for tokens."""
        form = await request.post()
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        client = self._world.accounts.clients.get(fields.get("client_id", ""))
        if client is None or (client.secret is not None and fields.get("client_secret") != client.secret):
            return _oauth_error("invalid_client", "Invalid client or Invalid client credentials", 401)
        match fields.get("grant_type"):
            case "authorization_code":
                login = self._world.accounts.redeemed(
                    fields.get("code", ""), client.client_id, fields.get("redirect_uri", ""),
                    fields.get("code_verifier", ""),
                )  # fmt: skip
            case "refresh_token":
                login = self._world.accounts.refreshed(fields.get("refresh_token", ""), client.client_id)
            case _:
                return _oauth_error("unsupported_grant_type", "Unsupported grant_type")
        return _oauth_error("invalid_grant", "Token is not active") if login is None else self._tokens(login)

    def _tokens(self, login: Login) -> web.Response:
        accounts = self._world.accounts
        return answer({
            "access_token": accounts.access(login), "expires_in": int(accounts.rules.life_s),
            "refresh_token": login.refresh, "refresh_expires_in": int(login.refresh_until - accounts.seconds()),
            "token_type": "Bearer", "scope": login.scope,
        })  # fmt: skip

    async def revoke(self, request: web.Request) -> web.Response:
        """End the session of a token; an unknown one is fine."""
        form = await request.post()
        self._world.accounts.end(str(form.get("token", "")))
        return web.Response(status=200)

    async def userinfo(self, request: web.Request) -> web.Response:
        """Who the token belongs to."""
        user_id = self._world.who(request)
        if user_id is None:
            return _oauth_error("invalid_token", "Token verification failed", 401)
        account = self._world.accounts.people[user_id]
        return answer({"sub": user_id, "email": account.email, "preferred_username": account.email})

    # --- the older login ---

    async def legacy_login(self, request: web.Request) -> web.Response:
        """E-mail and password for a session token."""
        if not self._world.accounts.rules.legacy:
            return web.Response(status=404)
        email, password = _basic(request.headers.get("Authorization", ""))
        if not email or not password:
            return answer({"code": 400, "reason": "Missing id and/or password"}, 400)
        account = self._world.accounts.by_email(email)
        if account is None or account.password != password:
            return answer({"code": 401, "reason": "No user matched the given details"}, 401)
        return self._legacy(account, self._world.accounts.sign_in(account.user_id))

    def _legacy(self, account: Account, login: Login) -> web.Response:
        token = self._world.accounts.legacy_access(login)
        return answer(_person(account), headers={"x-tidepool-session-token": token})

    async def legacy_refresh(self, request: web.Request) -> web.Response:
        """A fresh session token for an older one, as long as its session lives."""
        token = request.headers.get(TOKEN_HEADER, "")
        login = self._world.accounts.refreshed(token.rpartition(":")[2], "")
        if login is None:
            return answer({"code": 401, "reason": "Session token is invalid"}, 401)
        return self._legacy(self._world.accounts.people[login.user_id], login)

    async def legacy_logout(self, request: web.Request) -> web.Response:
        """End the session."""
        token = request.headers.get(TOKEN_HEADER, "")
        self._world.accounts.end(token)
        return web.Response(status=200)

    # --- people ---

    async def user(self, request: web.Request) -> web.Response:
        """The account of the token."""
        user_id = self._world.who(request)
        if user_id is None:
            return answer({"code": 401, "reason": "Session token is invalid"}, 401)
        return answer(_person(self._world.accounts.people[user_id]))

    async def sharing(self, request: web.Request) -> web.Response:
        """Those who share with a person, and what they gave."""
        me = self._world.who(request)
        if me is None or me != request.match_info["user"]:
            return answer({"code": 401, "reason": "Unauthorized"}, 401)
        given = self._world.accounts.given
        people = self._world.accounts.people
        return answer([
            {
                "userid": owner, "profile": {"fullName": people[owner].full_name, "patient": {}},
                "trustorPermissions": {name: {} for name in sorted(permissions)}, "trusteePermissions": {},
            }
            for (owner, other), permissions in given.items() if other == me
        ])  # fmt: skip


def _redirect(address: str, parameters: dict[str, str]) -> web.Response:
    parts = urlsplit(address)
    query = "&".join(filter(None, (parts.query, urlencode(parameters))))
    return web.Response(status=302, headers={"Location": urlunsplit(parts._replace(query=query))})


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    try:
        email, _, password = base64.b64decode(encoded).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return (email, password) if scheme == "Basic" else ("", "")


def _person(account: Account) -> dict[str, Any]:
    return {
        "userid": account.user_id, "username": account.email, "emails": [account.email], "emailVerified": True,
        "termsAccepted": "2024-01-01T00:00:00Z", "roles": list(account.roles),
    }  # fmt: skip
