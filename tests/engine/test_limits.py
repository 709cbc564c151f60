"""Places at a host: never more than the share, in order, and none is lost."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from random import Random
from typing import Any

import pytest

from bridge.contracts import Answer
from bridge.engine import limits
from bridge.engine.fleet import _Leased
from bridge.engine.limits import PER_PROCESS, HostLimits
from bridge.errors import Throttled, Transient


@pytest.mark.parametrize(
    ("total", "workers", "share"),
    [(None, 1, PER_PROCESS), (None, 9, PER_PROCESS), (12, 1, 12), (12, 5, 2), (3, 8, 1)],
)
def test_a_worker_has_its_part_and_one_at_least(total: int | None, workers: int, share: int) -> None:
    assert HostLimits(total, lambda: workers).share == share


async def test_no_host_is_asked_by_more_than_the_share_and_hosts_do_not_wait_for_each_other() -> None:
    places, random, now, most = HostLimits(3), Random(3), {"a": 0, "b": 0}, {"a": 0, "b": 0}

    async def ask(host: str) -> None:
        async with places.place(host):
            now[host] += 1
            most[host] = max(most[host], now[host])
            try:
                await asyncio.sleep(random.random() / 500)
            finally:
                now[host] -= 1

    asked = [asyncio.create_task(ask(random.choice("ab"))) for _ in range(200)]
    await asyncio.sleep(0.01)
    for each in asked[::7]:
        each.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    assert most == {"a": 3, "b": 3}
    assert not places._taken
    assert not places._waiting


async def test_two_processes_of_one_fleet_keep_the_total_between_them() -> None:
    fleet = [HostLimits(4, lambda: 2), HostLimits(4, lambda: 2)]
    async with AsyncExitStack() as held:
        for places in fleet:
            for _ in range(2):
                await held.enter_async_context(places.place("a"))
        late = [asyncio.create_task(_once(places)) for places in fleet]
        await asyncio.sleep(0.01)
        assert not any(each.done() for each in late)
    await asyncio.gather(*late)


async def _once(places: HostLimits) -> None:
    async with places.place("a"):
        pass


async def test_a_share_that_shrinks_holds_from_the_next_request_on() -> None:
    workers = 1
    places = HostLimits(4, lambda: workers)
    async with AsyncExitStack() as held:
        for _ in range(4):
            await held.enter_async_context(places.place("a"))
        workers = 2
        late = asyncio.create_task(_once(places))
        await asyncio.sleep(0)
        places._give_back("a")
        places._give_back("a")
        await asyncio.sleep(0)
        assert not late.done()
        places._taken["a"] += 2
    await late


async def test_who_waits_too_long_is_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WAIT_S", 0.02)
    places = HostLimits(1)
    async with places.place("a"):
        with pytest.raises(Throttled, match="Too many requests wait for a") as caught:
            await _once(places)
    assert caught.value.retry_after_s == 0.02
    await _once(places)


async def test_what_waited_for_its_place_leaves_only_while_the_lease_stands() -> None:
    class Session:
        asked = 0

        async def request(self, *_: Any, **__: Any) -> Answer:
            self.asked += 1
            return Answer(200, {}, b"", "")

        async def renew(self, **_: Any) -> None:
            raise AssertionError

    lost = False

    def check() -> None:
        if lost:
            raise Transient("The lease is over.")

    places, session = HostLimits(1), Session()
    leased = _Leased(session, check, places)
    async with places.place("site.example"):
        late = asyncio.create_task(leased.request("POST", "https://site.example/api"))
        await asyncio.sleep(0)
        lost = True
    with pytest.raises(Transient, match="lease is over"):
        await late
    assert session.asked == 0
