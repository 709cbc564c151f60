"""Reads back what a site holds of ours, in windows of at most three days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from adapters.nightscout.access import Access
from adapters.nightscout.client import SiteClient, listed
from adapters.nightscout.ours import APP, is_ours, item, zero_keys
from adapters.nightscout.permissions import COLLECTIONS
from adapters.nightscout.queries import MOST, window
from bridge.contracts import Interval, Inventory, StoredItem

_SPAN = timedelta(days=3)
_SHORTEST = timedelta(minutes=1)
_BEFORE_ZERO = timedelta(minutes=30)
"""The dose whose pause begins in a window may stand before it."""
_MOST_PROFILES = 1000
_PATHS = {name: f"/api/v1/{name}.json" for name in COLLECTIONS} | {"devicestatus": "/api/v3/devicestatus"}


class ReadBack:
    """`optional`: collections that may be unreadable, because nothing of ours goes there."""

    def __init__(
        self, client: SiteClient, access: Access, *, entered_by: str, optional: frozenset[str] = frozenset()
    ) -> None:
        self._client, self._access = client, access
        self._entered_by, self._optional = entered_by, optional

    async def inventory(self, whole: Interval) -> Inventory:
        """All of ours in the window. Raises rather than leave out what could not be read: absence means deleted."""
        items: list[StoredItem] = []
        foreign = 0
        for name in COLLECTIONS:
            documents = await self._documents(name, whole)
            ours = [one for one in documents if is_ours(name, one, self._entered_by)]
            foreign += len(documents) - len(ours)
            items += self._items(name, ours)
        kept = [one for one in items if one.time is not None and whole.start <= one.time < whole.end]
        return Inventory(kept, foreign)

    @staticmethod
    def _items(name: str, ours: list[dict[str, Any]]) -> Iterator[StoredItem]:
        zeros = zero_keys({one["identifier"]: one for one in ours}) if name == "treatments" else frozenset()
        for document in ours:
            found = item(name, document, _PATHS[name], zero=document.get("identifier") in zeros)
            if found is not None:
                yield found

    async def _documents(self, name: str, whole: Interval) -> list[dict[str, Any]]:
        """Living documents; v1 still shows what v3 has deleted."""
        if name == "profile":
            return await self._page(name, [("count", str(_MOST_PROFILES))])
        found: list[dict[str, Any]] = []
        start = whole.start - (_BEFORE_ZERO if name == "treatments" else timedelta())
        while start < whole.end:
            end = min(start + _SPAN, whole.end)
            found += await self._between(name, Interval(start, end))
            start = end
        return found

    async def _between(self, name: str, part: Interval) -> list[dict[str, Any]]:
        """A window that holds more than one answer takes is read in halves."""
        query = window(name, part.start, part.end)
        if name == "devicestatus":
            # A loop's own statuses are large and many; ours name us.
            query.append(("find[app]", APP))
        found = await self._page(name, query)
        length = part.end - part.start
        if len(found) < MOST or length <= _SHORTEST:
            return found
        middle = part.start + length / 2
        halves = Interval(part.start, middle), Interval(middle, part.end)
        return [one for half in halves for one in await self._between(name, half)]

    async def _page(self, name: str, query: list[tuple[str, str]]) -> list[dict[str, Any]]:
        answer = await self._client.request("GET", f"/api/v1/{name}.json", params=query)
        if answer.status == 401:
            if name in self._optional:
                return []
            raise await self._access.judge(f"api:{name}:read")
        return [one for one in listed(answer) if one.get("isValid") is not False]
