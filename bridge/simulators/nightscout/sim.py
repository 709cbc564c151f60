"""One Nightscout site in memory: version 15.0.7 as seen through its APIs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from aiohttp import web

from bridge.model import iso_ms, to_ms
from bridge.simulators.nightscout.alarms import urgent_low_fires
from bridge.simulators.nightscout.answers import Ended, ServerDied, as_json, unauthorized
from bridge.simulators.nightscout.authority import Authority, Groups, Penalties, allowed
from bridge.simulators.nightscout.faults import Fault
from bridge.simulators.nightscout.store import COLLECTIONS, Collection, ObjectIds
from bridge.simulators.nightscout.v1 import BODY_LIMITS, ApiV1, body_credentials
from bridge.simulators.nightscout.v2 import ApiV2
from bridge.simulators.nightscout.v3 import ApiV3
from bridge.simulators.nightscout.values import Doc

Handler = Callable[[web.Request], Any]


class SimClock(Protocol):
    """The site's clock."""

    def now(self) -> datetime:
        """Aware UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after that many of its seconds."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Real seconds."""
        await asyncio.sleep(seconds)


@dataclass
class SimSettings:
    """How the site is set up. `default_roles` are what anybody may; `auth_fail_delay_s` is the site's 5 s.

    `identifier_is_key` is what 15.0.7 brought; `database_percent` overrides the estimated fill.
    """

    version: str = "15.0.7"
    units: str = "mg/dl"
    careportal: bool = True
    default_roles: tuple[str, ...] = ("readable",)
    auth_fail_delay_s: float = 0.0
    identifier_is_key: bool = True
    database_percent: float | None = None
    body_limits: dict[str, int] = field(default_factory=lambda: dict(BODY_LIMITS))


