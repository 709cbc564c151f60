"""Against a genuine Nightscout: link, deliver a day of everything twice and shuffled, read back, compare, clean up.

Runs when NIGHTSCOUT_URL and NIGHTSCOUT_API_SECRET are set. Give it a site made for tests: for the length of the
test its current profile is ours.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from adapters.nightscout import NightscoutAdapter, NightscoutLinking
from adapters.nightscout.address import normal_url
from adapters.nightscout.mapping import DEVICESTATUS, ENTRIES, PROFILE, TREATMENTS
from adapters.stepping import stepped
from bridge.contracts import Document, Grant, Hold, Interval, Outcome, Setup, StaticToken, Step, Verdict
from bridge.model import (
    Basal,
    Bolus,
    BolusCalculation,
    Calibration,
    Carbs,
    Device,
    DeviceEvent,
    Exercise,
    Injection,
    IsfStart,
    Ketone,
    MeterGlucose,
    Note,
    PumpSettings,
    PumpStatus,
    RateStart,
    RatioStart,
    Record,
    SensorGlucose,
    TargetStart,
    iso_ms,
    record_id,
    to_ms,
)  # fmt: skip
from bridge.model.health import State
from tests.adapters.nightscout.conftest import LoopSession, ledger

URL, SECRET = os.environ.get("NIGHTSCOUT_URL", ""), os.environ.get("NIGHTSCOUT_API_SECRET", "")
pytestmark = [
    pytest.mark.live,
    pytest.mark.enable_socket,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not (URL and SECRET), reason="set NIGHTSCOUT_URL and NIGHTSCOUT_API_SECRET to test against a real server"
    ),
]
_ADDED = {"_id", "utcOffset", "sysTime", "srvModified", "srvCreated", "subject", "isAnnouncement", "mills"}
_NAMES = {ENTRIES: "entries", TREATMENTS: "treatments", DEVICESTATUS: "devicestatus", PROFILE: "profile"}
_PUMP = Device(manufacturer="Medtronic", model="MMT-1884", serial="NG0000001H", family="NGP")


class _RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Day:
    """Records of the 24 hours before `end`, of every kind and of every document there is."""

    def __init__(self, end: datetime, profile: str) -> None:
        self._end, self._profile, self._made = end, profile, 0

    def _at(self, kind: str, minutes_ago: float) -> dict[str, Any]:
        self._made += 1
        key = str(self._made)
        return {
            "id": record_id(self._profile, "live", kind, key), "time": self._end - timedelta(minutes=minutes_ago),
            "device_time": None, "utc_offset_min": 60, "profile": self._profile, "device": _PUMP,
            "reader": "carelink-cloud", "source_key": key,
        }  # fmt: skip

    def records(self) -> list[Record]:
        return [*self._glucose(), *self._insulin(), *self._basal(), *self._events(), *self._pump()]

    def _glucose(self) -> list[Record]:
        trends = ("flat", "forty_five_up", "single_down", "double_up", None)
        readings: list[Record] = [
            SensorGlucose(**self._at("sensor_glucose", 5 * n), mgdl=80 + n % 120, trend=trends[n % 5])
            for n in range(288)
        ]
        return [
            *readings,
            MeterGlucose(**self._at("meter_glucose", 601), mgdl=131, meal="before"),
            Calibration(**self._at("calibration", 700), mgdl=140, accepted=True),
            Ketone(**self._at("ketone", 720), mmol_l=0.6),
        ]

    def _insulin(self) -> list[Record]:
        eaten = Carbs(**self._at("carbs", 400), grams=45)
        meal = Bolus(**self._at("bolus", 400), delivered_u=4.5, carbs_id=eaten.id, requested_by="wizard")
        asked = BolusCalculation(**self._at("bolus_calculation", 400), carbs_g=45, bolus_id=meal.id)
        twins = [Bolus(**self._at("bolus", 330), delivered_u=units, requested_by="easy") for units in (1, 1)]
        extended = {"extended_u": 2.0, "duration_min": 60, "delivered_duration_min": 60}
        return [
            eaten, meal, asked, *twins,
            Carbs(**self._at("carbs", 200), grams=20, absorption_min=120),
            Bolus(**self._at("bolus", 300), delivered_u=1.25, requested_by="wizard"),
            Bolus(**self._at("bolus", 290), delivered_u=0.2, automatic=True, requested_by="closed_loop"),
            Bolus(**self._at("bolus", 1000), shape="square", delivered_u=2, **extended),
            Bolus(**self._at("bolus", 1100), shape="dual", delivered_u=5, immediate_u=3, **extended),
            Injection(**self._at("injection", 800), dose_u=6, action="rapid"),
            Injection(**self._at("injection", 801), dose_u=14, action="long"),
        ]  # fmt: skip

    def _basal(self) -> list[Record]:
        doses: list[Record] = [
            Basal(**self._at("basal", ago), delivery="automatic", rate_u_h=1.2, dose_u=0.1, duration_min=5)
            for ago in (60, 55, 50, 20, 15, 10)
        ]
        return [
            *doses,
            Basal(**self._at("basal", 1300), delivery="temporary", rate_u_h=0.5, duration_min=30),
            Basal(**self._at("basal", 1200), delivery="temporary", percent=50, duration_min=30),
            Basal(
                **self._at("basal", 1150), delivery="suspended", rate_u_h=0, duration_min=20, suspend_reason="on_low"
            ),
        ]

    def _events(self) -> list[Record]:
        plain = ("reservoir_change", "site_change", "battery_change", "sensor_start", "sensor_stop", "transmitter")
        return [
            *(DeviceEvent(**self._at("device_event", 900 + n), event=event) for n, event in enumerate(plain)),
            DeviceEvent(
                **self._at("device_event", 500), event="alarm", code=105, severity="high", text="Low & < 10 U"
            ),
            DeviceEvent(**self._at("device_event", 510), event="mode_change", mode="auto"),
            DeviceEvent(
                **self._at("device_event", 520), event="temp_target", low_mgdl=150, high_mgdl=150, duration_min=60
            ),
            Exercise(**self._at("exercise", 540), duration_min=45, intensity="medium", text="walk"),
            Note(**self._at("note", 550), text="a note of the test"),
        ]

    def _pump(self) -> list[Record]:
        statuses: list[Record] = [
            PumpStatus(
                **self._at("pump_status", 20 * n), iob_u=round(n / 10, 1), reservoir_u=100 + 5 * n, battery_pct=75,
                suspended=False, uploader_battery_pct=80, sensor_state="NO_ERROR_MESSAGE", in_range=True,
            )
            for n in range(12)
        ]  # fmt: skip
        settings = PumpSettings(
            **self._at("pump_settings", 1400), basal_schedules={"Basal 1": (RateStart(start_min=0, rate_u_h=0.8),)},
            active_schedule="Basal 1", carb_ratios=(RatioStart(start_min=0, g_u=10),), dia_min=240,
            isf=(IsfStart(start_min=0, mgdl_u=45),), targets=(TargetStart(start_min=0, low_mgdl=100, high_mgdl=120),),
        )  # fmt: skip
        return [*statuses, settings]


@dataclass
class _Site:
    """The site as an administrator sees it, and the adapter as linked."""

    base: str
    client: aiohttp.ClientSession
    adapter: NightscoutAdapter | None = None
    documents: Sequence[Document] = ()
    window: Interval | None = None

    async def admin(self, method: str, path: str, params: Sequence[tuple[str, str]] = ()) -> Any:
        digest = hashlib.sha1(SECRET.encode(), usedforsecurity=False).hexdigest()
        headers = {"api-secret": digest, "Accept": "application/json"}
        async with self.client.request(method, self.base + path, params=list(params), headers=headers) as answer:
            assert answer.status == 200, (method, path, answer.status)
            return json.loads(await answer.read())

    async def held(self, path: str) -> dict[str, Mapping[str, Any]]:
        """What the site holds of our documents of one collection, by key; fails when one stands there twice."""
        name = _NAMES[path]
        assert self.window is not None
        query = [("count", "5000")]
        if name == "entries":
            query += [("find[date][$gte]", str(to_ms(self.window.start)))]
        elif name != "profile":
            query += [("find[created_at][$gte]", iso_ms(self.window.start))]
        key = "_id" if name == "profile" else "identifier"
        wanted = {one.key for one in self.documents if one.path == path}
        found = [one for one in await self.admin("GET", f"/api/v1/{name}.json", query) if one.get(key) in wanted]
        by_key = {one[key]: one for one in found}
        assert len(by_key) == len(found), f"{name} holds a document twice"
        return by_key

    async def rights(self) -> dict[str, set[str]]:
        """Ids of the site's subjects and of its own roles, by path."""
        paths = ("/api/v2/authorization/subjects", "/api/v2/authorization/roles")
        return {path: {one["_id"] for one in await self.admin("GET", path) if "_id" in one} for path in paths}

    async def clean(self, before: Mapping[str, set[str]]) -> None:
        """Take away everything that the test may have made, a subject and role that were not there `before` too."""
        for path, now in (await self.rights()).items():
            for key in now - before[path]:
                await self.admin("DELETE", f"{path}/{key}")
        assert self.window is not None
        since = ("find[created_at][$gte]", iso_ms(self.window.start))
        for one in self.documents:
            name = _NAMES[one.path]
            if name == "entries":
                query = [("find[date]", str(one.instant_ms)), ("find[identifier]", one.key)]
                await self.admin("DELETE", "/api/v1/entries/sgv", query)
            elif name == "profile":
                await self.admin("DELETE", f"/api/v1/profile/{one.key}")
            else:
                await self.admin("DELETE", f"/api/v1/{name}", [("find[identifier]", one.key), since])


