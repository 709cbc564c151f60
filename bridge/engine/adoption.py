"""After a lost journal: what a destination already holds of ours is adopted before anything is sent."""

from __future__ import annotations

from datetime import datetime, timedelta

from bridge.contracts import Adapter, Destination, Interval, Journal, LedgerDocument, Settlement, StoredItem
from bridge.errors import BridgeError, ContractViolation
from bridge.model.health import State
from bridge.model.time import to_ms

REACH = timedelta(days=3)
"""Sources of the cloud offer a day; three leave room for clocks and zones."""


async def adopt_stored(journal: Journal, adapter: Adapter, destination: Destination, now: datetime) -> bool:
    """Book what is found; False when the destination cannot be looked through now."""
    try:
        health = await adapter.prepare()
        if health.state is not State.OK:
            return False
        inventory = await adapter.stored(Interval(now - REACH, now + timedelta(hours=1)))
    except ContractViolation:
        raise
    except BridgeError:
        return False
    await journal.adopt(destination.profile, inventory.items)
    entries = [entry for item in inventory.items if (entry := _booked(item)) is not None]
    await journal.settle(destination, Settlement(documents=entries))
    return True


def _booked(item: StoredItem) -> LedgerDocument | None:
    """The ledger's line for a found document; without a hash, so that it is sent once more under its own key."""
    if item.record_id is None or item.time is None:
        return None
    return LedgerDocument(item.key, item.record_id, "", item.path, to_ms(item.time))
