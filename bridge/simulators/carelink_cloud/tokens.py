"""The sign-in server: codes with PKCE, rotating refresh tokens with reuse detection, one session per account."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

REDIRECT_URI = "com.medtronic.carepartner:/sso"
SCOPE = "profile openid offline_access"
_CODE_LIVES = timedelta(minutes=10)


class GrantRefused(Exception):
    """The token endpoint says no: HTTP status, OAuth error and its description."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.status, self.error, self.description = status, error, description


@dataclass(slots=True)
class Session:
    """One sign-in and all tokens that came of it."""

    account: str
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class _Code:
    account: str
    challenge: str
    redirect_uri: str
    client_id: str
    issued: datetime


@dataclass(slots=True)
class _Refresh:
    session: Session
    client_id: str
    used: datetime | None = None


@dataclass(slots=True)
class TokenServer:
    """`expires_in_s`: life of an access token. `reuse_leeway_s`: how long after its use an old refresh token is
    still answered; later use of it revokes the whole session. `client_ids` may be changed: the old one is refused."""

    clock: Callable[[], datetime]
    random: Random
    expires_in_s: int = 10_800
    reuse_leeway_s: float = 0.0
    one_session: bool = True
    client_ids: dict[str, str] = field(default_factory=lambda: {"US": "simulated-us", "EU": "simulated-eu"})
    refreshes: int = 0
    reuses: int = 0
    """How often a spent refresh token came outside the leeway."""
    _codes: dict[str, _Code] = field(default_factory=dict)
    _refresh: dict[str, _Refresh] = field(default_factory=dict)
    _access: dict[str, tuple[Session, datetime]] = field(default_factory=dict)
    _sessions: dict[str, list[Session]] = field(default_factory=dict)

    def code(self, account: str, client_id: str, challenge: str, redirect_uri: str) -> str:
        """A one-time code for an account that has signed in."""
        code = self._token("code")
        self._codes[code] = _Code(account, challenge, redirect_uri, client_id, self.clock())
        return code

    def grant(self, form: Mapping[str, str]) -> dict[str, Any]:
        """Answer of the token endpoint. Raises GrantRefused."""
        if form.get("client_id") not in self.client_ids.values():
            raise GrantRefused(401, "invalid_client", "Unknown client.")
        match form.get("grant_type"):
            case "authorization_code":
                return self._redeem(form)
            case "refresh_token":
                return self._rotate(form)
        raise GrantRefused(403, "unsupported_grant_type", "Unsupported grant type.")

    def sign_in(self, account: str, client_id: str) -> dict[str, Any]:
        """Tokens of a fresh session, as the code flow would give; ends the account's other sessions."""
        if self.one_session:
            self.end_sessions(account)
        session = Session(account)
        self._sessions.setdefault(account, []).append(session)
        return self._issue(session, client_id)

    def end_sessions(self, account: str) -> None:
        """Somebody else signs in with the account, or it is closed: all its tokens die."""
        for session in self._sessions.pop(account, []):
            session.revoked = True

    def revoke(self, token: str) -> None:
        """End the session a refresh token belongs to; unknown ones are ignored."""
        if token in self._refresh:
            self._refresh[token].session.revoked = True

    def account_of(self, access_token: str) -> str | None:
        """Who a live access token belongs to."""
        session, expires = self._access.get(access_token, (None, self.clock()))
        return session.account if session and not session.revoked and expires > self.clock() else None

    def expire_access(self) -> None:
        """All access tokens die early; refresh tokens live on."""
        self._access.clear()

    def _redeem(self, form: Mapping[str, str]) -> dict[str, Any]:
        code = self._codes.pop(form.get("code", ""), None)
        if code is None or self.clock() - code.issued > _CODE_LIVES:
            raise GrantRefused(403, "invalid_grant", "Invalid authorization code")
        if (code.client_id, code.redirect_uri) != (form.get("client_id"), form.get("redirect_uri")):
            raise GrantRefused(403, "invalid_grant", "The code was issued for another client or address.")
        if code.challenge and code.challenge != challenge_of(form.get("code_verifier", "")):
            raise GrantRefused(403, "invalid_grant", "Failed to verify code verifier")
        return self.sign_in(code.account, code.client_id)

    def _rotate(self, form: Mapping[str, str]) -> dict[str, Any]:
        known = self._refresh.get(form.get("refresh_token", ""))
        if known is None or known.session.revoked or known.client_id != form.get("client_id"):
            raise GrantRefused(403, "invalid_grant", "Unknown or invalid refresh token.")
        now = self.clock()
        if known.used is not None and now - known.used > timedelta(seconds=self.reuse_leeway_s):
            self.reuses += 1
            known.session.revoked = True
            raise GrantRefused(403, "invalid_grant", "Unknown or invalid refresh token.")
        known.used = known.used or now
        self.refreshes += 1
        return self._issue(known.session, known.client_id)

    def _issue(self, session: Session, client_id: str) -> dict[str, Any]:
        now = self.clock()
        expires = now + timedelta(seconds=self.expires_in_s)
        self._access = {token: (owner, end) for token, (owner, end) in self._access.items() if end > now}
        access, refresh = self._jwt(session.account, client_id, now, expires), self._token("v1.")
        self._access[access] = (session, expires)
        self._refresh[refresh] = _Refresh(session, client_id)
        return {
            "access_token": access, "refresh_token": refresh, "id_token": self._token("id."), "scope": SCOPE,
            "expires_in": self.expires_in_s, "token_type": "Bearer",
        }  # fmt: skip

    def _token(self, prefix: str) -> str:
        return prefix + _text(self.random.randbytes(32))

    def _jwt(self, account: str, client_id: str, now: datetime, expires: datetime) -> str:
        claims = {
            "iss": "simulated", "sub": f"auth0|{account}", "aud": ["carepartner.patient.ous"], "azp": client_id,
            "iat": int(now.timestamp()), "exp": int(expires.timestamp()), "scope": SCOPE,
            "jti": _text(self.random.randbytes(9)),
        }  # fmt: skip
        head = ".".join(_text(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        return f"{head}.{_text(hmac.digest(b'simulated', head.encode(), 'sha256'))}"


def challenge_of(verifier: str) -> str:
    """PKCE S256 challenge of a verifier."""
    return _text(hashlib.sha256(verifier.encode()).digest())


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
