"""What events become."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.contracts import Decoded, Memory
from bridge.errors import Malformed
from bridge.model.capture import Capture
from bridge.model.health import State
from bridge.model.identity import record_id
from bridge.model.pseudonym import Pseudonyms
from bridge.readers.minimed_ble.decode import decode
from bridge.readers.minimed_ble.redaction import redacted
from bridge.simulators.ble import pump_records as records
from tests.readers.minimed_ble.bodies import BEGAN, HISTORY, SERIAL, STATUS, Body, at

FEED = f"medtronic:{SERIAL}"


def only(decoded: Decoded) -> Any:
    (record,) = decoded.records
    return record


def test_a_sensor_reading_its_time_and_its_identity() -> None:
    body = Body()
    number = body.event(records.GLUCOSE, 300, records.glucose(120))
    made = only(body.decoded(timezone="Europe/Berlin"))
    assert made.kind == "sensor_glucose"
    assert made.mgdl == 120
    assert made.quality == "ok"
    assert made.time == at(minutes=5, hours=-1)
    assert made.device_time == BEGAN + timedelta(minutes=5)
    assert made.utc_offset_min == 60
    assert made.source_key == str(number)
    assert made.id == record_id("p1", FEED, "sensor_glucose", str(number))
    assert made.reader == "minimed-ble"
    assert (made.device.manufacturer, made.device.serial) == ("Medtronic", SERIAL)
    assert made.annotations == ()


@pytest.mark.parametrize(
    ("raw", "mgdl", "quality", "beyond"),
    [
        (0x0301, None, "warmup", None),
        (0x0303, None, "calibrating", None),
        (0x0308, 401, "ok", ("high", 400)),
        (0x030D, 49, "ok", ("low", 50)),
        (0x0305, None, "uncertain", None),
        (0, None, "uncertain", None),
        (0x02FF, 767, "ok", None),
    ],
)
def test_codes_of_the_sensor(raw: int, mgdl: int | None, quality: str, beyond: tuple[str, int] | None) -> None:
    body = Body()
    body.event(records.GLUCOSE, 0, records.glucose(raw))
    made = only(body.decoded())
    assert (made.mgdl, made.quality) == (mgdl, quality)
    note = made.annotation("bg/out-of-range")
    assert (None if note is None else (note["value"], note["threshold_mgdl"])) == beyond


def test_a_finger_stick_calibrations_and_a_meal() -> None:
    body = Body()
    body.event(records.BLOOD, 10, records.blood(120))
    body.event(0xF008, 20, records.blood(121))
    body.event(0xF009, 30, records.blood(122))
    body.event(records.MEAL, 40, records.meal(45))
    body.event(records.MEAL, 50, records.meal(0))
    stick, taken, refused, meal = body.decoded().records
    assert (stick.kind, stick.mgdl, stick.entry) == ("meter_glucose", 120, "linked")  # type: ignore[union-attr]
    assert (taken.kind, taken.mgdl, taken.accepted) == ("calibration", 121, True)  # type: ignore[union-attr]
    assert (refused.mgdl, refused.accepted) == (122, False)  # type: ignore[union-attr]
    assert (meal.kind, meal.grams) == ("carbs", 45)  # type: ignore[union-attr]


def given(body: Body, number: int, *, fast: int = 4500, extended: int = 0, begin: int = 940, end: int = 1200) -> int:
    first = body.event(records.BOLUS_ASKED, begin, records.bolus(number, fast, extended, 60 if extended else 0))
    body.event(records.BOLUS_ASKED_MORE, begin, records.asked_more())
    body.event(records.BOLUS_GIVEN, end, records.bolus(number, fast, extended, 60 if extended else 0))
    body.event(records.BOLUS_GIVEN_MORE, end, records.given_more(end - begin))
    return first


def test_four_events_are_one_bolus_under_the_first() -> None:
    body = Body()
    first = given(body, 77)
    made = only(body.decoded())
    assert (made.shape, made.delivered_u, made.programmed_u, made.completed) == ("normal", 4.5, 4.5, True)
    assert (made.immediate_u, made.extended_u, made.duration_min) == (None, None, None)
    assert made.source_key == str(first)
    assert made.time == at(seconds=940)
    assert made.requested_by == "manual"


@pytest.mark.parametrize(("fast", "shape"), [(1000, "dual"), (0, "square")])
def test_extended_boluses(fast: int, shape: str) -> None:
    body = Body()
    given(body, 3, fast=fast, extended=2000)
    made = only(body.decoded())
    assert made.shape == shape
    assert (made.extended_u, made.programmed_extended_u, made.duration_min) == (2, 2, 60)
    assert made.immediate_u == (1 if fast else None)
    assert made.delivered_u == 2 + fast / 1000


def test_a_type_that_is_not_known_is_told_by_the_amounts() -> None:
    body = Body()
    data = bytearray(records.bolus(5, 1000))
    data[2] = 0xFF
    body.event(records.BOLUS_GIVEN, 60, bytes(data))
    assert only(body.decoded()).shape == "normal"


def test_a_delivery_whose_beginning_was_not_read_began_before() -> None:
    body = Body()
    body.event(records.BOLUS_GIVEN, 1200, records.bolus(5, 1000))
    body.event(records.BOLUS_GIVEN_MORE, 1200, records.given_more(260))
    assert only(body.decoded()).time == at(seconds=940)


def test_two_boluses_at_once_keep_apart() -> None:
    body = Body()
    body.event(records.BOLUS_ASKED, 0, records.bolus(1, 0, 3000, 60))
    body.event(records.BOLUS_ASKED, 60, records.bolus(2, 1000))
    body.event(records.BOLUS_GIVEN, 90, records.bolus(2, 1000))
    body.event(records.BOLUS_GIVEN, 3600, records.bolus(1, 0, 3000, 60))
    square, normal = body.decoded().records
    assert (square.shape, square.delivered_u) == ("square", 3)  # type: ignore[union-attr]
    assert (normal.shape, normal.delivered_u) == ("normal", 1)  # type: ignore[union-attr]


def test_a_running_bolus_is_asked_for_again_and_an_unfinished_one_is_told() -> None:
    body = Body()
    body.event(records.BOLUS_ASKED, 60, records.bolus(1, 0, 3000, 60))
    running = body.decoded()
    made = only(running)
    assert (made.completed, made.delivered_u, made.programmed_u) == (False, 0, 3)
    assert made.annotation("bolus/provisional")
    body.event(records.REFERENCE, 0, records.clock(BEGAN + timedelta(hours=1)))
    assert body.decoded().state["pumps"][FEED]["from"] == 100
    body.event(records.REFERENCE, 0, records.clock(BEGAN + timedelta(hours=4)))
    late = body.decoded()
    assert late.records == []
    assert [each.code for each in late.diagnostics] == ["bolus/unfinished"]
    assert late.state["pumps"][FEED]["from"] == 103


def test_the_basal_line() -> None:
    body = Body()
    body.event(records.BASAL, 0, records.basal(500, 800))
    body.event(records.STOPPED, 600, b"\x02")
    body.event(records.RESTARTED, 1200, b"\x01")
    body.event(records.MICRO, 1500, records.micro(1, 25))
    body.event(records.BASAL, 1800, records.basal(800, 900))
    told = [
        (each.delivery, each.rate_u_h, each.duration_min, each.dose_u, each.suspend_reason)  # type: ignore[union-attr]
        for each in body.decoded().records
    ]
    assert told == [
        ("scheduled", 0.8, 10, None, None),
        ("suspended", 0, 10, None, "user"),
        ("scheduled", 0.8, 5, None, None),
        ("automatic", 0.3, 5, 0.025, None),
        ("scheduled", 0.9, None, None, None),
    ]


@pytest.mark.parametrize(
    ("reason", "said"), [(1, "alarm"), (2, "user"), (4, "on_low"), (10, "before_low"), (8, None)]
)
def test_why_it_stopped(reason: int, said: str | None) -> None:
    body = Body()
    body.event(records.STOPPED, 0, bytes([reason]))
    assert only(body.decoded()).suspend_reason == said


def test_a_stop_that_lasts_is_asked_for_again_but_not_for_ever() -> None:
    body = Body()
    body.event(records.STOPPED, 600, b"\x02")
    body.event(records.REFERENCE, 0, records.clock(BEGAN + timedelta(hours=1)))
    assert body.decoded().state["pumps"][FEED]["from"] == 100
    body.event(records.REFERENCE, 0, records.clock(BEGAN + timedelta(hours=25)))
    assert body.decoded().state["pumps"][FEED]["from"] == 102
    body.event(records.RESTARTED, 60, b"\x01")
    assert body.decoded().state["pumps"][FEED]["from"] == 103


def test_a_restart_knows_the_rate_from_an_earlier_read() -> None:
    body = Body()
    body.event(records.BASAL, 0, records.basal(500, 800))
    body.event(records.REFERENCE, 0, records.clock(BEGAN + timedelta(hours=1)))
    body.event(records.STOPPED, 60, b"\x04")
    first = body.decoded()
    since = first.state["pumps"][FEED]["from"]
    assert since == 102
    later = Body(since, reference=False)
    for record in body.records[2:]:
        later.lines.append(f"{HISTORY} {record.hex()}")
    later.next = body.next
    later.event(records.RESTARTED, 900, b"\x05")
    stop, start = later.decoded(Memory(state=first.state)).records
    assert stop.id == first.records[-1].id
    assert (stop.duration_min, start.rate_u_h) == (14, 0.8)  # type: ignore[union-attr]


def test_alerts_are_told_once_and_cleared() -> None:
    body = Body()
    first = body.event(records.ALERT, 10, records.alert(0x69, 4, 0))
    body.event(records.ALERT, 20, records.alert(0x69, 4, 0))
    body.event(records.ALERT, 30, records.alert(0x7FF, 5, 0))
    low, unknown = body.decoded().records
    assert (low.event, low.code, low.severity, low.state) == ("alarm", 0x69, "normal", "active")  # type: ignore[union-attr]
    assert low.source_key == str(first)
    assert (unknown.severity, unknown.text) == (None, "Alert 2047")  # type: ignore[union-attr]
    state = body.decoded().state
    body.event(records.ALERT_OVER, 40, records.alert_over(0xF069, 4))
    assert body.decoded().records[0].state == "cleared"  # type: ignore[union-attr]
    later = Body(200)
    later.event(records.ALERT, 50, records.alert(0x69, 4, 0))
    assert later.decoded(Memory(state=state)).records == []


def test_modes_and_the_clock() -> None:
    body = Body()
    body.event(records.LOOP, 10, b"\0")
    body.event(records.LOOP, 20, b"\3")
    body.event(records.LOOP, 30, b"\2")
    body.event(records.REFERENCE, 0, records.clock(BEGAN + timedelta(hours=2), records.SET))
    modes = body.decoded().records
    assert [each.mode for each in modes] == ["auto", "safe_basal", "manual", None]  # type: ignore[union-attr]
    assert modes[-1].event == "time_change"  # type: ignore[union-attr]
    assert modes[-1].clock_to == BEGAN + timedelta(hours=2)  # type: ignore[union-attr]


def test_events_without_a_reference_have_no_date() -> None:
    body = Body(reference=False)
    body.event(records.GLUCOSE, 10, records.glucose(100))
    said = body.decoded()
    assert said.records == []
    assert [each.code for each in said.diagnostics] == ["undated"]


def test_an_unset_clock() -> None:
    body = Body(reference=False)
    body.event(records.REFERENCE, 0, bytes(8))
    body.event(records.GLUCOSE, 10, records.glucose(100))
    said = body.decoded()
    assert said.records == []
    assert said.health.state is State.CLOCK_NOT_SET


def test_a_pump_that_is_ahead_waits_and_is_read_again() -> None:
    body = Body()
    body.event(records.GLUCOSE, 10, records.glucose(100))
    body.event(records.GLUCOSE, 3600, records.glucose(110))
    said = body.decoded(host=BEGAN + timedelta(minutes=1))
    assert [each.mgdl for each in said.records] == [100]  # type: ignore[union-attr]
    assert said.health.state is State.CLOCK_MISMATCH
    assert "from" not in said.state["pumps"][FEED]


def test_doubts_about_the_time() -> None:
    body = Body()
    body.event(records.GLUCOSE, 10, records.glucose(100))
    capture = body.capture()
    bare = decode(replace(capture, context={}), Memory()).records[0]
    assert bare.annotation("clock/uncertain")
    night = Body(reference=False)
    night.event(records.REFERENCE, 0, records.clock(BEGAN.replace(month=10, day=25, hour=2, minute=30)))
    night.event(records.GLUCOSE, 10, records.glucose(100))
    assert only(night.decoded(timezone="Europe/Berlin")).annotation("clock/uncertain")


def test_unknown_events_are_kept_and_fail_nothing() -> None:
    body = Body()
    body.event(0xF0FE, 10, b"\1\2\3")
    body.event(records.GLUCOSE, 20, b"\1")
    body.event(records.GLUCOSE, 30, records.glucose(100))
    said = body.decoded()
    assert only(said).mgdl == 100
    assert not said.understood
    assert {each.code for each in said.diagnostics} == {"unknown_event", "refused_row"}


def test_order_and_repetition_do_not_matter() -> None:
    body = Body()
    given(body, 7)
    for step in range(20):
        body.event(records.GLUCOSE, 60 * step, records.glucose(100 + step))
    wanted = body.decoded()
    body.lines = body.lines[:1] + random.Random(1).sample(body.lines[1:] * 2, len(body.lines[1:]) * 2)
    assert body.decoded() == wanted


def test_status_is_one_record_named_by_the_newest_event() -> None:
    body = Body()
    last = body.event(records.GLUCOSE, 20, records.glucose(100))
    body.lines += [f"{STATUS} {records.status(905, therapy=0x33).hex()}", "2A19 32"]
    body.lines.append(f"{HISTORY.replace('0108', '0105')} {records.loop_answer(1).hex()}")
    host = BEGAN + timedelta(minutes=3)
    made = body.decoded(host=host).records[-1]
    assert made.kind == "pump_status"
    assert made.source_key == f"STATUS:{last}"
    assert made.time == at(minutes=3)
    assert (made.reservoir_u, made.suspended, made.battery_pct, made.mode) == (90.5, True, 50, "auto")
    assert (made.iob_u, made.active_basal_u_h, made.bolusing) == (None, None, None)


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"2A19 64", b"hello", b"2A25 414243"])
def test_what_is_not_a_pump(text: bytes) -> None:
    capture = Capture("p1", "minimed-ble", "medtronic", at(), text)
    with pytest.raises(Malformed):
        decode(capture, Memory())


@pytest.mark.parametrize(
    "context", [{"timezone": "Nowhere/Land"}, {"host_clock": "x"}, {"host_clock": "1999-01-01Z"}]
)
def test_a_context_that_is_none(context: dict[str, str]) -> None:
    with pytest.raises(Malformed):
        decode(replace(Body().capture(), context=context), Memory())


def test_a_read_passed_on_has_another_serial() -> None:
    body = Body()
    body.event(records.GLUCOSE, 20, records.glucose(100))
    capture = replace(body.capture(), feed=FEED)
    told = redacted(capture, Pseudonyms())
    assert SERIAL.encode().hex().encode() not in told.body
    assert SERIAL not in told.feed
    (made,) = decode(told, Memory()).records
    assert made.device.serial is not None
    assert made.device.serial != SERIAL
    assert told.feed == f"medtronic:{made.device.serial}"


def test_an_incomplete_read_says_so() -> None:
    body = Body()
    body.event(records.GLUCOSE, 20, records.glucose(100))
    assert body.decoded(complete="no").health.state is State.INCOMPLETE
