"""HTTP for readers and adapters: one credential, its own hosts, and never the credential itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import aiohttp

from bridge.contracts import Answer, Clock, OAuthToken, StaticToken
from bridge.credentials.entry import Entry
from bridge.credentials.hosts import parse, require_listed, require_safe
from bridge.credentials.keeper import Keeper
from bridge.credentials.oauth import OAuthClient
from bridge.credentials.vault import Vault
from bridge.credentials.wire import Call, Query, send
from bridge.errors import NotAllowed, Unauthorised
from bridge.model.health import Health

_PLACE = "{token}"

Check = Callable[[], None]
"""Raises when a request may not leave any more: getting a token, or a place, may have taken long."""


class Holder(Protocol):
    """Who holds the credential a session sends."""

    async def current(self) -> Entry:
        """The credential as it is."""
        ...

    async def usable(self) -> Entry:
        """The credential, refreshed where that is due."""
        ...

    async def renew(self, spent: str | None, client_id: str | None = None, token_url: str | None = None) -> None:
        """Refresh unless `spent` has been replaced already."""
        ...


class AuthorisedSession:
    """A `Session` limited to one credential and its hosts, over the shared client."""

    def __init__(
        self,
        holder: Holder,
        client: aiohttp.ClientSession,
        *,
        allow_private_http: bool = False,
        check: Check | None = None,
    ) -> None:
        self._holder, self._client, self._allow_private_http = holder, client, allow_private_http
        self._check = check
        self._spent: str | None = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Query = None,
        json: Any = None,
        data: bytes | Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        authorise: bool = True,
        timeout_s: float = 30.0,
        limit_bytes: int = 8 * 1024 * 1024,
    ) -> Answer:
        """One request; see `bridge.contracts.Session`. The host is checked before the credential is touched."""
        require_listed(parse(url), (await self._holder.current()).hosts)
        require_safe(parse(url), allow_private_http=self._allow_private_http)
        entry = await self._holder.usable() if authorise or _PLACE in url else None
        target = parse(_filled(url, entry))
        sent = dict(headers or {})
        if authorise and entry is not None:
            sent = _with_header(sent, *entry.header)
        call = Call(method, target, params, json, data, sent, timeout_s, limit_bytes, shown=url)
        if self._check is not None:
            self._check()
        answer = await send(self._client, call)
        self._remember(entry, answer.status)
        return answer

    async def renew(self, *, client_id: str | None = None, token_url: str | None = None) -> None:
        """Refresh once after a 401; nothing happens when the refused token has been replaced already."""
        spent, self._spent = self._spent, None
        await self._holder.renew(spent, client_id, token_url)

    def _remember(self, entry: Entry | None, status: int) -> None:
        """Which access token was refused last: `renew` is about that one."""
        if status in {401, 403} and entry is not None and isinstance(entry.credential, OAuthToken):
            self._spent = entry.credential.access_token

    def __repr__(self) -> str:
        return "AuthorisedSession()"


class OpenSession:
    """A `Session` without a credential, for linking: it reaches any https host and loop-back."""

    def __init__(self, client: aiohttp.ClientSession, *, allow_private_http: bool = False) -> None:
        self._client, self._allow_private_http = client, allow_private_http

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Query = None,
        json: Any = None,
        data: bytes | Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        authorise: bool = True,
        timeout_s: float = 30.0,
        limit_bytes: int = 8 * 1024 * 1024,
    ) -> Answer:
        """One request that carries what the caller gives and nothing else."""
        target = parse(url)
        require_safe(target, allow_private_http=self._allow_private_http)
        sent = dict(headers or {})
        return await send(
            self._client, Call(method, target, params, json, data, sent, timeout_s, limit_bytes, shown=url)
        )

    async def renew(self, *, client_id: str | None = None, token_url: str | None = None) -> None:
        """Raises Unauthorised: there is nothing to renew."""
        raise Unauthorised("Nothing is linked yet.", next_step="Finish linking first.", state="not_linked")


class Sessions:
    """All sessions of this process: one client, one keeper per credential. The engine makes one of these."""

    def __init__(
        self,
        vault: Vault,
        client: aiohttp.ClientSession,
        clock: Clock,
        *,
        random: Random | None = None,
        allow_private_http: bool = False,
        token_timeout_s: float = 20.0,
    ) -> None:
        self.vault, self.client, self.clock = vault, client, clock
        self.allow_private_http = allow_private_http
        self.provider = OAuthClient(client, clock, allow_private_http=allow_private_http, timeout_s=token_timeout_s)
        self._random = random or Random()  # noqa: S311
        self._keepers: dict[str, Keeper] = {}

    def keeper(self, name: str) -> Keeper:
        """The keeper of a credential, whether or not it is in the vault yet."""
        if name not in self._keepers:
            self._keepers[name] = Keeper(name, self.vault, self.provider, self.clock, self._random)
        return self._keepers[name]

    def authorised(self, name: str, check: Check | None = None) -> AuthorisedSession:
        """A session of one credential; its requests raise Unauthorised while that is not linked, and what `check`
        raises at the moment they would leave."""
        return self.over(self.keeper(name), check)

    def over(self, holder: Holder, check: Check | None = None) -> AuthorisedSession:
        """A session of a credential held elsewhere (one that is just being linked)."""
        return AuthorisedSession(holder, self.client, allow_private_http=self.allow_private_http, check=check)

    def open(self) -> OpenSession:
        """A session without credential."""
        return OpenSession(self.client, allow_private_http=self.allow_private_http)

    async def health(self) -> Mapping[str, Health]:
        """State of every credential in use."""
        return {name: await keeper.health() for name, keeper in self._keepers.items()}

    async def close(self) -> None:
        """Let refreshes end and save what is unsaved, then close the client."""
        for keeper in self._keepers.values():
            await keeper.settle()
        await self.client.close()


def _filled(url: str, entry: Entry | None) -> str:
    """The address with the static token in its path, where the caller asked for that."""
    if _PLACE not in url:
        return url
    parts = urlsplit(url)
    if entry is None or not isinstance(entry.credential, StaticToken) or _PLACE in parts.netloc + parts.query:
        raise NotAllowed("Only a long-lived token may stand in an address, and only in its path.")
    return parts._replace(path=parts.path.replace(_PLACE, quote(entry.credential.token, safe=""))).geturl()


def _with_header(headers: Mapping[str, str], name: str, value: str) -> dict[str, str]:
    kept = {given: text for given, text in headers.items() if given.lower() != name.lower()}
    return {**kept, name: value}
