"""v1 bulk writes: arrays in, and for every document what became of it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapters.nightscout.access import Access
from adapters.nightscout.budget import Budget
from adapters.nightscout.client import SiteClient, mapping, not_itself, parsed
from adapters.nightscout.pace import Pace, array_of, chunks
from adapters.nightscout.suspicion import Suspicion
from bridge.contracts import Answer, Clock, Document, Outcome, Verdict
from bridge.errors import BridgeError, Forbidden, Incompatible, Throttled, Transient

Known = dict[str, Outcome]
"""Outcomes so far, by document key."""

Look = Callable[[Sequence[Document]], Awaitable[Mapping[str, str | None]]]
"""Documents -> key and `_id` of those that the site holds."""

_QUOTA = re.compile(r"quota|over your space", re.IGNORECASE)
_TOO_LARGE = 413
_DATABASE_DOWN_S = 25.0
"""A site whose database is away says so, with many words, after 30 s."""
_ENOUGH = 8
"""So many refused one by one, and none taken: it is not the documents."""


@dataclass
class _Run:
    """One `send`. `todo`: parts of a failed request; `refused`: documents refused when sent alone, and why."""

    known: Known
    budget: Budget
    successes: int
    todo: deque[Sequence[Document]] = field(default_factory=deque)
    refused: list[tuple[Document, str]] = field(default_factory=list)


@dataclass
class Bulk:
    """POSTs arrays to one v1 collection. Outlives a delivery: it remembers what failed."""

    name: str
    client: SiteClient
    access: Access
    pace: Pace
    clock: Clock
    look: Look
    look_first: bool = False
    """For a collection that knows no duplicates: asked before every request, what is there is not sent."""
    suspicion: Suspicion = field(default_factory=Suspicion)

    async def send(self, documents: Sequence[Document], known: Known, budget: Budget) -> None:
        """Send all, in order but suspects last; outcomes into `known` as they come.

        Raises Transient, Throttled, Unauthorised, Forbidden, Incompatible; what is not in `known` then is unknown.
        """
        run = _Run(known, budget, self.suspicion.successes)
        for limit, group in self.suspicion.groups(documents):
            rest: Sequence[Document] = group
            while rest:
                size = self.pace.size if limit is None else min(limit, self.pace.size)
                chunk = next(chunks(rest, size))
                rest = rest[len(chunk) :]
                run.todo.append(chunk)
                while run.todo:
                    await self._try(run.todo.popleft(), run)
        self._conclude(run)

    async def _try(self, chunk: Sequence[Document], run: _Run) -> None:
        run.budget.check()
        chunk = await self._absent(chunk, run.known)
        if not chunk:
            return
        if any(document in self.suspicion for document in chunk):
            await self.client.version()
        begun = self.clock.monotonic()
        try:
            answer = await self.client.request("POST", f"/api/v1/{self.name}.json", body=array_of(chunk))
        except Throttled:
            raise
        except Transient:
            self.suspicion.failed(chunk)
            if len(chunk) == 1 and self.suspicion.convicted(chunk[0]):
                await self._judge_breaker(chunk[0], run.known)
                return
            raise
        took = self.clock.monotonic() - begun
        self.pace.took(took, len(chunk))
        stored = _echo(answer, len(chunk))
        if stored is not None:
            self._accept(chunk, stored, run.known)
            return
        stop = await self._stops(answer, took)
        if stop is not None:
            raise stop
        self._refusal(answer, chunk, run)

    async def _absent(self, chunk: Sequence[Document], known: Known) -> Sequence[Document]:
        """Those that are not there yet; an answer may have been lost, a request may have been stored in part."""
        if not self.look_first:
            return chunk
        there = await self.look(chunk)
        for document in chunk:
            if document.key in there:
                self.suspicion.forget(document)
                known[document.key] = Outcome(Verdict.ACCEPTED, "it was there already", there[document.key])
        return [document for document in chunk if document.key not in there]

    async def _judge_breaker(self, document: Document, known: Known) -> None:
        """It broke off whenever this one was sent. When it is there all the same, only the answers were lost."""
        if document.key in await self.look([document]):
            self.suspicion.forget(document)
            known[document.key] = Outcome(Verdict.RETRY, "The site's answer was lost.")
        else:
            self._quarantine(document, "it breaks off whenever this document is sent", known)

    def _refusal(self, answer: Answer, chunk: Sequence[Document], run: _Run) -> None:
        """The site refused something in this chunk: the one it names, or else halves will tell."""
        index, reason = _write_error(answer)
        if index is not None and index < len(chunk):
            # Bulk writes are ordered: what stands before the refused one is stored, what follows is not.
            if index:
                self._accept(chunk[:index], [None] * index, run.known)
            self._quarantine(chunk[index], reason, run.known)
            if chunk[index + 1 :]:
                run.todo.appendleft(chunk[index + 1 :])
            return
        self.suspicion.failed(chunk)
        if answer.status == _TOO_LARGE:
            self.pace.too_large(len(chunk))
        if len(chunk) == 1:
            self._alone(chunk[0], reason, run)
            return
        half = len(chunk) // 2
        run.todo.extendleft((chunk[half:], chunk[:half]))

    def _alone(self, document: Document, reason: str, run: _Run) -> None:
        run.refused.append((document, reason))
        if len(run.refused) >= _ENOUGH and self.suspicion.successes == run.successes:
            raise Incompatible(f"The site refuses every document: {reason}.", next_step="Check its version and logs.")

    async def _stops(self, answer: Answer, took_s: float) -> BridgeError | None:
        """An answer that is not about these documents but about the site; None when it is about them."""
        if answer.status == 401:
            return await self.access.judge(f"api:{self.name}:create")
        if answer.status == 403:
            return Forbidden("Something before the site refuses us.", next_step="Check its proxy or firewall.")
        if answer.status == 404:
            return _not_there(self.name)
        if answer.status == 200 and not isinstance(parsed(answer), list):
            return not_itself(answer)
        if answer.status == 500:
            return not_itself(answer) if took_s > _DATABASE_DOWN_S else _outage(answer)
        return not_itself(answer) if answer.status > 500 else None

    def _accept(self, chunk: Sequence[Document], stored: Sequence[Any], known: Known) -> None:
        self.suspicion.cleared(chunk)
        for document, echo in zip(chunk, stored, strict=True):
            known[document.key] = Outcome(Verdict.ACCEPTED, server_id=_server_id(document, echo))

    def _quarantine(self, document: Document, reason: str, known: Known) -> None:
        self.suspicion.forget(document)
        known[document.key] = Outcome(Verdict.QUARANTINED, f"Refused by the site: {reason}.")

    def _conclude(self, run: _Run) -> None:
        """Those refused alone: at fault if others went through, else it may be the site."""
        for document, reason in run.refused:
            if self.suspicion.convicted(document):
                self._quarantine(document, reason, run.known)
            else:
                run.known[document.key] = Outcome(Verdict.RETRY, f"Refused by the site: {reason}.")


def _echo(answer: Answer, count: int) -> list[Any] | None:
    """The stored documents, when the answer is an array of as many as were sent."""
    body = parsed(answer) if answer.status == 200 else None
    return body if isinstance(body, list) and len(body) == count else None


def _server_id(document: Document, echo: Any) -> str | None:
    """`_id` by position, where the echo is of this very document."""
    if not isinstance(echo, dict) or echo.get("identifier") != document.body.get("identifier"):
        return None
    found = echo.get("_id")
    return found if isinstance(found, str) else None


def _write_error(answer: Answer) -> tuple[int | None, str]:
    """(position, words) of the refused document."""
    if answer.status == 200:
        return None, "the answer has another length than the request"
    body = mapping(answer)
    match body.get("description"):
        case {"writeErrors": [{"index": int(index), **more}, *_]}:
            return index, str(more.get("errmsg", "the database refused it"))[:200]
        case str(text) if text:
            return None, text[:200]
    return None, f"HTTP {answer.status} {str(body.get('message', ''))[:100]}".strip()


def _outage(answer: Answer) -> BridgeError | None:
    """A 500 is about the documents only when it says something about them."""
    description = mapping(answer).get("description")
    if _QUOTA.search(str(description)):
        return Transient(
            "The site's database is full.",
            next_step="Delete old data in the site's admin tools or give it more room.",
            state="site_full",
        )
    return None if description else not_itself(answer)


def _not_there(name: str) -> BridgeError:
    if name == "treatments":
        return Forbidden(
            "The site takes no treatments: careportal is not enabled.",
            next_step="Add `careportal` to ENABLE of the site, or switch the treatment streams off.",
            state="careportal_off",
        )
    return Incompatible(f"The site has no collection {name}.", next_step="Check the address and its version.")
