"""Reading back what a server has: CareLink's own calls, and those of a clu-1 server, as one kind of evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta, tzinfo
from typing import Any, Protocol

from bridge.contracts import Clock, Interval, Session
from bridge.errors import Malformed
from bridge.model.records import Record
from bridge.uploader.calls import Calls
from bridge.uploader.evidence import Account, Evidence, account_of, calendar_of, listed, span_of
from bridge.uploader.places import name_of
from bridge.uploader.verdict import CARELINK

DecodeCsv = Callable[[bytes], Sequence[Record]]
"""The records of an export; raises Malformed."""
MOST_CSV_BYTES = 25 * 1024 * 1024
_DAYS_A_JOB = 14
_NEWEST = {"numUploads": "30"}
_READY, _FAILED = frozenset({"READY", "COMPLETE", "COMPLETED", "DONE"}), frozenset({"ERROR", "FAILED"})
_POLL_S, _POLLS = 2.0, 45
_CSV_HEADERS = (b"Index,", b"Index;")
_REPORTS = (
    "reportShowAdherence", "reportShowAssessmentAndProgress", "reportShowBolusWizardFoodBolus",
    "reportShowDashBoard", "reportShowDataTable", "reportShowDeviceSettings", "reportShowEpisodeSummary",
    "reportShowLogbook", "reportShowOverview", "reportShowWeeklyReview", "reportShowSettingsHistory",
    "reportShowInsulinAssessment",
)  # fmt: skip


class ReadBack(Protocol):
    """A server that can be asked what it has."""

    async def look(self) -> Evidence:
        """The cheap calls: account, list of uploads, covered time."""
        ...

    async def look_closer(self, seen: Evidence, window: Interval) -> Evidence:
        """`seen` with the calendar and, where there is an export, the records of a window."""
        ...

    async def uploader_allowed(self) -> bool:
        """Whether the vendor's uploader program may be used; False only where the server says no."""
        ...


