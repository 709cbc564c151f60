"""The whole way of one person's upload over a real journal: sent to a server, read back, never called CareLink."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import aiohttp

from bridge.contracts import DeviceRef, Journal, Level, Setup, Trigger, UploadRecord, UploadState
from bridge.engine.schedule import Schedule
from bridge.engine.uploading import Uploading, Uploads
from bridge.journal import open_journal
from bridge.simulators.serving import serve
from bridge.simulators.upload_server import Fault, FaultKind, Step, UploadServer
from bridge.uploader import CareLinkVerifier, HttpTransport, ObserveTransport
from tests.contracts.journal_records import NIGHTSCOUT, NOW, PUMP, batch, glucose
from tests.support.clock import FakeClock
from tests.support.session import PlainSession

DEVICE = DeviceRef("pump", "MiniMed 640G", PUMP.serial or "")


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[Journal, FakeClock, UploadServer, Setup]]:
    clock = FakeClock(NOW)
    server = UploadServer(clock.now)
    journal = await open_journal(folder / "journal.db", clock=clock)
    await journal.register([NIGHTSCOUT])
    await journal.append(batch(*(glucose(-5 * number) for number in range(1, 60))))
    async with serve(server.app()) as base, aiohttp.ClientSession() as http:
        setup = Setup("p1", {"upload_base_url": base}, clock, Random(1), PlainSession(http))
        yield journal, clock, server, setup
    await journal.close()


def queue_of(journal: Journal, setup: Setup) -> Uploading:
    """As a new process makes it."""
    verifier, by_hand = CareLinkVerifier.of_clu1(setup), Schedule("connect", "p1")
    return Uploading(journal, Uploads("p1", HttpTransport(setup), verifier, by_hand, "UTC", [DEVICE]), setup.clock)


async def only(journal: Journal) -> UploadRecord:
    (upload,) = await journal.uploads("p1")
    return upload


async def test_sent_read_back_and_verified_without_a_word_of_carelink(tmp_path: Path) -> None:
    async with opened(tmp_path) as (journal, clock, server, setup):
        queue = queue_of(journal, setup)
        await queue.ask(DEVICE, Trigger.MANUAL)
        await queue.step()
        assert (await only(journal)).state is UploadState.TRANSPORT_OK
        clock.advance(15)
        await queue.step()
        upload = await only(journal)
    assert upload.state is UploadState.VERIFIED
    assert upload.transport is not None
    assert upload.verification is not None
    assert upload.verification.level is Level.COVERED_PLUS
    assert len(server.store.complete_ones()) == 1
    words = f"{upload.transport.detail} {' '.join(upload.verification.evidence)}".lower()
    assert "127.0.0.1" in words
    assert "carelink" not in words
    assert "medtronic" not in words


async def test_a_storm_a_restart_and_one_upload(tmp_path: Path) -> None:
    async with opened(tmp_path) as (journal, clock, server, setup):
        server.faults.stand(Fault(FaultKind.STATUS, 503), Step.PART, Step.COMPLETE)
        first = queue_of(journal, setup)
        await first.ask(DEVICE, Trigger.MANUAL)
        await first.step()
        assert (await only(journal)).state is UploadState.FAILED
        server.faults.clear()
        clock.advance(600)
        second = queue_of(journal, setup)
        await second.step()
        clock.advance(15)
        await second.step()
        assert (await only(journal)).state is UploadState.VERIFIED
        assert len(server.store.uploads) == 1


async def test_a_server_that_lost_the_upload_again_does_not_stay_verified(tmp_path: Path) -> None:
    """Transport success alone is never more than that."""
    async with opened(tmp_path) as (journal, clock, server, setup):
        queue = queue_of(journal, setup)
        await queue.ask(DEVICE, Trigger.MANUAL)
        await queue.step()
        server.store.uploads.clear()
        for _ in range(8):
            clock.advance(900)
            await queue.step()
        upload = await only(journal)
    assert upload.state is UploadState.UNVERIFIED
    assert upload.verification is not None
    assert "lists no upload of this device" in " ".join(upload.verification.evidence)


async def test_the_phone_uploads_and_nothing_is_sent(tmp_path: Path) -> None:
    async with opened(tmp_path) as (journal, clock, server, setup):
        observe = ObserveTransport(Setup("p1", {}, clock, Random(1)))
        uploads = Uploads("p1", observe, CareLinkVerifier.of_clu1(setup), Schedule("connect", "p1"), "UTC", [DEVICE])
        queue = Uploading(journal, uploads, clock)
        await queue.ask(DEVICE, Trigger.MANUAL)
        for _ in range(3):
            await queue.step()
            clock.advance(3600)
        assert set(server.requests) == {Step.LIST, Step.COVERAGE}
        assert (await only(journal)).state is UploadState.VERIFYING
