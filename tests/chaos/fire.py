"""What befalls a fleet: faults of workers, of the database and of destinations, several at one time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from bridge.simulators.carelink_cloud.faults import Call
from bridge.simulators.carelink_cloud.faults import Fault as SourceFault
from bridge.simulators.carelink_cloud.faults import FaultKind as SourceFaultKind
from bridge.simulators.nightscout import Fault as SiteFault
from bridge.simulators.nightscout.faults import FaultKind as SiteFaultKind
from bridge.simulators.tidepool.faults import Outage
from tests.chaos.crew import Crew
from tests.chaos.servers import Cluster
from tests.chaos.wires import Switchboard
from tests.support.house import House

WORKERS: Mapping[str, float] = {
    "worker killed": 4, "worker paused": 3, "worker cut off": 3, "worker unheard": 3, "worker's clock wrong": 3,
}  # fmt: skip
SERVERS: Mapping[str, float] = {"step-down": 5, "node killed": 4, "disk slow": 3, "disk full": 2}
STORMS: Mapping[str, float] = {"Nightscout": 3, "Tidepool": 2, "CareLink": 1}
"""Kinds of faults of each group, and how often they are chosen."""
STORMS_AT_ONCE = 4
WRONG_S = (5.0, 90.0, 600.0, 7200.0)
_MANY = 10**6
_SITE: Sequence[SiteFaultKind] = ("cut", "lost_answer", "error_after", "status", "page", "wait")
_SILENCED = [SourceFaultKind(kind) for kind in ("status", "html", "empty", "truncated", "slow", "lost")]

Deed = Callable[[], Awaitable[None]]


def drawn(kinds: Mapping[str, float], count: int, random: Random) -> list[str]:
    """So many faults of a group, each kind once at least."""
    more = random.choices(list(kinds), list(kinds.values()), k=max(0, count - len(kinds)))
    found = [*kinds, *more]
    random.shuffle(found)
    return found


@dataclass
class Fire:
    """Burns until every fault has befallen. Each worker suffers one fault at a time, so does the database."""

    crew: Crew
    cluster: Cluster
    board: Switchboard
    house: House
    random: Random
    lease_s: float
    befallen: Counter[str] = field(default_factory=Counter)
    burnt_s: float = 0.0

    async def burn(self, workers: Iterable[str], servers: Iterable[str], storms: Iterable[str]) -> None:
        """These faults, spread over the workers, the database, and the storms."""
        begun = time.monotonic()
        of_workers, of_servers, of_storms = deque(workers), deque(servers), deque(storms)
        async with asyncio.TaskGroup() as lanes:
            for number in range(len(self.crew.names)):
                lanes.create_task(self._lane(of_workers, lambda kind, n=number: self._worker(kind, n)))  # type: ignore[misc]
            lanes.create_task(self._lane(of_servers, self._server))
            for _ in range(STORMS_AT_ONCE):
                lanes.create_task(self._lane(of_storms, self._storm))
        self.burnt_s = time.monotonic() - begun

    async def _lane(self, kinds: deque[str], befall: Callable[[str], Awaitable[None]]) -> None:
        await asyncio.sleep(self.random.uniform(0, 1))
        while kinds:
            kind = kinds.popleft()
            await befall(kind)
            self.befallen[kind] += 1
            await asyncio.sleep(self.random.uniform(0.1, 1.5))

    # --- workers ---

    async def _worker(self, kind: str, number: int) -> None:
        self.crew.require_alive(number)
        deeds: Mapping[str, Callable[[int], Awaitable[None]]] = {
            "worker killed": self._kill, "worker paused": self._pause, "worker cut off": self._cut_off,
            "worker unheard": self._unheard, "worker's clock wrong": self._wrong_clock,
        }  # fmt: skip
        await deeds[kind](number)
        self.crew.require_alive(number)
        await self._for_leases(0, 1)

    async def _kill(self, number: int) -> None:
        await self.crew.kill(number)
        await self._for_leases(0, 1)
        await self.crew.restart(number)

    async def _pause(self, number: int) -> None:
        self.crew.stop(number)
        await self._for_leases(0.3, 1.8)
        self.crew.go_on(number)

    async def _cut_off(self, number: int) -> None:
        """Its connections to the database are reset, new ones refused."""
        await self._wired(number, "broken", 0.1, 1.5)

    async def _unheard(self, number: int) -> None:
        """Nothing passes between it and the database, and nobody is told."""
        await self._wired(number, "silent", 0.3, 1.8)

    async def _wired(self, number: int, state: str, least: float, most: float) -> None:
        self.board.become(number, state)
        await self._for_leases(least, most)
        self.board.become(number, "through")

    async def _wrong_clock(self, number: int) -> None:
        """Its wall clock jumps, and is set right later."""
        self.crew.set_clock(number, self.random.choice(WRONG_S) * self.random.choice((-1, 1)))
        await self._for_leases(0.2, 1)
        self.crew.set_clock(number, 0)

    async def _for_leases(self, least: float, most: float) -> None:
        await asyncio.sleep(self.lease_s * self.random.uniform(least, most))

    # --- the database ---

    async def _server(self, kind: str) -> None:
        deeds: Mapping[str, Callable[[Random], Awaitable[None]]] = {
            "step-down": self.cluster.step_down, "node killed": self.cluster.kill_node,
            "disk slow": self.cluster.slow_disk, "disk full": self.cluster.fill_disk,
        }  # fmt: skip
        await deeds[kind](self.random)
        await self.cluster.well()

    # --- destinations and the source ---

    async def _storm(self, kind: str) -> None:
        storms: Mapping[str, Callable[[], Callable[[], None]]] = {
            "Nightscout": self._at_sites, "Tidepool": self._at_tidepool, "CareLink": self._at_source,
        }  # fmt: skip
        calm = storms[kind]()
        await asyncio.sleep(self.random.uniform(1, 4))
        calm()

    def _at_sites(self) -> Callable[[], None]:
        """A fifth of the sites: refusals, resets, lost acknowledgements, hanging answers."""
        sites = list(self.house.world.sites.values())
        faults = list[tuple[list[SiteFault], SiteFault]]()
        for site in self.random.sample(sites, k=(len(sites) + 4) // 5):
            kind = self.random.choice(_SITE)
            wait_s = self.random.uniform(5, 60)
            fault = SiteFault(kind, times=_MANY, status=self.random.choice((500, 502, 503)), wait_s=wait_s)
            site.faults.append(fault)
            faults.append((site.faults, fault))

        def calm() -> None:
            for planned, fault in faults:
                _take_out(planned, fault)

        return calm

    def _at_tidepool(self) -> Callable[[], None]:
        """Everybody's: the same, and limits."""
        outages, status = self.house.world.tidepool.knobs.outages, self.random.choice((0, 0, 429, 500, 503))
        headers = {"Retry-After": "5"} if status == 429 else {}
        delay_s, after = self.random.choice((0, 0, 2.0)), self.random.random() < 0.5 and status != 429
        outage = Outage(status, _MANY, method="POST", after=after, headers=headers, delay_s=delay_s)
        outages.append(outage)
        return lambda: _take_out(outages, outage)

    def _at_source(self) -> Callable[[], None]:
        """Everybody's readings: no answer, half an answer, a page in its place."""
        faults, kind = self.house.world.carelink.faults, self.random.choice(_SILENCED)
        faults.stand(Call.DATA, SourceFault(kind, seconds=1.0))
        return faults.clear


def _take_out(planned: list[Any], fault: Any) -> None:
    planned[:] = [each for each in planned if each is not fault]
