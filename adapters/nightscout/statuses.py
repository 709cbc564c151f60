"""devicestatus: by API v3 one by one, or by v1 in bulk, which knows no duplicates, after looking what is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from adapters.nightscout.access import Access
from adapters.nightscout.budget import Budget
from adapters.nightscout.bulk import Known
from adapters.nightscout.client import SiteClient, listed, mapping, not_itself
from adapters.nightscout.queries import IDENTIFIERS_A_URL, by_identifiers
from bridge.contracts import Answer, Document, Outcome, Verdict
from bridge.errors import Forbidden, Incompatible, Unauthorised

_PATH = "/api/v3/devicestatus"
_ABOUT_THE_DOCUMENT = frozenset((400, 410, 422))


class StatusRoute(Protocol):
    """How statuses get there."""

    async def send(self, documents: Sequence[Document], known: Known, budget: Budget) -> None:
        """As `Bulk.send`."""
        ...


class ByV3:
    """Creates and replaces by identifier: sending twice is sending once."""

    def __init__(self, client: SiteClient, access: Access) -> None:
        self._client, self._access = client, access

    async def send(self, documents: Sequence[Document], known: Known, budget: Budget) -> None:
        """One request a document."""
        for document in documents:
            budget.check()
            known[document.key] = _outcome(await self._post(document))

    async def _post(self, document: Document) -> Answer:
        """A refused JWT is renewed once: the server was built anew, or its clock went."""
        answer = await self._once(document)
        if answer.status == 401:
            self._access.forget_jwt()
            answer = await self._once(document)
        return answer

    async def _once(self, document: Document) -> Answer:
        bearer = await self._access.bearer()
        return await self._client.request("POST", _PATH, body=document.encoded, bearer=bearer)


def _outcome(answer: Answer) -> Outcome:
    message = str(mapping(answer).get("message", ""))
    if answer.status in (200, 201) and "identifier" in mapping(answer):
        return Outcome(Verdict.ACCEPTED)
    if answer.status == 401:
        raise Unauthorised("The site refuses a token it has just issued.", next_step="Link the site again.")
    if answer.status == 403:
        raise Forbidden(
            f"{message or 'The token may not write devicestatus'}.",
            next_step="Add api:devicestatus:create,read,update to its role in the site's admin tools.",
        )
    if answer.status == 404:
        raise Incompatible("The site has no API v3 any more.", next_step="Update the site to 15 or later.")
    if answer.status in _ABOUT_THE_DOCUMENT and message:
        return Outcome(Verdict.QUARANTINED, f"Refused by the site: {message}.")
    raise not_itself(answer)


class Stored:
    """Looks which of our documents a site's collection holds."""

    def __init__(self, client: SiteClient, access: Access, name: str) -> None:
        self._client, self._access, self._name = client, access, name

    async def __call__(self, documents: Sequence[Document]) -> Mapping[str, str | None]:
        """Key and `_id` of those that are there. Raises Transient, Unauthorised, Forbidden."""
        there: dict[str, str | None] = {}
        for start in range(0, len(documents), IDENTIFIERS_A_URL):
            there |= await self._part(documents[start : start + IDENTIFIERS_A_URL])
        return there

    async def _part(self, documents: Sequence[Document]) -> Mapping[str, str | None]:
        query = by_identifiers([one.key for one in documents], [one.instant_ms for one in documents], self._name)
        answer = await self._client.request("GET", f"/api/v1/{self._name}.json", params=query)
        if answer.status == 401:
            raise await self._access.judge(f"api:{self._name}:read")
        return {str(one.get("identifier")): str(one.get("_id")) for one in listed(answer)}
