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
from bridge.tracing import span
from bridge.uploader import history, queue

IDLE_S = 60.0
"""The queue is looked at this often even when nobody wakes it."""
LONGEST = timedelta(days=14)
"""How far back an upload reaches at most, the first one of a device too."""
DEBOUNCE_S = 10.0
"""A device that was plugged in is left alone for this long: contacts bounce, and readers go first."""


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
        self._plugged_in_at: datetime | None = None

    @property
    def profile(self) -> str:
        """Whose uploads these are."""
        return self._uploads.profile

    @property
    def devices(self) -> Sequence[DeviceRef]:
        """What is uploaded."""
        return self._uploads.devices

    def connected(self) -> None:
        """A device was plugged in: with the schedule `connect` it is uploaded ten seconds later."""
        if self._uploads.schedule.preset == CONNECT:
            self._plugged_in_at = self._clock.now()

    async def step(self) -> float:
        """Ask for what the schedule wants, move on what is due; seconds until there is something to do again."""
        waits = [IDLE_S, *await self._by_plug()]
        await self._by_schedule()
        now = self._clock.now()
        for upload in await self._journal.uploads(self._uploads.profile, queue.OPEN):
            if queue.over(upload):
                continue
            if upload.not_before is not None and upload.not_before > now:
                waits.append((upload.not_before - now).total_seconds())
                continue
            with span("upload", transport=self._uploads.transport.name) as noted:
                moved = await self._moved(upload)
                noted.note(state=str(moved.state))
            if moved.not_before is not None:
                waits.append((moved.not_before - self._clock.now()).total_seconds())
        return max(0.0, min(waits))

    async def newest(self) -> Sequence[UploadRecord]:
        """The last upload of each device."""
        return history.newest(await self._history(), self.devices)

    async def needs_person(self) -> Sequence[str]:
        """What only a person can mend, a sentence a device."""
        return history.needs_person(await self._history(), self._uploads.devices)

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
        upload = queue.joined(known, request, now) if known else queue.asked(request, now)
        await self._journal.note_upload(upload)
        return upload

    async def _request(self, device: DeviceRef, trigger: Trigger, now: datetime) -> UploadRequest:
        start = history.read_back_until(history.of_device(await self._history(), device))
        window = Interval(now - LONGEST if start is None else max(now - LONGEST, start - queue.OVERLAP), now)
        name = sha256(f"{self._uploads.profile}|{device.serial}|{iso_ms(now)}".encode()).hexdigest()[:16]
        return UploadRequest(name, self._uploads.profile, device, trigger, window, now)

    async def _history(self) -> Sequence[UploadRecord]:
        return await self._journal.uploads(self._uploads.profile)

    @property
    def floor(self) -> timedelta:
        """The transport's own distance between two uploads by themselves, whatever the schedule says."""
        return timedelta(seconds=self._uploads.transport.capabilities.min_interval_s)

    async def _by_plug(self) -> list[float]:
        """Ask for what was plugged in, once the contacts are quiet; seconds until then."""
        if self._plugged_in_at is None:
            return []
        now = self._clock.now()
        if (left_s := DEBOUNCE_S - (now - self._plugged_in_at).total_seconds()) > 0:
            return [left_s]
        self._plugged_in_at, known = None, await self._history()
        for device in self._uploads.devices:
            if history.may_follow_plug(history.of_device(known, device), now, self.floor):
                await self.ask(device, Trigger.CONNECTED)
        return []

    async def _by_schedule(self) -> None:
        known, devices = await self._history(), self._uploads.devices
        for device in devices:
            if not history.paused(known, devices, device) and self._due(history.of_device(known, device)):
                await self.ask(device, Trigger.SCHEDULE)

    def _due(self, known: Sequence[UploadRecord]) -> bool:
        last, now = history.asked_last(known), self._clock.now()
        if last is not None and now - last < self.floor:
            return False
        due = self._uploads.schedule.next_run(last, now, self._uploads.zone)
        return due is not None and due <= now

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
        snapshot = await self._snapshot(upload.request)
        compared_at = history.compared_at(await self._history())
        found = await self._uploads.verifier.verify(upload, snapshot, compared_at)
        patient = not self._uploads.transport.capabilities.can_push
        looked = queue.looked(
            upload, replace(found, checked_at=self._clock.now()), self._clock.now(), patient=patient
        )
        await self._journal.note_upload(looked)
        if looked.is_read_back:
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
