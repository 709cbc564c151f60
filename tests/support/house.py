"""A whole house for end-to-end tests: simulators, proxies, a linked data folder, and engines over it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from bridge.contracts import BleRadio, Clock, DeliveryState, Interval, Journal, UsbBus
from bridge.credentials import Sessions, Vault, VaultSealer, create_key, http_client
from bridge.demo import World, link_all, started
from bridge.engine.build import adapters, backfills, graces, readers, uploadings
from bridge.engine.engine import Engine
from bridge.journal import open_journal
from bridge.model import Record
from bridge.settings import Settings
from bridge.simulators.carelink_cloud import Person
from bridge.simulators.fault_proxy import FaultProxy

THINNED = {"pump_status"}
KINDS = ("sensor_glucose", "bolus", "carbs", "basal")


@dataclass
class House:
    """`proxies` stand before `carelink`, `nightscout` (the first person's) and `tidepool`."""

    folder: Path
    clock: Clock
    world: World
    settings: Settings
    proxies: dict[str, FaultProxy] = field(default_factory=dict)

    @asynccontextmanager
    async def engine(
        self, seed: int = 1, usb: UsbBus | None = None, ble: BleRadio | None = None
    ) -> AsyncIterator[Engine]:
        """One process's life: opens journal and sessions, closes them at the end."""
        vault = Vault(self.folder, create_key(self.folder))
        sessions = Sessions(vault, http_client(), self.clock, random=Random(seed))
        journal = await open_journal(self.folder / "journal.db", clock=self.clock, sealer=VaultSealer(vault))
        random = Random(seed)
        try:
            yield Engine(
                journal,
                list(readers(self.settings, sessions.authorised, self.clock, random, usb, ble=ble)),
                list(adapters(self.settings, sessions.authorised, self.clock, random)),
                self.clock,
                random,
                uploadings=list(uploadings(self.settings, journal, sessions.authorised, self.clock, random, usb)),
                graces=graces(self.settings),
                backfills=list(backfills(self.settings, journal, sessions.authorised, self.clock)),
            )
        finally:
            await journal.close()
            await sessions.close()

    def site(self, number: int = 0) -> dict[str, list[dict[str, Any]]]:
        """Nightscout's documents of a person by collection."""
        site = self.world.sites[self.world.people[number].username]
        return {name: list(collection) for name, collection in site.collections.items()}

    def datums(self, number: int = 0) -> list[dict[str, Any]]:
        """Tidepool's active datums of a person."""
        person = self.world.people[number].username
        return self.world.tidepool.documents(self.world.tidepool_user(person))

    def counts(self, number: int = 0) -> dict[str, int]:
        """How many documents each destination holds, by collection or type."""
        found = {name: len(documents) for name, documents in self.site(number).items()}
        return found | Counter(datum["type"] for datum in self.datums(number))


@asynccontextmanager
async def built(
    folder: Path,
    clock: Clock,
    people: Sequence[Person] | None = None,
    *,
    seed: int = 1,
    marker_jitter_s: int = 0,
    proxied: Sequence[str] = (),
) -> AsyncIterator[House]:
    """A house whose credentials are linked; requests to what is `proxied` pass a fault proxy."""
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(started(clock, people, seed=seed, marker_jitter_s=marker_jitter_s))
        proxies = {name: FaultProxy(_url(world, name)) for name in proxied}
        for name, proxy in proxies.items():
            _point(world, name, await stack.enter_async_context(proxy))
        sessions = Sessions(Vault(folder, create_key(folder)), http_client(), clock)
        try:
            settings = await link_all(world, sessions)
        finally:
            await sessions.close()
        yield House(folder, clock, world, settings, proxies)


def _url(world: World, name: str) -> str:
    if name == "nightscout":
        return world.site_urls[world.people[0].username]
    return world.carelink_url if name == "carelink" else world.tidepool_url


def _point(world: World, name: str, url: str) -> None:
    if name == "nightscout":
        world.site_urls[world.people[0].username] = url
    elif name == "carelink":
        world.carelink_url = url
    else:
        world.tidepool_url = url


async def records(journal: Journal, profile: str = "p1") -> list[Record]:
    """Everything the journal holds of a profile."""
    return [record async for record in journal.records(profile)]


async def require_conserved(house: House, engine: Engine, number: int = 0) -> None:
    """Each destination holds exactly what all the journal's records become: nothing missing, nothing twice."""
    profile = f"p{number + 1}"
    found = await records(engine.journal, profile)
    lasting = [record for record in found if record.kind not in THINNED]
    wanted = {
        destination.name: dict(sink.adapter.desired(lasting).documents.items())
        for destination, sink in engine.sinks.items()
        if destination.profile == profile
    }  # fmt: skip
    site = house.site(number)
    stored = [doc["identifier"] for name in ("entries", "treatments") for doc in site[name]]
    stored += [doc["_id"] for doc in site.get("profile", ())]
    assert sorted(stored) == sorted(wanted["nightscout"])
    datums = [d for d in house.datums(number) if d["type"] not in {"upload", "pumpStatus", "controllerStatus"}]
    posted = [datum["origin"]["id"] for datum in datums]
    expected = set(wanted["tidepool"]) | {key for doc in wanted["tidepool"].values() for key in doc.books}
    assert sorted(posted) == sorted(expected)
    for status in await engine.journal.destinations():
        if status.destination.profile == profile:
            open_states = (DeliveryState.QUARANTINED, DeliveryState.PENDING)
            open_ = {state: status.counts.get(state, 0) for state in open_states}
            reasons = {held.reason for held in await engine.journal.quarantine(profile)}
            assert not any(open_.values()), f"{status.destination.name}: {open_} {reasons} {status.health}"


async def require_complete(
    house: House, journal: Journal, start: datetime, end: datetime, number: int = 0, kinds: Sequence[str] = KINDS
) -> None:
    """Every fact of the virtual patient in the window is one record of the journal, with time and value."""
    patient = house.world.people[number].patient
    found = [
        record async for record in journal.records(f"p{number + 1}", Interval(start, end + timedelta(minutes=5)))
    ]
    for kind in kinds:
        facts = patient.facts(start, end, [kind])
        have = Counter(_coarse(record) for record in found if record.kind == kind)
        want = Counter((round(fact.time.timestamp()), round(fact.value, 2)) for fact in facts)
        missing = want - have
        assert not missing, f"{kind}: {len(missing)} of {len(facts)} facts missing, such as {next(iter(missing))}"


def _coarse(record: Any) -> tuple[int, float]:
    value = {
        "sensor_glucose": lambda: record.mgdl, "bolus": lambda: record.delivered_u, "carbs": lambda: record.grams,
        "basal": lambda: record.dose_u, "meter_glucose": lambda: record.mgdl,
    }[record.kind]()  # fmt: skip
    return round(record.time.timestamp()), round(value or 0, 2)
