"""Tidepool as a destination."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from adapters.tidepool.client import TidepoolClient
from adapters.tidepool.data_set import DataSets
from adapters.tidepool.delivery import Delivery, Speed
from adapters.tidepool.linking import TidepoolLinking
from adapters.tidepool.mapping import TidepoolMappingSettings, desired
from adapters.tidepool.readback import pages, stored_item
from adapters.tidepool.settings import TidepoolSettings
from bridge.contracts import (
    Desired,
    Document,
    Interval,
    Inventory,
    LedgerDocument,
    Linking,
    Outcome,
    Setup,
    StoredItem,
)
from bridge.errors import BridgeError, ContractViolation, Throttled, Unauthorised
from bridge.model.health import Health, State
from bridge.model.records import Record


class TidepoolAdapter:
    """One person's data in one continuous data set. One delivery at a time, one request at a time."""

    name = "tidepool"
    Settings: ClassVar[type[BaseModel]] = TidepoolSettings
    linking: ClassVar[Linking] = TidepoolLinking()

    def __init__(self, setup: Setup) -> None:
        settings = TidepoolSettings.model_validate(dict(setup.settings))
        self._mapping = TidepoolMappingSettings(timezone=setup.timezone)
        self._clock, self._speed, self._lock = setup.clock, Speed(), asyncio.Lock()
        self._not_before = 0.0
        self._client: TidepoolClient | None = None
        self._sets: DataSets | None = None
        self._state: dict[str, Any] = {}
        if setup.session is not None:
            self._client = TidepoolClient(setup.session, settings)
            self._sets = DataSets(self._client, settings, setup.clock, setup.installation, setup.timezone)

    @property
    def batch(self) -> int:
        """How many documents are welcome at once."""
        return self._speed.batch

    @batch.setter
    def batch(self, size: int) -> None:
        self._speed.batch = max(1, size)

    @property
    def state(self) -> dict[str, Any]:
        """User, data set in use, and former ones."""
        return self._state if self._sets is None else self._sets.state

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._state = dict(state)
        if self._sets is not None:
            self._sets.state = dict(state)

    def desired(self, records: Iterable[Record]) -> Desired:
        """Datums of a set of records, by origin id."""
        return desired(records, self._mapping)

    async def prepare(self) -> Health:
        """Whose data, and the data set if there is one already; it is made with the first delivery, which knows
        the pump. Cheap for a day after the last look. Trouble comes back as a named state."""
        try:
            _, sets = self._linked()
            async with self._lock:
                self._be_patient()
                await sets.find()
        except ContractViolation:
            raise
        except BridgeError as error:
            self._heard(error)
            return Health(State.named(error.state), str(error))
        return Health()

    async def deliver(self, posts: Sequence[Document], deletes: Sequence[LedgerDocument]) -> Sequence[Outcome]:
        """Post, then delete. An accepted post's `server_id` is its data set."""
        client, sets = self._linked()
        async with self._lock:
            self._be_patient()
            delivery = Delivery(client, sets, self._clock, self._speed, posts, deletes)
            try:
                outcomes = await delivery.run()
            except BridgeError as error:
                self._heard(error)
                raise
            if delivery.interruption is not None:
                self._heard(delivery.interruption)
            return outcomes

    def _be_patient(self) -> None:
        """Raises Throttled as long as Tidepool asked to be left alone."""
        wait = self._not_before - self._clock.monotonic()
        if wait > 0:
            raise Throttled("Tidepool asked for patience.", retry_after_s=wait)

    def _heard(self, error: BridgeError) -> None:
        """After trouble the next `prepare` looks again."""
        if self._sets is not None:
            self._sets.doubt()
        if isinstance(error, Throttled):
            self._not_before = self._clock.monotonic() + (error.retry_after_s or 0.0)

    async def stored(self, window: Interval) -> Inventory:
        """What our data sets hold in a window."""
        client, sets = self._linked()
        async with self._lock:
            current, user_id = await sets.find(), await sets.user_id()
            items: dict[str, StoredItem] = {}
            foreign = 0
            for upload_id in filter(None, (*sets.former, current)):
                for page in pages(window):
                    for datum in await client.data(user_id, {**page, "uploadId": upload_id}):
                        item = stored_item(datum)
                        if item is not None:
                            items[item.key] = item
                        elif datum.get("type") != "upload":
                            foreign += 1
        return Inventory(list(items.values()), foreign)

    def _linked(self) -> tuple[TidepoolClient, DataSets]:
        if self._client is None or self._sets is None:
            raise Unauthorised(
                "Tidepool is not linked.", next_step="Run `glucobridge link tidepool`.", state="not_linked"
            )
        return self._client, self._sets
