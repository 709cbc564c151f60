"""The one continuous data set of this installation: found by its client name before one is made."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from adapters.tidepool.client import TidepoolClient
from adapters.tidepool.settings import TidepoolSettings
from bridge import __version__
from bridge.contracts import Clock, Document
from bridge.model import iso_ms

DEDUPLICATOR = "org.tidepool.deduplicator.dataset.delete.origin"
RECHECK_S = timedelta(days=1).total_seconds()
_PUMP_TYPES = ("basal", "bolus", "wizard", "pumpSettings", "pumpStatus", "cbg", "deviceEvent")
_MODEL = re.compile(r"(?:MMT-)?(\d{3,4}[A-Z]*)")


class DataSets:
    """Which data set takes data. `state` is what must survive a restart.

    `upload_id`: the set in use. `former`: other sets of this client name that are still there: replacement
    ends at a set, so what is posted anew is deleted from them. `closed`: sets that refused data.
    """

    def __init__(
        self, client: TidepoolClient, settings: TidepoolSettings, clock: Clock, installation: str, zone: str | None
    ) -> None:
        self._client, self._settings, self._clock = client, settings, clock
        self._installation, self._zone = installation, zone
        self._checked_at: float | None = None
        self.state: dict[str, Any] = {}

    @property
    def client_name(self) -> str:
        """Distinct per installation: names are all that tells sets apart."""
        return ".".join(filter(None, (self._settings.client_name, self._installation)))

    @property
    def upload_id(self) -> str | None:
        """The set in use, None while none is known."""
        found = self.state.get("upload_id")
        return found if isinstance(found, str) else None

    @property
    def former(self) -> list[str]:
        """Other sets that may hold data of ours."""
        return list(self.state.get("former", ()))

    async def user_id(self) -> str:
        """Whose data: as set, else the account's own."""
        user_id = self._settings.user_id or self.state.get("user_id")
        if not user_id:
            user_id = str((await self._client.user())["userid"])
        if self.state.get("user_id") != user_id:
            self.state = {"user_id": user_id}
        return str(user_id)

    async def find(self, *, afresh: bool = False) -> str | None:
        """Look at the start and once a day; the set in use is kept as long as it is there."""
        user_id = await self.user_id()
        now = self._clock.monotonic()
        if not afresh and self._checked_at is not None and now - self._checked_at < RECHECK_S:
            return self.upload_id
        listed = await self._client.data_sets(user_id, self.client_name)
        ours = [str(each["uploadId"]) for each in listed if self._is_ours(each)]
        able = [upload_id for upload_id in ours if upload_id not in self.state.get("closed", ())]
        current = self.upload_id if self.upload_id in able else next(iter(able), None)
        self._use(current, [upload_id for upload_id in ours if upload_id != current])
        self._checked_at = now
        return current

    def _is_ours(self, data_set: Mapping[str, Any]) -> bool:
        client = data_set.get("client") or {}
        continuous = data_set.get("dataSetType") == "continuous"
        return continuous and "deletedTime" not in data_set and client.get("name") == self.client_name

    def _use(self, upload_id: str | None, former: list[str]) -> None:
        state = {name: value for name, value in self.state.items() if name not in ("upload_id", "former")}
        kept = {"upload_id": upload_id} if upload_id else {}
        self.state = {**state, **kept, **({"former": former} if former else {})}

    def doubt(self) -> None:
        """Look again next time, whatever was found last."""
        self._checked_at = None

    async def ensure(self, documents: Iterable[Document]) -> str:
        """The set to post to, made when there is none; the documents say which pump it is for."""
        found = await self.find() or await self.find(afresh=True)
        if found is not None:
            return found
        created = await self._client.create_data_set(await self.user_id(), self._body(documents))
        self._use(str(created["uploadId"]), self.former)
        return str(created["uploadId"])

    def lost(self, *, closed: bool) -> None:
        """The set in use refused data: forget it. A closed one keeps what it holds, one that is gone does not."""
        gone, former = self.upload_id, self.former
        self._checked_at = None
        if closed and gone is not None:
            self.state = {**self.state, "closed": [*self.state.get("closed", ()), gone]}
            former = [*former, gone]
        self._use(None, former)

    def _body(self, documents: Iterable[Document]) -> dict[str, Any]:
        now = self._clock.now()
        return {
            "client": {"name": self.client_name, "version": __version__, **self._private()},
            "dataSetType": "continuous",
            "deduplicator": {"name": DEDUPLICATOR},
            "deviceManufacturers": ["Medtronic"],
            "deviceTags": ["bgm", "cgm", "insulin-pump"],
            "time": iso_ms(now),
            "timeProcessing": "none",
            "version": __version__,
            **({"timezone": self._zone} if self._zone else {}),
            **self._device(documents),
        }

    def _private(self) -> dict[str, Any]:
        return {"private": {"installation": self._installation}} if self._installation else {}

    def _device(self, documents: Iterable[Document]) -> dict[str, Any]:
        pumps = (each.body.get("deviceId") for each in documents if each.body["type"] in _PUMP_TYPES)
        device_id = next((each for each in pumps if each), None)
        name, _, serial = str(device_id or "").partition(":")
        found = _MODEL.fullmatch(name)
        model = self._settings.device_model or (found[1] if found else None)
        fields = {"deviceId": device_id, "deviceModel": model, "deviceSerialNumber": serial}
        return {name: value for name, value in fields.items() if value}
