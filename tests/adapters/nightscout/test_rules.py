"""The fifteen rules of writing to a site, each by a test that fails when it is broken."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from adapters.nightscout import NightscoutAdapter
from adapters.stepping import stepped
from bridge.contracts import Document, Verdict
from bridge.errors import Transient, Unauthorised
from bridge.model import (
    Basal,
    Bolus,
    Carbs,
    Device,
    DeviceEvent,
    IsfStart,
    Note,
    PumpSettings,
    RateStart,
    RatioStart,
    Record,
    SensorGlucose,
    TargetStart,
)  # fmt: skip
from bridge.simulators.nightscout import Fault
from tests.adapters.nightscout.conftest import (
    EVERYTHING,
    Rig,
    entry,
    ledger,
    made_documents,
    note,
    rig_of,
    status,
    verdicts,
)
from tests.support import vectors
from tests.support.clock import FakeClock

RECORDS, DOCUMENTS = made_documents()
_PUMP = Device(manufacturer="Medtronic", model="MMT-1884", serial="NG1234567H", family="NGP")
_WRITES = ("POST", "PUT", "PATCH", "DELETE")


def _common(n: int, clock: FakeClock, ago_s: float = 60) -> dict[str, Any]:
    return {
        "id": f"3333{n:04x}-0000-5000-8000-000000000000", "time": clock.now() - timedelta(seconds=ago_s),
        "device_time": None, "utc_offset_min": None, "profile": "p1", "device": _PUMP, "reader": "carelink-cloud",
        "source_key": str(n),
    }  # fmt: skip


def _mapped(adapter: NightscoutAdapter, *records: Record) -> list[Document]:
    return stepped(adapter.desired(records).documents.values())


async def test_1_bulk_arrays_by_v1_and_only_statuses_by_v3(rig: Rig, ready: NightscoutAdapter) -> None:
    rig.sim.log.clear()
    await ready.deliver([entry(n) for n in range(500)] + [note(n) for n in range(500)] + [status(1)], ())
    posts = [path for method, path, _ in rig.sim.log if method == "POST"]
    assert posts == ["/api/v1/entries.json", "/api/v1/treatments.json", "/api/v3/devicestatus"]


async def test_2_one_api_for_one_collection_whatever_happens(rig: Rig, ready: NightscoutAdapter) -> None:
    rng = random.Random(2)
    for _ in range(30):
        kind: Any = rng.choice(("cut", "lost_answer", "error_after", "status"))
        rig.sim.faults[:] = [Fault(kind, path=rng.choice(("entries", "treatments", "v3/devicestatus")), status=500)]
        try:
            await ready.deliver(rng.sample(DOCUMENTS, 40), ())
        except Transient:
            rig.clock.advance(60)
    ways: dict[str, set[str]] = {}
    for sent in rig.session.sent:
        if sent.method == "POST" and sent.documents and (found := re.search(r"/api/(v\d)/(\w+)", sent.url)):
            ways.setdefault(found[2], set()).add(found[1])
    assert ways == {"entries": {"v1"}, "treatments": {"v1"}, "devicestatus": {"v3"}}


@pytest.mark.parametrize("identifier_is_key", [True, False])
async def test_3_two_events_of_one_moment_are_both_kept(identifier_is_key: bool, clock: FakeClock) -> None:
    version = "15.0.7" if identifier_is_key else "14.2.6"
    async with rig_of(clock, identifier_is_key=identifier_is_key, version=version) as rig:
        adapter = rig.adapter()
        await adapter.prepare()
        boluses = [Bolus(**_common(n, clock), delivered_u=units) for n, units in enumerate((1.0, 2.0, 2.0))]
        for _ in range(2):
            assert set(verdicts(await adapter.deliver(_mapped(adapter, *boluses), ()))) == {Verdict.ACCEPTED}
        stored = rig.stored("treatments")
        assert sum(one["insulin"] for one in stored) == 5
        assert len({(one["created_at"], one["eventType"]) for one in stored}) == 3
        assert {one["identifier"] for one in stored} == {one.id for one in boluses}


async def test_4_every_element_of_every_array_is_an_object(rig: Rig, ready: NightscoutAdapter) -> None:
    await ready.deliver(DOCUMENTS, ())
    bodies = [sent for sent in rig.session.sent if sent.data is not None]
    assert bodies
    assert all(isinstance(one, dict) for sent in bodies for one in sent.documents)
    broken = Document(entry(1).key, "r", "post", "/api/v1/entries.json", None, entry(1).instant_ms)  # type: ignore[arg-type]
    assert verdicts(await ready.deliver([broken, entry(2)], ())) == [Verdict.QUARANTINED, Verdict.ACCEPTED]
    assert rig.sim.crashes == 0


@pytest.mark.parametrize("event_type", [7, True, None, "", {"a": 1}, ["Note"]], ids=str)
async def test_5_an_event_type_is_text(event_type: Any, rig: Rig, ready: NightscoutAdapter) -> None:
    assert verdicts(await ready.deliver([note(1, event_type), note(2)], ())) == [
        Verdict.QUARANTINED,
        Verdict.ACCEPTED,
    ]
    assert not rig.sim.crash_looping


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


async def test_6_nothing_unknown_is_sent(rig: Rig, ready: NightscoutAdapter) -> None:
    await ready.deliver(DOCUMENTS, ())
    sent = [leaf for one in rig.session.sent for document in one.documents for leaf in _leaves(document)]
    assert len(sent) > 500
    assert None not in sent
    assert "" not in sent
    assert verdicts(await ready.deliver([note(1, absolute=None, duration=None)], ())) == [Verdict.QUARANTINED]


def _automatic(clock: FakeClock) -> list[Record]:
    """All that happens by itself, a minute ago."""
    events = [
        DeviceEvent(**_common(20 + n, clock), event=event, severity="critical", text="x", mode="auto", code=n)
        for n, event in enumerate(
            (
                "alarm",
                "reservoir_change",
                "site_change",
                "sensor_start",
                "battery_change",
                "mode_change",
                "transmitter",
            )
        )
    ]
    return [
        Bolus(**_common(1, clock), delivered_u=0.3, automatic=True),
        Basal(**_common(2, clock), delivery="automatic", rate_u_h=1.2, dose_u=0.1, duration_min=5),
        Basal(**_common(3, clock, 400), delivery="suspended", rate_u_h=0, suspend_reason="before_low"),
        Basal(**_common(4, clock, 900), delivery="temporary", rate_u_h=0.5, duration_min=60),
        Bolus(**_common(5, clock), delivered_u=1, requested_by="easy"),
        Note(**_common(6, clock), text="x"),
        *events,
    ]


async def test_7_what_happens_by_itself_never_silences_the_urgent_low(rig: Rig, ready: NightscoutAdapter) -> None:
    low = SensorGlucose(**_common(9, rig.clock, 30), mgdl=44)
    await ready.deliver(_mapped(ready, low, *_automatic(rig.clock)), ())
    assert len(rig.stored("treatments")) >= 12
    assert rig.sim.urgent_low_fires()
    human = Bolus(**_common(10, rig.clock), delivered_u=1, requested_by="wizard")
    await ready.deliver(_mapped(ready, human), ())
    assert not rig.sim.urgent_low_fires(), "a person acted: the site means it so"


@pytest.mark.parametrize("row", vectors.rows("nightscout", "alarms.jsonl"), ids=lambda row: row["id"])
async def test_7_our_writer_stands_on_the_firing_side_of_every_recorded_alarm(
    row: dict[str, Any], rig: Rig, ready: NightscoutAdapter
) -> None:
    """The recorded types with our own `enteredBy`: only what a person does is silent, whatever else is recent."""
    documents = [
        note(n, one["eventType"], **({"insulin": one["insulin"]} if "insulin" in one else {}))
        for n, one in enumerate(row["treatments"])
    ]
    await ready.deliver(documents, ())
    now_ms = round(rig.clock.now().timestamp() * 1000)
    for treatment in rig.stored("treatments"):
        treatment["created_at"] = f"{rig.clock.now() - timedelta(minutes=1):%Y-%m-%dT%H:%M:%S}.000Z"
    rig.sim.collections["entries"].insert({"_id": "a" * 24, "type": "sgv", "sgv": row["sgv"], "date": now_ms - 1000})
    by_hand = {"BG Check", "Meal Bolus", "Carb Correction", "Correction Bolus"}
    assert rig.sim.urgent_low_fires() is not any(one["eventType"] in by_hand for one in row["treatments"])


_ISO_KEYS = {"created_at", "dateString", "clock", "timestamp", "startDate"}


def _instants(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in _ISO_KEYS:
                yield inner
            yield from _instants(inner)


async def test_8_every_instant_is_utc_and_says_so(rig: Rig, ready: NightscoutAdapter) -> None:
    await ready.deliver(DOCUMENTS, ())
    found = [text for one in rig.session.sent for document in one.documents for text in _instants(document)]
    assert len(found) > 100
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text) for text in found)
    assert all(
        one["utcOffset"] == 0 for name in ("entries", "treatments", "devicestatus") for one in rig.stored(name)
    )


async def test_9_glucose_is_mgdl_on_a_mmol_site_too(clock: FakeClock) -> None:
    async with rig_of(clock, units="mmol", default_roles=("readable",)) as rig:
        adapter = rig.adapter()
        await adapter.prepare()
        await adapter.deliver(_mapped(adapter, SensorGlucose(**_common(1, clock), mgdl=123)), ())
        assert adapter.state["units"] == "mmol"
        assert rig.stored("entries")[0]["sgv"] == 123


async def test_10_nothing_is_sent_before_it_has_happened(rig: Rig, ready: NightscoutAdapter) -> None:
    ahead = _mapped(
        ready, SensorGlucose(**_common(1, rig.clock, -301), mgdl=123), Note(**_common(2, rig.clock, -999), text="x")
    )
    nearly = _mapped(ready, SensorGlucose(**_common(3, rig.clock, -240), mgdl=123))
    assert verdicts(await ready.deliver([*ahead, *nearly], ())) == [Verdict.RETRY, Verdict.RETRY, Verdict.ACCEPTED]
    assert rig.stored("treatments") == []
    assert len(rig.stored("entries")) == 1


async def test_11_writes_are_given_a_minute_and_may_be_repeated(rig: Rig, ready: NightscoutAdapter) -> None:
    await ready.deliver(DOCUMENTS, [ledger(note(1)), ledger(entry(1))])
    writes = [sent for sent in rig.session.sent if sent.method in _WRITES]
    assert {sent.method for sent in writes} == {"POST", "PUT", "DELETE"}
    assert all(sent.timeout_s >= 60 for sent in writes)
    before = rig.counts()
    for path in ("entries", "treatments", "devicestatus", "profile"):
        method = "PUT" if path == "profile" else "POST"
        rig.sim.faults[:] = [Fault("error_after", method, path, status=500)]
        outcomes = list(await ready.deliver(DOCUMENTS, ())) if path != "entries" else []
        if path == "entries":
            with pytest.raises(Transient):
                await ready.deliver(DOCUMENTS, ())
        assert path == "profile" or not outcomes or Verdict.RETRY in verdicts(outcomes)
    rig.sim.faults.clear()
    await ready.deliver(DOCUMENTS, ())
    assert rig.counts() == before


async def test_12_one_refusal_one_look_then_silence(clock: FakeClock) -> None:
    async with rig_of(clock, auth_fail_delay_s=5) as rig:
        adapter = rig.adapter()
        await adapter.prepare()
        rig.sim.authority.remove_subject(next(iter(rig.sim.authority.subjects)))
        for _ in range(20):
            with pytest.raises(Unauthorised):
                await adapter.deliver(DOCUMENTS, ())
            clock.advance(10)
        assert rig.sim.penalties.failures == 1


async def test_13_an_expired_jwt_is_never_shown(rig: Rig, ready: NightscoutAdapter) -> None:
    rng = random.Random(13)
    for n in range(40):
        rig.clock.advance(rng.uniform(0, 6 * 3600))
        await ready.deliver([status(n)], ())
    assert rig.sim.penalties.failures == 0


async def test_14_a_null_answer_is_an_error(rig: Rig, ready: NightscoutAdapter) -> None:
    await ready.deliver([note(1)], ())
    rig.sim.faults.append(Fault("null", "GET", "/treatments"))
    with pytest.raises(Transient):
        await ready.stored(EVERYTHING)


async def test_15_every_read_and_delete_has_its_bounds(rig: Rig, ready: NightscoutAdapter) -> None:
    rig.session.sent.clear()
    await ready.deliver(DOCUMENTS, [ledger(note(1)), ledger(entry(1))])
    await ready.stored(EVERYTHING)
    asked = [sent for sent in rig.session.sent if sent.method in ("GET", "DELETE") and "/api/v1/" in sent.url]
    assert len(asked) > 5
    for sent in asked:
        names = {name for name, _ in sent.params or ()}
        if sent.method == "DELETE":
            by_key = re.search(r"/treatments/[0-9a-f-]{36}$", sent.url)
            assert by_key or {"find[date]", "find[identifier]"} <= names
            assert all(value for _, value in sent.params or ())
        elif "/profile" not in sent.url:
            assert names & {"find[date][$gte]", "find[created_at][$gte]"}
            assert names & {"find[date][$lt]", "find[created_at][$lt]"}
            assert "count" in names


async def test_what_the_pages_show_of_what_we_send(rig: Rig, ready: NightscoutAdapter) -> None:
    """The one recorded page that the simulator does not compute: its inputs arrive as the site needs them."""
    row = next(one for one in vectors.rows("nightscout", "display.jsonl") if one["id"] == "meal-bolus-10min")
    meal = row["uploaded"]["treatment"]
    carbs = Carbs(**_common(2, rig.clock, meal["age_s"]), grams=meal["carbs"])
    bolus = Bolus(**_common(1, rig.clock, meal["age_s"]), delivered_u=meal["insulin"], carbs_id=carbs.id)
    profile = PumpSettings(
        **_common(3, rig.clock, 9e5), dia_min=row["uploaded"]["profile"]["dia"] * 60, active_schedule="P",
        basal_schedules={"P": (RateStart(start_min=0, rate_u_h=0.8),)},
        carb_ratios=(RatioStart(start_min=0, g_u=10),), isf=(IsfStart(start_min=0, mgdl_u=45),),
        targets=(TargetStart(start_min=0, low_mgdl=100, high_mgdl=120),),
    ).model_copy(update={"utc_offset_min": 60})  # fmt: skip
    await ready.deliver(_mapped(ready, carbs, bolus, profile), ())
    stored = rig.stored("treatments")
    assert [(one["eventType"], one["insulin"], one["carbs"]) for one in stored] == [
        (meal["eventType"], meal["insulin"], meal["carbs"])
    ]
    kept = rig.stored("profile")[0]["store"]["P"]
    assert (kept["dia"], kept["carbs_hr"]) == (
        row["uploaded"]["profile"]["dia"],
        row["uploaded"]["profile"]["carbs_hr"],
    )
