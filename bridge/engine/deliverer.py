"""Takes pending records to one destination, round by round, until nothing is due."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random

from bridge.contracts import (
    Adapter,
    Clock,
    DeliveryState,
    Destination,
    Document,
    Due,
    Journal,
    LedgerDocument,
    Outcome,
    Settlement,
)
from bridge.engine.backoff import Breaker, Circuit, jittered
from bridge.engine.planning import Plan, affected, make_plan, settlement, statuses_in_line, stepped
from bridge.errors import BridgeError, ContractViolation, Transient
from bridge.model.health import Health, State
from bridge.model.records import PumpStatus, Record

ROUND_S = 300.0
"""Deadline of one whole round."""
LEASE_S = 600.0
WORKING = frozenset({State.OK, State.CAREPORTAL_OFF, State.PERMISSION_DENIED, State.SITE_FULL})
"""A destination that takes some of it gets that much: glucose never waits for a missing right on treatments."""
STEPS = 1000


class Phase(StrEnum):
    """What a deliverer is doing."""

    IDLE = "idle"
    DELIVERING = "delivering"
    WAITING = "waiting"
    NEEDS_PERSON = "needs_person"


@dataclass(frozen=True, slots=True)
class Round:
    """What one round did. `wait_s` is None when the destination can take more at once."""

    leased: int = 0
    posted: int = 0
    wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Leased records and the records that mapping them may need."""

    due: Sequence[Due]
    context: Sequence[Record]


