"""Transport `http`: sends a snapshot to a server that speaks contract clu-1.

Such a server is somebody's own. Unless the settings say that it is Medtronic's, nothing sent there has reached
CareLink, and no text of this transport says so.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import ClassVar

from pydantic import BaseModel

from bridge.contracts import Capabilities, Linking, Sent, Setup, Snapshot, TransportResult, UploadRequest
from bridge.errors import Forbidden, Incompatible, Moved, NotAllowed, Refused, Throttled, Transient, Unauthorised
from bridge.uploader import clu1
from bridge.uploader.clu1_server import Clu1Server, TooLarge, UploadStatus
from bridge.uploader.http_linking import HttpLinking
from bridge.uploader.http_settings import HttpSettings
from bridge.uploader.patience import pause_s

ATTEMPTS = 8
"""Tries without any progress after which the upload waits for its next turn in the queue."""
_LONGEST_WAIT_S = 300.0
"""A server that asks for more patience is left alone; the upload ends and comes back later."""
_DEADLINE_S = 3600.0
_SMALLEST_PART_BYTES = 16 * 1024
_LOOKS_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)


@dataclass(slots=True)
class _Job:
    """One call of `upload`. `reached` grows with every step done: as long as it does, there is progress."""

    request: UploadRequest
    snapshot: Snapshot
    reached: set[str] = field(default_factory=set)
    remote_id: str | None = None
    made: dict[clu1.Limits, clu1.Container] = field(default_factory=dict)


class HttpTransport:
    """Uploads over HTTP. A try begins by asking the server what it has, so going on after a lost connection and
    after a new start of the program is the same thing."""

    name = "http"
    Settings: ClassVar[type[BaseModel]] = HttpSettings
    linking: ClassVar[Linking] = HttpLinking()

    def __init__(self, setup: Setup) -> None:
        if setup.session is None:
            raise Unauthorised(
                "Uploading needs a credential.", next_step="Link the upload server.", state="not_linked"
            )
        self._settings = HttpSettings.model_validate(setup.settings)
        self._clock, self._random = setup.clock, setup.random
        self._server = Clu1Server(setup.session, self._settings.upload_base_url, setup.clock)
        self._most_part_bytes: int | None = None
        self._patient_until = 0.0
        self._work: asyncio.Task[TransportResult] | None = None
        self.capabilities = Capabilities(
            can_push=True,
            can_trigger=False,
            needs_user=False,
            min_interval_s=self._settings.min_interval_s,
            targets_medtronic=self._settings.targets_medtronic,
        )

    async def preflight(self, request: UploadRequest) -> str:
        """What hinders, as one sentence; empty when nothing does."""
        if not request.device.serial:
            return "The device's serial number is not known. Bind the device to this person first."
        return ""

    async def upload(self, request: UploadRequest, snapshot: Snapshot) -> TransportResult:
        """Send it, or what is missing of it. Never raises for an outage."""
        job = _Job(request, snapshot)
        work = self._work = asyncio.ensure_future(self._answered(job))
        try:
            return await work
        except asyncio.CancelledError:
            if self._work is work:
                raise
            return TransportResult(Sent.FAILED, job.remote_id, "Stopped. It goes on where it was.")
        finally:
            self._work = None if self._work is work else self._work

    async def cancel(self) -> None:
        """Stop; the server keeps what it has."""
        work, self._work = self._work, None
        if work is not None:
            work.cancel()
            await asyncio.wait({work})

    # --- tries ---

    async def _answered(self, job: _Job) -> TransportResult:
        """Every handled error as a result."""
        try:
            return await self._tried(job)
        except Transient as error:
            return TransportResult(Sent.FAILED, job.remote_id, str(error), retry_after_s=_asked_s(error))
        except (Unauthorised, Forbidden) as error:
            return TransportResult(Sent.NEEDS_USER, job.remote_id, str(error))
        except (Refused, Incompatible, Moved, NotAllowed) as error:
            return TransportResult(Sent.REJECTED, job.remote_id, str(error))

    async def _tried(self, job: _Job) -> TransportResult:
        """Again and again while there is progress, else eight times. Raises the last Transient."""
        failures, ends = 0, self._clock.monotonic() + _DEADLINE_S
        self._require_patience_over()
        while True:
            reached = len(job.reached)
            try:
                return await self._try(job)
            except TooLarge as error:
                await self._cut_smaller(job, error)
            except Transient as error:
                failures = 1 if len(job.reached) > reached else failures + 1
                wait_s = self._wait_s(error, failures)
                if failures >= ATTEMPTS or wait_s > _LONGEST_WAIT_S or self._clock.monotonic() + wait_s > ends:
                    self._patient_until = self._clock.monotonic() + _asked_s(error)
                    raise
                await self._clock.sleep(wait_s)

    def _wait_s(self, error: Transient, failures: int) -> float:
        return max(_asked_s(error), pause_s(failures, self._random))

    def _require_patience_over(self) -> None:
        left_s = self._patient_until - self._clock.monotonic()
        if left_s > 0:
            raise Throttled(f"{self._settings.where} asked for patience.", retry_after_s=left_s)

    async def _cut_smaller(self, job: _Job, error: TooLarge) -> None:
        """The server, or something before it, does not take parts of that size: begin again with smaller ones."""
        if job.remote_id is not None:
            await self._server.abort(job.remote_id)
        smaller = error.part_bytes // 2
        if smaller < _SMALLEST_PART_BYTES:
            raise Refused(f"{self._settings.where} takes no parts of a usable size.", next_step="Ask its operator.")
        self._most_part_bytes = smaller

    async def _try(self, job: _Job) -> TransportResult:
        """From the beginning to the end, leaving out what the server has."""
        box = self._boxed(job, await self._server.limits())
        job.reached.add("limits")
        status = await self._server.create(box)
        job.remote_id = status.id
        if status.state == "complete" and "created" not in job.reached:
            return self._ended(job, Sent.ALREADY_PRESENT, "has this upload already")
        job.reached.add("created")
        if status.state == "receiving":
            status = await self._completed(job, box, status)
        return await self._settled(job, status)

    def _boxed(self, job: _Job, limits: clu1.Limits) -> clu1.Container:
        most = min(limits.max_part_bytes, self._most_part_bytes or limits.max_part_bytes)
        limits = replace(limits, max_part_bytes=most)
        if limits not in job.made:
            account = self._settings.account or job.request.profile
            job.made[limits] = clu1.container(account, job.request, job.snapshot, limits)
        return job.made[limits]

    async def _completed(self, job: _Job, box: clu1.Container, status: UploadStatus) -> UploadStatus:
        for part in box.parts:
            if part.n not in status.received:
                await self._server.put(status.id, part)
                job.reached.add(f"{status.id}/{part.n}")
        status = await self._server.complete(status.id, box.sha256)
        job.reached.add("completed")
        return status

    async def _settled(self, job: _Job, status: UploadStatus) -> TransportResult:
        """Wait a minute for the server's own check of what it got."""
        for wait_s in _LOOKS_S:
            if status.state != "processing":
                break
            await self._clock.sleep(wait_s)
            status = await self._server.status(status.id)
        if status.state == "rejected":
            return self._ended(job, Sent.REJECTED, f"refused what was sent{status.why}")
        if status.state == "processing":
            return self._ended(job, Sent.ACCEPTED, "has all parts and is still checking them")
        if status.state == "complete":
            return self._ended(job, Sent.ACCEPTED, "has all parts")
        raise Transient(f"{self._settings.where} lost the upload ({status.state}).")

    def _ended(self, job: _Job, state: Sent, what: str) -> TransportResult:
        return TransportResult(state, job.remote_id, f"{self._settings.where} {what}.")


def _asked_s(error: Transient) -> float:
    """Seconds of patience that the server asked for."""
    return (error.retry_after_s or 0.0) if isinstance(error, Throttled) else 0.0
