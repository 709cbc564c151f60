"""The data endpoints: the app's `display/message` and the older web ones."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from bridge.simulators.carelink_cloud.cloud import Cloud
from bridge.simulators.carelink_cloud.flat import stub
from bridge.simulators.carelink_cloud.people import DEVICE_FAMILY, Account, Family, Person
from bridge.simulators.carelink_cloud.web_account import signed_in

OFFERED = "offered"
"""Key of a request: the picture and the shape its answer offers."""
_PHONE_SHAPES = {Family.NGP: Family.NGP, Family.NGP_FLAT: Family.NGP_FLAT, Family.SIMPLERA: Family.SIMPLERA}
_FLAT_SHAPES = {Family.NGP: Family.NGP_FLAT, Family.NGP_FLAT: Family.NGP_FLAT}
_WEB_SHAPES = {Family.GUARDIAN: Family.GUARDIAN, Family.PARADIGM: Family.PARADIGM}


def add_data_routes(app: web.Application, cloud: Cloud) -> None:
    """Routes that answer with readings, and those that tell which to ask."""
    api = _DataApi(cloud)
    app.router.add_post("/connect/carepartner/{base}/display/message", api.message)
    app.router.add_get("/patient/connect/data", api.connect)
    app.router.add_get("/patient/m2m/connect/data/gc/patients/{username}", api.connect)
    app.router.add_get("/patient/monitor/data", api.monitor)
    app.router.add_get("/patient/countries/settings", api.countries)
    app.router.add_get("/patient/configuration/system/personal.cp.m2m.enabled", api.many)


class _DataApi:
    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    async def message(self, request: web.Request) -> web.Response:
        account = signed_in(self.cloud, request)
        base = request.match_info["base"]
        if base not in ("v13", "v6", "v5"):
            return web.Response(status=403 if base == "v11" else 404)
        person = self._asked_for(account, await _sent(request))
        shape = (_PHONE_SHAPES if base == "v13" else _FLAT_SHAPES).get(person.family)
        return web.Response(status=204) if shape is None else self._data(request, person, shape)

    async def connect(self, request: web.Request) -> web.Response:
        account = signed_in(self.cloud, request)
        person = self._readable(account, request.match_info.get("username", account.username))
        if person.family is Family.NONE:
            return web.Response(status=500)
        shape = _WEB_SHAPES.get(person.family)
        return web.json_response(stub(self.cloud.clock())) if shape is None else self._data(request, person, shape)

    async def monitor(self, request: web.Request) -> web.Response:
        """The device's family; an old pump's readings stand here too."""
        person = self._own(signed_in(self.cloud, request))
        if person is not None and person.family is Family.PARADIGM:
            return self._data(request, person, Family.PARADIGM)
        return web.json_response({"deviceFamily": DEVICE_FAMILY[person.family] if person else None})

    async def countries(self, request: web.Request) -> web.Response:
        signed_in(self.cloud, request)
        told = f"{request.scheme}://{request.host}/connect/carepartner/v6/display/message"
        return web.json_response({"blePereodicDataEndpoint": told, "carbDefaultUnit": "GRAMS",
                                  "uploaderAllowed": self.cloud.uploader_allowed})  # fmt: skip

    async def many(self, request: web.Request) -> web.Response:
        signed_in(self.cloud, request)
        return web.json_response({"value": True})

    def _own(self, account: Account) -> Person | None:
        return None if account.carer else self.cloud.people.get(account.username)

    def _asked_for(self, account: Account, sent: dict[str, Any]) -> Person:
        """The person a message asks for. Raises HTTP 400, 403, or the 206 of an old app."""
        role = "carepartner" if account.carer else "patient"
        if (sent.get("username"), sent.get("role")) != (account.username, role):
            raise web.HTTPBadRequest
        version = _version(sent.get("appVersion"))
        if version < self.cloud.min_app_version:
            raise web.HTTPPartialContent(text="Upgrade application")
        wanted = sent.get("patientId") or (None if account.carer else account.username)
        if wanted not in self.cloud.people:
            raise web.HTTPBadRequest
        return self._readable(account, wanted)

    def _readable(self, account: Account, username: str) -> Person:
        if username not in self.cloud.people or not account.may_read(username):
            raise web.HTTPForbidden
        return self.cloud.people[username]

    def _data(self, request: web.Request, person: Person, shape: Family) -> web.Response:
        self.cloud.served.calls.append((self.cloud.clock(), person.username))
        picture = self.cloud.picture(person.username)
        if picture is None:
            return web.json_response({"metadata": {}, "patientData": []})
        request[OFFERED] = (picture, shape)
        return web.Response(body=self.cloud.answer(picture, shape), content_type="application/json")


async def _sent(request: web.Request) -> dict[str, Any]:
    """The JSON body. Raises HTTPBadRequest for anything else."""
    try:
        sent = json.loads(await request.read())
    except ValueError as error:
        raise web.HTTPBadRequest from error
    if not isinstance(sent, dict):
        raise web.HTTPBadRequest
    return sent


def _version(text: object) -> tuple[int, int]:
    """Major and minor of an app version. Raises HTTPBadRequest."""
    parts = str(text).split(".")
    if len(parts) < 2 or not all(part.isdecimal() for part in parts):
        raise web.HTTPBadRequest
    return int(parts[0]), int(parts[1])