class NightscoutSim:
    """`app()` serves it; `collections` holds the documents; `faults` and `validator` make it difficult.

    `validator(collection, document)` gives a reason to refuse a v1 document, as a database validator would.
    `log` has (method, path with query, status; 0 when cut) of the last requests.
    """

    def __init__(self, api_secret: str, clock: SimClock | None = None, settings: SimSettings | None = None) -> None:
        self.clock: SimClock = clock or SystemClock()
        self.settings = settings or SimSettings()
        self.collections = {name: Collection(name) for name in COLLECTIONS}
        self.authority = Authority(api_secret, self.settings.default_roles, self.now)
        self.penalties = Penalties(self.settings.auth_fail_delay_s, self.now, self.clock.sleep)
        self.faults: list[Fault] = []
        self.validator: Callable[[str, Mapping[str, Any]], str | None] | None = None
        self.database_up = True
        self.crashes = 0
        self.log: deque[tuple[str, str, int]] = deque(maxlen=20_000)
        self._ids = ObjectIds()

    def app(self) -> web.Application:
        """The web application; may be mounted below a prefix."""
        app = web.Application(middlewares=[self._befall, self._answer], client_max_size=0)
        for api in (ApiV3(self), ApiV2(self), ApiV1(self)):
            app.add_routes(api.routes())
        return app

    def add_subject(self, name: str, permissions: Iterable[str]) -> str:
        """A subject with a role of its own of these permissions; its access token."""
        role_id = self.next_id()
        role: Doc = {"_id": role_id, "name": f"{name}-role", "permissions": list(permissions)}
        self.authority.roles[role_id] = role
        return self.authority.add_subject(self.next_id(), name, [f"{name}-role"]).token

    def urgent_low_fires(self, now: datetime | None = None) -> bool:
        """Whether the urgent-low alarm sounds."""
        return urgent_low_fires(self.collections, now or self.now())

    def now(self) -> datetime:
        """The site's time."""
        return self.clock.now()

    def now_ms(self) -> int:
        """The site's time, epoch ms."""
        return to_ms(self.now())

    def now_iso(self) -> str:
        """The site's time as text."""
        return iso_ms(self.now())

    def next_id(self) -> str:
        """A new ObjectId."""
        return self._ids.next(self.now())

    @property
    def crash_looping(self) -> bool:
        """A stored treatment has an eventType that the server dies of at every start."""
        return bool(self.collections["treatments"].deadly)

    def address_of(self, request: web.Request) -> str:
        """Who is asking, as a proxy says or the socket shows."""
        return request.headers.get("X-Forwarded-For", request.remote or "").split(",")[0].strip()

    async def demand(self, request: web.Request, permission: str, body: Any = None) -> None:
        """Raises Ended(401) unless whoever asks may."""
        if "groups" not in request:
            request["groups"], _ = await self.identified(request, body, strict=True)
        if not allowed(request["groups"], permission):
            raise unauthorized()

    async def identified(
        self, request: web.Request, body: Any = None, *, strict: bool = False
    ) -> tuple[Groups, bool]:
        """Rights of whoever asks v1 or v2, and whether a credential was good. `strict`: a wrong one ends it."""
        address = self.address_of(request)
        await self.penalties.wait(address)
        shown = list(_shown(request)) + [(name, text) for name, text in body_credentials(body)]
        rights = [found for found in (self._rights(place, text) for place, text in shown) if found is not None]
        if rights:
            self.penalties.forgive(address)
            return rights[0], True
        if shown:
            self.penalties.fail(address)
            if strict:
                raise unauthorized()
        return self.authority.groups(None), False

    def _rights(self, place: str, text: str) -> Groups | None:
        authority = self.authority
        if place in ("header", "secret") and authority.is_secret(text):
            return [["*"]]
        subject = authority.by_token(text) if place in ("header", "token") else None
        if subject is None and place in ("token", "bearer"):
            subject = authority.by_jwt(text)
        return authority.groups(subject) if subject else None

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Turns what handlers raise into answers."""
        try:
            response: web.StreamResponse = await handler(request)
        except Ended as ended:
            response = as_json(ended.body, ended.status, ended.headers)
        except ServerDied:
            self.crashes += 1
            self._cut(request)
            response = web.Response(status=500)
        except web.HTTPNotFound:
            response = _not_found(request)
        return response

    @web.middleware
    async def _befall(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        fault = next((one for one in self.faults if one.befalls(request.method, request.path_qs)), None)
        if self.crash_looping:
            fault = Fault("cut")
        response = await self._faulty(request, handler, fault) if fault else await handler(request)
        alive = request.transport is not None and not request.transport.is_closing()
        self.log.append((request.method, request.path_qs, response.status if alive else 0))
        return response

    async def _faulty(self, request: web.Request, handler: Handler, fault: Fault) -> web.StreamResponse:
        if fault.kind == "wait":
            await self.clock.sleep(fault.wait_s)
            return await handler(request)  # type: ignore[no-any-return]
        if fault.kind in ("lost_answer", "error_after"):
            await handler(request)
        if fault.kind in ("cut", "lost_answer"):
            self._cut(request)
        if fault.kind == "null":
            return as_json(None)
        if fault.kind == "page":
            return web.Response(text="<html>boot error</html>", status=fault.status, content_type="text/html")
        return web.Response(status=fault.status, headers=fault.headers)

    @staticmethod
    def _cut(request: web.Request) -> None:
        if request.transport is not None:
            request.transport.abort()


def _shown(request: web.Request) -> Iterator[tuple[str, str]]:
    """(place, credential) of all that a request carries outside its body."""
    if "api-secret" in request.headers:
        yield "header", request.headers["api-secret"]
    for name in ("secret", "token"):
        if name in request.query:
            yield name, request.query[name]
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    if scheme == "Bearer":
        yield "bearer", credential


def _not_found(request: web.Request) -> web.Response:
    if "/api/v3/" in request.path:
        return as_json({"status": 404, "message": "Bad operation or collection"}, 404)
    page = f"<!DOCTYPE html><pre>Cannot {request.method} {request.path}</pre>"
    return web.Response(text=page, status=404, content_type="text/html")
