"""Reading back from the simulated CareLink: what is lost, late, swapped or missing there is found and named."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import pytest
from pydantic import ValidationError

from bridge.contracts import (
    DeviceRef,
    Interval,
    Level,
    Memory,
    Sent,
    Setup,
    Snapshot,
    TransportResult,
    UploadRecord,
    UploadState,
    Verification,
)
from bridge.errors import Malformed, Unauthorised
from bridge.model.capture import Capture
from bridge.model.records import Record
from bridge.readers.carelink_csv import CareLinkCsvReader
from bridge.simulators.carelink_cloud import CARER, Call, CareLinkSim, Fault, FaultKind, Person
from bridge.simulators.carelink_cloud.history import HistoryUpload, ReadBack
from bridge.simulators.carelink_cloud.web_reports import READ_BACK
from bridge.simulators.patient import VirtualPatient
from bridge.simulators.serving import serve
from bridge.uploader import CareLinkVerifier, ReadBackSettings
from bridge.uploader.readback import CareLinkReadBack, DecodeCsv
from tests.support.clock import FakeClock
from tests.support.session import PlainSession
from tests.uploader.facts import DEVICE, NOW, SERIAL, records_of, request

ZONE = "America/New_York"
OTHER = "NG0000009H"


def decode(body: bytes) -> Sequence[Record]:
    """The export reader, as the owner of a verifier hands it in."""
    setup = Setup("p1", {}, FakeClock(NOW), Random(1))
    capture = Capture("p1", "carelink-csv", "carelink-csv", NOW, body, {"timezone": ZONE})
    return CareLinkCsvReader(setup).decode(capture, Memory()).records


@dataclass
class Place:
    """A served cloud with two people, and verifiers that ask it as one of them."""

    sim: CareLinkSim
    knobs: ReadBack
    base: str
    http: aiohttp.ClientSession
    clock: FakeClock

    def session(self, username: str = "patient1") -> PlainSession:
        return PlainSession(self.http, "Authorization", self.sim.sign_in(username)["access_token"])

    def verifier(self, username: str = "patient1", **more: Any) -> CareLinkVerifier:
        on_record = {"account_id": more.pop("account_id", ""), "username": more.pop("on_record", "")}
        settings = {"region": "EU", "base_url": self.base, **on_record}
        setup = Setup("p1", settings, self.clock, Random(1), self.session(username), ZONE)
        return CareLinkVerifier.of_carelink(replace(setup, **more), decode)

    def local(self, username: str = "patient1", hours: float = 24) -> list[Record]:
        return records_of(self.sim.people[username].patient, NOW - timedelta(hours=hours), NOW - timedelta(hours=1))

    async def verify(self, *, hours: float = 24, uploaded: bool = True, **more: Any) -> Verification:
        """What read-back says an hour after the upload."""
        upload = UploadRecord(
            request(NOW - timedelta(hours=hours)),
            UploadState.TRANSPORT_OK,
            transport=TransportResult(Sent.RAN, ended_at=NOW),
        )
        if uploaded:
            self.knobs.uploads["patient1"] = [HistoryUpload(NOW + timedelta(minutes=2), is_mobile=False)]
        self.clock.advance(600)
        snapshot = Snapshot(more.pop("local", None) or self.local(hours=hours))
        return await self.verifier(**more).verify(upload, snapshot)


@asynccontextmanager
async def opened(*, mmol: bool = False) -> AsyncIterator[Place]:
    clock = FakeClock(NOW)
    people = [
        Person("patient1", VirtualPatient(5, ZONE), display_mmol=mmol),
        Person("patient2", VirtualPatient(9, ZONE), display_mmol=mmol),
    ]
    sim = CareLinkSim(people, clock.now)
    app = sim.app()
    async with serve(app) as base, aiohttp.ClientSession() as http:
        yield Place(sim, app[READ_BACK], base, http, clock)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with opened() as made:
        yield made


def said(found: Verification) -> str:
    return " ".join(found.evidence)


# --- all is well -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mmol", [False, True])
@pytest.mark.parametrize("comma", [False, True])
async def test_a_whole_day_is_complete_in_every_writing(comma: bool, mmol: bool) -> None:
    async with opened(mmol=mmol) as place:
        place.knobs.comma_decimals = comma
        found = await place.verify()
        assert found.level is Level.COMPLETE, said(found)
        checks = found.per_type
        assert checks["sensor_glucose"].found == checks["sensor_glucose"].expected > 200
        assert {"bolus", "carbs", "basal", "alarm"} <= checks.keys()


async def test_sixteen_days_are_exported_a_fortnight_at_a_time(place: Place) -> None:
    orders = []
    asked = PlainSession.request

    async def noting(self: PlainSession, method: str, url: str, **how: Any) -> Any:
        if url.endswith("generateReport"):
            orders.append(how["json"])
        return await asked(self, method, url, **how)

    PlainSession.request = noting  # type: ignore[method-assign]
    try:
        found = await place.verify(hours=24 * 15)
    finally:
        PlainSession.request = asked  # type: ignore[method-assign]
    assert found.level is Level.COMPLETE, said(found)
    spans = [(date.fromisoformat(each["startDate"]), date.fromisoformat(each["endDate"])) for each in orders]
    assert [(end - start).days for start, end in spans] == [13, 1]
    assert all(after[0] - before[1] == timedelta(days=1) for before, after in pairwise(spans))
    assert orders[0]["clientTime"].endswith("-04:00")
    assert sum(name.startswith("reportShow") for name in orders[0]) == 12


# --- what is not well ------------------------------------------------------------------------------


async def test_a_dropped_hour_is_found_and_named(place: Place) -> None:
    low = NOW - timedelta(hours=9)
    place.knobs.dropped.append((low, low + timedelta(hours=1)))
    found = await place.verify()
    assert found.level is Level.PARTIAL
    lost = [record for record in place.local() if low <= record.time < low + timedelta(hours=1)]
    named = [time for name, check in found.per_type.items() if name != "basal" for time in check.missing]
    assert sorted(named) == sorted(record.time for record in lost if record.kind != "basal")
    assert len(named) >= 12
    check = found.per_type["sensor_glucose"]
    (gap,) = check.gaps
    assert gap.start <= min(check.missing) <= max(check.missing) <= gap.end
    assert timedelta(minutes=55) < gap.end - gap.start < timedelta(minutes=75)
    assert (
        f"missing between {check.missing[0]:%Y-%m-%d %H:%M} UTC and {check.missing[-1]:%Y-%m-%d %H:%M} UTC"
        in said(found)
    )
    assert "calendar lacks sensor_glucose" in said(found)


@pytest.mark.parametrize("kind", ["sensor_glucose", "bolus", "carbs", "basal", "alarm"])
async def test_a_dropped_type_is_found_and_named(place: Place, kind: str) -> None:
    place.knobs.dropped_kinds.add(kind)
    found = await place.verify()
    assert found.level is Level.PARTIAL
    assert [name for name, check in found.per_type.items() if check.missing] == [kind]
    assert f"{kind}: 0 of " in said(found)


async def test_the_records_of_another_person_are_a_mismatch(place: Place) -> None:
    """The server mixed two accounts up: the right account answers with somebody else's history."""
    place.knobs.shown_as["patient1"] = "patient2"
    place.knobs.missing.add("recentUploads")
    found = await place.verify(uploaded=False)
    assert found.level is Level.MISMATCH
    assert "Other values" in found.evidence[0]


