"""The simulated CareLink of a fleet: few virtual patients answer for everybody, each person under an own sign-in."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from aiohttp import web

from bridge.simulators.carelink_cloud import CareLinkSim, Family, Person, discovery
from bridge.simulators.carelink_cloud.uploads import Picture
from bridge.simulators.patient import VirtualPatient

DISCOVERY = "/connect/carepartner/v13/discover/android"
CARELINK_LIVES_S, TIDEPOOL_LIVES_S = 10_800, 720
"""Life of an access token, as the shipped simulators have it."""


def access_token(username: str) -> str:
    """The token that lets one account in, and no other."""
    return f"access-{username}"


class SharedSource:
    """Person number n (from 1) has the data of patient `(n - 1) % groups`."""

    def __init__(self, groups: int, clock: Callable[[], datetime]) -> None:
        people = [Person(f"group{number}", VirtualPatient(number + 1)) for number in range(groups)]
        self._sim, self._clock, self._groups = CareLinkSim(people, clock), clock, groups
        self._bodies: dict[int, tuple[Picture, int, bytes]] = {}
        self.uploads: dict[tuple[int, int], float] = {}
        """Epoch second at which the cloud had a group's reading, by group and the reading's epoch ms."""
        self.calls = self.refreshes = 0

    def app(self) -> web.Application:
        """What the reader asks for, and `/uploads` for the benchmark."""
        app = web.Application()
        app.router.add_get(DISCOVERY + "/{version}", self._discover)
        app.router.add_post("/oauth/token", self._token)
        app.router.add_post("/connect/carepartner/v13/display/message", self._message)
        app.router.add_get("/uploads", self._told)
        return app

    async def _discover(self, request: web.Request) -> web.Response:
        version = request.match_info["version"]
        data = discovery.known_versions().get(version)
        return web.json_response(discovery.document(version, data, f"http://{request.host}"))

    async def _token(self, request: web.Request) -> web.Response:
        """The refresh token names whose it is."""
        form = await request.post()
        username = str(form["refresh_token"]).removeprefix("refresh-")
        self.refreshes += 1
        return web.json_response(
            {
                "access_token": access_token(username), "refresh_token": f"refresh-{username}",
                "expires_in": TIDEPOOL_LIVES_S if username.startswith("user") else CARELINK_LIVES_S, "token_type": "Bearer",
            }
        )  # fmt: skip

    async def _message(self, request: web.Request) -> web.Response:
        asked: dict[str, Any] = json.loads(await request.read())
        username = asked["username"]
        if request.headers.get("Authorization") != f"Bearer {access_token(username)}":
            return web.Response(status=401)
        self.calls += 1
        group = (int(username.removeprefix("patient")) - 1) % self._groups
        return web.Response(body=self._answer(group), content_type="application/json")

    def _answer(self, group: int) -> bytes:
        """Made once a second and upload."""
        picture = self._sim.picture(f"group{group}")
        if picture is None:
            raise web.HTTPNoContent
        second = int(self._clock().timestamp())
        known = self._bodies.get(group)
        if known is None or known[0] is not picture or known[1] != second:
            known = self._bodies[group] = picture, second, self._sim.answer(picture, Family.NGP)
            newest_ms = round(picture.newest.timestamp() * 1000)
            self.uploads.setdefault((group, newest_ms), picture.stored_at.timestamp())
        return known[2]

    async def _told(self, _request: web.Request) -> web.Response:
        rows = [[group, newest_ms, stored] for (group, newest_ms), stored in self.uploads.items()]
        return web.json_response({"uploads": rows, "calls": self.calls, "refreshes": self.refreshes})
