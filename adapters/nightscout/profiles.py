"""The therapy profile: put under its own `_id`, only on change, and never over somebody else's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.nightscout.access import Access
from adapters.nightscout.budget import Budget
from adapters.nightscout.bulk import Known
from adapters.nightscout.client import SiteClient, listed, mapping, not_itself
from adapters.nightscout.ours import is_our_writer
from bridge.contracts import Document, Outcome, Verdict
from bridge.errors import Forbidden

_PATH = "/api/v1/profile.json"
_LOOKED_AT = 10
_ABOUT_THE_DOCUMENT = frozenset((400, 413, 422))


class Profiles:
    """PUTs profiles. `foreign_allowed`: a person said that somebody else's current profile may be replaced."""

    def __init__(self, client: SiteClient, access: Access, *, foreign_allowed: bool) -> None:
        self._client, self._access, self._foreign_allowed = client, access, foreign_allowed

    async def send(self, documents: Sequence[Document], known: Known, budget: Budget) -> None:
        """As `Bulk.send`."""
        if not documents:
            return
        stored = await self._newest()
        current = max(stored, key=_age, default=None)
        for document in documents:
            budget.check()
            known[document.key] = await self._put(document, stored, current)

    async def _newest(self) -> list[dict[str, Any]]:
        answer = await self._client.request("GET", _PATH, params=[("count", str(_LOOKED_AT))])
        if answer.status == 401:
            raise await self._access.judge("api:profile:read")
        return listed(answer)

    async def _put(
        self, document: Document, stored: Sequence[Mapping[str, Any]], current: Mapping[str, Any] | None
    ) -> Outcome:
        if any(document.body.items() <= one.items() for one in stored):
            return Outcome(Verdict.ACCEPTED, "it was there already", document.key)
        if current is not None and not self._foreign_allowed and not is_our_writer(current.get("enteredBy")):
            return Outcome(Verdict.QUARANTINED, _foreign(current))
        answer = await self._client.request("PUT", _PATH, body=document.encoded)
        if answer.status == 401:
            raise await self._access.judge("api:profile:update")
        if answer.status == 403:
            raise Forbidden("Something before the site refuses us.", next_step="Check its proxy or firewall.")
        if answer.status == 200 and mapping(answer).get("_id") == document.key:
            return Outcome(Verdict.ACCEPTED, server_id=document.key)
        if answer.status in _ABOUT_THE_DOCUMENT:
            return Outcome(Verdict.QUARANTINED, f"Refused by the site: HTTP {answer.status}.")
        raise not_itself(answer)


def _age(profile: Mapping[str, Any]) -> tuple[str, str]:
    """The newest start is the current one, then the id."""
    return str(profile.get("startDate", "")), str(profile.get("_id", ""))


def _foreign(current: Mapping[str, Any]) -> str:
    writer = current.get("enteredBy") or "somebody else"
    return (
        f"The site's current profile was entered by {writer}; set allow_foreign_profile = true to replace it, "
        "or switch the profile stream off."
    )