class CareLinkReadBack:
    """CareLink's own pages, with a patient's own account. `zone` is where the person lives."""

    def __init__(self, session: Session, base_url: str, clock: Clock, zone: tzinfo, decode: DecodeCsv) -> None:
        self._session, self._base, self._clock, self._zone, self._decode = session, base_url, clock, zone, decode
        self._report_id = ""
        self._usernames: dict[str, str] = {}

    async def look(self) -> Evidence:
        """Account, recent uploads, covered range."""
        calls = Calls(self._session, self._base, self._clock)
        me = await calls.document("the account", "GET", "/patient/users/me")
        account = await self._named(calls, account_of(me))
        if account is not None and not account.is_patient:
            calls.notes.append("A care partner's account cannot read uploads back; the patient's own can.")
            return Evidence(CARELINK, account, notes=calls.notes)
        self._report_id = _patient_id(me)
        uploads = await _recent(calls)
        ahead_s = calls.ahead_s
        covered = await calls.document("the covered time", "GET", "/patient/reports/snapshotTimelinesRange")
        span = span_of(covered)
        if covered is not None and span is None:
            calls.unavailable("the covered time", "the answer names no start and end")
        return Evidence(CARELINK, account, listed(uploads), span, ahead_s=ahead_s, notes=calls.notes)

    async def look_closer(self, seen: Evidence, window: Interval) -> Evidence:
        """Calendar and export. The export is a job of the server: up to a minute and a half for each fortnight."""
        calls = Calls(self._session, self._base, self._clock)
        calendar = await calls.document("the calendar", "GET", "/patient/reports/snapshotTimelinesForCalendar")
        records = await self._exported(calls, window)
        return replace(seen, calendar=calendar_of(calendar), records=records, notes=(*seen.notes, *calls.notes))

    async def export(self, first: date, last: date) -> tuple[bytes | None, Sequence[str]]:
        """The CSV of these days (at most 14, inclusive) and what kept it away. Also fills gaps of the feed."""
        calls = Calls(self._session, self._base, self._clock)
        if not self._report_id:
            self._report_id = _patient_id(await calls.document("the account", "GET", "/patient/users/me"))
        return await self._csv(calls, first, last), calls.notes

    async def _named(self, calls: Calls, account: Account | None) -> Account | None:
        """With its user name: a patient's own account tells it on its profile page only. Nothing else of that page
        is taken up."""
        if account is None or account.username:
            return account
        if account.id not in self._usernames:
            profile = await calls.document("the account's user name", "GET", "/patient/users/me/profile")
            if isinstance(profile, dict):
                self._usernames[account.id] = str(profile.get("username") or "").strip()
        return replace(account, username=self._usernames.get(account.id, ""))

    async def uploader_allowed(self) -> bool:
        """False only where CareLink says that the uploader program may not be used in the account's country."""
        calls = Calls(self._session, self._base, self._clock)
        me = await calls.document("the account", "GET", "/patient/users/me")
        country = str(me.get("country") or "") if isinstance(me, dict) else ""
        if not country:
            return True
        asked = {"countryCode": country.lower(), "language": "en"}
        told = await calls.document("the country's settings", "GET", "/patient/countries/settings", asked)
        return not (isinstance(told, dict) and told.get("uploaderAllowed") is False)

    # --- the export job ---

    async def _exported(self, calls: Calls, window: Interval) -> list[Record] | None:
        """The records of all days of a window; None unless every part came."""
        first, last = (moment.astimezone(self._zone).date() for moment in (window.start, window.end))
        found: dict[str, Record] = {}
        while first <= last:
            until = min(last, first + timedelta(days=_DAYS_A_JOB - 1))
            body = await self._csv(calls, first, until)
            if body is None:
                return None
            try:
                found.update((record.id, record) for record in self._decode(body))
            except Malformed as error:
                calls.unavailable("the export", error.message.rstrip("."))
                return None
            first = until + timedelta(days=1)
        return list(found.values())

    async def _csv(self, calls: Calls, first: date, last: date) -> bytes | None:
        if not self._report_id:
            calls.unavailable("the export", "the account's number is not known")
            return None
        order = self._order(first, last)
        job = await calls.document("the export", "POST", "/patient/reports/generateReport", body=order)
        uuid = job.get("uuid") if isinstance(job, dict) else None
        if not isinstance(uuid, str) or not uuid:
            if job is not None:
                calls.unavailable("the export", "no job was named")
            return None
        return await self._fetched(calls, uuid) if await self._ready(calls, uuid) else None

    def _order(self, first: date, last: date) -> dict[str, Any]:
        now = self._clock.now().astimezone(self._zone)
        return {
            "clientTime": now.isoformat(timespec="seconds"), "patientId": self._report_id, "reportFileFormat": "CSV",
            "aggregatedCsvEnabled": True, "startDate": first.isoformat(), "endDate": last.isoformat(),
            "dailyDetailReportDays": [], **dict.fromkeys(_REPORTS, False),
        }  # fmt: skip

    async def _ready(self, calls: Calls, uuid: str) -> bool:
        for _ in range(_POLLS):
            told = await calls.document("the export", "GET", "/patient/reports/reportStatus", {"uuid": uuid})
            status = str(told.get("status")).upper() if isinstance(told, dict) else ""
            if status in _READY:
                return True
            if told is None or status in _FAILED:
                if told is not None:
                    calls.unavailable("the export", "the server's job failed")
                return False
            await self._clock.sleep(_POLL_S)
        calls.unavailable("the export", "it was not ready after 90 s")
        return False

    async def _fetched(self, calls: Calls, uuid: str) -> bytes | None:
        """The file; asked for too early, something else comes once."""
        params = {"uuid": uuid, "dMInFileName": "false"}
        for _ in range(2):
            answer = await calls.any_answer(
                "the export", "GET", "/patient/reports/reportCsv", params, limit_bytes=MOST_CSV_BYTES
            )
            if answer is None:
                return None
            if answer.status != 200:
                break
            if any(header in answer.body for header in _CSV_HEADERS):
                return answer.body
            await self._clock.sleep(_POLL_S)
        calls.unavailable("the export", "what came is no CSV export")
        return None


class Clu1ReadBack:
    """A server that speaks contract clu-1: its list and coverage have the same shapes, and there is no export."""

    def __init__(self, session: Session, base_url: str, clock: Clock) -> None:
        self._session, self._base, self._clock = session, base_url, clock
        self._where = f"The server {name_of(base_url)}"

    async def uploader_allowed(self) -> bool:
        """The vendor's program has nothing to do with this server."""
        return True

    async def look(self) -> Evidence:
        """List of uploads, coverage and its calendar in one."""
        calls = Calls(self._session, self._base, self._clock)
        uploads = await calls.document("the list of uploads", "GET", "/v1/uploads", {"limit": "30"})
        ahead_s = calls.ahead_s
        coverage = await calls.document("the covered time", "GET", "/v1/coverage")
        return Evidence(
            self._where, None, listed(uploads), span_of(coverage), calendar_of(coverage), ahead_s=ahead_s,
            notes=calls.notes,
        )  # fmt: skip

    async def look_closer(self, seen: Evidence, window: Interval) -> Evidence:
        """There is nothing more to ask."""
        return seen


async def _recent(calls: Calls) -> Any:
    """The list of uploads; where GET is not allowed, once by POST."""
    what, path = "the list of uploads", "/patient/dataUpload/recentUploads"
    answer = await calls.any_answer(what, "GET", path, _NEWEST)
    if answer is not None and answer.status == 405:
        return await calls.document(what, "POST", path, _NEWEST)
    return None if answer is None else calls.parsed(what, answer)


def _patient_id(me: Any) -> str:
    """The id that an export is asked for with: the numeric one."""
    if not isinstance(me, dict):
        return ""
    named = [str(me[key]) for key in ("id", "accountId") if me.get(key) not in (None, "")]
    return next((text for text in named if text.isdecimal()), named[0] if named else "")