async def test_another_account_is_a_mismatch_and_its_records_are_not_fetched(place: Place) -> None:
    found = await place.verify(username="patient2", on_record="patient1")
    assert found.level is Level.MISMATCH
    assert "Another account" in found.evidence[0]
    assert found.per_type == {}
    place.clock.advance(1)
    assert (await place.verify(on_record="Patient1")).level is Level.COMPLETE


async def test_a_device_of_somebody_else_in_the_account_is_a_mismatch(place: Place) -> None:
    place.knobs.shown_as["patient1"] = "patient2"
    found = await place.verify(bound_elsewhere=frozenset({OTHER}))
    assert found.level is Level.MISMATCH
    assert "...09H of another person was uploaded into this account" in found.evidence[0]


async def test_stale_timestamps_are_found_and_named(place: Place) -> None:
    place.knobs.stale_since = NOW - timedelta(hours=7)
    found = await place.verify()
    assert found.level is Level.UNVERIFIED
    assert "no newer upload of this device than that of 2026-03-10 11:00 UTC" in said(found)
    assert "covers the time until 2026-03-10 11:00 UTC only, 5 h before the newest record here" in said(found)
    assert found.per_type == {}


async def test_an_export_that_is_never_ready_leaves_the_other_evidence(place: Place) -> None:
    place.knobs.not_ready = 10**6
    found = await place.verify()
    assert found.level is Level.COVERED_PLUS
    assert "not ready after 90 s" in said(found)
    assert sum(place.clock.slept) == 90


async def test_an_export_that_fails(place: Place) -> None:
    place.knobs.status = "ERROR"
    found = await place.verify()
    assert found.level is Level.COVERED_PLUS
    assert "the server's job failed" in said(found)


@pytest.mark.parametrize("word", ["READY", "COMPLETE", "COMPLETED", "DONE", "done"])
async def test_every_word_for_ready(place: Place, word: str) -> None:
    place.knobs.status = word
    assert (await place.verify()).level is Level.COMPLETE


