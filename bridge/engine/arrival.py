"""What a read has just brought, handed to every deliverer of the person: their surroundings are read once for all."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bridge.contracts import Appended, Batch, Due, Journal
from bridge.model.records import Record

MOST = 50
"""More than that is work for the ledger, which gives it out in portions."""


@dataclass(frozen=True, slots=True)
class Portion:
    """Records to deliver and the records that mapping them may need."""

    due: Sequence[Due]
    context: Sequence[Record]


class Arrival:
    """New and revised records of a batch that are due at once. They stay pending in the journal meanwhile."""

    def __init__(self, journal: Journal, profile: str, records: Collection[Record]) -> None:
        self._journal, self._profile, self._records = journal, profile, list(records)
        self._reading: asyncio.Future[Sequence[Record]] | None = None

    @classmethod
    def of(cls, journal: Journal, batch: Batch, appended: Appended) -> Arrival | None:
        """None where the ledger must be asked: held or many records, or some that the journal knows by another id."""
        ids = {*appended.new, *appended.revised}
        records = {each.id: each for each in batch.decoded.records if each.id in ids} if batch.decoded else {}
        if batch.grace is not None or len(ids) > MOST or len(records) < len(ids):
            return None
        return cls(journal, batch.profile, records.values())

    async def portion(self) -> Portion:
        """The same for everybody who asks. Raises what the journal raises."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._journal.context(self._profile, self._records))
            self._reading.add_done_callback(_heard)
        context = await asyncio.shield(self._reading)
        ids = {each.id for each in self._records}
        return Portion([Due(each, 0) for each in context if each.id in ids], context)


def _heard(reading: asyncio.Future[Sequence[Record]]) -> None:
    if not reading.cancelled():
        reading.exception()
