"""The destinations of a fleet, as light as they can be: what a person was sent is counted, nothing is searched."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

from aiohttp import web

_FAR = 10 * 365 * 86_400


class Sinks:
    """`/ns/site<number>` is a Nightscout site each, `/tp` one Tidepool for all.

    `seen`: by person, destination and key how often it was sent. `fresh`: when a reading's first delivery was
    accepted, epoch seconds, by person, destination and its epoch ms.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.seen: dict[tuple[int, str], Counter[str]] = {}
        self.fresh: dict[tuple[int, str, int], float] = {}
        self.requests: Counter[str] = Counter()

    def app(self) -> web.Application:
        """Both, and `/report` for the benchmark."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        site = "/ns/{person}/api"
        add = app.router.add_route
        add("GET", site + "/v3/version", self._version)
        add("GET", site + "/v2/authorization/request/{token}", self._exchange)
        add("GET", site + "/v1/status.json", self._status)
        add("GET", site + "/v2/properties/dbsize", self._nothing)
        add("POST", site + "/v3/devicestatus", self._device_status)
        add("POST", site + "/v1/{collection}.json", self._post)
        add("PUT", site + "/v1/profile.json", self._put)
        add("GET", site + "/{version}/{collection:.*}", self._empty)
        add("DELETE", site + "/{rest:.*}", self._deleted)
        add("GET", "/tp/auth/user", self._user)
        add("GET", "/tp/v1/users/{person}/data_sets", self._data_sets)
        add("POST", "/tp/v1/data_sets/{person}/data", self._datums)
        add("DELETE", "/tp/v1/data_sets/{person}/data", self._nothing)
        add("GET", "/tp/data/{person}", self._empty)
        add("GET", "/report", self._report)
        return app

    # --- Nightscout ---

    async def _version(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": 200, "result": {"version": "15.0.7", "srvDate": self._ms()}})

    async def _exchange(self, _request: web.Request) -> web.Response:
        now = self._ms() // 1000
        told = {"token": "jwt", "iat": now, "exp": now + _FAR, "sub": "bridge", "permissionGroups": [["*"]]}
        return web.json_response(told)

    async def _status(self, _request: web.Request) -> web.Response:
        settings = {"units": "mg/dl"}
        return web.json_response({"version": "15.0.7", "careportalEnabled": True, "settings": settings})

    async def _post(self, request: web.Request) -> web.Response:
        documents = json.loads(await request.read())
        person = int(request.match_info["person"][-5:])
        for document in documents:
            self._book(person, "nightscout", document["identifier"], document.get("date"), "sgv" in document)
        return web.json_response([{"_id": each["identifier"], **each} for each in documents])

    async def _device_status(self, request: web.Request) -> web.Response:
        document = json.loads(await request.read())
        self._book(int(request.match_info["person"][-5:]), "nightscout", document["identifier"], None, reading=False)
        return web.json_response({"status": 201, "identifier": document["identifier"]}, status=201)

    async def _put(self, request: web.Request) -> web.Response:
        return web.json_response(json.loads(await request.read()))

    async def _deleted(self, _request: web.Request) -> web.Response:
        return web.json_response({"n": 1})

    # --- Tidepool ---

    async def _user(self, request: web.Request) -> web.Response:
        token = request.headers.get("X-Tidepool-Session-Token", "")
        return web.json_response({"userid": token.removeprefix("access-")})

    async def _data_sets(self, request: web.Request) -> web.Response:
        person = request.match_info["person"]
        name = request.query["client.name"]
        found = {"uploadId": person, "dataSetType": "continuous", "client": {"name": name}}
        return web.json_response([found])

    async def _datums(self, request: web.Request) -> web.Response:
        datums = json.loads(await request.read())
        person = int(request.match_info["person"][-5:])
        for datum in datums:
            reading = datum["type"] == "cbg"
            moment = datetime.fromisoformat(datum["time"]).timestamp() * 1000 if reading else None
            self._book(person, "tidepool", datum["origin"]["id"], moment, reading)
        return web.json_response({"data": []})

    # --- both ---

    async def _empty(self, _request: web.Request) -> web.Response:
        return web.json_response([])

    async def _nothing(self, _request: web.Request) -> web.Response:
        return web.json_response({})

    def _book(self, person: int, name: str, key: str, instant_ms: float | None, reading: bool) -> None:
        self.requests[name] += 1
        self.seen.setdefault((person, name), Counter())[key] += 1
        if reading and instant_ms is not None:
            self.fresh.setdefault((person, name, round(instant_ms)), self._clock().timestamp())

    def _ms(self) -> int:
        return round(self._clock().timestamp() * 1000)

    async def _report(self, _request: web.Request) -> web.Response:
        told: dict[str, Any] = {
            "fresh": [[*key, at] for key, at in self.fresh.items()],
            "documents": dict(self.requests),
            "again": sum(count - 1 for each in self.seen.values() for count in each.values()),
        }
        return web.json_response(told)
