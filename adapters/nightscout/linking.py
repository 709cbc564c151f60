"""How a person grants access: the site's address, then its API_SECRET once, or an access token."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from adapters.nightscout.access import Access
from adapters.nightscout.address import host_of, normal_url, secure
from adapters.nightscout.client import SiteClient
from adapters.nightscout.permissions import ROLE, allows, listed, needed
from adapters.nightscout.probe import health_of, survey
from adapters.nightscout.settings import Settings
from adapters.nightscout.streams import collections_of
from adapters.nightscout.subject import SUBJECT, token_by_secret
from bridge.contracts import Authorise, Grant, Hold, Session, StaticToken, Step
from bridge.errors import BridgeError, ContractViolation, NotAllowed, Refused, Unauthorised
from bridge.model.health import Health, State

HEADER = "api-secret"
_TOKEN = re.compile(r"[a-z0-9_]{1,10}-[0-9a-f]{16}")
_SHORTEST_SECRET = 12
_URL = Step("url", "Address of the Nightscout site (https://...)")
_CREDENTIAL = Step("credential", "API_SECRET or an access token", secret=True)


class NightscoutLinking:
    """Steps: `url`, `credential`. A secret is used once, to make a token that may do no more than needed."""

    name = "nightscout"
    scopes = ROLE

    async def begin(
        self, session: Session, settings: Mapping[str, Any], answers: Mapping[str, str]
    ) -> Step | Authorise | Hold | Grant:
        """The next step, or the grant. Raises Refused for an answer that does not fit."""
        url = answers.get("url") or settings.get("url")
        if not url:
            return _URL
        client = SiteClient(session, secure(normal_url(str(url))))
        if "authorised" in answers:
            return await _granted(client, settings)
        await _require_site(client)
        if "credential" not in answers:
            return _CREDENTIAL
        token = await _token(client, answers["credential"], _subject_name(settings))
        return Hold(StaticToken(token, HEADER), (host_of(client.base),))

    async def check(self, session: Session, settings: Mapping[str, Any]) -> Health:
        """Dry run of the rights; stores nothing."""
        client = SiteClient(session, normal_url(str(settings.get("url", ""))))
        collections = _collections(settings)
        try:
            site = await survey(client, Access(client, _MachineClock()), _MachineClock(), collections)
        except ContractViolation:
            raise
        except BridgeError as error:
            return Health(State.named(error.state), str(error))
        return health_of(site, collections)

    async def revoke(self, session: Session, settings: Mapping[str, Any]) -> str:
        """The token cannot end itself: says what a person has to delete."""
        client = SiteClient(session, normal_url(str(settings.get("url", ""))))
        try:
            subject = (await Access(client, _MachineClock()).exchange()).subject
        except Unauthorised:
            return "The site had already forgotten our access token."
        return (
            f"The access token stays valid until you delete the subject {subject!r} under Admin Tools of "
            f"{client.base}, which asks for the API_SECRET."
        )


class _MachineClock:
    """Time of this machine: nobody hands linking a clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _subject_name(settings: Mapping[str, Any]) -> str:
    """One subject an installation, where its id is among the settings: revoking one leaves the others."""
    installation = str(settings.get("installation", ""))
    return f"{SUBJECT}-{installation}" if installation else SUBJECT


def _collections(settings: Mapping[str, Any]) -> list[str]:
    known = {name: value for name, value in settings.items() if name in Settings.model_fields and name != "url"}
    return collections_of(Settings.model_validate(known))


async def _require_site(client: SiteClient) -> None:
    """Raises Refused unless a Nightscout answers there."""
    try:
        found = await client.version()
    except NotAllowed as error:
        raise Refused(error.message, next_step=error.next_step) from None
    except BridgeError as error:
        raise Refused(
            f"No Nightscout answers at {client.base}: {error.message}",
            next_step="Open the address in a browser, then give it as shown there.",
        ) from None
    if found is None:
        raise Refused(
            f"What answers at {client.base} is no Nightscout of version 14 or later.",
            next_step="Check the address, or update the site.",
        )


async def _token(client: SiteClient, credential: str, subject: str) -> str:
    """An access token the site knows. Wrong credentials are punished there, so each is tried once only."""
    if _TOKEN.fullmatch(credential):
        return credential
    if len(credential) < _SHORTEST_SECRET:
        raise Refused(
            "That is neither an API_SECRET, which has 12 characters or more, nor an access token.",
            next_step="Give the API_SECRET of the site, or a token such as name-0123456789abcdef.",
        )
    return await token_by_secret(client, credential, subject)


async def _granted(client: SiteClient, settings: Mapping[str, Any]) -> Grant:
    """Dry run with the token, then the grant."""
    collections = _collections(settings)
    clock = _MachineClock()
    try:
        site = await survey(client, Access(client, clock), clock, collections)
    except Unauthorised:
        raise Refused(
            "The site does not know this access token.",
            next_step="Copy it from Admin Tools, Subjects, of the site, or give the API_SECRET.",
        ) from None
    health = health_of(site, collections)
    if health.state is State.PERMISSION_DENIED:
        raise Refused(health.text, next_step="Then try again.")
    granted = [one for one in needed(collections) if allows(site.groups, one)]
    summary = f"Linked to {client.base} (Nightscout {site.version or 'of unknown version'}) as {site.subject!r}."
    return Grant(
        hosts=(host_of(client.base),),
        scopes=tuple(listed(granted).split(", ")),
        settings={"url": client.base},
        summary=f"{summary} {health.text}".strip(),
    )
