"""The CareLink cloud on one loop-back address: people, accounts, clock, and all that can be turned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from aiohttp import web

from bridge.simulators.carelink_cloud import discovery
from bridge.simulators.carelink_cloud.encoding import encode
from bridge.simulators.carelink_cloud.faults import Faults
from bridge.simulators.carelink_cloud.people import Account, Family, Person, carer_of, own_account
from bridge.simulators.carelink_cloud.served import Served
from bridge.simulators.carelink_cloud.tokens import TokenServer
from bridge.simulators.carelink_cloud.uploads import Picture, latest_upload, picture_of
from bridge.simulators.carelink_cloud.web_app import build_app
from bridge.simulators.carelink_cloud.wire import Template

PASSWORD = "simulated"
"""Password of the accounts made by default."""
CARER = "carer"
"""Username of the default account that follows everybody."""


class CareLinkSim:
    """`people` upload by `clock` (UTC). Without `accounts` there is one per person and a carer of them all.

    `auto_consent`: the username that the sign-in page lets through by itself, for tests and the demo.
    `marker_jitter_s`: every answer moves each marker's stamps by up to so many seconds.
    """

    def __init__(
        self,
        people: Sequence[Person],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        accounts: Sequence[Account] | None = None,
        seed: int = 0,
        auto_consent: str | None = None,
        marker_jitter_s: int = 0,
        min_app_version: tuple[int, int] = (3, 7),
    ) -> None:
        self.clock = clock
        self.people = {person.username: person for person in people}
        known = accounts if accounts is not None else default_accounts(people)
        self.accounts = {account.username: account for account in known}
        self.random = Random(f"carelink|{seed}")
        self.tokens = TokenServer(clock, self.random)
        self.faults, self.served = Faults(), Served()
        self.versions = discovery.known_versions()
        self.uploader_allowed = True
        self.auto_consent, self.marker_jitter_s, self.min_app_version = auto_consent, marker_jitter_s, min_app_version
        self._pictures: dict[str, Picture] = {}
        self._templates: dict[tuple[str, Family], Template] = {}

    def app(self) -> web.Application:
        """The web application with all of the cloud's hosts; serve it with `bridge.simulators.serving`."""
        return build_app(self)

    def sign_in(self, username: str) -> dict[str, Any]:
        """Tokens for an account without the web pages."""
        return self.tokens.sign_in(username, self.tokens.client_ids["EU"])

    def picture(self, username: str) -> Picture | None:
        """What the cloud holds of a person now; None before the first upload."""
        person = self.people[username]
        upload = latest_upload(person, self.clock())
        if upload is None:
            return None
        last = self._pictures.get(username)
        if last is None or last.taken_at != upload[0] or last.person is not person:
            last = self._pictures[username] = picture_of(person, *upload)
        return last

    def answer(self, picture: Picture, shape: Family) -> bytes:
        """The data answer for a picture in a family's shape, at this moment."""
        if self.marker_jitter_s:
            return encode(picture, shape, self._moved).fill(self.clock())
        key = (picture.person.username, shape)
        template = self._templates.get(key)
        if template is None or template.picture is not picture:
            template = self._templates[key] = encode(picture, shape)
        return template.fill(self.clock())

    def _moved(self, when: datetime) -> datetime:
        return when + timedelta(seconds=self.random.randint(-self.marker_jitter_s, self.marker_jitter_s))


def default_accounts(people: Sequence[Person]) -> list[Account]:
    """One account per person and the carer of them all."""
    return [*(own_account(person, PASSWORD) for person in people), carer_of(people, CARER, PASSWORD)]
