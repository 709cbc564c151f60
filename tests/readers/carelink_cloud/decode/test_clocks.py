"""The offset of wall clocks: which clock is believed, when none is, and what is told about it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bridge.contracts import Memory
from bridge.model.health import State
from tests.readers.carelink_cloud.decode.payloads import (
    START,
    STEP,
    after,
    answer_of,
    decoded_of,
    of_kind,
    payload,
    sg,
    wall_text,
)

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def one_reading(now: Any = START, offset: timedelta = HOUR, **more: Any) -> dict[str, Any]:
    return payload(now, offset=offset, sgs=[sg(wall_text(now - STEP, offset))], **more)


def test_the_pumps_clock_rules_its_rows_and_disagreement_is_told() -> None:
    found = decoded_of(one_reading(phone=2 * HOUR))
    assert of_kind(found.records, "sensor_glucose")[0].time == START - STEP
    assert found.health.state is State.CLOCK_MISMATCH
    assert "60 min behind the phone" in found.health.text


@pytest.mark.parametrize(
    ("drift", "state"), [(4.9, State.OK), (-4.9, State.OK), (5.5, State.CLOCK_MISMATCH), (-6, State.CLOCK_MISMATCH)]
)
def test_a_clock_more_than_five_minutes_wrong_is_told(drift: float, state: State) -> None:
    found = decoded_of(one_reading(offset=HOUR + drift * MINUTE, phone=HOUR))
    assert found.health.state is state
    assert of_kind(found.records, "sensor_glucose")[0].utc_offset_min == 60


def test_drift_through_half_a_quarter_never_flips_the_offset() -> None:
    memory, offsets = Memory(), set()
    for step in range(90):
        drift = step * timedelta(seconds=-6)
        found = decoded_of(one_reading(START + step * STEP, HOUR + drift, phone=HOUR), memory)
        memory = after(memory, found)
        offsets |= {record.utc_offset_min for record in found.records}
    assert offsets == {60}
    assert found.health.state is State.CLOCK_MISMATCH


def test_a_pump_out_of_reach_is_not_believed() -> None:
    first = decoded_of(one_reading())
    memory = after(Memory(), first)
    lost = one_reading(START + STEP, pumpCommunicationState=False)
    lost["patientData"]["medicalDeviceTime"] += 7 * 3_600_000
    found = decoded_of(lost, memory)
    assert [record.time for record in of_kind(found.records, "sensor_glucose")] == [START]
    assert found.state["pump_offset_min"] == 60


def test_rows_wait_while_the_phone_moved_alone_and_come_with_the_pump() -> None:
    first = decoded_of(one_reading())
    memory = after(Memory(), first)
    moved = one_reading(START + STEP, phone=2 * HOUR, pumpCommunicationState=False)
    waiting = answer_of(moved, memory)
    assert not of_kind(waiting.decoded.records, "sensor_glucose")
    assert waiting.decoded.health.state is State.CLOCK_MISMATCH
    assert waiting.decoded.understood
    assert waiting.covered is None
    assert [diagnostic.code for diagnostic in waiting.decoded.diagnostics] == ["held_without_clock"]
    moved["patientData"]["pumpCommunicationState"] = True
    found = decoded_of(moved, after(memory, waiting.decoded))
    assert [record.time for record in of_kind(found.records, "sensor_glucose")] == [START]


def test_known_rows_are_given_again_even_without_a_clock() -> None:
    first = decoded_of(one_reading())
    blind = payload(START + STEP, phone=3 * HOUR, sgs=[sg(wall_text(START - STEP, HOUR)), sg(wall_text(START, HOUR))],
                    pumpCommunicationState=False)  # fmt: skip
    found = decoded_of(blind, after(Memory(), first))
    assert of_kind(found.records, "sensor_glucose") == of_kind(first.records, "sensor_glucose")


def test_a_first_answer_of_a_lost_pump_goes_by_the_phone_only_when_both_agree() -> None:
    agreeing = decoded_of(one_reading(pumpCommunicationState=False))
    assert [record.time for record in of_kind(agreeing.records, "sensor_glucose")] == [START - STEP]
    assert not of_kind(
        decoded_of(one_reading(phone=3 * HOUR, pumpCommunicationState=False)).records, "sensor_glucose"
    )


def test_an_answer_without_any_clock_gives_no_rows_but_says_why() -> None:
    document = one_reading()
    for name in ("medicalDeviceTime", "lastConduitDateTime"):
        del document["patientData"][name]
    found = decoded_of(document)
    assert [record.kind for record in found.records] == ["pump_status"]
    assert found.health.state is State.STALE
    again = decoded_of(one_reading(START + STEP), after(Memory(), found))
    assert len(of_kind(again.records, "sensor_glucose")) == 1


def test_an_old_upload_of_a_connected_pump_gives_its_rows() -> None:
    found = decoded_of(one_reading(updated=START - 3 * HOUR))
    assert len(of_kind(found.records, "sensor_glucose")) == 1
    assert (found.health.state, "180 min" in found.health.text) == (State.STALE, True)


def test_offsets_beyond_fourteen_hours_are_nonsense() -> None:
    found = decoded_of(one_reading(offset=timedelta(days=400), phone=HOUR))
    assert {record.utc_offset_min for record in found.records if record.kind == "pump_status"} == {60}


@pytest.mark.parametrize("ahead", [4, 6])
def test_a_row_ahead_of_the_server_is_held_until_due(ahead: int) -> None:
    document = payload(sgs=[sg(wall_text(START + ahead * MINUTE, HOUR))])
    first = decoded_of(document)
    assert len(of_kind(first.records, "sensor_glucose")) == (ahead < 5)
    later = payload(START + STEP, sgs=document["patientData"]["sgs"])
    second = decoded_of(later, after(Memory(), first))
    assert len(of_kind([*first.records, *second.records], "sensor_glucose")) == 1


def test_known_drift_is_taken_off_before_holding() -> None:
    fast = HOUR + 6 * MINUTE
    found = decoded_of(payload(offset=fast, phone=HOUR, sgs=[sg(wall_text(START - MINUTE / 2, fast))]))
    assert len(of_kind(found.records, "sensor_glucose")) == 1


def test_a_stamp_with_a_real_zone_is_an_instant() -> None:
    found = decoded_of(payload(offset=HOUR, sgs=[sg("2026-03-10T07:55:00+02:00")]))
    (record,) = of_kind(found.records, "sensor_glucose")
    assert (record.time, record.utc_offset_min, str(record.device_time)) == (START - STEP, 120, "2026-03-10 07:55:00")


def test_an_epoch_is_an_instant() -> None:
    epoch = round((START - STEP).timestamp() * 1000)
    found = decoded_of(payload(sgs=[{**sg(""), "timestamp": epoch}]))
    (record,) = of_kind(found.records, "sensor_glucose")
    assert (record.time, record.source_key) == (START - STEP, "SG:2026-03-10T05:55:00")
    later = payload(START + STEP, offset=2 * HOUR, sgs=[{**sg(""), "timestamp": epoch}])
    (again,) = of_kind(decoded_of(later, after(Memory(), found)).records, "sensor_glucose")
    assert again == record
