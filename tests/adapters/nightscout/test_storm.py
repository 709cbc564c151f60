"""Any order, any batches, any faults, any restarts: the site ends up as if everything had been sent once."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from adapters.nightscout import NightscoutAdapter
from bridge.contracts import Document, LedgerDocument, Outcome, Verdict
from bridge.errors import BridgeError
from bridge.simulators.nightscout import Fault
from tests.adapters.nightscout.conftest import EVERYTHING, Rig, ledger, made_documents, rig_of
from tests.support.clock import FakeClock

_, DOCUMENTS = made_documents()
LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
ROUNDS = 60 if LONG else 6
_KINDS: tuple[Any, ...] = ("cut", "lost_answer", "error_after", "status", "null", "page")
_PATHS = ("entries", "treatments", "devicestatus", "profile", "version", "authorization/request", "")


def _weather(rng: random.Random) -> list[Fault]:
    return [
        Fault(
            rng.choice(_KINDS), rng.choice(("POST", "POST", "GET", "PUT", "DELETE")), rng.choice(_PATHS),
            times=rng.choice((1, 1, 2, 3)), status=rng.choice((500, 502, 503, 429)),
        )
        for _ in range(rng.randrange(3))
    ]  # fmt: skip


async def _round(
    rig: Rig, adapter: NightscoutAdapter, posts: list[Document], deletes: list[LedgerDocument]
) -> list[Outcome]:
    try:
        await adapter.prepare()
        return list(await adapter.deliver(posts, deletes))
    except BridgeError:
        rig.clock.advance(60)
        return [Outcome(Verdict.RETRY)] * (len(posts) + len(deletes))


async def _deliver_all(rig: Rig, rng: random.Random) -> None:
    adapter = rig.adapter()
    waiting = {one.key: one for one in DOCUMENTS}
    for _ in range(400):
        if not waiting:
            return
        if rng.random() < 0.2:
            restarted = rig.adapter(batch=rng.choice((5, 50, 500)))
            restarted.state = dict(adapter.state)
            adapter = restarted
        posts = rng.sample(list(waiting.values()), min(len(waiting), rng.randrange(1, 60)))
        posts += rng.sample(DOCUMENTS, 5) if rng.random() < 0.3 else []
        posts = list({one.key: one for one in posts}.values())
        rig.sim.faults[:] = _weather(rng)
        outcomes = await _round(rig, adapter, posts, [])
        for document, outcome in zip(posts, outcomes, strict=True):
            assert outcome.verdict is not Verdict.QUARANTINED, outcome.reason
            if outcome.verdict is Verdict.ACCEPTED:
                waiting.pop(document.key, None)
    raise AssertionError(f"{len(waiting)} never arrived")


@pytest.mark.proof
@pytest.mark.parametrize("route", ["v1", "v3"])
async def test_a_storm_loses_and_doubles_nothing(route: str, clock: FakeClock) -> None:
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    rng = random.Random(seed)
    rights = (
        ["api:*:create,read,update,delete"] if route == "v3" else ["api:*:create,read,delete", "api:profile:update"]
    )
    for _ in range(ROUNDS):
        async with rig_of(clock) as rig:
            rig.session.tokens = [rig.sim.add_subject("storm", rights)]
            adapter = rig.adapter()
            await adapter.prepare()
            await _deliver_all(rig, rng)
            rig.sim.faults.clear()
            assert rig.counts() == {"entries": 16, "treatments": 82, "devicestatus": 5, "profile": 1}
            found = await rig.adapter().stored(EVERYTHING)
            assert sorted(one.key for one in found.items) == sorted(one.key for one in DOCUMENTS)
            assert rig.sim.crashes == 0
            assert rig.sim.penalties.failures == 0
            await _take_away(rig, rng)


async def _take_away(rig: Rig, rng: random.Random) -> None:
    adapter = rig.adapter()
    gone = [ledger(one) for one in DOCUMENTS if one.rank < 2]
    while gone:
        rig.sim.faults[:] = _weather(rng)
        batch = rng.sample(gone, min(len(gone), 20))
        outcomes = await _round(rig, adapter, [], batch)
        done = {one.key for one, outcome in zip(batch, outcomes, strict=True) if outcome.verdict is Verdict.ACCEPTED}
        gone = [one for one in gone if one.key not in done]
    assert (len(rig.stored("entries")), len(rig.stored("treatments"))) == (0, 0)
    assert len(rig.stored("devicestatus")) == 5
