"""Deletes: treatments by their identifier in the path, entries by date and identifier. Never without a key."""

from __future__ import annotations

import re
from collections.abc import Sequence

from adapters.nightscout.access import Access
from adapters.nightscout.budget import Budget
from adapters.nightscout.client import Query, SiteClient, mapping, not_itself
from adapters.nightscout.queries import by_identifiers
from bridge.contracts import Answer, LedgerDocument, Outcome, Verdict
from bridge.errors import Forbidden

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ENTRY_TYPES = ("sgv", "mbg")

Removed = dict[str, Outcome]
"""Outcomes of deletes so far, by document key."""


class Removal:
    """DELETEs documents of ours. `by_path`: the site knows identifiers (15.0.7 and later)."""

    def __init__(self, client: SiteClient, access: Access, *, by_path: bool) -> None:
        self._client, self._access, self._by_path = client, access, by_path

    async def entries(self, documents: Sequence[LedgerDocument], removed: Removed, budget: Budget) -> None:
        """Take readings away. None there is as good. Raises as `Bulk.send`."""
        for document in documents:
            budget.check()
            removed[document.key] = _unnamed(document) or await self._entry(document)

    async def treatments(self, documents: Sequence[LedgerDocument], removed: Removed, budget: Budget) -> None:
        """Take treatments away. None there is as good. Raises as `Bulk.send`."""
        for document in documents:
            budget.check()
            removed[document.key] = _unnamed(document) or await self._treatment(document)

    async def _entry(self, document: LedgerDocument) -> Outcome:
        """The path names a type, which the ledger does not: the one that has it takes it away."""
        query = [("find[date]", str(document.instant_ms)), ("find[identifier]", document.key)]
        for kind in _ENTRY_TYPES:
            if await self._delete("entries", f"/api/v1/entries/{kind}", query):
                break
        return Outcome(Verdict.ACCEPTED)

    async def _treatment(self, document: LedgerDocument) -> Outcome:
        if self._by_path:
            await self._delete("treatments", f"/api/v1/treatments/{document.key}", ())
        else:
            query = by_identifiers([document.key], [document.instant_ms])[:-1]
            await self._delete("treatments", "/api/v1/treatments", query)
        return Outcome(Verdict.ACCEPTED)

    async def _delete(self, name: str, path: str, query: Query) -> int:
        """How many went."""
        answer = await self._client.request("DELETE", path, params=query)
        await self._require_deleted(answer, name)
        count = mapping(answer).get("deletedCount", mapping(answer).get("n"))
        if not isinstance(count, int):
            raise not_itself(answer)
        return count

    async def _require_deleted(self, answer: Answer, name: str) -> None:
        if answer.status == 401:
            raise await self._access.judge(f"api:{name}:delete")
        if answer.status in (403, 404):
            raise Forbidden(
                f"The site takes no deletes of {name}.",
                next_step="Check its proxy, and that careportal is enabled.",
                state="careportal_off" if name == "treatments" and answer.status == 404 else None,
            )
        if answer.status != 200:
            raise not_itself(answer)


def _unnamed(document: LedgerDocument) -> Outcome | None:
    """A delete that names no single document must never leave."""
    if _UUID.fullmatch(document.key):
        return None
    return Outcome(Verdict.QUARANTINED, "not deleted: its key is none of ours")
