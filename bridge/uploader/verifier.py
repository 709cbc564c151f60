"""The verifier: asks a server what it has, and judges. The judging itself is pure (`verdict`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import ClassVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator

from bridge.contracts import DeviceRef, Interval, Level, Setup, Snapshot, UploadRecord, Verification
from bridge.errors import Unauthorised
from bridge.model.records import Record
from bridge.uploader.evidence import Asked, Evidence
from bridge.uploader.http_settings import HttpSettings
from bridge.uploader.places import CARELINK, Region, checked, is_medtronic, on_this_machine
from bridge.uploader.readback import CareLinkReadBack, Clu1ReadBack, DecodeCsv, ReadBack
from bridge.uploader.verdict import judge

_EVERY = timedelta(hours=6)
"""The export is a job of the server: at most so often for an account."""
_REACHED = frozenset({Level.COVERED, Level.COVERED_PLUS})


class ReadBackSettings(BaseModel):
    """Where CareLink is asked, and which account must answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    region: Region
    account_id: str = Field(default="", max_length=64)
    """The account's id on record; another one answering is a mismatch. Empty: not compared."""
    username: str = Field(default="", max_length=200)
    """The same for its user name."""
    base_url: str | None = None
    """CareLink's own address by region when left out; else one on this machine."""

    @field_validator("base_url")
    @classmethod
    def _own(cls, url: str | None) -> str | None:
        if url is None:
            return None
        if not (is_medtronic(url) or on_this_machine(url)):
            raise ValueError("must be an address under minimed.com or minimed.eu, or one on this machine")
        return checked(url)

    @property
    def url(self) -> str:
        """The address to ask."""
        return self.base_url or CARELINK[self.region]


class CareLinkVerifier:
    """Verifies uploads of one account; a `bridge.contracts.Verifier`.

    Made by `of_carelink` or `of_clu1`. `account_id`, `username`: of the account that must answer (empty: any);
    `elsewhere`: serials of other people's devices.
    """

    Settings: ClassVar[type[BaseModel]] = ReadBackSettings

    def __init__(self, read_back: ReadBack, setup: Setup, account_id: str = "", username: str = "") -> None:
        self._read_back, self._clock = read_back, setup.clock
        self._account_id, self._username = account_id, username
        self._elsewhere = frozenset(setup.bound_elsewhere)
        self._last_export: datetime | None = None
        self._looked_closer: set[str] = set()

    @classmethod
    def of_carelink(cls, setup: Setup, decode: DecodeCsv) -> CareLinkVerifier:
        """Over a CareLink credential's session. `decode` turns an export's bytes into records."""
        settings = ReadBackSettings.model_validate(setup.settings)
        if setup.session is None:
            raise Unauthorised("Reading back needs a credential.", next_step="Link CareLink.", state="not_linked")
        zone = ZoneInfo(setup.timezone or "UTC")
        read_back = CareLinkReadBack(setup.session, settings.url, setup.clock, zone, decode)
        return cls(read_back, setup, settings.account_id, settings.username)

    @classmethod
    def of_clu1(cls, setup: Setup) -> CareLinkVerifier:
        """Over the session and settings of the transport `http`: asks that server, not CareLink."""
        settings = HttpSettings.model_validate(setup.settings)
        if setup.session is None:
            raise Unauthorised("Reading back needs a credential.", next_step="Link the server.", state="not_linked")
        return cls(Clu1ReadBack(setup.session, settings.upload_base_url, setup.clock), setup)

    async def verify(
        self, upload: UploadRecord, snapshot: Snapshot, compared_at: datetime | None = None
    ) -> Verification:
        """The highest level that the evidence reaches for this upload. The export is asked for once an upload and
        every six hours at most, and only when the server has come so far."""
        request = upload.request
        self._last_export = max(filter(None, (compared_at, self._last_export)), default=None)
        since = min(request.asked_at, request.window.end)
        asked = self._asked(request.device, request.window, since, snapshot.records)
        seen = await self._read_back.look()
        found = judge(asked, seen, self._clock.now())
        if not self._may_look_closer(request.id, found.level, seen):
            return found
        self._looked_closer.add(request.id)
        return await self._closer(asked, seen)

    async def examine(self, device: DeviceRef, window: Interval, records: Iterable[Record]) -> Verification:
        """What the server has of a window, whenever it was uploaded; for a person who asks."""
        asked = self._asked(device, window, window.start, tuple(records))
        seen = await self._read_back.look()
        found = judge(asked, seen, self._clock.now())
        return found if found.level is Level.MISMATCH else await self._closer(asked, seen)

    async def uploader_allowed(self) -> bool:
        """False only where CareLink says that its uploader program may not be used in the account's country."""
        return await self._read_back.uploader_allowed()

    def _asked(self, device: DeviceRef, window: Interval, since: datetime, records: Sequence[Record]) -> Asked:
        return Asked(device, window, since, records, self._account_id, self._username, self._elsewhere)

    def _may_look_closer(self, request_id: str, level: Level, seen: Evidence) -> bool:
        """A foreign account's records are not fetched; nor an export that cannot be complete yet."""
        now, last = self._clock.now(), self._last_export
        if request_id in self._looked_closer or (last is not None and now - last < _EVERY):
            return False
        return level in _REACHED or (level is Level.SEEN and seen.covered is None)

    async def _closer(self, asked: Asked, seen: Evidence) -> Verification:
        self._last_export = self._clock.now()
        closer = await self._read_back.look_closer(seen, _held(asked))
        return judge(asked, closer, self._clock.now())


def _held(asked: Asked) -> Interval:
    """The stretch in which there are local records: days without any are not exported."""
    times = [record.time for record in asked.local]
    return Interval(min(times), max(times)) if times else asked.window
