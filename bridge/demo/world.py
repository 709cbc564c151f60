"""Simulators on loop-back and a data folder that is linked to them by the same steps a person walks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bridge.contracts import Clock, Linking, Step
from bridge.credentials import Linked, PendingAuthorisation, Sessions, Walk
from bridge.engine.registry import adapter_class, reader_class
from bridge.errors import ContractViolation, Refused
from bridge.settings import PlugInSettings, ProfileSettings, Settings
from bridge.simulators.carelink_cloud import CARER, CareLinkSim, Person
from bridge.simulators.nightscout import NightscoutSim
from bridge.simulators.patient import VirtualPatient
from bridge.simulators.serving import serve
from bridge.simulators.tidepool import TidepoolSim

SITE_SECRET = "simulated-secret-of-a-site"
TIDEPOOL_CLIENT, TIDEPOOL_REDIRECT = "glucobridge-demo", "http://127.0.0.1:9/redirect"


@dataclass
class World:
    """The simulators and where they answer; `*_url` may be pointed at a fault proxy before linking."""

    people: Sequence[Person]
    carelink: CareLinkSim
    sites: Mapping[str, NightscoutSim]
    """Nightscout site of each person."""
    tidepool: TidepoolSim
    carelink_url: str
    site_urls: dict[str, str]
    tidepool_url: str

    def tidepool_user(self, username: str) -> str:
        """Tidepool user id of a person."""
        return tidepool_user(self.people, username)


def tidepool_user(people: Sequence[Person], username: str) -> str:
    """Ten hex digits, by position."""
    return f"{[person.username for person in people].index(username) + 1:010x}"


@asynccontextmanager
async def started(
    clock: Clock, people: Sequence[Person] | None = None, *, seed: int = 1, marker_jitter_s: int = 0
) -> AsyncIterator[World]:
    """All simulators, running until the end of the block."""
    people = people or [Person("patient1", VirtualPatient(seed), first_name="Robin", last_name="Example")]
    carelink = CareLinkSim(people, clock.now, seed=seed, auto_consent=CARER, marker_jitter_s=marker_jitter_s)
    sites = {person.username: NightscoutSim(SITE_SECRET, _SiteClock(clock)) for person in people}
    tidepool = TidepoolSim(now=clock.now)
    tidepool.tokens.refuse_reuse = False  # as the published development realm has it
    tidepool.add_client(TIDEPOOL_CLIENT, TIDEPOOL_REDIRECT)
    for person in people:
        tidepool.add_account(
            tidepool_user(people, person.username), f"{person.username}@example.org", "invented-password"
        )
    async with AsyncExitStack() as stack:
        carelink_url = await stack.enter_async_context(serve(carelink.app()))
        site_urls = {name: await stack.enter_async_context(serve(site.app())) for name, site in sites.items()}
        tidepool_url = await stack.enter_async_context(serve(tidepool.app()))
        yield World(people, carelink, sites, tidepool, carelink_url, site_urls, tidepool_url)


class _SiteClock:
    """The part of the clock a simulated site wants."""

    def __init__(self, clock: Clock) -> None:
        self.now, self.sleep = clock.now, clock.sleep


async def link_all(world: World, sessions: Sessions) -> Settings:
    """Link every person to the simulators by the plug-ins' own steps; the settings that come of it."""
    profiles = {}
    for number, person in enumerate(world.people, start=1):
        profile = f"p{number}"
        source = await _linked_source(world, person, sessions, f"{profile}-carelink-cloud")
        site = await _linked_site(world, person, sessions, f"{profile}-nightscout")
        reports = await _linked_tidepool(world, person, sessions, f"{profile}-tidepool")
        profiles[profile] = ProfileSettings(
            name=f"{person.first_name} {person.last_name}",
            timezone=person.patient.zone,
            readers={"carelink-cloud": source},
            destinations={"nightscout": site, "tidepool": reports},
        )
    return Settings(installation="demo", profiles=profiles)


async def _linked_source(world: World, person: Person, sessions: Sessions, name: str) -> PlugInSettings:
    """A patient's own account each: one session per account, as the real cloud has it."""
    world.carelink.auto_consent = person.username
    own = {"discovery_url": f"{world.carelink_url}/connect/carepartner/v13/discover/android"}
    answers = {"region": "EU", "way": "browser", "patient": person.username}
    linking = reader_class("carelink-cloud").linking
    if linking is None:
        raise ContractViolation("The CareLink reader needs a link.")
    return await _walk(name, linking, own, answers, sessions)


async def _linked_site(world: World, person: Person, sessions: Sessions, name: str) -> PlugInSettings:
    answers = {"url": world.site_urls[person.username], "credential": SITE_SECRET, "secret": SITE_SECRET}
    return await _walk(name, adapter_class("nightscout").linking, {}, answers, sessions)


async def _linked_tidepool(world: World, person: Person, sessions: Sessions, name: str) -> PlugInSettings:
    user = world.tidepool_user(person.username)
    world.tidepool.consent_as(user)
    own = {"api_url": world.tidepool_url, "client_id": TIDEPOOL_CLIENT, "redirect_uri": TIDEPOOL_REDIRECT}
    return await _walk(name, adapter_class("tidepool").linking, own, {"user_id": user, "person": user}, sessions)


async def _walk(
    name: str, linking: Linking, own: Mapping[str, Any], answers: Mapping[str, str], sessions: Sessions
) -> PlugInSettings:
    walk = Walk(name, linking, own, sessions)
    while True:
        asked = await walk.step()
        if isinstance(asked, Linked):
            return PlugInSettings.model_validate({**own, **asked.settings, "credential": name})
        if isinstance(asked, PendingAuthorisation):
            walk.answer("redirect", await _consented(asked.url, sessions))
        else:
            walk.answer(asked.key, _known(asked, answers))


def _known(asked: Step, answers: Mapping[str, str]) -> str:
    if asked.key not in answers:
        raise Refused(f"The demo has no answer for {asked.key!r}.")
    return answers[asked.key]


async def _consented(url: str, sessions: Sessions) -> str:
    """Where a browser would end: the simulated sign-in page consents by itself."""
    answer = await sessions.open().request("GET", url)
    return answer.headers["location"]
