"""The v1 data service: data sets, data, time."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from bridge.model.time import iso_ms
from bridge.simulators.tidepool.answers import (
    answer,
    bad_parameter,
    failure,
    forbidden,
    malformed,
    refused,
    service_error,
    unauthenticated,
    wrapped,
)
from bridge.simulators.tidepool.batches import normalised, read_batch
from bridge.simulators.tidepool.data_sets import DataSet, ServerFailure, read_data_set
from bridge.simulators.tidepool.rules import Fault
from bridge.simulators.tidepool.world import World

Handler = Callable[[web.Request], Awaitable[web.Response]]
LIST_PARAMETERS = ("client.name", "deviceId", "deleted", "page", "size")


def new_id() -> str:
    """32 hex digits."""
    return uuid.uuid4().hex


async def _json(request: web.Request) -> Any:
    """The body. Raises ValueError for what is not JSON; the real service cannot unpack a compressed request."""
    if request.headers.get("Content-Encoding"):
        raise ValueError("compressed")
    return json.loads(await request.read() or b"")


class DataService:
    """Handlers of `/v1`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[web.RouteDef]:
        """All routes, the older spelling `datasets` included."""
        routes = [web.get("/v1/time", self.time), web.delete("/v1/users/{user}/data", self.forbid)]
        for spelling in ("data_sets", "datasets"):
            users, one = f"/v1/users/{{user}}/{spelling}", f"/v1/{spelling}/{{set}}"
            routes += [
                web.post(users, self.create), web.get(users, self.list_all), web.get(one, self.get),
                web.put(one, self.close), web.delete(one, self.delete), web.post(f"{one}/data", self.post_data),
                web.delete(f"{one}/data", self.delete_data),
            ]  # fmt: skip
        return routes

    async def time(self, request: web.Request) -> web.Response:
        """Server time, for anyone."""
        return answer({"data": {"time": iso_ms(self._world.accounts.now())}})

    async def forbid(self, request: web.Request) -> web.Response:
        """For services only."""
        return forbidden(request) if self._world.who(request) else unauthenticated()

    # --- data sets ---

    async def create(self, request: web.Request) -> web.Response:
        """201 with the new set."""
        owner, by = request.match_info["user"], self._world.who(request)
        if by is None:
            return unauthenticated()
        if not self._world.may(by, owner, "upload"):
            return forbidden(request)
        try:
            clean, faults = read_data_set(await _json(request))
        except ValueError:
            return malformed(request)
        if faults:
            return refused(faults)
        try:
            data_set = self._world.store.create(clean, owner, by)
        except ServerFailure:
            return failure(request)
        return wrapped(request, data_set.body, 201)

    async def list_all(self, request: web.Request) -> web.Response:
        """The visible sets, newest first; bare, or wrapped in the older spelling."""
        owner, by = request.match_info["user"], self._world.who(request)
        if by is None:
            return unauthenticated()
        if not self._world.may(by, owner, "custodian", "upload", "view"):
            return forbidden(request)
        query = request.query
        for name in query:
            if name not in LIST_PARAMETERS:
                return bad_parameter(name, "not-parsed", "not parsed", "not parsed")
        size, page = int(query.get("size", "100")), int(query.get("page", "0"))
        if not 1 <= size <= 1000:
            title = "value is out of range"
            return bad_parameter("size", "value-out-of-range", title, f"value {size} is not between 1 and 1000")
        found = [
            each.body for each in self._world.store.listed(owner, deleted=query.get("deleted") == "true")
            if query.get("client.name") in (None, each.body.get("client", {}).get("name"))
            and query.get("deviceId") in (None, each.body.get("deviceId"))
        ][page * size : (page + 1) * size]  # fmt: skip
        return answer({"data": found} if request.path.endswith("datasets") else found)

    def _find(self, request: web.Request) -> DataSet | None:
        return self._world.store.data_sets.get(request.match_info["set"])

    def _unknown(self, request: web.Request) -> web.Response:
        name = request.match_info["set"]
        title, detail = "data set with specified id not found", f"Data set with id {name} not found"
        return service_error(request, 404, "data-set-id-not-found", title, detail)

    async def get(self, request: web.Request) -> web.Response:
        """One set, for its owner."""
        by = self._world.who(request)
        if by is None:
            return unauthenticated()
        data_set = self._find(request)
        if data_set is None:
            detail = f'resource with id "{request.match_info["set"]}" not found'
            return answer({"code": "resource-not-found", "title": "resource not found", "detail": detail}, 404)
        return answer(data_set.body) if by == data_set.user_id else forbidden(request)

    async def _on_set(
        self, request: web.Request, act: Callable[[DataSet, str], Awaitable[web.Response]]
    ) -> web.Response:
        by = self._world.who(request)
        if by is None:
            return unauthenticated()
        data_set = self._find(request)
        if data_set is None:
            return self._unknown(request)
        return await act(data_set, by)

    async def close(self, request: web.Request) -> web.Response:
        """Close a normal set; continuous ones are closed by services only."""

        async def act(data_set: DataSet, by: str) -> web.Response:
            if data_set.continuous or not self._world.may(by, data_set.user_id, "upload"):
                return forbidden(request)
            if data_set.closed:
                return self._closed(request, data_set)
            self._world.store.close(data_set)
            return wrapped(request, data_set.body)

        return await self._on_set(request, act)

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a set: its owner, a custodian, or the uploader who made it."""

        async def act(data_set: DataSet, by: str) -> web.Response:
            made_it = data_set.body["byUser"] == by and self._world.may(by, data_set.user_id, "upload")
            if not made_it and not self._world.may(by, data_set.user_id, "custodian"):
                return forbidden(request)
            self._world.store.delete(data_set, by)
            return wrapped(request, {})

        return await self._on_set(request, act)

    # --- data ---

    def _closed(self, request: web.Request, data_set: DataSet) -> web.Response:
        title = "data set with specified id is closed for new data"
        detail = f"Data set with id {data_set.id} is closed for new data"
        return service_error(request, 409, "data-set-closed", title, detail)

    async def post_data(self, request: web.Request) -> web.Response:
        """Store a batch, all of it or nothing."""

        async def act(data_set: DataSet, by: str) -> web.Response:
            if not self._world.may(by, data_set.user_id, "upload"):
                return forbidden(request)
            if data_set.closed:
                return self._closed(request, data_set)
            try:
                batch = await _json(request)
            except ValueError:
                return malformed(request)
            if not isinstance(batch, list):
                return malformed(request)
            request["datums"] = len(batch)
            return self._store(request, data_set, batch)

        return await self._on_set(request, act)

    def _store(self, request: web.Request, data_set: DataSet, batch: list[Any]) -> web.Response:
        knobs = self._world.knobs
        read = read_batch(batch)
        poisoned = [] if read.faults else self._poisoned(batch)
        if poisoned and knobs.poison_status != 400:
            return failure(request)
        if read.faults or poisoned:
            return refused(read.faults or poisoned, pointers=knobs.pointers)
        try:
            self._world.store.add(data_set, normalised(read.datums, new_id))
        except ServerFailure:
            return failure(request)
        return wrapped(request, [])

    def _poisoned(self, batch: list[Any]) -> list[Fault]:
        poison = self._world.knobs.poison
        reasons = [poison(each) if poison else None for each in batch]
        return [
            Fault("value-not-valid", reason, path=[str(index)], meta={"type": batch[index]["type"]})
            for index, reason in enumerate(reasons)
            if reason
        ]

    async def delete_data(self, request: web.Request) -> web.Response:
        """Archive by selectors."""

        async def act(data_set: DataSet, by: str) -> web.Response:
            if not self._world.may(by, data_set.user_id, "upload"):
                return forbidden(request)
            try:
                self._world.store.remove(data_set, await _json(request))
            except ValueError:
                return malformed(request)
            except ServerFailure:
                return failure(request)
            return wrapped(request, [])

        return await self._on_set(request, act)
