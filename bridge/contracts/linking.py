"""The `Linking` and `Session` seams: how access is granted, and HTTP limited to it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bridge.model.health import Health


@dataclass(frozen=True, slots=True)
class Step:
    """A question to a person. `secret` answers are never shown, logged or stored."""

    key: str
    prompt: str
    secret: bool = False
    choices: Mapping[str, str] = field(default_factory=dict)
    """Answer -> label. Empty: free text. `many`: several answers, separated by commas, or `all`."""
    many: bool = False


@dataclass(frozen=True, slots=True)
class Authorise:
    """An OAuth code flow that `credentials` walks (PKCE S256, state, paste-back or loop-back redirect).

    When it is through, `begin` is called again with the key `authorised` in `answers` and a session that
    carries the fresh token. `hosts` are those the token may reach.
    """

    client_id: str
    authorization_url: str
    token_url: str
    redirect_uri: str
    scope: str
    hosts: tuple[str, ...]
    params: Mapping[str, str] = field(default_factory=dict)
    """Further query parameters of the authorize address (`audience`, `prompt`)."""
    revocation_url: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    header: str = "Authorization"
    refresh_margin_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Hold:
    """A credential found without a code flow (token file, one-time secret). `begin` is called again with
    `authorised` in `answers` and a session that carries it."""

    credential: Credential
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OAuthToken:
    """A rotating grant and all that refreshing it needs. Lives in the vault only."""

    client_id: str
    token_url: str
    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_at: float
    """Epoch seconds."""
    scope: str = ""
    revocation_url: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    header: str = "Authorization"
    """Header that carries the access token (`Authorization` gets the Bearer scheme, others the bare token)."""
    refresh_margin_s: float = 60.0
    """The session refreshes by itself when less than this remains."""
    obtained_at: float = 0.0
    refreshed_at: float = 0.0
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StaticToken:
    """A long-lived token, sent in one header (Nightscout access token: `api-secret`)."""

    token: str = field(repr=False)
    header: str
    obtained_at: float = 0.0
    extra: Mapping[str, str] = field(default_factory=dict)


Credential = OAuthToken | StaticToken


@dataclass(frozen=True, slots=True)
class Grant:
    """The end of linking: what was obtained or held goes into the vault with these hosts and scopes.

    `hosts` are `host` or `host:port`; a leading dot allows a domain and all below it (`.minimed.eu`).
    `settings` go to the profile's settings file (site URL, patient); `others` are the settings of further
    people the same credential serves, each to become a profile of its own: display name -> settings.
    """

    hosts: tuple[str, ...]
    scopes: tuple[str, ...]
    settings: Mapping[str, Any]
    summary: str
    others: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read whole within the session's limits."""

    status: int
    headers: Mapping[str, str]
    """Lower-case names."""
    body: bytes
    url: str = ""

    def json(self) -> Any:
        """Parsed body. Raises ValueError when it is not JSON."""
        return json.loads(self.body)


class Session(Protocol):
    """HTTP limited to one credential and its hosts. Never shows the credential.

    Raises Transient on connect errors, time-outs and cut answers; NotAllowed for another host;
    Unauthorised when there is no usable credential; and what `renew` raises when it has to refresh first. Any
    HTTP status is returned as an Answer.
    """

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        json: Any = None,
        data: bytes | Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        authorise: bool = True,
        timeout_s: float = 30.0,
        limit_bytes: int = 8 * 1024 * 1024,
    ) -> Answer:
        """One request. `authorise=False` sends no credential. `{token}` in `url` is replaced by the static
        token inside the session (only for the exchange that needs it in the path)."""
        ...

    async def renew(self, *, client_id: str | None = None, token_url: str | None = None) -> None:
        """Refresh the credential once, after a 401. `client_id`, `token_url`: the provider moved, use these.

        Raises Unauthorised when only a person can help, Moved when the provider no longer knows the client or
        the address (discover again, then renew with what was found), Transient or Throttled on an outage.
        """
        ...


class Linking(Protocol):
    """How a person grants access: the faces walk these steps; `credentials` keeps the result.

    Stateless: every call gets all answers so far by step key.
    """

    name: str
    scopes: tuple[str, ...]
    """What it asks for, as a person may read it."""

    async def begin(
        self, session: Session, settings: Mapping[str, Any], answers: Mapping[str, str]
    ) -> Step | Authorise | Hold | Grant:
        """The next step, or the grant. `settings` are the plug-in's current ones (a simulator's addresses, a
        client id) and `installation`, the installation's short id. `session` has no credential before
        `authorised` is in `answers`; until then it reaches any https host and loop-back. Raises Refused
        for an answer that does not fit, saying what to do next."""
        ...

    async def check(self, session: Session, settings: Mapping[str, Any]) -> Health:
        """Dry run of the rights with the granted credential."""
        ...

    async def revoke(self, session: Session, settings: Mapping[str, Any]) -> str:
        """Revoke at the provider beyond the OAuth revocation that `credentials` does itself; one sentence on what
        happened and what is left for the person to do. Empty when there is nothing to say."""
        ...
