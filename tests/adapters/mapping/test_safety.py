"""What goes to a site by itself must never silence its urgent low alarm."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings

from adapters.nightscout.mapping import MappingSettings, timely
from bridge.contracts import Document
from bridge.errors import SettingsInvalid
from tests.adapters.mapping.made import documents, dose, event, make, readings, to_nightscout
from tests.adapters.mapping.strategies import records_of
from tests.support import vectors

ROWS = vectors.rows("nightscout", "alarms.jsonl")
A_PERSON_ACTED = {"BG Check", "Meal Bolus", "Correction Bolus", "Carb Correction"}
SNOOZE_S = 600


def is_plain(treatment: dict[str, Any]) -> bool:
    return not str(treatment.get("enteredBy", "")).startswith(("openaps://", "loop://"))


def snoozes(treatment: dict[str, Any]) -> bool:
    """The site's own rule, as the rows show it."""
    return is_plain(treatment) or treatment["eventType"] in A_PERSON_ACTED


def outcome(treatments: list[dict[str, Any]], mbg_age_s: float | None) -> str:
    fresh = any(snoozes(one) and one["age_s"] < SNOOZE_S for one in treatments)
    person = mbg_age_s is not None and mbg_age_s < SNOOZE_S and any(is_plain(one) for one in treatments)
    return "suppressed" if fresh or person else "fires"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_the_rule_is_the_sites(row: dict[str, Any]) -> None:
    assert outcome(row["treatments"], row["mbg_age_s"]) == row["urgent_low_alarm"]


def by_itself() -> list[Any]:
    """One of everything that a pump does without a person."""
    return [
        make("bolus", 0, delivered_u=0.2, automatic=True, requested_by="closed_loop"),
        make("bolus", 1, delivered_u=0.3, completed=False, requested_by="closed_loop", carbs_id="nobody"),
        *readings(0, 40),
        dose(0),
        dose(30),
        make("basal", 35, delivery="suspended", rate_u_h=0, suspend_reason="before_low"),
        make("basal", 50, delivery="temporary", rate_u_h=0.4, duration_min=30),
        make("basal", 80, delivery="automatic", rate_u_h=0.5, duration_min=30),
        event("alarm", 2, severity="critical", code=7, text="insulin flow blocked"),
        event("mode_change", 41, mode="manual"),
        event("sensor_start", 3),
        event("battery_change", 3),
        event("site_change", 3),
        event("reservoir_change", 3),
        event("transmitter", 3),
    ]


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row["urgent_low_alarm"] == "suppressed"], ids=lambda r: r["id"]
)
def test_where_others_silence_the_alarm_we_do_not(row: dict[str, Any]) -> None:
    records = by_itself()
    sent = [dict(one.body) for one in to_nightscout(records, basal_scheduled="temp").documents.values()]
    treatments = [one | {"age_s": 60} for one in sent if "eventType" in one]
    assert len(treatments) > 12
    assert outcome(treatments, row["mbg_age_s"]) == "fires"
    assert {one["eventType"] for one in treatments} >= {"SMB", "Temp Basal", "Note", "Site Change"}


@settings(max_examples=80, deadline=None)
@given(records_of("bolus", "carbs", "bolus_calculation", "basal", "sensor_glucose", most=12))
def test_automatic_insulin_is_never_a_persons(records: list[Any]) -> None:
    by_revision = sorted(records, key=lambda one: one.revision)
    newest = {one.id: one for one in by_revision}
    tied = {one.id for one in by_revision if sum(other.id == one.id for other in records) > 1}
    for one in to_nightscout(records).documents.values():
        record = newest[one.record_id]
        assert "eventType" not in one.body or not is_plain(dict(one.body))
        if record.id not in tied and record.kind in ("bolus", "basal") and _automatic(record):
            assert one.body["eventType"] in ("SMB", "Temp Basal")


def _automatic(record: Any) -> bool:
    return bool(record.kind == "basal" or record.automatic or record.requested_by == "closed_loop")


@pytest.mark.parametrize("name", ["glucobridge", "", "xopenaps://b", "OpenAPS"])
def test_a_plain_name_is_refused(name: str) -> None:
    with pytest.raises(SettingsInvalid, match="urgent low"):
        MappingSettings(entered_by=name)


def announcement(minute: float = 0) -> Document:
    alarm = event("alarm", minute, severity="critical", code=7, text="insulin flow blocked")
    (one,) = documents(to_nightscout([alarm], announce="critical"), alarm)
    return one


def test_an_announcement_is_pushed_only_with_a_plain_name() -> None:
    body = announcement().body
    assert body["eventType"] == "Announcement"
    assert body["enteredBy"] == "glucobridge"


def test_an_announcement_ages_into_a_note() -> None:
    one = announcement()
    young, old = one.instant_ms + 29 * 60_000, one.instant_ms + 30 * 60_000
    assert timely(one, young, MappingSettings()) is one
    aged = timely(one, old, MappingSettings())
    assert aged.body == {**one.body, "eventType": "Note", "enteredBy": "openaps://glucobridge"}
    assert dataclasses.replace(aged, body=one.body) == one


def test_announcing_is_off_by_itself() -> None:
    alarm = event("alarm", severity="critical", code=7)
    assert all(one.body["eventType"] == "Note" for one in documents(to_nightscout([alarm]), alarm))
