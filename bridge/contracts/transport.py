"""The `Transport` seam: one way of getting a device's data into CareLink, and what proves that it is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from bridge.contracts.reader import Interval
from bridge.model.capture import Capture
from bridge.model.records import Record


class Trigger(StrEnum):
    """Who asked for an upload."""

    SCHEDULE = "schedule"
    CONNECTED = "device_connected"
    MANUAL = "manual"
    RETRY = "retry"


class UploadState(StrEnum):
    """What a person sees of an upload. Transport success is never more than `transport_ok`."""

    QUEUED = "queued"
    RUNNING = "running"
    TRANSPORT_OK = "transport_ok"
    VERIFYING = "verifying"
    VERIFIED = "verified"
    PARTIAL = "partial"
    UNVERIFIED = "unverified"
    MISMATCH = "mismatch"
    FAILED = "failed"
    NEEDS_USER = "needs_user"


class Sent(StrEnum):
    """How a transport ended."""

    ACCEPTED = "accepted"
    RAN = "ran"
    ALREADY_PRESENT = "already_present"
    NEEDS_USER = "needs_user"
    REJECTED = "rejected"
    FAILED = "failed"


class Level(StrEnum):
    """What read-back proves, weakest first; PARTIAL and MISMATCH overrule the rest."""

    UNVERIFIED = "UNVERIFIED"
    SEEN = "SEEN"
    COVERED = "COVERED"
    COVERED_PLUS = "COVERED+"
    COMPLETE = "COMPLETE"
    PARTIAL = "PARTIAL"
    MISMATCH = "MISMATCH"


@dataclass(frozen=True, slots=True)
class DeviceRef:
    """The device whose data is uploaded. `kind`: pump, meter or cgm."""

    kind: str
    model: str = ""
    serial: str = ""


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """One upload that somebody or the schedule wants. `id` is stable over restarts and retries."""

    id: str
    profile: str
    device: DeviceRef
    trigger: Trigger
    window: Interval
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is uploaded: the records of the window, and the device's raw reads where there are any."""

    records: Sequence[Record]
    captures: Sequence[Capture] = ()


@dataclass(frozen=True, slots=True)
class TransportResult:
    """How it ended. `remote_id` is the other side's name for it; `detail` one sentence for a person."""

    state: Sent
    remote_id: str | None = None
    detail: str = ""
    ended_at: datetime | None = None
    """When it ended; the queue notes it."""
    retry_after_s: float = 0.0
    """The other side asks for at least this patience before the next try."""


@dataclass(frozen=True, slots=True)
class TypeCheck:
    """Read-back of one data type. `checkable` False: the evidence cannot show this type (never a success)."""

    expected: int
    found: int
    missing: Sequence[datetime] = ()
    gaps: Sequence[Interval] = ()
    checkable: bool = True


@dataclass(frozen=True, slots=True)
class Verification:
    """The level reached, per type where the records themselves were read back, and the evidence in words."""

    level: Level
    checked_at: datetime
    per_type: Mapping[str, TypeCheck] = field(default_factory=dict)
    evidence: Sequence[str] = ()
    warns_only: bool = False
    """PARTIAL, but what is missing are events that an export may leave out: no reason to upload again."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A state that an upload entered, and when."""

    at: datetime
    state: UploadState


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """An upload as the journal keeps it; the timeline only grows."""

    request: UploadRequest
    state: UploadState
    attempts: int = 0
    not_before: datetime | None = None
    transport: TransportResult | None = None
    verification: Verification | None = None
    changed_at: datetime | None = None
    timeline: tuple[Moment, ...] = ()

    @property
    def is_read_back(self) -> bool:
        """Whether read-back showed what counts."""
        found = self.verification
        return self.state is UploadState.VERIFIED or (
            self.state is UploadState.PARTIAL and found is not None and found.warns_only
        )


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a transport can do. `targets_medtronic` False is always shown: that is not CareLink."""

    can_push: bool
    can_trigger: bool
    needs_user: bool
    min_interval_s: float
    targets_medtronic: bool


class Verifier(Protocol):
    """Reads back what CareLink has. What cannot be asked is evidence of nothing, never an error."""

    async def verify(
        self, upload: UploadRecord, snapshot: Snapshot, compared_at: datetime | None = None
    ) -> Verification:
        """The highest level that the evidence reaches for this upload. `compared_at`: when this account's records
        were last compared one by one; that is a dear question and is asked seldom."""
        ...

    async def examine(self, device: DeviceRef, window: Interval, records: Iterable[Record]) -> Verification:
        """What the other side has of a window, whenever it was uploaded."""
        ...


class Transport(Protocol):
    """One way of uploading. Outages are a result (`failed`), not an exception."""

    name: str
    capabilities: Capabilities

    async def preflight(self, request: UploadRequest) -> str:
        """What keeps this upload from starting, as one sentence with the next step; empty when nothing does."""
        ...

    async def upload(self, request: UploadRequest, snapshot: Snapshot) -> TransportResult:
        """Do it; resumes what an earlier try of the same request began."""
        ...

    async def cancel(self) -> None:
        """Stop what runs now, leaving it resumable."""
        ...
