"""The status at the last upload, and changes of mode."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from bridge.contracts import Memory
from bridge.model.health import State
from tests.readers.carelink_cloud.decode.payloads import (
    START,
    STEP,
    after,
    decoded_of,
    ms,
    of_kind,
    payload,
    sg,
)


def status(**more: Any) -> Any:
    (record,) = of_kind(decoded_of(payload(**more)).records, "pump_status")
    return record


def shield(state: str) -> dict[str, Any]:
    return {"therapyAlgorithmState": {"autoModeShieldState": state}}


def test_status_is_dated_by_the_upload_never_by_the_request() -> None:
    updated = START - timedelta(minutes=47)
    found = decoded_of(payload(updated=updated, sgs=[sg("2026-03-10T06:10:00")]))
    (record,) = of_kind(found.records, "pump_status")
    assert (record.time, record.source_key) == (updated, f"STATUS:{ms(updated)}")
    assert found.health.state is State.STALE
    assert len(of_kind(found.records, "sensor_glucose")) == 1, "old rows are data all the same"


def test_an_upload_from_the_future_is_no_status() -> None:
    assert not of_kind(decoded_of(payload(updated=START + timedelta(minutes=9))).records, "pump_status")


def test_reservoir_amount_is_the_size_on_new_pumps_and_what_is_left_on_old_ones() -> None:
    assert status(reservoirAmount=300, reservoirRemainingUnits=126.5).reservoir_u == 126.5
    assert status(reservoirAmount=300).reservoir_u is None
    assert status(reservoirAmount=60, medicalDeviceFamily="PARADIGM").reservoir_u == 60


def test_who_has_no_pump_has_no_pump_battery() -> None:
    assert status(medicalDeviceBatteryLevelPercent=80).battery_pct == 80
    assert status(medicalDeviceBatteryLevelPercent=80, medicalDeviceFamily="GUARDIAN").battery_pct is None


@pytest.mark.parametrize(("basal", "rate"), [
    (None, None), ({"basalRate": 0.8}, 0.8), ({"basalRate": -1}, None),
    ({"basalRate": 0.8, "tempBasalRate": 0.4, "tempBasalDurationRemaining": 20}, 0.4),
    ({"basalRate": 0.8, "tempBasalRate": 0.4, "tempBasalDurationRemaining": 0}, 0.8), ({"basalRate": "lots"}, None),
])  # fmt: skip
def test_the_running_basal_rate(basal: object, rate: float | None) -> None:
    assert status(basal=basal).active_basal_u_h == rate


def test_banner_and_links() -> None:
    assert status(pumpBannerState=[{"type": "DUAL_BOLUS"}]).bolusing is True
    assert status(pumpBannerState=[{"type": "TEMP_BASAL"}, 7]).bolusing is None
    assert status(conduitInRange=True, conduitMedicalDeviceInRange=False).in_range is False
    assert (status(conduitInRange=True).in_range, status().in_range) == (True, None)
    assert status(medicalDeviceSuspended=True).suspended is True


def test_iob_has_its_own_time() -> None:
    record = status(activeInsulin={"amount": 1.274999976158142, "datetime": "2026-03-10T06:58:01"})
    assert (record.iob_u, record.iob_time) == (1.275, datetime.fromisoformat("2026-03-10T05:58:01+00:00"))
    assert status(activeInsulin={"amount": -1, "datetime": "2026-03-10T06:58:01"}).iob_time is None


def test_a_change_of_mode_is_told_once_and_not_at_first_sight() -> None:
    memory, told = Memory(), []
    shown = ["AUTO_BASAL", "AUTO_BASAL", "SAFE_BASAL", "SAFE_BASAL", "NEVER_HEARD_OF", "SAFE_BASAL", "FEATURE_OFF"]
    for step, state in enumerate(shown):
        found = decoded_of(payload(START + step * STEP, **shield(state)), memory)
        memory = after(memory, found)
        told += [(step, event.mode) for event in of_kind(found.records, "device_event")]
    assert told == [(2, "safe_basal"), (6, "manual")]


def test_the_key_of_a_mode_change_is_its_wall_clock() -> None:
    first = decoded_of(payload(**shield("AUTO_BASAL")))
    second = decoded_of(payload(START + STEP, **shield("FEATURE_OFF")), after(Memory(), first))
    (event,) = of_kind(second.records, "device_event")
    assert event.source_key == "MODE_CHANGE:2026-03-10T07:04:20"
    assert (event.event, str(event.device_time), event.utc_offset_min) == ("mode_change", "2026-03-10 07:04:20", 60)


def test_a_change_that_a_marker_told_is_not_told_again() -> None:
    first = decoded_of(payload(**shield("AUTO_BASAL")))
    memory = after(Memory(), first)
    off = {"type": "AUTO_MODE_STATUS", "dateTime": "2026-03-10T07:02:00", "autoModeOn": False}
    for step, state in ((1, "AUTO_BASAL"), (2, "FEATURE_OFF"), (3, "FEATURE_OFF")):
        found = decoded_of(payload(START + step * STEP, markers=[off], **shield(state)), memory)
        memory = after(memory, found)
        told = {event.source_key for event in of_kind(found.records, "device_event")}
        assert told <= {"AUTO_MODE_STATUS:2026-03-10T07:02:00"}, step


def test_a_mode_change_waits_until_the_clock_is_known() -> None:
    first = decoded_of(payload(**shield("AUTO_BASAL")))
    blind = payload(START + STEP, **shield("FEATURE_OFF"))
    patient = blind["patientData"]
    patient.update(pumpCommunicationState=False, lastConduitDateTime="2026-03-10T09:04:20")
    second = decoded_of(blind, after(Memory(), first))
    assert not of_kind(second.records, "device_event")
    third = decoded_of(payload(START + 2 * STEP, **shield("FEATURE_OFF")), after(after(Memory(), first), second))
    assert [event.mode for event in of_kind(third.records, "device_event")] == ["manual"]
