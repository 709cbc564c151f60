"""The day everybody gets: a CareLink account with a day in it, an empty Nightscout site, and what must arrive there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bridge.contracts import OAuthToken
from bridge.credentials import Vault, create_key
from bridge.demo.world import SITE_SECRET
from bridge.engine.clock import SystemClock
from bridge.settings import FILE_NAME, Settings
from bridge.simulators.carelink_cloud import Person
from bridge.simulators.patient import VirtualPatient
from tests.support.house import House, built

KINDS = {"glucose": ("sensor_glucose", 1.0), "bolus": ("bolus", 0.06), "carbs": ("carbs", 1.0)}
"""Kind of the facts, and how far a value may be from theirs: mg/dL, U, g."""
_WINDOW, _FRESH = timedelta(hours=23, minutes=30), timedelta(minutes=50)
"""Younger facts may not be in the cloud yet, older ones not any more."""
_NEAR_S = 90.0


@dataclass(frozen=True)
class Count:
    """Of one kind: `asked` must arrive. `extra` documents say what another one says already, or nothing that was."""

    asked: int
    delivered: int
    missing: int
    extra: int


@dataclass(frozen=True)
class Day:
    """`names`: what a peer's settings may ask for."""

    house: House
    names: Mapping[str, str]
    start: datetime
    end: datetime

    def counts(self) -> dict[str, Count]:
        """What has arrived."""
        stored = self.house.site()
        patient = self.house.world.people[0].patient
        found = {}
        for name, (kind, near) in KINDS.items():
            facts = [(fact.time.timestamp(), fact.value) for fact in patient.facts(self.start, self.end, [kind])]
            window = (self.start.timestamp(), self.end.timestamp())
            found[name] = count(facts, _told(name, stored), window, near)
        return found


@asynccontextmanager
async def day(folder: Path, seed: int) -> AsyncIterator[Day]:
    """A day of the simulated person `seed`, which ends now; `folder` gets a data folder of ours, `glucobridge`."""
    clock = SystemClock()
    now = clock.now()
    person = Person("patient1", VirtualPatient(seed, start=now - timedelta(hours=30)))
    ours = folder / "glucobridge"
    ours.mkdir()
    async with built(ours, clock, [person], seed=seed) as house:
        (ours / FILE_NAME).write_text(_toml(house.settings), "utf-8")
        names = await _names(house, folder, ours)
        yield Day(house, names, now - _WINDOW, now - _FRESH)


async def _names(house: House, folder: Path, ours: Path) -> dict[str, str]:
    held = (await Vault(ours, create_key(ours)).load("p1-carelink-cloud")).credential
    assert isinstance(held, OAuthToken)
    return {
        "folder": str(folder),
        "ours": str(ours),
        "carelink": house.world.carelink_url,
        "discovery_url": f"{house.world.carelink_url}/connect/carepartner/v13/discover/android",
        "username": "patient1",
        "token_url": held.token_url,
        "client_id": held.client_id,
        "access_token": held.access_token,
        "refresh_token": held.refresh_token or "",
        "expires_at": str(int(held.expires_at)),
        "nightscout": house.world.site_urls["patient1"],
        "api_secret": SITE_SECRET,
        "api_secret_sha1": hashlib.sha1(SITE_SECRET.encode(), usedforsecurity=False).hexdigest(),
    }


def _toml(settings: Settings) -> str:
    """Source and site; Tidepool is left out, for nobody else is asked to serve it."""
    lines = ['installation = "peers"', "[service]", "port = 0"]
    person = settings.profiles["p1"]
    for group, tables in (("readers", person.readers), ("destinations", person.destinations)):
        for name, table in tables.items():
            if name != "tidepool":
                lines.append(f"[profiles.p1.{group}.{name}]")
                values = {"credential": table.credential, **table.own}
                lines += [f"{key} = {json.dumps(value)}" for key, value in values.items() if value is not None]
    return "\n".join(lines)


def _told(name: str, stored: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterable[tuple[float, float]]:
    """(epoch seconds, value) of a site's documents of a kind."""
    if name == "glucose":
        for doc in stored.get("entries", ()):
            if doc.get("sgv") is not None and doc.get("type", "sgv") == "sgv":
                yield float(doc["date"]) / 1000, float(doc["sgv"])
        return
    field = "insulin" if name == "bolus" else "carbs"
    for doc in stored.get("treatments", ()):
        if doc.get(field):
            yield datetime.fromisoformat(str(doc["created_at"])).timestamp(), float(doc[field])


def count(
    facts: Sequence[tuple[float, float]],
    documents: Iterable[tuple[float, float]],
    window: tuple[float, float],
    near: float,
) -> Count:
    """Each fact takes the nearest free document of about its value within 90 s; of what is left, that in the window is
    extra."""
    free = sorted(documents)
    delivered = 0
    for time, value in facts:
        fitting = [each for each in free if abs(each[0] - time) <= _NEAR_S and abs(each[1] - value) <= near]
        if fitting:
            free.remove(min(fitting, key=lambda each: abs(each[0] - time)))
            delivered += 1
    extra = sum(window[0] + _NEAR_S < each[0] < window[1] - _NEAR_S for each in free)
    return Count(len(facts), delivered, len(facts) - delivered, extra)
