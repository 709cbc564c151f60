"""Asking for one person's data: mends what a status code says can be mended, and remembers what works."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from bridge.contracts import Answer, Clock, Session
from bridge.errors import BridgeError, Forbidden, Moved, Refused, Throttled, Transient, Unauthorised
from bridge.model.health import State
from bridge.model.time import iso_ms, parse_instant
from bridge.readers.carelink_cloud.account import followed, who_am_i
from bridge.readers.carelink_cloud.client import (
    Meaning,
    Route,
    Who,
    ask,
    data_call,
    data_meaning,
    failure,
    parsed,
    routes,
)
from bridge.readers.carelink_cloud.discovery import Directory
from bridge.readers.carelink_cloud.settings import CareLinkSettings

_HOUR = timedelta(hours=1)
_DAY = timedelta(hours=24)
_STREAK = 3


@dataclass(slots=True)
class Kept:
    """What is learnt about the account and survives a restart, beside the discovery."""

    route: Route = Route.MESSAGE
    route_at: datetime | None = None
    refused_at: datetime | None = None
    """When a token was last refused in mid-life and replaced by a fresh one."""
    shared: bool = False
    """A fresh token, which had worked, was refused again within the hour."""

    def dump(self) -> dict[str, Any]:
        """Small JSON."""
        return {
            "route": self.route.value,
            "route_at": iso_ms(self.route_at) if self.route_at else None,
            "refused_at": iso_ms(self.refused_at) if self.refused_at else None,
            "shared": self.shared,
        }

    @classmethod
    def restore(cls, kept: Mapping[str, Any]) -> Kept:
        """From what `dump` gave; anything unreadable starts anew."""
        try:
            return cls(
                Route(kept.get("route", Route.MESSAGE)),
                parse_instant(kept["route_at"]) if kept.get("route_at") else None,
                parse_instant(kept["refused_at"]) if kept.get("refused_at") else None,
                kept.get("shared") is True,
            )
        except (TypeError, ValueError):
            return cls()


class DataSource:
    """Fetches one person's data. Every mendable status is mended once per fetch; what works is remembered."""

    def __init__(self, session: Session, settings: CareLinkSettings, clock: Clock) -> None:
        self._session, self._settings, self._clock = session, settings, clock
        self.directory = Directory(session, settings.region, settings, clock)
        self.kept = Kept()
        self.app_version = self.configured_version = settings.message_app_version
        self.no_device = False
        self._fruitless = 0
        """Fetches in a row that brought nothing new, for whatever reason."""
        self._empty = 0
        """Answers in a row without data."""
        self._unanswered = 0
        """Calls in a row that got no answer at all."""
        self._updated_at: datetime | None = None
        self._who = Who(settings.username, settings.role, settings.patient)
        self._look_elsewhere = True
        """The next empty answer asks the other routes at once."""
        self._probed_at: datetime | None = None
        self._unproven = False
        self._identity_checked = False
        self._remedies: dict[Meaning, Callable[[], Awaitable[bool]]] = {
            Meaning.SIGN_IN_REFUSED: self._renew,
            Meaning.FORBIDDEN: self._renew,
            Meaning.TOO_OLD: self._other_version,
            Meaning.BAD_IDENTITY: self._reread_account,
            Meaning.GONE: self._rediscover,
        }

    @property
    def shared(self) -> bool:
        """Whether the account was found to be in use elsewhere within the last hour."""
        return self.kept.shared and self._refused_lately()

    async def fetch(self) -> Answer | None:
        """The answer that holds data; None where no route has any.

        Raises Transient, Throttled, Unauthorised, Forbidden, Refused or Incompatible.
        """
        self._forget_fruitless_route()
        try:
            answer = await self._ask(self.kept.route)
        except BridgeError:
            self._fruitless += 1
            raise
        if answer is not None:
            return self._found(self.kept.route, answer)
        self._fruitless += 1
        self._empty += 1
        return await self._probe() if self._probe_due() else None

    def noted(self, updated_at: datetime | None) -> None:
        """Told by the reader which upload the answer held; None when it could not be read."""
        new = updated_at is not None and updated_at != self._updated_at
        self._fruitless = 0 if new else self._fruitless + 1
        self._updated_at = updated_at or self._updated_at

    async def _ask(self, route: Route) -> Answer | None:
        tried: set[Callable[[], Awaitable[bool]]] = set()
        while True:
            answer = await self._call(route)
            self._unanswered = 0
            verdict = data_meaning(answer)
            if verdict in (Meaning.DATA, Meaning.NO_DATA):
                self._unproven = self._identity_checked = False
                return answer if verdict is Meaning.DATA else None
            remedy = self._remedies.get(verdict)
            if remedy is None or remedy in tried or not await remedy():
                raise self._error(verdict, answer)
            tried.add(remedy)

    async def _call(self, route: Route) -> Answer:
        try:
            return await self._send(route)
        except Moved:
            await self._renew_where_it_moved()
        except Transient as error:
            if not await self._moved_away(error):
                raise
        return await self._send(route)

    async def _send(self, route: Route) -> Answer:
        place = await self.directory.place()
        call = data_call(route, place.data_url, place.account_url, self._who, self.app_version)
        return await ask(self._session, call, self._settings.user_agent)

    def _error(self, verdict: Meaning, answer: Answer) -> BridgeError:
        if verdict is Meaning.TOO_OLD:
            self.app_version = self.configured_version
        return failure(verdict, answer, "data", self._clock.now())

    # --- remedies: True when asking again makes sense ---

    async def _renew(self) -> bool:
        """A fresh token, but not again within the hour when the last fresh one never worked."""
        lately = self._refused_lately()
        if lately and self._unproven:
            return False
        self.kept.shared = lately
        try:
            await self._session.renew()
        except Moved:
            await self._renew_where_it_moved()
        self.kept.refused_at, self._unproven = self._clock.now(), True
        return True

    async def _renew_where_it_moved(self) -> None:
        sign_in = await self.directory.sign_in()
        try:
            await self._session.renew(client_id=sign_in.client_id, token_url=sign_in.token_url)
        except Moved:
            raise Unauthorised(
                "CareLink changed its sign-in and no longer knows ours.", next_step="Link CareLink again."
            ) from None

    async def _other_version(self) -> bool:
        settings = self._settings
        versions = {settings.message_app_version, *(f"{version}.0" for version in settings.app_versions)}
        others = sorted(versions - {self.app_version}, key=_numbers)
        if others:
            self.app_version = others[-1]
        return bool(others)

    async def _reread_account(self) -> bool:
        """Ask once who we are; whose data is read never changes by it."""
        if self._identity_checked:
            return False
        place = await self.directory.place()
        account = await who_am_i(self._session, place, self._settings)
        if account.health.state is not State.OK:
            raise Forbidden(account.health.text)
        if account.role != self._settings.role:
            raise _another_account()
        who = Who(account.username, account.role)
        if account.role == "carepartner":
            who = replace(who, patient=await self._linked_patient())
        elif account.username.lower() != self._settings.username.lower():
            raise _another_account()
        changed, self._who, self._identity_checked = who != self._who, who, True
        return changed

    async def _linked_patient(self) -> str:
        wanted = (self._settings.patient or "").lower()
        people = await followed(self._session, await self.directory.place(), self._settings)
        for person in people:
            if person.username.lower() == wanted:
                return person.username
        raise Forbidden(
            "This account does not follow the chosen person any more.",
            next_step="Accept the invitation again in the CareLink app, or link again and choose.",
            state=State.CHOOSE_PATIENT.value,
        )

    async def _rediscover(self) -> bool:
        before = await self.directory.place()
        try:
            return await self.directory.rediscover() != before
        except Transient:
            return False

    async def _moved_away(self, error: Transient) -> bool:
        """Whether no answer came because the address is another one now; looked up at every third such call.

        A session does not tell a refused handshake from any other cut connection.
        """
        if isinstance(error, Throttled):
            return False
        self._unanswered += 1
        return self._unanswered % _STREAK == 0 and await self._rediscover()

    # --- routes ---

    def _forget_fruitless_route(self) -> None:
        kept = self.kept
        if kept.route is Route.MESSAGE:
            return
        old = kept.route_at is None or not timedelta(0) <= self._clock.now() - kept.route_at < _DAY
        if old or self._fruitless >= _STREAK:
            kept.route, kept.route_at, self._look_elsewhere = Route.MESSAGE, None, True

    def _probe_due(self) -> bool:
        """At once for a route that never worked, else at the third empty answer in a row; then daily."""
        last = self._probed_at
        old = last is not None and self._clock.now() - last >= _DAY
        return self._look_elsewhere or self._empty == _STREAK or old

    async def _probe(self) -> Answer | None:
        """One look at each other route; the first that holds data is kept."""
        self._probed_at, self._look_elsewhere, self.no_device = self._clock.now(), False, False
        for route in routes(self._settings.role):
            if route is self.kept.route:
                continue
            try:
                answer = await self._send(route)
            except Transient:
                continue
            if data_meaning(answer) is Meaning.DATA and isinstance(parsed(answer.body), dict):
                return self._found(route, answer)
            self.no_device = self.no_device or answer.status == 500
        return None

    def _found(self, route: Route, answer: Answer) -> Answer:
        if route is not self.kept.route:
            self.kept.route, self.kept.route_at = route, self._clock.now()
            self._fruitless = 0
        self._empty, self._look_elsewhere, self.no_device = 0, False, False
        return answer

    def _refused_lately(self) -> bool:
        at = self.kept.refused_at
        return at is not None and timedelta(0) <= self._clock.now() - at < _HOUR


def _another_account() -> Refused:
    return Refused(
        "The account that is signed in is not the one in the settings.",
        next_step="Link CareLink again for this person.",
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
