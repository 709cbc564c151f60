"""Reading back: `GET /data/{user}` with its filters and its hiding rules."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from bridge.model.time import iso_ms
from bridge.simulators.tidepool.answers import answer
from bridge.simulators.tidepool.data_sets import DataSet, Stored
from bridge.simulators.tidepool.rules import RFC3339
from bridge.simulators.tidepool.world import World

FLAGS = ("latest", "carelink", "medtronic", "dexcom", "cbgFilter")
HIDDEN = ("createdTime", "modifiedTime", "deduplicator", "deletedTime", "deletedUserId", "createdUserId")
LOOP_SINCE = datetime(2017, 9, 1, tzinfo=UTC)
LOOP_MODELS = ("523", "523K", "554", "723", "723K", "754")


class BadParameter(Exception):
    """A parameter that does not parse; the real service answers 500."""


def _instant(query: Mapping[str, str], name: str) -> datetime | None:
    text = query.get(name)
    if text is None:
        return None
    if not RFC3339.fullmatch(text):
        raise BadParameter(name)
    return datetime.fromisoformat(text)


def _flag(query: Mapping[str, str], name: str) -> bool:
    if query.get(name, "false") not in ("true", "false"):
        raise BadParameter(name)
    return query.get(name) == "true"


def read_form(body: Mapping[str, Any], time: datetime) -> dict[str, Any]:
    """A document as read: inner fields gone, time in UTC."""
    return {name: value for name, value in body.items() if name not in HIDDEN} | {"time": iso_ms(time)}


class Reading:
    """Handler of `/data`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[web.RouteDef]:
        """The one route."""
        return [web.get("/data/{user}", self.data)]

    async def data(self, request: web.Request) -> web.Response:
        """A bare array of active documents."""
        owner, by = request.match_info["user"], self._world.who(request, bearer=False)
        if by is None or not self._world.may(by, owner, "view"):
            return _error(403, "data_cant_view", "user is not authorized to view data")
        try:
            found = self._found(owner, request.query)
        except BadParameter as error:
            return _error(500, "invalid_parameters", f"invalid parameter {error}")
        return answer(found)

    def _found(self, owner: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        start, end = _instant(query, "startDate"), _instant(query, "endDate")
        flags = {name: _flag(query, name) for name in FLAGS}
        documents = [*self._world.store.visible(owner), *self._uploads(owner)]
        if "uploadId" not in query:
            documents = [each for each in documents if not self._hides(owner, each, flags)]
        wanted = [
            (document.time, document.body) for _, document in documents
            if (start is None or document.time >= start) and (end is None or document.time <= end)
            and _fits(document.body, query)
        ]  # fmt: skip
        wanted.sort(key=lambda each: each[0])
        if flags["latest"]:
            wanted = list({body["type"]: (time, body) for time, body in wanted}.values())
        return [read_form(body, time) for time, body in wanted]

    def _uploads(self, owner: str) -> Iterable[tuple[DataSet, Stored]]:
        for data_set in self._world.store.listed(owner):
            yield data_set, Stored(data_set.body, datetime.fromisoformat(data_set.body["time"]).astimezone(UTC))

    # --- what hides ---

    def _hides(self, owner: str, each: tuple[DataSet, Stored], flags: Mapping[str, bool]) -> bool:
        data_set, document = each
        if document.body.get("source") == "carelink" and not flags["carelink"]:
            return self._has_medtronic_upload(owner)
        looped = document.body["type"] in ("basal", "bolus", "cbg") and not flags["medtronic"]
        return (
            looped
            and document.time >= LOOP_SINCE
            and data_set.body.get("deviceModel") in LOOP_MODELS
            and self._loops(owner)
        )

    def _has_medtronic_upload(self, owner: str) -> bool:
        return any(
            each.closed and "Medtronic" in each.body.get("deviceManufacturers", ())
            for each in self._world.store.listed(owner)
        )

    def _loops(self, owner: str) -> bool:
        return any(_maker(document.body) == "Medtronic" for _, document in self._world.store.visible(owner))


def _maker(body: Mapping[str, Any]) -> Any:
    device = body.get("origin", {}).get("payload", {}).get("device")
    return device.get("manufacturer") if isinstance(device, dict) else None


def _fits(body: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    return (
        all(query.get(name) in (None, body.get(name)) for name in ("deviceId", "uploadId"))
        and all(name not in query or body.get(name) in query[name].split(",") for name in ("type", "subType"))
        and (
            body.get("type") != "dosingDecision"
            or query.get("dosingDecision.reason") is None
            or body["reason"] in query["dosingDecision.reason"].split(",")
        )
    )


def _error(status: int, code: str, message: str) -> web.Response:
    return answer({"status": status, "id": uuid.uuid4().hex, "code": code, "message": message}, status)
