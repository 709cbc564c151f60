"""API v2 routes: token exchange, roles and subjects, and what the pages compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from bridge.simulators.nightscout.answers import Ended, as_json, unauthorized
from bridge.simulators.nightscout.authority import BUILT_IN
from bridge.simulators.nightscout.properties import properties
from bridge.simulators.nightscout.values import OBJECT_ID, Doc

if TYPE_CHECKING:
    from bridge.simulators.nightscout.sim import NightscoutSim

_BASE = "/api/v2/authorization"


class ApiV2:
    """Handlers over one site."""

    def __init__(self, sim: NightscoutSim) -> None:
        self._sim = sim

    def routes(self) -> list[web.AbstractRouteDef]:
        """All routes."""
        return [
            web.get(f"{_BASE}/request/{{token}}", self._exchange),
            web.get(f"{_BASE}/debug/check/{{permission}}", self._check),
            web.get(f"{_BASE}/roles", self._roles),
            web.post(f"{_BASE}/roles", self._add_role),
            web.put(f"{_BASE}/roles", self._change_role),
            web.delete(f"{_BASE}/roles/{{id}}", self._drop_role),
            web.get(f"{_BASE}/subjects", self._subjects),
            web.post(f"{_BASE}/subjects", self._add_subject),
            web.put(f"{_BASE}/subjects", self._change_subject),
            web.delete(f"{_BASE}/subjects/{{id}}", self._drop_subject),
            web.get("/api/v2/properties", self._properties),
            web.get("/api/v2/properties/{names}", self._properties),
        ]

    async def _exchange(self, request: web.Request) -> web.Response:
        """Outside the delay: neither waits nor counts."""
        authority, text = self._sim.authority, request.match_info["token"]
        subject = authority.by_token(text) or authority.by_jwt(text)
        if subject is None:
            raise unauthorized()
        return as_json(authority.issue(subject))

    async def _check(self, request: web.Request) -> web.Response:
        await self._sim.demand(request, request.match_info["permission"])
        return as_json({"check": True})

    async def _roles(self, request: web.Request) -> web.Response:
        await self._sim.demand(request, "admin:api:roles:list")
        built_in = [{"name": name, "permissions": rights} for name, rights in BUILT_IN.items()]
        return as_json([*built_in, *self._sim.authority.roles.values()])

    async def _add_role(self, request: web.Request) -> web.Response:
        await self._sim.demand(request, "admin:api:roles:create")
        body = await request.json()
        role = {"_id": self._sim.next_id(), **body, "created_at": self._sim.now_iso()}
        self._sim.authority.roles[role["_id"]] = role
        return as_json([role])

    async def _change_role(self, request: web.Request) -> web.Response:
        await self._sim.demand(request, "admin:api:roles:update")
        body = await request.json()
        self._sim.authority.roles[_object_id(body.get("_id"))] = body
        return as_json(body)

    async def _drop_role(self, request: web.Request) -> web.Response:
        await self._sim.demand(request, "admin:api:roles:delete")
        self._sim.authority.roles.pop(_object_id(request.match_info["id"]), None)
        return as_json({})

    async def _subjects(self, request: web.Request) -> web.Response:
        await self._sim.demand(request, "admin:api:subjects:read")
        return as_json([subject.shown() for subject in self._sim.authority.subjects.values()])

    async def _add_subject(self, request: web.Request) -> web.Response:
        await self._sim.demand(request, "admin:api:subjects:create")
        body = await request.json()
        subject = self._sim.authority.add_subject(
            self._sim.next_id(), body["name"], body.get("roles", []), body.get("notes", "")
        )
        shown: Doc = subject.shown()
        del shown["accessToken"]
        return as_json([shown])

    async def _change_subject(self, request: web.Request) -> web.Response:
        await self._sim.demand(request, "admin:api:subjects:update")
        body = await request.json()
        subject = self._sim.authority.subjects.get(_object_id(body.get("_id")))
        if subject is not None:
            subject.roles, subject.notes = list(body.get("roles", [])), body.get("notes", "")
        return as_json(body)

    async def _drop_subject(self, request: web.Request) -> web.Response:
        await self._sim.demand(request, "admin:api:subjects:delete")
        self._sim.authority.remove_subject(_object_id(request.match_info["id"]))
        return as_json({})

    async def _properties(self, request: web.Request) -> web.Response:
        await self._sim.demand(request, "api:*:read")
        computed = properties(self._sim)
        names = request.match_info.get("names")
        wanted = names.split(",") if names else list(computed)
        return as_json({name: computed[name] for name in wanted if name in computed})


def _object_id(key: Any) -> str:
    if not (isinstance(key, str) and OBJECT_ID.fullmatch(key)):
        raise Ended(500, {"status": 500, "message": "Mongo Error", "description": {}})
    return key
