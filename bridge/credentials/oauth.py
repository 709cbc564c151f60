"""The provider's token and revocation endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_token_request
from authlib.oauth2.rfc7009 import prepare_revoke_token_request

from bridge.contracts import Answer, Clock, OAuthToken
from bridge.credentials import token_answer
from bridge.credentials.hosts import host_of, parse, require_safe
from bridge.credentials.login import PendingLogin
from bridge.credentials.wire import Call, NoAnswer, attempt, send
from bridge.errors import BridgeError, Refused, Transient, Unauthorised
from bridge.redaction import hide

_ANSWER_BYTES = 256 * 1024


class OAuthClient:
    """Exchanges codes, refreshes and revokes over the shared HTTP client; keeps nothing."""

    def __init__(
        self,
        client: aiohttp.ClientSession,
        clock: Clock,
        *,
        allow_private_http: bool = False,
        timeout_s: float = 20.0,
    ) -> None:
        self._client, self._clock = client, clock
        self._allow_private_http, self._timeout_s = allow_private_http, timeout_s

    async def exchange(self, login: PendingLogin, code: str) -> OAuthToken:
        """The first token of a login. Raises Refused when the code or the answer is no good, else as `failure`."""
        asked = login.authorise
        blank = OAuthToken(
            client_id=asked.client_id,
            token_url=asked.token_url,
            access_token="",
            refresh_token=None,
            expires_at=0.0,
            scope=asked.scope,
            revocation_url=asked.revocation_url,
            client_secret=asked.client_secret,
            header=asked.header,
            refresh_margin_s=asked.refresh_margin_s,
            obtained_at=self._clock.now().timestamp(),
        )
        form = {"code": code, "redirect_uri": asked.redirect_uri, "code_verifier": login.verifier}
        token = await self._grant(blank, "authorization_code", form)
        if isinstance(token, NoAnswer):
            raise token.error
        if isinstance(token, Unauthorised):
            raise Refused("The login's code has expired or was already used.", next_step="Begin again.")
        if isinstance(token, BridgeError):
            raise token
        if token.refresh_token is None and "offline_access" in asked.scope.split():
            raise Refused(
                "The provider gave no refresh token, so the link would end within hours.",
                next_step="Allow offline access when signing in, then begin again.",
            )
        return token

    async def refresh(self, token: OAuthToken) -> OAuthToken | NoAnswer | BridgeError:
        """The next token of the family, or what went wrong; never raises for what the provider does.

        `NoAnswer.sent` means that the refresh token may have been used up. Needs a refresh token.
        """
        return await self._grant(token, "refresh_token", {"refresh_token": token.refresh_token})

    async def revoke(self, token: OAuthToken) -> str:
        """Revoke access and refresh token (RFC 7009); one sentence on what happened. Raises Transient on an
        outage."""
        if token.revocation_url is None:
            return "The provider offers no revocation; the token ends by itself."
        host, refused = host_of(parse(token.revocation_url)), False
        for kind, text in (("access_token", token.access_token), ("refresh_token", token.refresh_token)):
            if not text:
                continue
            body, _ = prepare_revoke_token_request(text, kind)
            answer = await send(self._client, self._post(token, token.revocation_url, body))
            if answer.status >= 500 or answer.status == 429:
                raise Transient(f"{host} answered {answer.status} to the revocation.", next_step="Try again later.")
            refused = answer.status >= 300
        if refused:
            return f"{host} did not accept the revocation; end the session on its own site."
        return f"The token was revoked at {host}."

    async def _grant(
        self, token: OAuthToken, grant_type: str, form: Mapping[str, str | None]
    ) -> OAuthToken | NoAnswer | BridgeError:
        body = prepare_token_request(grant_type, **form)
        outcome = await attempt(self._client, self._post(token, token.token_url, body))
        if isinstance(outcome, NoAnswer):
            return outcome
        return self._read(token, outcome)

    def _read(self, token: OAuthToken, answer: Answer) -> OAuthToken | NoAnswer | BridgeError:
        now, host = self._clock.now(), host_of(parse(token.token_url))
        failure = token_answer.failure(answer, host, now)
        if failure is not None:
            return failure
        fields = token_answer.tokens(answer)
        if fields is None:
            return NoAnswer(Transient(f"{host} gave an answer without a token in it."), sent=True)
        return _next(token, fields, now.timestamp())

    def _post(self, token: OAuthToken, url: str, body: str) -> Call:
        target = parse(url)
        require_safe(target, allow_private_http=self._allow_private_http)
        method = "client_secret_basic" if token.client_secret else "none"
        auth = ClientAuth(token.client_id, token.client_secret, method)
        _, headers, body = auth.prepare("POST", url, {"Accept": "application/json"}, body)
        form = dict(parse_qsl(body, keep_blank_values=True))
        return Call("POST", target, data=form, headers=headers, timeout_s=self._timeout_s, limit_bytes=_ANSWER_BYTES)


def _next(token: OAuthToken, fields: Mapping[str, Any], now: float) -> OAuthToken:
    """The credential with the answer's tokens; without a new refresh token the old one goes on."""
    refresh = fields.get("refresh_token")
    scope = fields.get("scope")
    hide(fields["access_token"])
    if isinstance(refresh, str) and refresh:
        hide(refresh)
    return replace(
        token,
        access_token=fields["access_token"],
        refresh_token=refresh if isinstance(refresh, str) and refresh else token.refresh_token,
        scope=scope if isinstance(scope, str) and scope else token.scope,
        expires_at=token_answer.expires_at(fields, now),
        refreshed_at=now,
    )
