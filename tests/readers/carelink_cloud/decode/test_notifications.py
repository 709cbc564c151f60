"""Alarms and notifications: one event each, by GUID."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.contracts import Memory
from tests.readers.carelink_cloud.decode.payloads import START, STEP, after, alert, decoded_of, of_kind, payload

AT = "2026-03-10T06:30:00"


def events(document: dict[str, Any], memory: Memory | None = None) -> list[Any]:
    return of_kind(decoded_of(document, memory).records, "device_event")


@pytest.mark.parametrize(("fault", "kind", "severity"), [
    ("802", "ALARM", "high"), ("816", "ALERT", "normal"), ("105", "MESSAGE", "low"), ("103", "REMINDER", "reminder"),
    ("7", "ALERT", "critical"), ("827", "ALARM", "critical"), ("812", "ALARM", "critical"),
    ("2", "ALARM", "critical"), ("130", "ALERT", "critical"), ("24", "ALARM", "critical"),
    ("999", "WHATEVER", "normal"),
])  # fmt: skip
def test_severity_is_by_class_first_then_by_type(fault: str, kind: str, severity: str) -> None:
    (event,) = events(payload(active=[alert("G1", AT, fault, kind)]))
    assert (event.event, event.code, event.severity, event.state) == ("alarm", fault, severity, "active")
    assert event.text
    assert event.source_key == "G1"


def test_an_unknown_id_keeps_its_number() -> None:
    (event,) = events(payload(active=[alert("G1", AT, "4711")]))
    assert (event.code, event.text) == ("4711", "alert 4711")


def test_cleared_is_a_new_word_about_the_same_event() -> None:
    first = decoded_of(payload(active=[alert("G1", AT)]))
    (active,) = of_kind(first.records, "device_event")
    cleared = alert("G1", "2026-03-10T06:59:00", triggeredDateTime=AT)
    (done,) = events(payload(START + STEP, cleared=[cleared], active=[alert("G1", AT)]), after(Memory(), first))
    assert (done.id, done.time, done.device_time, done.state) == (
        active.id,
        active.time,
        active.device_time,
        "cleared",
    )
    late = alert("G1", "2026-03-10T06:59:00", triggeredDateTime=None)
    (without_trigger,) = events(payload(START + STEP, cleared=[late]), after(Memory(), first))
    assert without_trigger == done


def test_a_reminder_dated_ahead_waits_by_the_servers_clock() -> None:
    ahead = alert("G1", "2026-03-10T08:00:00", "128", "REMINDER")
    first = decoded_of(payload(active=[ahead]))
    assert not of_kind(first.records, "device_event")
    assert first.understood
    memory = after(Memory(), first)
    assert not events(payload(START + 6 * STEP, active=[ahead]), memory)
    (event,) = events(payload(START + 12 * STEP, active=[ahead]), memory)
    assert (event.severity, event.state) == ("reminder", "active")


def test_without_a_guid_type_and_stamp_are_the_key() -> None:
    rows = [alert(None, AT, "816", "ALERT"), alert(None, AT, "817", "ALERT")]
    found = events(payload(cleared=rows))
    assert sorted((event.source_key, event.code) for event in found) == [
        (f"ALERT:{AT}", "816"),
        (f"ALERT:{AT}#2", "817"),
    ]
    assert found == events(payload(cleared=rows[::-1]))


def test_the_last_alarm_counts_only_where_there_is_no_history() -> None:
    last = {"type": "ALARM", "code": 102, "kind": "Alarm", "datetime": "Mar 10, 2026 06:30:00", "flash": False}
    assert not events(payload(lastAlarm=last))
    flat = payload(medicalDeviceFamily="PARADIGM", lastAlarm=last)
    del flat["patientData"]["notificationHistory"]
    (event,) = events(flat)
    assert (event.code, event.text, event.state, event.source_key) == ("102", "low glucose", None, f"ALARM:{AT}")


@pytest.mark.parametrize("bad", [{}, {"faultId": "802"}, {"dateTime": 7}, {"dateTime": "soon"}, 7, None])
def test_a_bad_notification_harms_only_itself(bad: object) -> None:
    found = decoded_of(payload(active=[bad, alert("G1", AT)]))
    assert len(of_kind(found.records, "device_event")) == 1
    assert not found.understood


@pytest.mark.parametrize("guid", ["\ud800", "x" * 5000, 7, ["G"], "", "a\nb"])
def test_a_guid_that_cannot_be_stored_is_none(guid: object) -> None:
    (event,) = events(payload(active=[alert(None, AT, referenceGUID=guid)]))
    assert event.source_key == f"ALARM:{AT}"