async def _linked(client: aiohttp.ClientSession) -> tuple[Grant, LoopSession]:
    linking, open_session = NightscoutLinking(), LoopSession(client, "")
    open_session.tokens = []
    assert isinstance(await linking.begin(open_session, {}, {}), Step)
    asked = await linking.begin(open_session, {}, {"url": URL})
    assert isinstance(asked, Step)
    assert asked.secret
    answers = {"url": URL, "credential": SECRET}
    hold = await linking.begin(open_session, {}, answers)
    assert isinstance(hold, Hold)
    assert isinstance(hold.credential, StaticToken)
    session = LoopSession(client, hold.credential.token)
    grant = await linking.begin(session, {}, {**answers, "authorised": "yes"})
    assert isinstance(grant, Grant)
    return grant, session


@pytest.fixture
async def site() -> AsyncIterator[_Site]:
    now = datetime.now(UTC).replace(microsecond=0)
    end = now - timedelta(minutes=1)
    async with aiohttp.ClientSession() as client:
        before = await _Site(normal_url(URL), client).rights()
        grant, session = await _linked(client)
        settings = {**grant.settings, "allow_foreign_profile": True}
        adapter = NightscoutAdapter(
            Setup("live", settings, _RealClock(), random.Random(), session, timezone="Europe/Prague")
        )
        health = await adapter.prepare()
        assert health.state is State.OK, health.text
        records = _Day(end, f"live-{now:%Y%m%d%H%M%S}").records()
        documents = stepped(adapter.desired(records).documents.values())
        window = Interval(end - timedelta(days=1, hours=1), now + timedelta(minutes=1))
        site = _Site(grant.settings["url"], client, adapter, documents, window)
        try:
            yield site
        finally:
            await site.clean(before)


