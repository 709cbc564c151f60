"""API v3 routes."""

from __future__ import annotations

import json
from email.utils import format_datetime, parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web

from bridge.model import from_ms
from bridge.simulators.nightscout.answers import Ended, as_json, v3_error
from bridge.simulators.nightscout.authority import Groups, Subject, allowed
from bridge.simulators.nightscout.store import Collection
from bridge.simulators.nightscout.v3_documents import (
    EARLIEST_MS,
    by_identifier,
    duplicate_of,
    insert,
    normalised,
    refuse_changes,
    replace,
)
from bridge.simulators.nightscout.v3_search import searched, shown
from bridge.simulators.nightscout.values import Doc

if TYPE_CHECKING:
    from bridge.simulators.nightscout.sim import NightscoutSim

API_VERSION = "3.0.3-alpha"
SERVED = ("entries", "treatments", "devicestatus", "profile", "food", "settings")
_LETTERS = {"c": "create", "r": "read", "u": "update", "d": "delete"}
_LARGEST_BODY = 50 * 1024 * 1024


class ApiV3:
    """Handlers over one site."""

    def __init__(self, sim: NightscoutSim) -> None:
        self._sim = sim

    def routes(self) -> list[web.AbstractRouteDef]:
        """All routes, most specific first."""
        one = "/api/v3/{collection}/{identifier}"
        return [
            web.get("/api/v3/version", self._version),
            web.get("/api/v3/status", self._status),
            web.get("/api/v3/lastModified", self._last_modified),
            web.get("/api/v3/{collection}/history", self._history),
            web.get("/api/v3/{collection}/history/{since}", self._history),
            web.get("/api/v3/{collection}", self._search),
            web.post("/api/v3/{collection}", self._create),
            web.get(one, self._read),
            web.put(one, self._update),
            web.patch(one, self._patch),
            web.delete(one, self._delete),
        ]

    async def _version(self, _: web.Request) -> web.Response:
        return as_json({"status": 200, "result": self._about()})

    def _about(self) -> Doc:
        return {
            "version": self._sim.settings.version,
            "apiVersion": API_VERSION,
            "srvDate": self._sim.now_ms(),
            "storage": {"storage": "mongodb", "version": "6.0.5"},
        }

    async def _status(self, request: web.Request) -> web.Response:
        _, groups = await self._who(request)
        permissions = {}
        for name in SERVED:
            letters = "".join(letter for letter, verb in _LETTERS.items() if _by_wildcard(groups, name, verb))
            if letters:
                permissions[name] = letters
        return as_json({"status": 200, "result": self._about() | {"apiPermissions": permissions}})

    async def _last_modified(self, request: web.Request) -> web.Response:
        _, groups = await self._who(request)
        newest = {}
        for name in SERVED:
            stamps: list[float] = [
                one.get("srvModified") or one.get("date") or 0 for one in self._sim.collections[name]
            ]
            if stamps and allowed(groups, f"api:{name}:read"):
                newest[name] = max(stamps)
        return as_json({"status": 200, "result": {"srvDate": self._sim.now_ms(), "collections": newest}})

    async def _search(self, request: web.Request) -> web.Response:
        collection, _ = await self._enter(request, "read")
        return as_json({"status": 200, "result": searched(collection, request.query.items())})

    async def _history(self, request: web.Request) -> web.Response:
        collection, _ = await self._enter(request, "read")
        since, inclusive = _since(request)
        found = [
            one
            for one in collection
            if one.get("srvModified", 0) > since or (inclusive and one.get("srvModified") == since)
        ]
        found.sort(key=lambda one: one["srvModified"])
        limit = int(request.query.get("limit", "1000"))
        headers = {}
        if found[:limit]:
            last = found[:limit][-1]["srvModified"]
            headers = {"ETag": f'W/"{last}"', "Last-Modified": format_datetime(from_ms(last), usegmt=True)}
        return as_json({"status": 200, "result": [shown(one) for one in found[:limit]]}, headers=headers)

    async def _create(self, request: web.Request) -> web.Response:
        collection, (subject, groups) = await self._enter(request, "create")
        document = normalised(await _body(request))
        same = duplicate_of(collection, document)
        if same is None:
            new = insert(self._sim, collection, document, subject.name)
            return _created(request, new)
        self._demand(groups, collection.name, "update")
        refuse_changes(same, document, deduplicating=True)
        new = replace(self._sim, collection, same, document, subject.name)
        body = {"status": 200, "lastModified": new["srvModified"], "identifier": new["identifier"]}
        body["isDeduplication"] = True
        if same.get("identifier") != new["identifier"]:
            body["deduplicatedIdentifier"] = same.get("identifier", same["_id"])
        return as_json(body)

    async def _read(self, request: web.Request) -> web.Response:
        collection, _ = await self._enter(request, "read")
        return as_json({"status": 200, "result": shown(_living(collection, request), request.query.get("fields"))})

    async def _update(self, request: web.Request) -> web.Response:
        collection, (subject, groups) = await self._enter(request, None)
        identifier = request.match_info["identifier"]
        document = normalised({"identifier": identifier, **await _body(request)})
        same = by_identifier(collection, identifier)
        if same is None:
            self._demand(groups, collection.name, "create")
            return _created(request, insert(self._sim, collection, document, subject.name))
        self._demand(groups, collection.name, "update")
        _refuse_dead(same)
        _refuse_newer(same, request)
        refuse_changes(same, document, deduplicating=False)
        new = replace(self._sim, collection, same, document, subject.name)
        return as_json({"status": 200, "lastModified": new["srvModified"]})

    async def _patch(self, request: web.Request) -> web.Response:
        collection, (subject, _) = await self._enter(request, "update")
        stored = _living(collection, request)
        changes = await _body(request)
        _refuse_newer(stored, request)
        refuse_changes(stored, changes, deduplicating=False)
        changes |= {"srvModified": self._sim.now_ms(), "modifiedBy": subject.name}
        collection.replace(stored["_id"], {**stored, **changes})
        return as_json({"status": 200})

    async def _delete(self, request: web.Request) -> web.Response:
        collection, _ = await self._enter(request, "delete")
        stored = by_identifier(collection, request.match_info["identifier"])
        if stored is None:
            raise v3_error(404)
        if request.query.get("permanent") == "true":
            collection.remove(stored)
        else:
            _living(collection, request)
            deleted = {**stored, "isValid": False, "srvModified": self._sim.now_ms()}
            collection.replace(stored["_id"], deleted)
        return as_json({"status": 200})

    async def _enter(self, request: web.Request, verb: str | None) -> tuple[Collection, tuple[Subject, Groups]]:
        """The collection and who asks, with the right to do it."""
        who = await self._who(request)
        name = request.match_info["collection"]
        if name not in SERVED:
            raise v3_error(404, "Bad operation or collection")
        if verb:
            self._demand(who[1], name, verb)
        if not self._sim.database_up:
            raise v3_error(500, "Database error")
        return self._sim.collections[name], who

    def _demand(self, groups: Groups, name: str, verb: str) -> None:
        needed = "admin" if name == "settings" else verb
        if not allowed(groups, f"api:{name}:{needed}"):
            raise v3_error(403, f"Missing permission api:{name}:{verb}")

    async def _who(self, request: web.Request) -> tuple[Subject, Groups]:
        sim = self._sim
        address = sim.address_of(request)
        await sim.penalties.wait(address)
        scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise v3_error(401, "Missing or bad access token or JWT")
        subject = sim.authority.by_jwt(credential)
        if subject is None:
            sim.penalties.fail(address)
            raise v3_error(401, "Bad access token or JWT")
        sim.penalties.forgive(address)
        return subject, sim.authority.groups(subject)


