"""One delivery in the site's own order: entries, deletes of treatments, treatments, devicestatus, profile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from adapters.nightscout.access import Access
from adapters.nightscout.budget import Budget
from adapters.nightscout.bulk import Bulk, Known
from adapters.nightscout.client import SiteClient
from adapters.nightscout.mapping import DEVICESTATUS, ENTRIES, PROFILE, TREATMENTS, MappingSettings, check, timely
from adapters.nightscout.older import make_room
from adapters.nightscout.profiles import Profiles
from adapters.nightscout.removal import Removal, Removed
from adapters.nightscout.statuses import StatusRoute
from bridge.contracts import Clock, Document, LedgerDocument, Outcome, Verdict
from bridge.errors import BridgeError, Forbidden, Incompatible, Refused, Transient, Unauthorised
from bridge.model import to_ms

_Sent = TypeVar("_Sent", Document, LedgerDocument)

_AHEAD_MS = 5 * 60_000
_DOSES = ("insulin", "carbs")
_RIGHT_AWAY = (Transient, Unauthorised, Forbidden, Incompatible)


@dataclass
class Round:
    """One `deliver`: what is known so far, and what went wrong first."""

    known: Known = field(default_factory=dict)
    removed: Removed = field(default_factory=dict)
    failure: BridgeError | None = None

    def outcomes(self, posts: Sequence[Document], deletes: Sequence[LedgerDocument]) -> list[Outcome]:
        """Posts, then deletes, as they came. Raises the failure when nothing at all is known."""
        if self.failure is not None and not self.known and not self.removed:
            raise self.failure
        unknown = Outcome(Verdict.RETRY, str(self.failure or "It waits for a delete that is not confirmed."))
        return [self.known.get(one.key, unknown) for one in posts] + [
            self.removed.get(one.key, unknown) for one in deletes
        ]


@dataclass
class Delivery:
    """Everything that a site's documents go through. Outlives single deliveries."""

    client: SiteClient
    access: Access
    clock: Clock
    entries: Bulk
    treatments: Bulk
    statuses: StatusRoute
    profiles: Profiles
    removal: Removal
    mapping: MappingSettings
    knows_identifiers: bool

    async def deliver(self, posts: Sequence[Document], deletes: Sequence[LedgerDocument]) -> list[Outcome]:
        """As `Adapter.deliver`."""
        round_ = Round()
        budget = Budget(self.clock)
        sound = self._sound(posts, round_.known)
        gone_treatments = _at(deletes, TREATMENTS)
        _keep(deletes, round_.removed)
        known, removed = round_.known, round_.removed
        stages: tuple[Callable[[], Awaitable[None]], ...] = (
            lambda: self.removal.entries(_at(deletes, ENTRIES), removed, budget),
            lambda: self.entries.send(_at(sound, ENTRIES), known, budget),
            lambda: self.removal.treatments(gone_treatments, removed, budget),
            lambda: self._treatments(_at(sound, TREATMENTS), gone_treatments, round_, budget),
            lambda: self.statuses.send(_at(sound, DEVICESTATUS), known, budget),
            lambda: self.profiles.send(_at(sound, PROFILE), known, budget),
        )
        await _run(stages, round_)
        return round_.outcomes(posts, deletes)

    def _sound(self, posts: Sequence[Document], known: Known) -> list[Document]:
        """Those that may leave: nothing that would damage the site, nothing that has not happened yet."""
        now_ms = to_ms(self.clock.now())
        sound = []
        for document in posts:
            if document.instant_ms > now_ms + _AHEAD_MS:
                known[document.key] = Outcome(Verdict.RETRY, "It lies ahead of now and waits until it is due.")
                continue
            try:
                check(document)
            except Refused as error:
                known[document.key] = Outcome(Verdict.QUARANTINED, error.message)
                continue
            sound.append(timely(document, now_ms, self.mapping))
        return sound

    async def _treatments(
        self, posts: Sequence[Document], gone: Sequence[LedgerDocument], round_: Round, budget: Budget
    ) -> None:
        """While a delete is not confirmed, what carries insulin or carbs waits: it might stand there twice."""
        if any(_unconfirmed(round_.removed.get(one.key)) for one in gone):
            posts = [one for one in posts if not any(name in one.body for name in _DOSES)]
        if not self.knows_identifiers:
            await make_room(self.client, self.access, posts, budget)
        await self.treatments.send(posts, round_.known, budget)


async def _run(stages: Iterable[Callable[[], Awaitable[None]]], round_: Round) -> None:
    """A missing right stops its own collection only; an outage or a dead token stops all."""
    for stage in stages:
        try:
            await stage()
        except _RIGHT_AWAY as failure:
            round_.failure = round_.failure or failure
            if not isinstance(failure, Forbidden):
                return


def _at(documents: Iterable[_Sent], path: str) -> list[_Sent]:
    return [one for one in documents if one.path == path]


def _unconfirmed(outcome: Outcome | None) -> bool:
    return outcome is None or outcome.verdict is not Verdict.ACCEPTED


def _keep(deletes: Iterable[LedgerDocument], removed: Removed) -> None:
    """Statuses and profiles stay where they are: an old one harms nobody."""
    for document in deletes:
        if document.path not in (ENTRIES, TREATMENTS):
            removed[document.key] = Outcome(Verdict.ACCEPTED, "left at the site, where it ages by itself")
