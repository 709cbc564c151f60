"""API v1 routes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from aiohttp import web

from bridge.simulators.nightscout.answers import Ended, as_json, parser_error
from bridge.simulators.nightscout.authority import allowed
from bridge.simulators.nightscout.queries import BadQuery, Query, Unparsed, parsed
from bridge.simulators.nightscout.values import OBJECT_ID, UUID_TEXT, Doc, purified
from bridge.simulators.nightscout.writes import replace_v1, store_v1

if TYPE_CHECKING:
    from bridge.simulators.nightscout.sim import NightscoutSim

_MIB = 1024 * 1024
BODY_LIMITS = {
    "entries": 50 * _MIB, "treatments": 50 * _MIB, "devicestatus": _MIB, "profile": _MIB,
    "food": 100 * 1024, "activity": 100 * 1024,
}  # fmt: skip
_NAMES = "|".join(BODY_LIMITS)
_ENTRY_TYPES = ("sgv", "mbg", "cal")
_MARKUP_BYTES = (b"<", b">", b"&", b"\\u")


class ApiV1:
    """Handlers over one site."""

    def __init__(self, sim: NightscoutSim) -> None:
        self._sim = sim

    def routes(self) -> list[web.AbstractRouteDef]:
        """All routes; each also with `.json` or a trailing slash."""
        whole = f"/api/v1/{{collection:{_NAMES}}}{{suffix:(\\.json|/)?}}"
        part = f"/api/v1/{{collection:{_NAMES}}}/{{spec:[^/]+?}}{{suffix:(\\.json|/)?}}"
        return [
            web.get("/api/v1/status{suffix:(\\.json)?}", self._status),
            web.get("/api/v1/verifyauth{suffix:(\\.json)?}", self._verify),
            web.get(whole, self._list),
            web.post(whole, self._post),
            web.put(whole, self._put),
            web.delete(whole, self._delete_found),
            web.get(part, self._one),
            web.post(part, self._preview),
            web.delete(part, self._delete_one),
        ]

    async def _status(self, request: web.Request) -> web.Response:
        await self._sim.demand(request, "api:status:read")
        settings = self._sim.settings
        enabled = ["careportal"] if settings.careportal else []
        return as_json(
            {
                "status": "ok",
                "name": "nightscout",
                "version": settings.version,
                "serverTime": self._sim.now_iso(),
                "serverTimeEpoch": self._sim.now_ms(),
                "apiEnabled": True,
                "careportalEnabled": settings.careportal,
                "settings": {
                    "units": settings.units,
                    "enable": [*enabled, "iob", "cob", "basal", "pump"],
                    "thresholds": {"bgHigh": 260, "bgTargetTop": 180, "bgTargetBottom": 80, "bgLow": 55},
                },
            }
        )

    async def _verify(self, request: web.Request) -> web.Response:
        groups, found = await self._sim.identified(request)
        can_read, can_write = allowed(groups, "*:*:read"), allowed(groups, "*:*:write")
        message = {
            "canRead": can_read,
            "canWrite": can_write,
            "isAdmin": allowed(groups, "*:*:admin"),
            "message": "OK" if can_write else "UNAUTHORIZED",
            "rolefound": "FOUND" if found else "NOTFOUND",
            "permissions": "ROLE" if found else "DEFAULT",
        }
        return as_json({"status": 200, "message": message})

    async def _list(self, request: web.Request) -> web.Response:
        name = await self._enter(request, None)
        return self._found(request, name, request.query.items())

    def _found(self, request: web.Request, name: str, items: Iterable[tuple[str, str]]) -> web.Response:
        try:
            query = self._query(name, items)
        except Unparsed:
            raise Ended(500, {"status": 500, "message": "Internal Server Error"}) from None
        except BadQuery:
            return _nothing_read(name)
        if not self._sim.database_up and (query.found or name != "entries"):
            return _nothing_read(name)
        default = {"treatments": 1000 if query.found else 100}.get(name, 10)
        found = query.run(self._sim.collections[name], default)
        if name == "entries" and not _wants_json(request):
            return web.Response(text="\n".join(map(_tab_separated, found)))
        return as_json(found)

    def _query(self, name: str, items: Iterable[tuple[str, str]]) -> Query:
        return parsed(name, items, self._sim.now())

    async def _one(self, request: web.Request) -> web.Response:
        name = await self._enter(request, None)
        spec = request.match_info["spec"]
        if name == "profile" and spec == "current":
            newest = self._sim.collections[name].newest_first()
            return as_json(newest[0] if newest and self._sim.database_up else None)
        if name != "entries":
            raise web.HTTPNotFound
        if OBJECT_ID.fullmatch(spec):
            stored = self._sim.collections[name].get(spec)
            if stored is None:
                raise Ended(500, {"status": 500, "message": f"No such id: '{spec}'"})
            return as_json([stored])
        if spec == "current":
            return self._found(request, name, [("count", "1")])
        return self._found(request, name, [*request.query.items(), ("find[type]", spec)])

    async def _post(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        name = await self._enter(request, "create", body)
        if body is None:
            return as_json([])
        return as_json(store_v1(self._sim, name, body))

    async def _preview(self, request: web.Request) -> web.Response:
        if request.match_info["spec"] != "preview" or request.match_info["collection"] != "entries":
            raise web.HTTPNotFound
        body = await self._body(request)
        await self._enter(request, "create", body)
        return as_json(body if isinstance(body, list) else [body])

    async def _put(self, request: web.Request) -> web.Response:
        if request.match_info["collection"] not in ("treatments", "profile", "food"):
            raise web.HTTPNotFound
        body = await self._body(request)
        name = await self._enter(request, "update", body)
        return as_json(replace_v1(self._sim, name, body))

    async def _delete_one(self, request: web.Request) -> web.Response:
        name = await self._enter(request, "delete")
        collection, spec = self._sim.collections[name], request.match_info["spec"]
        if name == "entries" and not OBJECT_ID.fullmatch(spec):
            kind = [] if spec == "*" else [("find[type]", spec)]
            return self._deleted(name, [*request.query.items(), *kind])
        stored = collection.get(spec) if OBJECT_ID.fullmatch(spec) else None
        if name == "treatments" and UUID_TEXT.fullmatch(spec) and self._sim.settings.identifier_is_key:
            found = collection.lookup(("identifier",), spec)
            stored = found[0] if found else None
        if stored is not None:
            collection.remove(stored)
        if name in ("profile", "food"):
            return as_json({})
        return as_json(_removed(int(stored is not None)))

    async def _delete_found(self, request: web.Request) -> web.Response:
        name = await self._enter(request, "delete")
        if name not in ("treatments", "devicestatus"):
            raise web.HTTPNotFound
        return self._deleted(name, request.query.items())

    def _deleted(self, name: str, items: Iterable[tuple[str, str]]) -> web.Response:
        """`count` means nothing here; without a find the last four days go."""
        try:
            query = self._query(name, items)
        except BadQuery:
            raise Ended(500, {"status": 500, "message": "Internal Server Error"}) from None
        collection = self._sim.collections[name]
        gone = [one for one in collection if query.matches(one)]
        for document in gone:
            collection.remove(document)
        if not query.found:
            raise Ended(500, {"status": 500, "message": "Internal Server Error"})
        return as_json(_removed(len(gone)))

    async def _enter(self, request: web.Request, verb: str | None, body: Any = None) -> str:
        """The collection asked for, when it is served and allowed: read always, then what the method needs."""
        name: str = request.match_info["collection"]
        await self._sim.demand(request, f"api:{name}:read", body)
        if verb:
            if name == "treatments" and not self._sim.settings.careportal:
                raise web.HTTPNotFound
            await self._sim.demand(request, f"api:{name}:{verb}", body)
            if not self._sim.database_up:
                raise Ended(500, {"status": 500, "message": "Mongo Error", "description": {}})
        return name

    async def _body(self, request: web.Request) -> Any:
        raw = await request.read()
        limit = self._sim.settings.body_limits.get(request.match_info["collection"], _MIB)
        if len(raw) > limit:
            raise parser_error(413, "request entity too large", "entity.too.large", length=len(raw), limit=limit)
        if request.content_type == "application/x-www-form-urlencoded":
            return dict(parse_qsl(raw.decode()))
        if request.content_type != "application/json" or not raw.strip():
            return None
        try:
            body = json.loads(raw)
        except ValueError:
            text = raw.decode(errors="replace")
            raise parser_error(400, "Unexpected end of JSON input", "entity.parse.failed", body=text) from None
        return purified(body) if any(mark in raw for mark in _MARKUP_BYTES) else body


def _nothing_read(name: str) -> web.Response:
    if name == "entries":
        raise Ended(500, {"status": 500, "message": "Mongo Error", "description": {}})
    return as_json(None)


def _removed(count: int) -> Doc:
    return {"acknowledged": True, "deletedCount": count}


def _wants_json(request: web.Request) -> bool:
    return request.match_info["suffix"] == ".json" or "application/json" in request.headers.get("Accept", "")


def _tab_separated(document: Doc) -> str:
    fields = ("dateString", "date", "sgv", "direction", "device")
    return "\t".join(json.dumps(document.get(name)) for name in fields)


def body_credentials(body: Any) -> list[tuple[str, str]]:
    """`secret` and `token` of the first element, taken out of it."""
    first = body[0] if isinstance(body, list) and body else body
    if not isinstance(first, dict):
        return []
    return [(name, str(first.pop(name))) for name in ("secret", "token") if name in first]
