"""One person's upload queue over a real journal: schedule, joining, restart, read-back, and mirroring after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bridge.contracts import (
    Capabilities,
    DeliveryState,
    DeviceRef,
    Grace,
    Journal,
    Level,
    Sent,
    Snapshot,
    TransportResult,
    Trigger,
    TypeCheck,
    UploadRecord,
    UploadRequest,
    UploadState,
    Verification,
)
from bridge.engine.schedule import Schedule
from bridge.engine.uploading import Uploading, Uploads
from bridge.journal import open_journal
from bridge.model import Capture
from tests.contracts.journal_records import NIGHTSCOUT, NOW, PUMP, at, batch, glucose
from tests.support.clock import FakeClock

DEVICE = DeviceRef("pump", "MiniMed 640G", PUMP.serial or "")


@dataclass
class Way:
    """A transport and a read-back that do as the test says."""

    sent: list[Sent] = field(default_factory=lambda: [Sent.ACCEPTED])
    level: Level = Level.COVERED
    hindrance: str = ""
    can_push: bool = True
    floor_s: float = 300
    retry_after_s: float = 0
    warns_only: bool = False
    compared: list[datetime | None] = field(default_factory=list)
    requests: list[UploadRequest] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    name: str = "scripted"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(self.can_push, True, False, self.floor_s, targets_medtronic=False)

    async def preflight(self, request: UploadRequest) -> str:
        return self.hindrance

    async def upload(self, request: UploadRequest, snapshot: Snapshot) -> TransportResult:
        self.requests.append(request)
        self.snapshots.append(snapshot)
        state = self.sent.pop(0) if len(self.sent) > 1 else self.sent[0]
        return TransportResult(state, "r1", retry_after_s=self.retry_after_s)

    async def cancel(self) -> None: ...

    async def examine(self, device: DeviceRef, window: object, records: object) -> Verification:
        return Verification(self.level, NOW)

    async def verify(
        self, upload: UploadRecord, snapshot: Snapshot, compared_at: datetime | None = None
    ) -> Verification:
        self.compared.append(compared_at)
        checks = {"alarm": TypeCheck(2, 1, [NOW])} if self.level is Level.PARTIAL else {}
        return Verification(self.level, NOW, checks, warns_only=self.warns_only)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
async def journal(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Journal]:
    opened = await open_journal(tmp_path / "journal.db", clock=clock)
    await opened.register([NIGHTSCOUT])
    yield opened
    await opened.close()


def queue_of(journal: Journal, clock: FakeClock, way: Way, preset: str = "hourly") -> Uploading:
    uploads = Uploads("p1", way, way, Schedule(preset, "p1"), "Europe/Berlin", [DEVICE])  # type: ignore[arg-type]
    return Uploading(journal, uploads, clock)


async def states(journal: Journal) -> list[UploadState]:
    return [each.state for each in await journal.uploads("p1")]


async def test_the_first_upload_is_due_at_once_and_verified_by_read_back(journal: Journal, clock: FakeClock) -> None:
    way = Way()
    uploading = queue_of(journal, clock, way)
    assert await uploading.step() <= 15
    assert await states(journal) == [UploadState.TRANSPORT_OK]
    clock.advance(15)
    await uploading.step()
    assert await states(journal) == [UploadState.VERIFIED]


async def test_the_snapshot_holds_the_devices_own_records_of_the_window(journal: Journal, clock: FakeClock) -> None:
    other = PUMP.model_copy(update={"serial": "NG9999999H"})
    await journal.append(batch(glucose(-10), glucose(-5, device=other), glucose(-60 * 24 * 30)))
    way = Way()
    await queue_of(journal, clock, way).step()
    (snapshot,) = way.snapshots
    assert [record.id for record in snapshot.records] == [glucose(-10).id]


async def test_the_schedule_asks_once_an_hour_and_the_next_window_overlaps(
    journal: Journal, clock: FakeClock
) -> None:
    way = Way()
    uploading = queue_of(journal, clock, way)
    for _ in range(4 * 60):
        await uploading.step()
        clock.advance(60)
    assert len(way.requests) == 5
    first, second = way.requests[:2]
    assert second.window.start == first.window.end - timedelta(hours=2)


async def test_after_three_days_off_one_upload_covers_all(journal: Journal, clock: FakeClock) -> None:
    way = Way()
    await queue_of(journal, clock, way).step()
    clock.advance(15)
    await queue_of(journal, clock, way).step()
    clock.advance(3 * 24 * 3600)
    again = queue_of(journal, clock, way)
    await again.step()
    await again.step()
    assert len(way.requests) == 2
    assert way.requests[1].window.end - way.requests[1].window.start > timedelta(days=3)


async def test_a_process_that_died_during_the_transport_goes_on_with_the_same_request(
    journal: Journal, clock: FakeClock
) -> None:
    way = Way()
    uploading = queue_of(journal, clock, way, "connect")
    asked = await uploading.ask(DEVICE, Trigger.MANUAL)
    await journal.note_upload(replace(asked, state=UploadState.RUNNING, attempts=1))
    await queue_of(journal, clock, way, "connect").step()
    assert [request.id for request in way.requests] == [asked.request.id]
    (upload,) = await journal.uploads("p1")
    assert upload.attempts == 2


async def test_two_askers_get_one_upload(journal: Journal, clock: FakeClock) -> None:
    way = Way()
    uploading = queue_of(journal, clock, way, "connect")
    first = await uploading.ask(DEVICE, Trigger.CONNECTED)
    second = await uploading.ask(DEVICE, Trigger.MANUAL)
    assert first.request.id == second.request.id
    await uploading.step()
    assert len(way.requests) == 1


async def test_a_failed_upload_waits_and_tries_again(journal: Journal, clock: FakeClock) -> None:
    way = Way(sent=[Sent.FAILED, Sent.ACCEPTED])
    uploading = queue_of(journal, clock, way, "connect")
    await uploading.ask(DEVICE, Trigger.MANUAL)
    await uploading.step()
    await uploading.step()
    assert len(way.requests) == 1
    clock.advance(5 * 60)
    await uploading.step()
    assert len(way.requests) == 2
    assert await states(journal) == [UploadState.TRANSPORT_OK]


@pytest.mark.parametrize(("way", "state"), [
    (Way(hindrance="The uploader is not installed."), UploadState.NEEDS_USER),
    (Way(level=Level.MISMATCH), UploadState.MISMATCH),
])  # fmt: skip
async def test_the_schedule_stops_until_a_person_acts(
    journal: Journal, clock: FakeClock, way: Way, state: UploadState
) -> None:
    uploading = queue_of(journal, clock, way)
    for _ in range(5):
        await uploading.step()
        clock.advance(3600)
    assert await states(journal) == [state]
    await uploading.ask(DEVICE, Trigger.MANUAL)
    assert len(await states(journal)) == 2


async def test_records_held_for_the_upload_are_mirrored_once_it_is_verified(
    journal: Journal, clock: FakeClock
) -> None:
    record = glucose(-60)
    held = Grace(until=at(15), fresh_since=at(-15), fresh_until=at(1))
    await journal.append(replace(batch(record), grace=held))
    uploading = queue_of(journal, clock, Way())
    await uploading.step()
    assert (await journal.states(NIGHTSCOUT, [record.id]))[record.id] is DeliveryState.WITHHELD
    clock.advance(15)
    await uploading.step()
    assert (await journal.states(NIGHTSCOUT, [record.id]))[record.id] is DeliveryState.PENDING


async def test_an_upload_that_never_shows_up_is_said_so_and_nothing_is_sent_again(
    journal: Journal, clock: FakeClock
) -> None:
    way = Way(level=Level.UNVERIFIED)
    uploading = queue_of(journal, clock, way, "connect")
    await uploading.ask(DEVICE, Trigger.MANUAL)
    for _ in range(20):
        await uploading.step()
        clock.advance(60)
    assert await states(journal) == [UploadState.UNVERIFIED]
    assert len(way.requests) == 1


async def test_a_pushing_transport_gets_the_devices_raw_reads_and_no_window_grows_without_end(
    journal: Journal, clock: FakeClock
) -> None:
    serial = PUMP.serial or ""
    mine = Capture("p1", "medtronic-600", f"medtronic:{serial}", at(-5), b"read")
    other = Capture("p1", "contour-usb", "contour:9999999", at(-5), b"other")
    for number, each in enumerate((mine, other)):
        await journal.append(replace(batch(glucose(-number)), capture=each))
    way = Way(level=Level.PARTIAL)
    uploading = queue_of(journal, clock, way)
    for _ in range(20 * 4):
        await uploading.step()
        clock.advance(6 * 3600)
    assert [each.body for each in way.snapshots[0].captures] == [b"read"]
    longest = max(request.window.end - request.window.start for request in way.requests)
    assert longest <= timedelta(days=14)


async def test_the_transports_own_distance_is_kept_whatever_the_schedule_says(
    journal: Journal, clock: FakeClock
) -> None:
    way = Way(floor_s=3600)
    uploading = queue_of(journal, clock, way, "5m")
    for _ in range(4 * 60 + 1):
        await uploading.step()
        clock.advance(60)
    assert len(way.requests) == 4 + 1


async def test_a_device_plugged_in_is_left_alone_for_ten_seconds_and_uploaded_once(
    journal: Journal, clock: FakeClock
) -> None:
    way = Way(level=Level.UNVERIFIED)
    uploading = queue_of(journal, clock, way, "connect")
    uploading.connected()
    assert await uploading.step() == 10
    clock.advance(5)
    uploading.connected()  # the contacts bounced
    clock.advance(9)
    await uploading.step()
    assert way.requests == []
    clock.advance(1)
    await uploading.step()
    assert [each.trigger for each in way.requests] == [Trigger.CONNECTED]


@pytest.mark.parametrize(("level", "minutes", "uploads"), [
    (Level.UNVERIFIED, 14, 1), (Level.UNVERIFIED, 45, 2), (Level.COVERED, 45, 1), (Level.COVERED, 61, 2),
])  # fmt: skip
async def test_plugging_in_again_uploads_seldom(
    journal: Journal, clock: FakeClock, level: Level, minutes: int, uploads: int
) -> None:
    way = Way(level=level, floor_s=3600)
    uploading = queue_of(journal, clock, way, "connect")
    uploading.connected()
    for second in range(0, minutes * 60 + 30, 10):
        await uploading.step()
        clock.advance(10)
        if second == minutes * 60:
            uploading.connected()
    assert len(way.requests) == uploads


async def test_missing_alarms_alone_are_no_reason_to_upload_again_or_to_hold_back(
    journal: Journal, clock: FakeClock
) -> None:
    record = glucose(-60)
    held = Grace(until=at(15), fresh_since=at(-15), fresh_until=at(1))
    await journal.append(replace(batch(record), grace=held))
    way = Way(level=Level.PARTIAL, warns_only=True)
    uploading = queue_of(journal, clock, way)
    await uploading.step()
    clock.advance(15)
    await uploading.step()
    assert await states(journal) == [UploadState.PARTIAL]
    assert (await journal.states(NIGHTSCOUT, [record.id]))[record.id] is DeliveryState.PENDING
    clock.advance(3600)
    await uploading.step()
    assert way.requests[1].window.start == way.requests[0].window.end - timedelta(hours=2)


async def test_one_mismatch_stops_every_device_of_the_account(journal: Journal, clock: FakeClock) -> None:
    way, meter = Way(level=Level.MISMATCH), DeviceRef("meter", serial="4293001")
    uploads = Uploads("p1", way, way, Schedule("hourly", "p1"), "UTC", [DEVICE, meter])  # type: ignore[arg-type]
    uploading = Uploading(journal, uploads, clock)
    for _ in range(5 * 60):
        await uploading.step()
        clock.advance(60)
    assert len(way.requests) == 2
    assert len(await uploading.needs_person()) == 2


async def test_a_server_that_asks_for_patience_gets_it(journal: Journal, clock: FakeClock) -> None:
    way = Way(sent=[Sent.FAILED])
    uploading = queue_of(journal, clock, way, "connect")
    way.retry_after_s = 3000
    await uploading.ask(DEVICE, Trigger.MANUAL)
    await uploading.step()
    (upload,) = await journal.uploads("p1")
    assert upload.not_before == NOW + timedelta(seconds=3000)


async def test_the_timeline_names_every_state_once_and_survives(journal: Journal, clock: FakeClock) -> None:
    way = Way(sent=[Sent.FAILED, Sent.ACCEPTED])
    uploading = queue_of(journal, clock, way, "connect")
    await uploading.ask(DEVICE, Trigger.MANUAL)
    for _ in range(10):
        await uploading.step()
        clock.advance(60)
    (upload,) = await journal.uploads("p1")
    told = [str(each.state) for each in upload.timeline]
    assert told == ["queued", "running", "failed", "running", "transport_ok", "verified"]
    assert [each.at for each in upload.timeline] == sorted(each.at for each in upload.timeline)


async def test_when_records_were_last_compared_is_known_after_a_restart(journal: Journal, clock: FakeClock) -> None:
    way = Way(level=Level.PARTIAL)
    for _ in range(2):
        uploading = queue_of(journal, clock, way, "connect")
        await uploading.ask(DEVICE, Trigger.MANUAL)
        await uploading.step()
        clock.advance(15)
        await uploading.step()
    assert way.compared == [None, NOW + timedelta(seconds=15)]