def _by_wildcard(groups: Groups, name: str, verb: str) -> bool:
    """The status page looks only at rights whose collection part is a star."""
    stars = [[one for one in group if (one.split(":") + ["*"] * 2)[1] == "*"] for group in groups]
    return allowed(stars, f"api:{name}:{verb}")


def _created(request: web.Request, document: Doc) -> web.Response:
    body = {"status": 201, "identifier": document["identifier"], "lastModified": document["srvModified"]}
    return as_json(body, 201, {"Location": f"/api/v3/{request.match_info['collection']}/{document['identifier']}"})


def _living(collection: Collection, request: web.Request) -> Doc:
    stored = by_identifier(collection, request.match_info["identifier"])
    if stored is None:
        raise v3_error(404)
    _refuse_dead(stored)
    return stored


def _refuse_dead(stored: Doc) -> None:
    if stored.get("isValid") is False:
        raise v3_error(410)


def _refuse_newer(stored: Doc, request: web.Request) -> None:
    limit = request.headers.get("If-Unmodified-Since")
    if limit and stored.get("srvModified", 0) > parsedate_to_datetime(limit).timestamp() * 1000:
        raise v3_error(412)


def _since(request: web.Request) -> tuple[float, bool]:
    text = request.match_info.get("since")
    if text is not None:
        since, inclusive = float(text) if text.replace(".", "", 1).isdigit() else 0.0, False
    else:
        header = request.headers.get("Last-Modified")
        since, inclusive = (parsedate_to_datetime(header).timestamp() * 1000 if header else 0.0), True
    if since < EARLIEST_MS:
        raise v3_error(400, "Bad or missing Last-Modified header/parameter")
    return since, inclusive


async def _body(request: web.Request) -> Any:
    raw = await request.read()
    try:
        # Too large and malformed end alike: what is cut is no JSON.
        return json.loads(raw[: _LARGEST_BODY + 1] or b"{}")
    except ValueError:
        raise Ended(500, {"status": 500, "message": "Internal Server Error"}) from None