class Deliverer:
    """One destination of one profile. Not shared between tasks."""

    def __init__(
        self, journal: Journal, adapter: Adapter, destination: Destination, clock: Clock, random: Random
    ) -> None:
        self.destination, self.phase, self.health = destination, Phase.IDLE, Health(State.STARTING)
        self._journal, self._adapter, self._clock, self._random = journal, adapter, clock, random
        self._breaker = Breaker(random)
        self._stored_state: dict[str, object] = {}
        self._ahead: asyncio.Future[Batch] | None = None

    async def open(self) -> None:
        """Take over from whoever held leases before, and recall the adapter's state."""
        await self._journal.release(self.destination)
        self._adapter.state = dict(await self._journal.recall(self.destination))
        self._stored_state = dict(self._adapter.state)

    async def round(self) -> Round:
        """One round; outages and refusals become a waiting time and a named health, never an exception."""
        self.phase = Phase.DELIVERING
        try:
            async with asyncio.timeout(ROUND_S):
                done = await self._round()
        except TimeoutError:
            done = await self._failed(Transient(f"{self.destination.name} did not finish within {ROUND_S:.0f} s."))
        except ContractViolation:
            raise
        except BridgeError as error:
            done = await self._failed(error)
        self.phase = self._next_phase(done)
        return done

    def _next_phase(self, done: Round) -> Phase:
        if self._breaker.state is Circuit.NEEDS_PERSON:
            return Phase.NEEDS_PERSON
        return Phase.IDLE if done.wait_s is None else Phase.WAITING

    async def _round(self) -> Round:
        ahead, self._ahead = self._ahead, None
        batch = await (ahead or self._take())
        if not batch.due:
            return Round()
        health = await self._adapter.prepare()
        await self._keep_state(health)
        if health.state not in WORKING:
            return await self._unready(health)
        posted = await self._deliver(batch)
        self._breaker.succeeded()
        await self._keep_state(health)
        return Round(len(batch.due), posted)

    async def _take(self) -> Batch:
        """Lease the next records and read what surrounds them."""
        due = await self._journal.due(self.destination, self._clock.now(), self._adapter.batch, LEASE_S)
        context = await self._journal.context(self.destination.profile, [each.record for each in due]) if due else ()
        return Batch(due, context)

    async def _give_back(self) -> None:
        """Hand every lease back, also of what was taken ahead."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.cancel()
            await asyncio.wait({ahead})
        await self._journal.release(self.destination)

    async def _unready(self, health: Health) -> Round:
        """The destination said what is wrong: leave it alone and look again later."""
        await self._give_back()
        self._breaker.state = Circuit.NEEDS_PERSON
        self._breaker.failures += 1
        outage = health.state in {State.UNREACHABLE, State.RATE_LIMITED}
        if outage:
            self._breaker.state = Circuit.OPEN
        return Round(wait_s=jittered(self._breaker.failures, self._random) if outage else 900.0)

    async def _failed(self, error: BridgeError) -> Round:
        await self._give_back()
        wait_s = self._breaker.failed(error)
        state = State.named(error.state)
        await self._keep_state(Health(state, str(error)))
        return Round(wait_s=wait_s)

    async def _keep_state(self, health: Health) -> None:
        changed = self._adapter.state != self._stored_state
        if changed or health != self.health:
            self.health = health
            await self._journal.report(self.destination, health, self._adapter.state if changed else None)
            self._stored_state = dict(self._adapter.state)

    async def _deliver(self, batch: Batch) -> int:
        plan, known, overtaken = await self._plan(batch)
        posts = await self._placed(plan.posts, known)
        if len(batch.due) >= self._adapter.batch:
            self._ahead = asyncio.ensure_future(self._take())  # read the next while the destination works
        outcomes: Sequence[Outcome] = ()
        if posts or plan.deletes:
            outcomes = await self._adapter.deliver(posts, plan.deletes)
            if len(outcomes) != len(posts) + len(plan.deletes):
                raise ContractViolation(f"{self._adapter.name} gave {len(outcomes)} outcomes for {len(posts)} posts.")
        booked = settlement(plan, posts, outcomes, overtaken)
        await self._journal.settle(self.destination, self._with_patience(booked, batch.due))
        return len(posts)

    async def _plan(self, batch: Batch) -> tuple[Plan, Mapping[str, LedgerDocument], set[str]]:
        leased = {each.record.id: each.record.revision for each in batch.due}
        speaks_of_status = any(isinstance(each.record, PumpStatus) for each in batch.due)
        newest = await self._journal.newest_accepted(self.destination, "pump_status") if speaks_of_status else None
        lined, overtaken = statuses_in_line(batch.context, leased, newest)
        desired = self._adapter.desired(lined)
        near = affected(lined, leased)
        touched = {record.id: record.revision for record in lined if record.id in near}
        ledger = await self._journal.ledger(self.destination, touched)
        states = await self._journal.states(self.destination, touched)
        statuses = {record.id for record in lined if isinstance(record, PumpStatus)}
        plan = make_plan(desired, touched, leased, states, ledger, statuses)
        return plan, {entry.key: entry for entry in ledger}, overtaken

    async def _placed(self, posts: Sequence[Document], known: Mapping[str, LedgerDocument]) -> list[Document]:
        """Posts on instants that no other document of the destination holds."""
        placed: list[Document] = []
        taken: dict[str, str] = {}
        waiting: Sequence[Document] = posts
        for _ in range(STEPS):
            slots = {doc.slot() for doc in waiting} | {_ledger_slot(doc, known) for doc in waiting}
            taken |= await self._journal.slots(self.destination, {slot for slot in slots if slot is not None})
            ready, waiting = stepped(waiting, known, taken)
            known = {}  # whose own place is gone takes the next free one like a new one
            placed += ready
            taken |= {slot: doc.key for doc in ready if (slot := doc.slot()) is not None}
            if not waiting:
                return placed
        raise ContractViolation(f"more than {STEPS} documents want one instant at {self.destination.name}.")

    def _with_patience(self, booked: Settlement, due: Sequence[Due]) -> Settlement:
        """Deliveries handed back wait longer with every attempt."""
        attempts = {each.record.id: each.attempts for each in due}
        now = self._clock.now()
        deliveries = {
            record: replace(settled, not_before=self._later(now, attempts.get(record, 0)))
            if settled.state is DeliveryState.PENDING
            else settled
            for record, settled in booked.deliveries.items()
        }
        return replace(booked, deliveries=deliveries)

    def _later(self, now: datetime, attempts: int) -> datetime:
        return now + timedelta(seconds=jittered(attempts + 1, self._random))


def _ledger_slot(doc: Document, known: Mapping[str, LedgerDocument]) -> str | None:
    entry = known.get(doc.key)
    return None if entry is None else doc.slot(entry.instant_ms - doc.instant_ms)
