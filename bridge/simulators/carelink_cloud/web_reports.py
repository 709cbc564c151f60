"""The web pages' calls about uploaded history: list of uploads, timelines, calendar, and the export job."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

from aiohttp import web

from bridge.simulators.carelink_cloud.cloud import Cloud
from bridge.simulators.carelink_cloud.export_csv import Export
from bridge.simulators.carelink_cloud.history import KINDS, ReadBack, begins, segments
from bridge.simulators.carelink_cloud.people import Account, Family, Person
from bridge.simulators.carelink_cloud.web_account import signed_in

READ_BACK: web.AppKey[ReadBack] = web.AppKey("read_back", ReadBack)
"""Where an application keeps what can be turned: `app[READ_BACK].dropped.append(...)`."""
_DEVICES = {
    Family.NGP: "MiniMed 780G", Family.NGP_FLAT: "MiniMed 780G", Family.SIMPLERA: "Simplera",
    Family.GUARDIAN: "Guardian Connect", Family.PARADIGM: "Paradigm 754",
}  # fmt: skip
_CATEGORIES = {"SENSOR": "sensor_glucose", "BASAL": "basal", "BOLUS": "bolus"}
_APART = {"SENSOR": timedelta(minutes=15)}
_MARGIN = timedelta(days=1)
_TOO_EARLY = "<html><body>Your report is being prepared.</body></html>"
_FLAGS = 12


def add_report_routes(app: web.Application, cloud: Cloud) -> None:
    """Routes of the history. They come before those of the data, whose list of uploads knows devices only."""
    app[READ_BACK] = ReadBack()
    api = _ReportApi(cloud, app[READ_BACK])
    app.router.add_get("/patient/dataUpload/recentUploads", api.recent, allow_head=False)
    app.router.add_post("/patient/dataUpload/recentUploads", api.recent)
    app.router.add_get("/patient/reports/snapshotTimelinesRange", api.covered)
    app.router.add_get("/patient/reports/snapshotTimelinesForCalendar", api.calendar)
    app.router.add_post("/patient/reports/generateReport", api.generate)
    app.router.add_get("/patient/reports/reportStatus", api.status)
    app.router.add_get("/patient/reports/reportCsv", api.csv)


@dataclass(slots=True)
class _Job:
    person: Person
    first: date
    last: date
    asked: int = 0
    pages: int = 0


class _ReportApi:
    def __init__(self, cloud: Cloud, knobs: ReadBack) -> None:
        self.cloud, self.knobs = cloud, knobs
        self._jobs: dict[str, _Job] = {}

    async def recent(self, request: web.Request) -> web.Response:
        account = self._allowed(request, "recentUploads")
        if self.knobs.posts_only and request.method == "GET":
            raise web.HTTPMethodNotAllowed("GET", ["POST"])
        person = self.cloud.people.get(self.knobs.shown_as.get(account.username, account.username))
        if account.carer or person is None or person.family not in _DEVICES:
            return self._told({"recentUploads": []})
        entries = [
            {
                "date": round(upload.date.timestamp() * 1000), "mobileUploaded": upload.is_mobile,
                "status": upload.status, "device": _DEVICES[person.family], "serialNumber": Export(person).serial,
            }
            for upload in self.knobs.listed(person, self.cloud.clock())
        ]  # fmt: skip
        return self._told({"recentUploads": entries[: int(request.query.get("numUploads", "30"))]})

    async def covered(self, request: web.Request) -> web.Response:
        person = self._person(request, "timelines")
        now = self.cloud.clock()
        until = self.knobs.until(person, now)
        start = begins(person, now)
        return self._told({"start": _iso(start), "end": _iso(until) if until else None})

    async def calendar(self, request: web.Request) -> web.Response:
        person, now = self._person(request, "calendar"), self.cloud.clock()
        events = self.knobs.events(person, now - timedelta(days=14), now)
        provider = []
        for category, kind in _CATEGORIES.items():
            times = [event.time for event in events if KINDS[type(event)] == kind]
            found = segments(times, _APART.get(category, timedelta(days=1)))
            spans = [{"start": _iso(start), "end": _iso(end)} for start, end in found]
            provider.append({"category": category, "segments": spans})
        return self._told({"dataProvider": provider})

    # --- the export job ---

    async def generate(self, request: web.Request) -> web.Response:
        person = self._person(request, "export")
        asked = _order(await request.read())
        if asked["patientId"] not in _ids(signed_in(self.cloud, request)):
            raise web.HTTPBadRequest
        uuid = str(uuid5(NAMESPACE_DNS, f"job{len(self._jobs)}"))
        first, last = (date.fromisoformat(asked[name]) for name in ("startDate", "endDate"))
        self._jobs[uuid] = _Job(person, first, last)
        return self._told({"uuid": uuid})

    async def status(self, request: web.Request) -> web.Response:
        self._person(request, "export")
        job = self._job(request)
        job.asked += 1
        return self._told({"status": self.knobs.status if job.asked > self.knobs.not_ready else "NOT_READY"})

    async def csv(self, request: web.Request) -> web.Response:
        self._person(request, "export")
        job = self._job(request)
        job.pages += 1
        if job.asked <= self.knobs.not_ready or job.pages <= self.knobs.too_early:
            return web.Response(text=_TOO_EARLY, content_type="text/html")
        start = datetime.combine(job.first, datetime.min.time(), self.cloud.clock().tzinfo) - _MARGIN
        events = self.knobs.events(job.person, start, self.cloud.clock())
        export = Export(job.person, comma_decimals=self.knobs.comma_decimals)
        return web.Response(body=export.write(events, job.first, job.last), content_type="text/csv")

    def _job(self, request: web.Request) -> _Job:
        job = self._jobs.get(request.query.get("uuid", ""))
        if job is None:
            raise web.HTTPNotFound
        return job

    # --- who and how ---

    def _allowed(self, request: web.Request, call: str) -> Account:
        account = signed_in(self.cloud, request)
        if call in self.knobs.missing:
            raise web.HTTPNotFound
        return account

    def _person(self, request: web.Request, call: str) -> Person:
        """The patient of the account. Raises HTTP 401, 403, 404."""
        account = self._allowed(request, call)
        person = self.cloud.people.get(self.knobs.shown_as.get(account.username, account.username))
        if account.carer or person is None:
            raise web.HTTPForbidden
        return person

    def _told(self, document: Any) -> web.Response:
        return web.json_response(document, headers={"Date": format_datetime(self.cloud.clock(), usegmt=True)})


def _order(body: bytes) -> dict[str, Any]:
    """What an export is asked for. Raises HTTPBadRequest unless everything is named."""
    try:
        asked = json.loads(body)
        fine = (
            asked["reportFileFormat"] == "CSV"
            and asked["aggregatedCsvEnabled"] is True
            and asked["dailyDetailReportDays"] == []
            and datetime.fromisoformat(asked["clientTime"]).tzinfo is not None
            and date.fromisoformat(asked["startDate"]) <= date.fromisoformat(asked["endDate"])
            and [value for name, value in asked.items() if name.startswith("reportShow")] == [False] * _FLAGS
        )
    except (ValueError, KeyError, TypeError) as error:
        raise web.HTTPBadRequest from error
    if not fine:
        raise web.HTTPBadRequest
    return dict(asked)


def _ids(account: Account) -> set[str]:
    """The ids that the account's own page tells."""
    return {str(uuid5(NAMESPACE_DNS, account.username)), str(1_000_000 + len(account.username))}


def _iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z"
