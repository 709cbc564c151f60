"""Takes pending records to one destination, round by round, until nothing is due."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from operator import attrgetter
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
from bridge.engine.arrival import Arrival, Portion
from bridge.engine.backoff import Breaker, Circuit, jittered
from bridge.engine.planning import Plan, affected, make_plan, settlement, statuses_in_line, stepped
from bridge.errors import BridgeError, ContractViolation, Transient
from bridge.model.health import Health, State
from bridge.model.records import PumpStatus, Record, from_json, to_json
from bridge.tracing import span

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


NOTHING = Portion((), ())
OPEN = frozenset({DeliveryState.PENDING, DeliveryState.LEASED})
IDLE_S = 3600.0
"""The journal is asked this often even when nobody speaks of it."""
_FAR = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a round is going to do. `asked`: the slots that were looked up, `taken`: the key of those that are."""

    plan: Plan
    known: Mapping[str, LedgerDocument]
    overtaken: set[str]
    asked: set[str]
    taken: Mapping[str, str]


class Deliverer:
    """One destination of one profile. Not shared between tasks."""

    def __init__(
        self, journal: Journal, adapter: Adapter, destination: Destination, clock: Clock, random: Random
    ) -> None:
        self.destination, self.phase, self.health = destination, Phase.IDLE, Health(State.STARTING)
        self._journal, self._adapter, self._clock, self._random = journal, adapter, clock, random
        self._breaker = Breaker(random)
        self._stored_state: dict[str, object] = {}
        self._ahead: asyncio.Future[Portion] | None = None
        self._owes = False
        """What is leased was to be handed back, and the journal did not answer."""
        self._offered: Arrival | None = None
        self._look_at: datetime | None = None
        """Before this the journal has nothing to lease but what is offered; None: it must be asked."""
        self._asked_at = 0.0
        """When it was asked last, by the clock that never jumps."""
        self._newest_status: bytes | None = None
        """The newest accepted one, as the journal has it; empty: there is none; None: it must be asked."""

    async def open(self, *, leases: bool = True) -> None:
        """Take over from whoever held `leases` before, and recall the adapter's state."""
        if leases:
            await self._journal.release(self.destination)
        self._adapter.state = dict(await self._journal.recall(self.destination))
        self._stored_state = dict(self._adapter.state)

    def leave(self) -> None:
        """No more rounds for now: what is being taken ahead is let go of."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.cancel()
            self._owes = True

    def offer(self, arrival: Arrival) -> None:
        """What was just appended. Kept only where nothing else waits: a destination that is away holds no records."""
        if self._offered is not None or self._look_at is None:
            self.doubt()
        else:
            self._offered = arrival

    def doubt(self) -> None:
        """The journal may have more than was offered."""
        self._offered = self._look_at = self._newest_status = None

    def idle_s(self) -> float:
        """How long there is nothing to do but for what is offered, seconds."""
        if self._look_at is None:
            return 0.0
        left_s = (self._look_at - self._clock.now()).total_seconds()
        return max(0.0, min(left_s, self._asked_at + IDLE_S - self._clock.monotonic()))

    async def round(self) -> Round:
        """One round; outages and refusals become a waiting time and a named health, never an exception."""
        self.phase = Phase.DELIVERING
        with span("deliver", adapter=self._adapter.name) as noted:
            done = await self._bounded_round()
            noted.note(state=str(self.health.state), leased=done.leased, posted=done.posted)
        self.phase = self._next_phase(done)
        return done

    async def _bounded_round(self) -> Round:
        try:
            async with asyncio.timeout(ROUND_S):
                return await self._round()
        except ContractViolation:
            self.doubt()
            raise
        except TimeoutError:
            return await self._failed(Transient(f"{self.destination.name} did not finish within {ROUND_S:.0f} s."))
        except BridgeError as error:
            return await self._failed(error)

    def _next_phase(self, done: Round) -> Phase:
        if self._breaker.state is Circuit.NEEDS_PERSON:
            return Phase.NEEDS_PERSON
        return Phase.IDLE if done.wait_s is None else Phase.WAITING

    async def _round(self) -> Round:
        if self._owes:
            await self._give_back()
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

    async def _take(self) -> Portion:
        """What is offered where nothing else waits; else lease the next records and read what surrounds them."""
        offered, self._offered = self._offered, None
        if self.idle_s() > 0:
            return NOTHING if offered is None else await offered.portion()
        self._look_at = self._newest_status = None
        now, self._asked_at = self._clock.now(), self._clock.monotonic()
        due = await self._journal.due(self.destination, now, self._adapter.batch, LEASE_S)
        if due:
            context = await self._journal.context(self.destination.profile, [each.record for each in due])
            return Portion(due, context)
        first = await self._journal.next_due(self.destination)
        self._look_at = first or _FAR
        return NOTHING

    async def _give_back(self) -> None:
        """Hand every lease back, also of what was taken ahead."""
        self.doubt()
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.cancel()
            await asyncio.wait({ahead})
        self._owes = True
        await self._journal.release(self.destination)
        self._owes = False

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
        wait_s = self._breaker.failed(error)
        with suppress(Transient):  # the journal is away: the next round begins with it
            await self._give_back()
            await self._keep_state(Health(State.named(error.state), str(error)))
        return Round(wait_s=wait_s)

    async def _keep_state(self, health: Health) -> None:
        changed = self._adapter.state != self._stored_state
        if changed or health != self.health:
            self.health = health
            await self._journal.report(self.destination, health, self._adapter.state if changed else None)
            self._stored_state = dict(self._adapter.state)

    async def _deliver(self, batch: Portion) -> int:
        outlook = await self._plan(batch)
        plan = outlook.plan
        posts = await self._placed(outlook)
        if len(batch.due) >= self._adapter.batch:
            self._ahead = asyncio.ensure_future(self._take())  # read the next while the destination works
        outcomes: Sequence[Outcome] = ()
        if posts or plan.deletes:
            with span("send", adapter=self._adapter.name, posts=len(posts), deletes=len(plan.deletes)):
                outcomes = await self._adapter.deliver(posts, plan.deletes)
            if len(outcomes) != len(posts) + len(plan.deletes):
                raise ContractViolation(f"{self._adapter.name} gave {len(outcomes)} outcomes for {len(posts)} posts.")
        booked = self._with_patience(settlement(plan, posts, outcomes, outlook.overtaken), batch.due)
        await self._journal.settle(self.destination, booked)
        self._note(booked, batch.context)
        return len(posts)

    def _note(self, booked: Settlement, context: Sequence[Record]) -> None:
        """What is known of the ledger without asking: when what was handed back is due, and the newest status."""
        if self._look_at is not None:
            back = [each.not_before for each in booked.deliveries.values() if each.state is DeliveryState.PENDING]
            self._look_at = min([self._look_at, *filter(None, back)])
        sent = {document.record_id for document in booked.documents}
        statuses = [each for each in context if isinstance(each, PumpStatus) and each.id in sent]
        if statuses and self._newest_status is not None:
            newest = max(statuses, key=attrgetter("time"))
            held = from_json(self._newest_status) if self._newest_status else None
            if held is None or held.time < newest.time:
                self._newest_status = to_json(newest)

    async def _newest(self) -> Record | None:
        if self._newest_status is None:
            found = await self._journal.newest_accepted(self.destination, "pump_status")
            self._newest_status = b"" if found is None else to_json(found)
            return found
        return from_json(self._newest_status) if self._newest_status else None

    async def _plan(self, batch: Portion) -> Outlook:
        leased = {each.record.id: each.record.revision for each in batch.due}
        speaks_of_status = any(isinstance(each.record, PumpStatus) for each in batch.due)
        newest = await self._newest() if speaks_of_status else None
        lined, overtaken = statuses_in_line(batch.context, leased, newest)
        desired = self._adapter.desired(lined)
        near = affected(lined, leased)
        touched = {record.id: record.revision for record in lined if record.id in near}
        slots = {slot for doc in desired.documents.values() if doc.record_id in leased and (slot := doc.slot())}
        standing = await self._journal.standing(self.destination, {*touched, *leased}, slots)
        open_ = {record: revision for record, revision in leased.items() if standing.states.get(record) in OPEN}
        statuses = {record.id for record in lined if isinstance(record, PumpStatus)}
        states = {record: state for record, state in standing.states.items() if record in touched}
        plan = make_plan(desired, touched, open_, states, standing.documents, statuses)
        known = {entry.key: entry for entry in standing.documents}
        return Outlook(plan, known, overtaken & open_.keys(), slots, standing.slots)

    async def _placed(self, outlook: Outlook) -> list[Document]:
        """Posts on instants that no other document of the destination holds."""
        placed: list[Document] = []
        known, taken, asked = outlook.known, dict(outlook.taken), set(outlook.asked)
        waiting: Sequence[Document] = outlook.plan.posts
        for _ in range(STEPS):
            slots = {doc.slot() for doc in waiting} | {_ledger_slot(doc, known) for doc in waiting}
            if unasked := {slot for slot in slots if slot is not None} - asked:
                taken |= await self._journal.slots(self.destination, unasked)
                asked |= unasked
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
