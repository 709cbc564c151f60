"""People, what they gave each other, and the tokens they hold."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

OFFLINE_IDLE_S = 3_888_000.0
SESSION_IDLE_S = 28_800.0
CODE_LIFE_S = 60.0


@dataclass(frozen=True, slots=True)
class Account:
    """A person. `roles` as the service lists them (`clinic` for clinicians)."""

    user_id: str
    email: str
    password: str = field(repr=False)
    full_name: str = ""
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Client:
    """A registered application. Public clients have no secret."""

    client_id: str
    redirect_uris: tuple[str, ...]
    secret: str | None = field(default=None, repr=False)


@dataclass(slots=True)
class Login:
    """One signed-in session: all tokens of it live and die together."""

    user_id: str
    client_id: str
    scope: str
    refresh: str = field(repr=False)
    refresh_until: float
    alive: bool = True


@dataclass(slots=True)
class Code:
    """An authorisation code, good once and for a minute."""

    user_id: str
    client_id: str
    redirect_uri: str
    challenge: str
    scope: str
    until: float


@dataclass(slots=True)
class TokenRules:
    """How tokens live. `rotate`: a refresh gives a new refresh token; `refuse_reuse`: an
    old one ends the session; else it is as good as the newest."""

    life_s: float = 720.0
    rotate: bool = True
    refuse_reuse: bool = True
    legacy: bool = True


class Accounts:
    """Accounts, permissions and token state. Times are epoch seconds of the simulator's clock."""

    def __init__(self, now: Callable[[], datetime], new_token: Callable[[], str], rules: TokenRules) -> None:
        self._now, self._new_token, self.rules = now, new_token, rules
        self.people: dict[str, Account] = {}
        self.clients: dict[str, Client] = {}
        self.given: dict[tuple[str, str], frozenset[str]] = {}
        self.codes: dict[str, Code] = {}
        self._access: dict[str, tuple[Login, float]] = {}
        self._refresh: dict[str, Login] = {}

    def now(self) -> datetime:
        """The simulator's clock."""
        return self._now()

    def seconds(self) -> float:
        """Epoch seconds now."""
        return self._now().timestamp()

    def by_email(self, email: str) -> Account | None:
        """The account of an e-mail address."""
        return next((each for each in self.people.values() if each.email == email), None)

    def permissions(self, user_id: str, owner_id: str) -> frozenset[str]:
        """What a person may do with another's data; `root` for their own."""
        if user_id == owner_id:
            return frozenset({"root", "custodian", "upload", "view", "note", "follow"})
        return self.given.get((owner_id, user_id), frozenset())

    # --- tokens ---

    def sign_in(self, user_id: str, client_id: str = "", scope: str = "openid offline_access") -> Login:
        """A new session."""
        login = Login(user_id, client_id, scope, self._new_token(), 0.0)
        self._refresh[login.refresh] = login
        self._prolong(login)
        return login

    def _prolong(self, login: Login) -> None:
        idle = OFFLINE_IDLE_S if "offline_access" in login.scope.split() else SESSION_IDLE_S
        login.refresh_until = self.seconds() + idle

    def access(self, login: Login) -> str:
        """A new access token of a session."""
        token = self._new_token()
        self._access[token] = (login, self.seconds() + self.rules.life_s)
        return token

    def legacy_access(self, login: Login) -> str:
        """The older login's token of a session: `kc:<access>:<refresh>`."""
        access = self.access(login)
        token = f"kc:{access}:{login.refresh}"
        self._access[token] = self._access[access]
        return token

    def who(self, token: str | None) -> str | None:
        """User id of a living access token."""
        login, until = self._access.get(token or "", (None, 0.0))
        return login.user_id if login is not None and login.alive and self.seconds() < until else None

    def refreshed(self, refresh: str, client_id: str) -> Login | None:
        """The session of a refresh token, prolonged and, by the rules, rotated; None: refused."""
        login = self._refresh.get(refresh)
        if login is None or login.client_id != client_id or not login.alive or self.seconds() >= login.refresh_until:
            return None
        if refresh != login.refresh and self.rules.refuse_reuse:
            login.alive = False
            return None
        if self.rules.rotate:
            login.refresh = self._new_token()
            self._refresh[login.refresh] = login
        self._prolong(login)
        return login

    def redeemed(self, code: str, client_id: str, redirect_uri: str, verifier: str) -> Login | None:
        """The session of a code; None when anything does not fit. A code is gone after the first try."""
        found = self.codes.pop(code, None)
        if found is None or self.seconds() > found.until:
            return None
        digest = hashlib.sha256(verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (found.client_id, found.redirect_uri, found.challenge) != (client_id, redirect_uri, challenge):
            return None
        return self.sign_in(found.user_id, client_id, found.scope)

    def end(self, token: str) -> None:
        """End the session of an access or refresh token."""
        login = self._refresh.get(token) or self._access.get(token, (None, 0.0))[0]
        if login is not None:
            login.alive = False

    def end_all(self, user_id: str) -> None:
        """End every session of a person."""
        for login in self._refresh.values():
            login.alive = login.alive and login.user_id != user_id

    def expire_access(self) -> None:
        """Let every access token run out now; refresh tokens live on."""
        self._access.clear()