async def test_a_page_that_came_too_early_is_asked_for_again(place: Place) -> None:
    place.knobs.too_early = 1
    assert (await place.verify()).level is Level.COMPLETE
    place.knobs.too_early = 10
    found = await place.verify()
    assert "no CSV export" in said(found)
    assert found.level is Level.COVERED_PLUS


@pytest.mark.parametrize(
    ("missing", "level"),
    [
        ({"recentUploads"}, Level.COMPLETE), ({"timelines"}, Level.COMPLETE), ({"calendar"}, Level.COMPLETE),
        ({"export"}, Level.COVERED_PLUS), ({"calendar", "export"}, Level.COVERED),
        ({"calendar", "export", "timelines"}, Level.SEEN), ({"calendar", "export", "recentUploads"}, Level.COVERED),
        ({"calendar", "export", "timelines", "recentUploads"}, Level.UNVERIFIED),
    ],
    ids=lambda value: "+".join(sorted(value)) if isinstance(value, set) else None,
)  # fmt: skip
async def test_what_is_missing_there_proves_nothing_and_is_told(
    place: Place, missing: set[str], level: Level
) -> None:
    place.knobs.missing = missing
    found = await place.verify()
    assert found.level is level
    assert said(found).count("HTTP 404") == len(missing & {"recentUploads", "timelines"}) + (
        len(missing & {"calendar", "export"})
        if missing != {"calendar", "export", "timelines", "recentUploads"}
        else 0
    )


async def test_a_list_that_takes_post_only(place: Place) -> None:
    place.knobs.posts_only = True
    place.knobs.missing = {"timelines", "calendar", "export"}
    assert (await place.verify()).level is Level.SEEN


async def test_a_care_partner_cannot_read_uploads_back(place: Place) -> None:
    found = await place.verify(username=CARER)
    assert found.level is Level.UNVERIFIED
    assert "the patient's own can" in said(found)


# --- outages ---------------------------------------------------------------------------------------


async def test_a_token_that_ran_out_is_renewed_once(place: Place) -> None:
    session = place.session()
    session.tokens.insert(0, "over")
    read_back = _read_back(place, session)
    evidence = await read_back.look()
    assert session.renewed == 1
    assert evidence.uploads


async def test_a_dead_sign_in_is_no_error_and_proves_nothing(place: Place) -> None:
    session = place.session()
    session.tokens = ["over"]
    evidence = await _read_back(place, session).look()
    assert (evidence.account, evidence.uploads, evidence.covered) == (None, None, None)
    assert all("HTTP 401" in note for note in evidence.notes)


@pytest.mark.parametrize(("status", "asked"), [(429, 3), (503, 2), (500, 2), (404, 1), (403, 1)])
async def test_how_often_a_call_is_made(place: Place, status: int, asked: int) -> None:
    place.sim.faults.stand(Call.ACCOUNT, Fault(FaultKind.STATUS, status))
    evidence = await _read_back(place).look()
    assert evidence.uploads is None
    assert place.sim.faults.counts["account/status"] == 3 * asked


@pytest.mark.parametrize(("wait", "slept"), [("7", [7.0]), ("31", [])])
async def test_patience_of_half_a_minute_at_most(place: Place, wait: str, slept: list[float]) -> None:
    place.sim.faults.script(Call.ACCOUNT, Fault(FaultKind.STATUS, 429, wait))
    evidence = await _read_back(place).look()
    assert place.clock.slept == slept
    assert (evidence.account is not None) is bool(slept)


@pytest.mark.parametrize("kind", [FaultKind.HTML, FaultKind.EMPTY, FaultKind.TRUNCATED, FaultKind.LOST])
async def test_spoilt_answers_prove_nothing(place: Place, kind: FaultKind) -> None:
    place.sim.faults.stand(Call.ACCOUNT, Fault(kind, 200))
    found = await place.verify()
    assert found.level is Level.UNVERIFIED
    assert found.evidence


async def test_an_export_that_cannot_be_read_is_told(place: Place) -> None:
    def refuse(body: bytes) -> Sequence[Record]:
        raise Malformed("This is not a CareLink CSV export.")

    read_back = _read_back(place, decode=refuse)
    closer = await read_back.look_closer(await read_back.look(), Interval(NOW - timedelta(days=2), NOW))
    assert closer.records is None
    assert "This is not a CareLink CSV export" in closer.notes[-1]


def _read_back(place: Place, session: PlainSession | None = None, decode: DecodeCsv = decode) -> CareLinkReadBack:
    return CareLinkReadBack(session or place.session(), place.base, place.clock, ZoneInfo(ZONE), decode)


# --- when it is asked ------------------------------------------------------------------------------


