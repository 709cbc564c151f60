"""Uploads and what they prove, and gaps filled from CareLink's export, against the simulated CareLink."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from bridge.contracts import Interval, Level, Trigger, UploadState
from bridge.settings import UploadSettings
from tests.support.clock import FakeClock
from tests.support.house import House, built, records, require_conserved

START = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def uploading_house(house: House, **table: Any) -> House:
    """The same house with an upload table for the first person."""
    person = house.settings.profiles["p1"]
    upload = UploadSettings.model_validate({"base_url": house.world.carelink_url, **table})
    profiles = {**house.settings.profiles, "p1": person.model_copy(update={"upload": upload})}
    return replace(house, settings=house.settings.model_copy(update={"profiles": profiles}))


async def test_what_the_phone_uploaded_is_read_back_and_only_then_verified(tmp_path: Path) -> None:
    clock = FakeClock(START)
    async with built(tmp_path, clock) as plain:
        house = uploading_house(plain, transport="observe", schedule="connect")
        async with house.engine() as engine:
            await engine.once()
            (upload,) = engine.uploadings
            await upload.uploading.ask(upload.uploading.devices[0], Trigger.MANUAL)
            for _ in range(12):
                await upload.uploading.step()
                clock.advance(60)
            (known,) = await engine.journal.uploads("p1")
            assert known.state in {UploadState.VERIFIED, UploadState.PARTIAL}, known
            assert known.verification is not None
            assert known.verification.level is not Level.UNVERIFIED
            assert known.transport is not None
            assert "by itself" in known.transport.detail


async def test_days_that_the_cloud_no_longer_shows_come_from_the_export(tmp_path: Path) -> None:
    clock = FakeClock(START)
    async with built(tmp_path, clock) as plain:
        house = uploading_house(plain, transport="observe", schedule="connect")
        async with house.engine() as engine:
            await engine.once()
            away_from = clock.now()
            clock.advance(60 * 3600)
            (source,) = [each.poller for each in engine.sources if each.poller.profile == "p1"]
            await source.once()
            (before,) = [s for s in await engine.journal.readers() if s.reader == "carelink-cloud"]
            (gap,) = before.gaps
            assert gap.end - gap.start > timedelta(hours=30)
            assert (await engine.once()).new > 200
            (backfill,) = engine.backfills
            (after,) = [s for s in await engine.journal.readers() if s.reader == "carelink-cloud"]
            assert after.gaps == []
            assert await backfill.step() == 0
            inside = Interval(away_from + timedelta(hours=1), gap.end - timedelta(hours=1))
            facts = house.world.people[0].patient.facts(inside.start, inside.end, ["bolus"])
            found = [
                r for r in await records(engine.journal) if r.kind == "bolus" and inside.start <= r.time < inside.end
            ]
            assert len(found) == len(facts) > 3
            await require_conserved(house, engine)


class NoExports:
    """An export job that never comes."""

    def __init__(self) -> None:
        self.asked = 0

    async def export(self, first: date, last: date) -> tuple[bytes | None, Sequence[str]]:
        self.asked += 1
        return None, ["CareLink is busy."]


async def test_an_export_that_does_not_come_is_asked_for_seldom_after_a_restart_too(tmp_path: Path) -> None:
    clock, none = FakeClock(START), NoExports()
    async with built(tmp_path, clock) as house:
        async with house.engine() as engine:
            await engine.once()
        clock.advance(60 * 3600)
        for hours, tries in ((0, 1), (5, 1), (1, 2)):
            clock.advance(hours * 3600)
            async with house.engine() as engine:
                engine.backfills[0]._exports = none
                await engine.once()
                (waits,) = [s for s in await engine.journal.readers() if s.reader == "carelink-export"]
            assert none.asked == tries
            assert "import a file" in waits.health.text


async def test_one_cycle_uploads_too_and_the_next_one_reads_it_back(tmp_path: Path) -> None:
    clock = FakeClock(START)
    async with built(tmp_path, clock) as plain:
        house = uploading_house(plain, transport="observe", schedule="hourly")
        for state in (UploadState.TRANSPORT_OK, UploadState.VERIFIED):
            async with house.engine() as engine:
                cycle = await engine.once()
                (known,) = await engine.journal.uploads("p1")
                assert known.state is state
                assert cycle.exit_code == 0
            clock.advance(300)


async def test_an_upload_that_waits_for_a_person_is_said_by_the_cycle(tmp_path: Path) -> None:
    clock = FakeClock(START)
    async with built(tmp_path, clock) as plain:
        house = uploading_house(plain, transport="vendor", schedule="hourly", command=["/nowhere/uploader"])
        async with house.engine() as engine:
            cycle = await engine.once()
            assert cycle.exit_code == 4
            assert any("p1 upload: needs_user" in line for line in cycle.needs_person)
