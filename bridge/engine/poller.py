"""Reads one source of one profile: a pass, an append, and when the next pass is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, cast

from bridge.contracts import Batch, Clock, Grace, Journal, Reader
from bridge.engine.backoff import jittered
from bridge.errors import BridgeError, ContractViolation
from bridge.model.health import Health, State

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
    """One reader of one profile; `arrived` is called when records came."""

    journal: Journal
    reader: Reader
    profile: str
    clock: Clock
    random: Random
    arrived: Callable[[], None]
    health: Health = field(default_factory=lambda: Health(State.STARTING))
    failures: int = 0
    grace: timedelta | None = None
    """How long a device's history waits for its verified upload before it is mirrored; None: it does not."""
    due: datetime | None = None
    """When the next pass is due, as the last one said."""

    async def once(self) -> Pass:
        """One pass. What the source or the journal cannot do now becomes a health and a later due time."""
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
        memory = await self.journal.memory(self.profile, self.reader.name)
        done = Pass(self.clock.now() + timedelta(seconds=60), Health(State.NO_DATA))
        batches = cast(Any, self.reader.read(memory, None))
        async with aclosing(batches):
            async for batch in batches:
                await self._append(batch, done)
                limit.reschedule(asyncio.get_running_loop().time() + PASS_S)
        return done

    async def _append(self, batch: Batch, done: Pass) -> None:
        appended = await self.journal.append(self._held(batch))
        done.next_due, done.health = batch.next_due, batch.health
        done.new += len(appended.new)
        done.revised += len(appended.revised)
        if appended.new or appended.revised:
            self.arrived()

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