async def test_the_export_is_asked_for_once_an_upload_and_every_six_hours(place: Place) -> None:
    verifier = place.verifier()
    place.knobs.uploads["patient1"] = [HistoryUpload(NOW + timedelta(minutes=2))]
    place.clock.advance(600)

    async def verified(name: str) -> Level:
        asked = replace(request(), id=name)
        found = await verifier.verify(UploadRecord(asked, UploadState.VERIFYING), Snapshot(place.local()))
        return found.level

    assert await verified("a") is Level.COMPLETE
    assert await verified("a") is Level.COVERED
    assert await verified("b") is Level.COVERED
    place.clock.advance(6 * 3600)
    place.sim.tokens.expires_in_s = 10**6
    verifier._read_back = place.verifier()._read_back
    assert await verified("a") is Level.COVERED
    assert await verified("b") is Level.COMPLETE


async def test_no_export_before_the_server_has_come_so_far(place: Place) -> None:
    """The list names the upload, the covered time is still old: an export now would only seem to lack something."""
    place.knobs.every = None
    place.knobs.uploads["patient1"] = [HistoryUpload(NOW - timedelta(hours=8))]
    found = await place.verify(uploaded=False)
    assert found.level is Level.UNVERIFIED
    assert found.per_type == {}


async def test_a_person_who_asks_gets_everything(place: Place) -> None:
    window = Interval(NOW - timedelta(hours=24), NOW)
    place.clock.advance(600)
    found = await place.verifier().examine(DEVICE, window, place.local())
    assert found.level is Level.COMPLETE
    unknown = await place.verifier().examine(DeviceRef("pump"), window, place.local())
    assert unknown.level is Level.COMPLETE


async def test_days_are_exported_by_themselves(place: Place) -> None:
    """What fills the gaps of the feed after an outage."""
    body, notes = await _read_back(place).export(date(2026, 3, 8), date(2026, 3, 9))
    assert notes == []
    assert body is not None
    days = {record.device_time.date() for record in decode(body) if record.device_time}
    assert days == {date(2026, 3, 8), date(2026, 3, 9)}
    assert {record.device.serial for record in decode(body)} == {SERIAL}


async def test_a_person_who_asks_does_not_get_a_foreign_accounts_records_either(place: Place) -> None:
    found = await place.verifier("patient2", account_id="somebody").examine(
        DEVICE, Interval(NOW - timedelta(hours=24), NOW), place.local()
    )
    assert found.level is Level.MISMATCH
    assert found.per_type == {}


@pytest.mark.parametrize("ahead_min", [-40, 40])
async def test_the_list_is_judged_by_the_servers_clock(place: Place, ahead_min: int) -> None:
    """Ours is wrong; the server's stands in its answer."""
    ours = FakeClock(NOW + timedelta(minutes=ahead_min))
    place.knobs.every = None
    place.knobs.missing = {"timelines", "calendar", "export"}
    upload = UploadRecord(request(end=ours.now()), UploadState.VERIFYING)
    for minutes, level in ((-10, Level.UNVERIFIED), (2, Level.SEEN)):
        place.knobs.uploads["patient1"] = [HistoryUpload(NOW + timedelta(minutes=minutes))]
        place.clock.advance(300)
        ours.advance(300)
        found = await place.verifier(clock=ours).verify(upload, Snapshot(place.local()))
        assert found.level is level


# --- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"region": "EU", "base_url": "https://example.org"}, {"region": "EU", "base_url": "http://carelink.minimed.eu"},
        {"region": "EU", "base_url": "https://minimed.eu.example.org"}, {"region": "XX"}, {},
        {"region": "EU", "other": 1},
    ],
)  # fmt: skip
def test_nothing_but_carelink_is_asked(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ReadBackSettings.model_validate(settings)


def test_the_regions_own_address() -> None:
    assert ReadBackSettings(region="EU").url == "https://carelink.minimed.eu"
    assert ReadBackSettings(region="US").url == "https://carelink.minimed.com"


def test_without_a_credential_there_is_nothing_to_ask() -> None:
    with pytest.raises(Unauthorised):
        CareLinkVerifier.of_carelink(Setup("p1", {"region": "EU"}, FakeClock(), Random(1)), decode)


async def test_the_country_says_whether_the_program_may_be_used(place: Place) -> None:
    assert await place.verifier().uploader_allowed()
    place.sim.uploader_allowed = False
    assert not await place.verifier().uploader_allowed()


async def test_what_the_country_does_not_say_hinders_nobody(place: Place) -> None:
    place.sim.uploader_allowed = False
    place.sim.faults.stand(Call.ACCOUNT, Fault(FaultKind.STATUS, 503))
    assert await place.verifier().uploader_allowed()
