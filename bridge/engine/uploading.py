"""Runs one person's uploads: what is due by schedule or asked for, one device at a time, until read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from bridge.contracts import (
    Clock,
    DeviceRef,
    Interval,
    Journal,
    Sent,
    Snapshot,
    Transport,
    TransportResult,
    Trigger,
    UploadRecord,
    UploadRequest,
    UploadState,
    Verification,
    Verifier,
)
from bridge.engine.schedule import CONNECT, Schedule
from bridge.model import Capture, iso_ms
from bridge.uploader import queue

IDLE_S = 60.0
"""The queue is looked at this often even when nobody wakes it."""
LONGEST = timedelta(days=14)
"""How far back an upload reaches at most, the first one of a device too."""
PAUSED = frozenset({UploadState.MISMATCH, UploadState.NEEDS_USER})
"""After these only a person starts the next upload."""
_DONE = frozenset({UploadState.VERIFIED})


@dataclass(frozen=True, slots=True)
class Uploads:
    """What is uploaded for a person: by which way, when, and which devices."""

    profile: str
    transport: Transport
    verifier: Verifier
    schedule: Schedule
    zone: str
    devices: Sequence[DeviceRef]


class Uploading:
    """The queue of one person. Every step is noted in the journal before the next: a restart goes on from there."""

    def __init__(self, journal: Journal, uploads: Uploads, clock: Clock) -> None:
        self._journal, self._uploads, self._clock = journal, uploads, clock
        self._connected = False

    @property
    def profile(self) -> str:
        """Whose uploads these are."""
        return self._uploads.profile

    @property
    def devices(self) -> Sequence[DeviceRef]:
        """What is uploaded."""
        return self._uploads.devices

    def connected(self) -> None:
        """A device was plugged in: with the schedule `connect` the next step uploads."""
        self._connected = self._uploads.schedule.preset == CONNECT

    async def step(self) -> float:
        """Ask for what the schedule wants, move on what is due; seconds until there is something to do again."""
        connected, self._connected = self._connected, False
        for device in self._uploads.devices:
            if connected:
                await self.ask(device, Trigger.CONNECTED)
            await self._by_schedule(device)
        now, waits = self._clock.now(), [IDLE_S]
        for upload in await self._journal.uploads(self._uploads.profile, queue.OPEN):
            if queue.over(upload):
                continue
            if upload.not_before is not None and upload.not_before > now:
                waits.append((upload.not_before - now).total_seconds())
                continue
            moved = await self._moved(upload)
            if moved.not_before is not None:
                waits.append((moved.not_before - self._clock.now()).total_seconds())
        return max(0.0, min(waits))

    async def open(self) -> bool:
        """Whether anything is still under way."""
        waiting = await self._journal.uploads(self._uploads.profile, queue.OPEN)
        return any(not queue.over(each) for each in waiting)

    @property
    def where(self) -> str:
        """Where it goes, as it may be called: never CareLink where it is not."""
        transport = self._uploads.transport
        return "CareLink" if transport.capabilities.targets_medtronic else f"upload server ({transport.name})"

    async def examine(self, device: DeviceRef, window: Interval) -> Verification:
        """What the other side has of a window now, whenever it was uploaded."""
        asked = UploadRequest("", self.profile, device, Trigger.MANUAL, window, self._clock.now())
        return await self._uploads.verifier.examine(device, window, (await self._snapshot(asked)).records)

    # --- asking ---

    async def ask(self, device: DeviceRef, trigger: Trigger) -> UploadRecord:
        """One more upload, or a place in the one under way."""
        now = self._clock.now()
        request = await self._request(device, trigger, now)
        waiting = await self._journal.uploads(self._uploads.profile, queue.OPEN)
        known = queue.running_for([each for each in waiting if not queue.over(each)], request)
        upload = (
            queue.joined(known, request, now) if known else UploadRecord(request, UploadState.QUEUED, changed_at=now)
        )
        await self._journal.note_upload(upload)
        return upload

    async def _request(self, device: DeviceRef, trigger: Trigger, now: datetime) -> UploadRequest:
        start = await self._verified_until(device)
        window = Interval(now - LONGEST if start is None else max(now - LONGEST, start - queue.OVERLAP), now)
        name = sha256(f"{self._uploads.profile}|{device.serial}|{iso_ms(now)}".encode()).hexdigest()[:16]
        return UploadRequest(name, self._uploads.profile, device, trigger, window, now)

    async def _verified_until(self, device: DeviceRef) -> datetime | None:
        verified = await self._history(device, _DONE)
        return max((each.request.window.end for each in verified), default=None)

    async def _history(self, device: DeviceRef, states: frozenset[UploadState] = frozenset()) -> list[UploadRecord]:
        known = await self._journal.uploads(self._uploads.profile, states)
        return [each for each in known if each.request.device.serial == device.serial]

    async def _by_schedule(self, device: DeviceRef) -> None:
        history = await self._history(device)
        if history and history[0].state in PAUSED:
            return
        last = max((each.request.asked_at for each in history), default=None)
        due = self._uploads.schedule.next_run(last, self._clock.now(), self._uploads.zone)
        if due is not None and due <= self._clock.now():
            await self.ask(device, Trigger.SCHEDULE)

    # --- moving on ---

    async def _moved(self, upload: UploadRecord) -> UploadRecord:
        if upload.state in {UploadState.TRANSPORT_OK, UploadState.VERIFYING}:
            return await self._look(upload)
        running = queue.begun(upload, self._clock.now())
        await self._journal.note_upload(running)
        sent = queue.transported(running, await self._send(running), self._clock.now())
        await self._journal.note_upload(sent)
        return sent

    async def _send(self, upload: UploadRecord) -> TransportResult:
        if hindrance := await self._uploads.transport.preflight(upload.request):
            return TransportResult(Sent.NEEDS_USER, detail=hindrance)
        snapshot = await self._snapshot(upload.request)
        captures = await self._captures(upload.request)
        return await self._uploads.transport.upload(upload.request, replace(snapshot, captures=captures))

    async def _look(self, upload: UploadRecord) -> UploadRecord:
        found = await self._uploads.verifier.verify(upload, await self._snapshot(upload.request))
        patient = not self._uploads.transport.capabilities.can_push
        looked = queue.looked(
            upload, replace(found, checked_at=self._clock.now()), self._clock.now(), patient=patient
        )
        await self._journal.note_upload(looked)
        if looked.state is UploadState.VERIFIED:
            await self._journal.unhold(self._uploads.profile, upload.request.window)
        return looked

    async def _captures(self, request: UploadRequest) -> list[Capture]:
        """The raw reads of the device in the window, for a server that wants to decode them itself."""
        if not request.device.serial or not self._uploads.transport.capabilities.can_push:
            return []
        window, kept = request.window, await self._journal.captures(request.profile)
        ours = [each for each in kept if each.feed.rpartition(":")[2] == request.device.serial]
        return [each for each in ours if window.start <= each.taken_at <= window.end]

    async def _snapshot(self, request: UploadRequest) -> Snapshot:
        serial = request.device.serial
        records = [
            record
            async for record in self._journal.records(request.profile, request.window)
            if not serial or (record.device is not None and record.device.serial == serial)
        ]
        return Snapshot(records)
