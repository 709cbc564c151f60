"""A whole Tidepool on one loop-back port: sign-in, data service and read-back."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from bridge.simulators.tidepool.accounts import Account, Accounts, Client, TokenRules
from bridge.simulators.tidepool.data_sets import NONE, DataSet, Store, Stored
from bridge.simulators.tidepool.faults import Knobs, Outage
from bridge.simulators.tidepool.login import SignIn
from bridge.simulators.tidepool.reading import Reading, read_form
from bridge.simulators.tidepool.service import DataService, new_id
from bridge.simulators.tidepool.world import Seen, World

BODY_LIMIT = 256 * 1024 * 1024
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class TidepoolSim:
    """Tidepool as far as a bridge can see it. State lives in memory; `app()` may be served several times.

    `now` is the simulator's clock; `realm` the name in the sign-in addresses.
    """

    def __init__(self, *, now: Callable[[], datetime] = _utc_now, realm: str = "tidepool") -> None:
        self.tokens, self.knobs = TokenRules(), Knobs()
        self._accounts = Accounts(now, lambda: secrets.token_urlsafe(24), self.tokens)
        self._store = Store(now, new_id)
        self._world = World(self._accounts, self._store, self.knobs, realm)

    # --- people ---

    def add_account(
        self, user_id: str, email: str, password: str, full_name: str = "", roles: tuple[str, ...] = ()
    ) -> None:
        """A person; the first one is who consents at the sign-in page."""
        self._accounts.people[user_id] = Account(user_id, email, password, full_name, roles)
        self._world.consent = self._world.consent or user_id

    def add_client(self, client_id: str, *redirect_uris: str, secret: str | None = None) -> None:
        """Register an application."""
        self._accounts.clients[client_id] = Client(client_id, redirect_uris, secret)

    def share(self, owner_id: str, other_id: str, *permissions: str) -> None:
        """Give (or, with none, take back) permissions on a person's data."""
        self._accounts.given[owner_id, other_id] = frozenset(permissions)

    def consent_as(self, user_id: str | None) -> None:
        """Who is signed in at the page; None refuses."""
        self._world.consent = user_id

    def token(self, user_id: str) -> str:
        """An access token, without any flow."""
        return self._accounts.access(self._accounts.sign_in(user_id))

    def expire_access(self) -> None:
        """All access tokens run out."""
        self._accounts.expire_access()

    def end_sessions(self, user_id: str) -> None:
        """All sessions of a person end, as when they remove the application's access."""
        self._accounts.end_all(user_id)

    # --- data ---

    def documents(self, user_id: str) -> list[dict[str, Any]]:
        """Every active document of a person, in read form, by time."""
        found = sorted(self._store.visible(user_id), key=lambda each: each[1].time)
        return [read_form(document.body, document.time) for _, document in found]

    def data_sets(self, user_id: str) -> list[DataSet]:
        """The visible sets of a person, newest first."""
        return self._store.listed(user_id)

    def close_data_set(self, data_set_id: str) -> None:
        """Close one as only a service can, continuous ones too."""
        self._store.data_sets[data_set_id].closed = True

    def lose_data_set(self, data_set_id: str) -> None:
        """Forget a set as if it had never been."""
        del self._store.data_sets[data_set_id]

    def delete_data_set(self, data_set_id: str, by: str) -> None:
        """Delete one as a person does in the web page."""
        self._store.delete(self._store.data_sets[data_set_id], by)

    def load(self, user_id: str, documents: Iterable[Mapping[str, Any]]) -> None:
        """Take over documents in read form, `upload` records as their data sets."""
        for body in (dict(document) for document in documents):
            if body["type"] == "upload":
                self._store.data_sets[body["uploadId"]] = DataSet(
                    body | {"createdTime": body["time"]}, user_id, body.get("deduplicator", {}).get("name", NONE)
                )
            else:
                data_set = self._store.data_sets[body["uploadId"]]
                stored = Stored(body, datetime.fromisoformat(body["time"]).astimezone(UTC))
                data_set.documents.setdefault(stored.origin_id or "", []).append(stored)

    # --- faults ---

    def fail(self, status: int, times: int = 1, **how: Any) -> None:
        """Plan an outage: the next `times` matching requests end in `status` (0: cut). See `Outage`."""
        self.knobs.outages.append(Outage(status, times, **how))

    @property
    def seen(self) -> list[Seen]:
        """Every request so far; clear it to count anew."""
        return self._world.seen

    def count(self, method: str, path: str = "/v1/data_sets") -> int:
        """How many requests of a method went to paths that begin so."""
        return sum(each.method == method and each.path.startswith(path) for each in self.seen)

    # --- serving ---

    def app(self) -> web.Application:
        """The web application, for `bridge.simulators.serving.serve`."""
        app = web.Application(client_max_size=BODY_LIMIT, middlewares=[self._middleware()])
        for part in (DataService(self._world), Reading(self._world), SignIn(self._world)):
            app.add_routes(part.routes())
        return app

    def _middleware(self) -> Any:
        numbers = itertools.count(1)

        @web.middleware
        async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
            request["trace"] = f"{next(numbers):032x}"
            outage = next((each for each in self.knobs.outages if each.meets(request.method, request.path)), None)
            if outage is not None:
                await outage.begin()
            if outage is None or outage.after:
                answer = await self._within_limit(request, handler)
            if outage is not None:
                self._note(request, outage.status)
                return _broken(request, outage)
            self._note(request, answer.status)
            if request.path.startswith("/v1/"):
                answer.headers["X-Tidepool-Trace-Request"] = request["trace"]
            return answer

        return around

    async def _within_limit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        limit = self.knobs.body_limit
        if limit is not None and len(await request.read()) > limit:
            return web.Response(status=413, text="Request Entity Too Large")
        return await handler(request)

    def _note(self, request: web.Request, status: int) -> None:
        self.seen.append(Seen(request.method, request.path, status, request.get("datums", 0)))


def _broken(request: web.Request, outage: Outage) -> web.StreamResponse:
    if outage.status == 0 and request.transport is not None:
        request.transport.abort()
    status = outage.status or 503
    return web.Response(status=status, text="planned", headers=dict(outage.headers))
