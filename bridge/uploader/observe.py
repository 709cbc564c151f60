"""Transport `observe`: the vendor's phone app uploads by itself; there is nothing to send, only to look."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from bridge.contracts import Capabilities, Sent, Setup, Snapshot, TransportResult, Trigger, UploadRequest

_LOOKS = "The phone's app uploads to CareLink by itself; whether it did is read back."
_BY_HAND = f"{_LOOKS} To have it upload now, choose Sync or Upload in the app on the phone."


class ObserveSettings(BaseModel):
    """Nothing but how often to look."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_interval_s: float = Field(default=3600.0, ge=300.0)


class ObserveTransport:
    """Sends nothing."""

    name = "observe"
    Settings: ClassVar[type[BaseModel]] = ObserveSettings
    linking: ClassVar[None] = None

    def __init__(self, setup: Setup) -> None:
        settings = ObserveSettings.model_validate(setup.settings)
        self.capabilities = Capabilities(
            can_push=False,
            can_trigger=False,
            needs_user=False,
            min_interval_s=settings.min_interval_s,
            targets_medtronic=True,
        )

    async def preflight(self, request: UploadRequest) -> str:
        """Nothing hinders looking."""
        return ""

    async def upload(self, request: UploadRequest, snapshot: Snapshot) -> TransportResult:
        """Start looking; asked by hand, say how to make the phone upload."""
        return TransportResult(Sent.RAN, detail=_BY_HAND if request.trigger is Trigger.MANUAL else _LOOKS)

    async def cancel(self) -> None:
        """There is nothing to stop."""