def _accepted(outcomes: Sequence[Outcome]) -> None:
    wrong = [one for one in outcomes if one.verdict is not Verdict.ACCEPTED]
    assert not wrong, wrong[:3]


def _differences(document: Document, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that the site holds otherwise than sent; what the site adds by itself is left out."""
    added = _ADDED - document.body.keys()
    names = (document.body.keys() | stored.keys()) - added
    return {
        name: (document.body.get(name), stored.get(name))
        for name in names
        if document.body.get(name) != stored.get(name)
    }


async def _compare(site: _Site) -> None:
    for path in _NAMES:
        sent = {one.key: one for one in site.documents if one.path == path}
        assert sent, path
        held = await site.held(path)
        assert held.keys() == sent.keys(), path
        for key, document in sent.items():
            assert not _differences(document, held[key]), (path, _differences(document, held[key]))


async def test_a_day_of_everything(site: _Site) -> None:
    types = {one.body.get("eventType", one.path) for one in site.documents}
    assert len(types) >= 19, types
    adapter, window = site.adapter, site.window
    assert adapter is not None
    assert window is not None
    _accepted(await adapter.deliver(site.documents, ()))
    await _compare(site)
    _accepted(await adapter.deliver(site.documents, ()))
    shuffled = random.Random(1).sample(list(site.documents), len(site.documents))
    _accepted(await adapter.deliver(shuffled, ()))
    await _compare(site)

    if adapter.state["status_route"] == "v3":
        assert all(one.get("srvModified") for one in (await site.held(DEVICESTATUS)).values())

    found = await adapter.stored(window)
    assert {one.key for one in site.documents} <= {one.key for one in found.items}
    by_key = {one.key: one for one in found.items}
    for document in site.documents:
        assert by_key[document.key].time is not None
        assert to_ms(by_key[document.key].time or window.start) == document.instant_ms

    gone = [one for one in site.documents if one.path in (ENTRIES, TREATMENTS)]
    _accepted(await adapter.deliver((), [ledger(one) for one in gone]))
    assert not await site.held(ENTRIES)
    assert not await site.held(TREATMENTS)
    _accepted(await adapter.deliver((), [ledger(one) for one in gone[:3]]))
    left = {one.key for one in (await adapter.stored(window)).items}
    assert left.isdisjoint(one.key for one in gone)
