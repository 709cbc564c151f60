"""The Nightscout adapter: what the engine calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from adapters.nightscout.access import Access
from adapters.nightscout.address import host_of
from adapters.nightscout.bulk import Bulk
from adapters.nightscout.client import SiteClient
from adapters.nightscout.delivery import Delivery
from adapters.nightscout.linking import NightscoutLinking
from adapters.nightscout.mapping import MappingSettings
from adapters.nightscout.older import knows_identifiers
from adapters.nightscout.pace import Pace
from adapters.nightscout.permissions import COLLECTIONS
from adapters.nightscout.probe import Site, health_of, survey
from adapters.nightscout.profiles import Profiles
from adapters.nightscout.readback import ReadBack
from adapters.nightscout.removal import Removal
from adapters.nightscout.settings import Settings
from adapters.nightscout.statuses import ByV3, Stored
from adapters.nightscout.streams import collections_of, desired_of
from bridge.contracts import (
    Desired,
    Document,
    Interval,
    Inventory,
    LedgerDocument,
    Outcome,
    Setup,
)
from bridge.errors import BridgeError, ContractViolation, SettingsInvalid
from bridge.model import Record
from bridge.model.health import Health, State

FRESH_S = 6 * 3600.0


class NightscoutAdapter:
    """One site. Needs a session for everything but `desired`."""

    name = "nightscout"
    Settings: ClassVar[type[Settings]] = Settings
    linking: ClassVar[NightscoutLinking] = NightscoutLinking()

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._settings = Settings.model_validate(dict(setup.settings))
        self._collections = collections_of(self._settings)
        self._pace = Pace(self._settings.batch)
        self.batch = self._pace.size
        self.state: dict[str, Any] = {}
        self._surveyed: float | None = None
        self._health = Health(State.STARTING)
        self._delivery: Delivery | None = None
        if setup.session is not None:
            self._client = SiteClient(setup.session, self._settings.url)
            self._access = Access(self._client, setup.clock)
            self._bulks = {name: self._bulk(name) for name in ("entries", "treatments", "devicestatus")}

    def desired(self, records: Iterable[Record]) -> Desired:
        """Documents of a set of records; those of streams switched off are skipped as `stream_off`."""
        return desired_of(records, self._mapping(), self._settings.streams)

    async def prepare(self) -> Health:
        """Survey the site at the start and every six hours; a failed survey is made again at the next call."""
        now = self._setup.clock.monotonic()
        if self._surveyed is not None and now - self._surveyed < FRESH_S:
            return self._health
        try:
            await self._survey()
        except ContractViolation:
            raise
        except BridgeError as error:
            return Health(State.named(error.state), str(error))
        return self._health

    async def deliver(self, posts: Sequence[Document], deletes: Sequence[LedgerDocument]) -> Sequence[Outcome]:
        """Send in the site's order: entries, deletes, treatments, devicestatus, profile."""
        self._require_session()
        self._access.require_unblocked()
        if self.state.get("url") != self._settings.url:
            await self._survey()
        try:
            return await self._built().deliver(posts, deletes)
        finally:
            self.batch = self._pace.size

    async def stored(self, window: Interval) -> Inventory:
        """What the site holds of ours."""
        self._require_session()
        self._access.require_unblocked()
        optional = frozenset(COLLECTIONS) - frozenset(self._collections)
        reader = ReadBack(self._client, self._access, entered_by=self._settings.entered_by, optional=optional)
        return await reader.inventory(window)

    async def _survey(self) -> None:
        self._require_session()
        site = await survey(self._client, self._access, self._setup.clock, self._collections)
        self._remember(site)
        self._health = health_of(site, self._collections)
        if self._health.state is State.OK:
            self._surveyed = self._setup.clock.monotonic()

    def _remember(self, site: Site) -> None:
        """Facts for the next start. The way statuses go is chosen once for a site: both ways would double them."""
        url = self._settings.url
        chosen = self._remembered("status_route")
        if chosen is None and "devicestatus" in self._collections and "devicestatus" not in site.refused:
            chosen = "v3" if site.takes_status_by_v3 else "v1"
        facts = {**site.state(), "units": site.units or self._remembered("units")}
        self.state = {**facts, "url": url, "status_route": chosen}
        self._delivery = None

    def _remembered(self, fact: str) -> Any:
        """A fact of this very site."""
        return self.state.get(fact) if self.state.get("url") == self._settings.url else None

    def _built(self) -> Delivery:
        if self._delivery is None:
            self._delivery = self._build()
        return self._delivery

    def _build(self) -> Delivery:
        client, access, clock = self._client, self._access, self._setup.clock
        by_v3 = self._remembered("status_route") == "v3"
        identifiers = knows_identifiers(self._remembered("version"))
        return Delivery(
            client=client,
            access=access,
            clock=clock,
            entries=self._bulks["entries"],
            treatments=self._bulks["treatments"],
            statuses=ByV3(client, access) if by_v3 else self._bulks["devicestatus"],
            profiles=Profiles(client, access, foreign_allowed=self._settings.allow_foreign_profile),
            removal=Removal(client, access, by_path=identifiers),
            mapping=self._mapping(),
            knows_identifiers=identifiers,
        )

    def _mapping(self) -> MappingSettings:
        return self._settings.mapping(self._setup.timezone, self._remembered("units"))

    def _bulk(self, name: str) -> Bulk:
        look = Stored(self._client, self._access, name)
        return Bulk(name, self._client, self._access, self._pace, self._setup.clock, look, name == "devicestatus")

    def _require_session(self) -> None:
        if self._setup.session is None:
            raise ContractViolation("The Nightscout adapter was asked for network without a session.")
        if not self._settings.url:
            raise SettingsInvalid(
                "The Nightscout destination has no url.", next_step="Link it with `glucobridge link nightscout`."
            )

    def __repr__(self) -> str:
        return f"NightscoutAdapter({host_of(self._settings.url)})"
