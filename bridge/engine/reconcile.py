"""Set difference between a ledger and what its destination holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.contracts import (
    Adapter,
    DeliveryState,
    Destination,
    Interval,
    Journal,
    LedgerDocument,
    Settled,
    Settlement,
    StoredItem,
)
from bridge.errors import BridgeError, ContractViolation
from bridge.model.time import to_ms

SETTLING = timedelta(minutes=10)
"""Younger documents may still be on their way into what a destination shows."""
ALL_REVISIONS = 2**31 - 1
FEW = 20


@dataclass(frozen=True, slots=True)
class Difference:
    """`missing`: confirmed once, not there now. `unknown`: ours there, not in the ledger. `foreign`: of others."""

    found: int
    missing: Sequence[LedgerDocument]
    unknown: Sequence[StoredItem]
    foreign: int

    @property
    def looks_emptied(self) -> bool:
        """More is gone than a person deletes by hand: a new or restored site, not a wish."""
        return len(self.missing) > FEW and len(self.missing) > self.found


async def difference(journal: Journal, adapter: Adapter, destination: Destination, window: Interval) -> Difference:
    """Compare one window. Raises what `stored` raises."""
    inventory = await adapter.stored(window)
    ledger = await journal.inventory(destination, window)
    there = {item.key for item in inventory.items}
    booked = {entry.key for entry in ledger}
    start, end = to_ms(window.start), to_ms(window.end)
    missing = [entry for entry in ledger if entry.key not in there and start <= entry.instant_ms < end]
    unknown = [item for item in inventory.items if item.key not in booked]
    return Difference(len(there & booked), missing, unknown, inventory.foreign)


async def reconcile(
    journal: Journal, adapter: Adapter, destination: Destination, now: datetime, reach: timedelta
) -> Difference | None:
    """Mark what a person deleted there, so that it is never sent again. None when it could not be compared.

    A site that looks emptied is left alone: `glucobridge verify --repair` sends everything again.
    """
    try:
        found = await difference(journal, adapter, destination, Interval(now - reach, now - SETTLING))
    except ContractViolation:
        raise
    except BridgeError:
        return None
    if found.missing and not found.looks_emptied:
        await journal.settle(destination, removed_there(found.missing))
    return found


def removed_there(missing: Sequence[LedgerDocument]) -> Settlement:
    """The settlement that books deletions by a person."""
    gone = Settled(DeliveryState.REMOVED_THERE, "deleted at the destination", revision=ALL_REVISIONS)
    return Settlement({entry.record_id: gone for entry in missing}, (), [entry.key for entry in missing])
