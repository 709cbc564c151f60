"""Sites before 15.0.7 know a treatment by (created_at, eventType) alone: what moved must go before it comes again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from adapters.nightscout.access import Access
from adapters.nightscout.budget import Budget
from adapters.nightscout.client import SiteClient, listed, not_itself
from adapters.nightscout.queries import IDENTIFIERS_A_URL, by_identifiers
from bridge.contracts import Document

_FIRST_WITH_IDENTIFIERS = (15, 0, 7)
_OBJECT_ID = re.compile(r"[0-9a-f]{24}")


def knows_identifiers(version: str | None) -> bool:
    """Whether the site takes a treatment's identifier as its key. An unknown version does not."""
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version or "")
    return numbers is not None and tuple(map(int, numbers.groups())) >= _FIRST_WITH_IDENTIFIERS


async def make_room(client: SiteClient, access: Access, documents: Sequence[Document], budget: Budget) -> None:
    """Delete stored treatments of these identifiers that stand at another instant or under another type.

    Raises as `Bulk.send`.
    """
    for start in range(0, len(documents), IDENTIFIERS_A_URL):
        budget.check()
        part = {one.key: one for one in documents[start : start + IDENTIFIERS_A_URL]}
        query = by_identifiers(list(part), [one.instant_ms for one in part.values()])
        answer = await client.request("GET", "/api/v1/treatments.json", params=query)
        if answer.status == 401:
            raise await access.judge("api:treatments:read")
        for stored in listed(answer):
            if _stands_elsewhere(stored, part[str(stored.get("identifier"))]):
                await _delete(client, access, str(stored.get("_id")))


def _stands_elsewhere(stored: dict[str, Any], document: Document) -> bool:
    return any(stored.get(name) != document.body[name] for name in ("created_at", "eventType"))


async def _delete(client: SiteClient, access: Access, object_id: str) -> None:
    if not _OBJECT_ID.fullmatch(object_id):
        return
    answer = await client.request("DELETE", f"/api/v1/treatments/{object_id}")
    if answer.status == 401:
        raise await access.judge("api:treatments:delete")
    if answer.status != 200:
        raise not_itself(answer)
