"""Reads one source of one profile: a pass, an append, and when the next pass is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, cast

from bridge.contracts import Batch, Clock, Grace, Journal, Memory, Reader
from bridge.engine.arrival import Arrival
from bridge.engine.backoff import jittered
from bridge.engine.remembering import Remembered
from bridge.errors import BridgeError, ContractViolation
from bridge.journal.retention import SIGHTINGS
from bridge.model.health import Health, State
from bridge.tracing import span

PASS_S = 180.0
"""Deadline of one batch of a source."""
FLOOR_S = 1.0
FRESH, FRESH_GRACE = timedelta(minutes=15), timedelta(seconds=60)
"""A record younger than the first waits no longer than the second: a held reading is a silenced alarm."""


@dataclass(slots=True)
class Pass:
    """What one pass brought."""

    next_due: datetime
    health: Health
    new: int = 0
    revised: int = 0


@dataclass(slots=True)
class Poller:
    """One reader of one profile; `arrived` is told what came, None where the journal must be asked."""

    journal: Journal
    reader: Reader
    profile: str
    clock: Clock
    random: Random
    arrived: Callable[[Arrival | None], None]
    health: Health = field(default_factory=lambda: Health(State.STARTING))
    failures: int = 0
    grace: timedelta | None = None
    """How long a device's history waits for its verified upload before it is mirrored; None: it does not."""
    remembered: Remembered = field(default_factory=Remembered)
    due: datetime | None = None
    """When the next pass is due, as the last one said."""

    async def once(self) -> Pass:
        """One pass. What the source or the journal cannot do now becomes a health and a later due time."""
        with span("read", reader=self.reader.name) as noted:
            done = await self._once()
            noted.note(state=str(done.health.state), new=done.new, revised=done.revised)
        return done

    async def _once(self) -> Pass:
        try:
            async with asyncio.timeout(PASS_S) as limit:
                done = await self._pass(limit)
        except TimeoutError:
            done = self._later(Health(State.UNREACHABLE, f"{self.reader.name} did not finish within {PASS_S:.0f} s."))
        except ContractViolation:
            raise
        except BridgeError as error:
            state = State.named(error.state)
            done = self._later(Health(state, str(error)))
        else:
            self.failures = 0
        self.health, self.due = done.health, done.next_due
        return done

    async def _pass(self, limit: asyncio.Timeout) -> Pass:
        memory = self.remembered.memory(self.clock.now() - SIGHTINGS)
        if memory is None:
            memory = await self.journal.memory(self.profile, self.reader.name)
            self.remembered.begin(memory)
        done = Pass(self.clock.now() + timedelta(seconds=60), Health(State.NO_DATA))
        batches = cast(Any, self.reader.read(memory, None))
        async with aclosing(batches):
            async for batch in batches:
                await self._append(batch, done)
                limit.reschedule(asyncio.get_running_loop().time() + PASS_S)
        return done

    async def _append(self, batch: Batch, done: Pass) -> None:
        held = self._held(batch)
        try:
            with span("append") as noted:
                appended = await self.journal.append(held)
                noted.note(new=len(appended.new), revised=len(appended.revised))
        except BaseException:
            self.remembered.forget()
            raise
        if batch.decoded is not None:
            self.remembered.grow(Memory(batch.decoded.sightings, batch.decoded.state))
        done.next_due, done.health = batch.next_due, batch.health
        done.new += len(appended.new)
        done.revised += len(appended.revised)
        if appended.new or appended.revised:
            self.arrived(Arrival.of(self.journal, held, appended))

    def _held(self, batch: Batch) -> Batch:
        if self.grace is None:
            return batch
        now = self.clock.now()
        return replace(batch, grace=Grace(now + self.grace, now - FRESH, now + FRESH_GRACE))

    def _later(self, health: Health) -> Pass:
        self.failures += 1
        wait_s = jittered(self.failures, self.random)
        return Pass(self.clock.now() + timedelta(seconds=wait_s), health)

    def wait_s(self, done: Pass) -> float:
        """Seconds until the next pass, by the wall clock of now, never under a second nor over an hour.

        A wall clock that jumps back must not silence a source: the hour bounds it.
        """
        return min(3600.0, max(FLOOR_S, (done.next_due - self.clock.now()).total_seconds()))
