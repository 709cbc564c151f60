"""Real exports of the first generation against what a reference decoder made of them, every record."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from bridge.contracts import Decoded
from bridge.model import (
    Basal,
    Bolus,
    BolusCalculation,
    DeviceEvent,
    MeterGlucose,
    PumpSettings,
    Record,
    SensorGlucose,
    iso_ms,
)
from tests.readers.carelink_csv.exports import decoded, of_kind
from tests.support import vectors

NAMES = ("v1_revel523_cgm_2days", "v1_revel723_week_dst")
SHAPES = {"normal": "normal", "square": "square", "dual/square": "dual"}
DELIVERIES = {"scheduled": "scheduled", "temp": "temporary", "suspend": "suspended"}
KINDS = {"basal", "bolus", "cbg", "deviceEvent", "pumpSettings", "smbg", "wizard"}
NOT_OURS = {
    ("2015-03-07T16:07:58.000Z", "temporary", 0.45),
    ("2015-03-10T19:15:52.000Z", "scheduled", 0.9),
}
"""Of the reference's basals: a temporary rate begun half an hour before the row that sets it, and one second of
schedule before the schedule's own row."""


@cache
def _file(name: str) -> Decoded:
    return decoded(vectors.path("carelink-csv", f"{name}.csv").read_bytes(), "US/Pacific")


def _expected(name: str, *types: str) -> list[dict[str, Any]]:
    streams = vectors.document("carelink-csv", f"{name}.expected.json")["streams"]
    return [record for stream in streams for record in stream["records"] if record["type"] in types]


def _wall(record: Record) -> str:
    assert record.device_time is not None
    return record.device_time.isoformat()


def _frame(record: Record) -> tuple[str, str, int | None]:
    return iso_ms(record.time), _wall(record), record.utc_offset_min


def _expected_frame(record: dict[str, Any]) -> tuple[str, str, int]:
    return record["time"], record["deviceTime"], record["timezoneOffset"]


@pytest.mark.parametrize("name", NAMES)
def test_every_expected_record_is_of_a_type_asserted_here(name: str) -> None:
    streams = vectors.document("carelink-csv", f"{name}.expected.json")["streams"]
    assert {record["type"] for stream in streams for record in stream["records"]} <= KINDS


@pytest.mark.parametrize("name", NAMES)
def test_sensor_glucose(name: str) -> None:
    ours = Counter(
        (*_frame(record), record.mgdl)
        for record in _file(name).records
        if isinstance(record, SensorGlucose) and record.mgdl is not None
    )
    assert ours == Counter((*_expected_frame(one), one["value"]) for one in _expected(name, "cbg"))


@pytest.mark.parametrize("name", NAMES)
def test_meter_glucose(name: str) -> None:
    """The reference lost the values (all 0); they are compared with the file's own rows."""
    ours = [record for record in _file(name).records if isinstance(record, MeterGlucose)]
    frames = Counter((*_frame(record), record.entry) for record in ours)
    assert frames == Counter((*_expected_frame(one), one["subType"]) for one in _expected(name, "smbg"))
    lines = vectors.path("carelink-csv", f"{name}.csv").read_text("utf-8").splitlines()
    captured = [line for line in lines if ",CalBGForPH," in line]
    amounts = Counter(int(line.split("AMOUNT=")[1].split(",")[0]) for line in captured)
    assert Counter(record.mgdl for record in ours) == amounts
    linked = [record for record in ours if record.entry == "linked"]
    assert linked
    assert all(record.raw and record.raw["PARADIGM_LINK_ID"] == "A00001" for record in linked)


@pytest.mark.parametrize("name", NAMES)
def test_boluses(name: str) -> None:
    ours = {_frame(record): record for record in _file(name).records if isinstance(record, Bolus)}
    expected = _expected(name, "bolus")
    assert len(ours) == len(expected)
    for one in expected:
        _assert_bolus(ours[_expected_frame(one)], one)


def _assert_bolus(bolus: Bolus, one: dict[str, Any]) -> None:
    normal, extended = one.get("normal"), one.get("extended")
    assert bolus.shape == SHAPES[one["subType"]]
    assert bolus.delivered_u == pytest.approx((normal or 0) + (extended or 0))
    assert bolus.extended_u == extended
    assert bolus.programmed_extended_u == one.get("expectedExtended", extended)
    assert bolus.completed
    if bolus.shape == "normal":
        assert bolus.programmed_u == one.get("expectedNormal", normal)
        assert bolus.immediate_u is None
    else:
        assert bolus.immediate_u == normal
        assert bolus.programmed_immediate_u == one.get("expectedNormal", normal)
        assert bolus.delivered_duration_min == pytest.approx(one["duration"] / 60_000)
        assert bolus.duration_min == one.get("expectedDuration", one["duration"]) / 60_000


@pytest.mark.parametrize("name", NAMES)
def test_calculations_and_their_boluses(name: str) -> None:
    result = _file(name)
    boluses = {record.id: record for record in result.records if isinstance(record, Bolus)}
    ours = {_frame(record): record for record in result.records if isinstance(record, BolusCalculation)}
    expected = _expected(name, "wizard")
    assert len(ours) == len(expected)
    for one in expected:
        calculation = ours[_expected_frame(one)]
        assert calculation.recommended_carb_u == one["recommended"]["carb"]
        assert calculation.recommended_correction_u == one["recommended"]["correction"]
        assert calculation.recommended_net_u == one["recommended"]["net"]
        assert (calculation.bg_mgdl or 0) == one["bgInput"]
        assert calculation.carbs_g == one["carbInput"]
        assert calculation.iob_u == one["insulinOnBoard"]
        assert calculation.carb_ratio_g_u == one["insulinCarbRatio"]
        assert calculation.isf_mgdl_u == one["insulinSensitivity"]
        assert calculation.target_high_mgdl == one["bgTarget"]["high"]
        assert calculation.target_low_mgdl == one["bgTarget"]["low"]
        bolus = boluses[str(calculation.bolus_id)]
        assert (bolus.calculation_id, bolus.requested_by) == (calculation.id, "wizard")
        _assert_bolus(bolus, one["bolus"])
        assert _wall(bolus) == one["bolus"]["deviceTime"]
    assert sum(bolus.calculation_id is not None for bolus in boluses.values()) == len(expected)


@pytest.mark.parametrize("name", NAMES)
def test_basals(name: str) -> None:
    ours = [record for record in _file(name).records if isinstance(record, Basal)]
    starts = sorted(record.time for record in ours)
    expected = {
        (one["time"], DELIVERIES[one["deliveryType"]], one.get("rate", 0)): one for one in _expected(name, "basal")
    }
    found = {(iso_ms(record.time), record.delivery, record.rate_u_h): record for record in ours}
    assert len(found) == len(ours)
    assert found.keys() == expected.keys() - NOT_OURS
    for key, record in found.items():
        one = expected[key]
        following = next((time for time in starts if time > record.time), None)
        longest = timedelta(milliseconds=one["duration"])
        until = longest if following is None else min(longest, following - record.time)
        assert record.duration_min == pytest.approx(until / timedelta(minutes=1)), key
        assert (record.device_time, record.utc_offset_min) == (
            datetime.fromisoformat(one["deviceTime"]),
            one["timezoneOffset"],
        )
        assert record.schedule == one.get("scheduleName", record.schedule)
        assert record.percent == (one["percent"] * 100 if "percent" in one else None)


@pytest.mark.parametrize("name", NAMES)
def test_suspensions_and_clock_changes(name: str) -> None:
    result = _file(name)
    suspended = [record for record in of_kind(result, "basal") if isinstance(record, Basal)]
    suspended = [record for record in suspended if record.delivery == "suspended"]
    begins = {iso_ms(record.time): record.suspend_reason for record in suspended}
    ends = {iso_ms(record.time + timedelta(minutes=record.duration_min or 0)) for record in suspended}
    changes = {
        record.time: record
        for record in result.records
        if isinstance(record, DeviceEvent) and record.event == "time_change"
    }
    told = 0
    for one in _expected(name, "deviceEvent"):
        told += 1
        if one["subType"] == "timeChange":
            change = changes[datetime.fromisoformat(one["time"])]
            assert (change.clock_from, change.clock_to, change.agent) == (
                datetime.fromisoformat(one["change"]["from"]),
                datetime.fromisoformat(one["change"]["to"]),
                one["change"]["agent"],
            )
            assert _frame(change) == _expected_frame(one)
        elif one["status"] == "suspended":
            assert one["reason"]["suspended"] == "manual"
            assert begins[one["time"]] == "user"
        else:
            assert one["time"] in ends
    assert told == 2 * len(suspended) + len(changes)


@pytest.mark.parametrize("name", NAMES)
def test_settings_in_force(name: str) -> None:
    """The reference repeats unchanged settings at every upload; ours are those that were in force then."""
    ours = [record for record in _file(name).records if isinstance(record, PumpSettings)]
    expected = _expected(name, "pumpSettings")
    assert ours[0].time == datetime.fromisoformat(expected[0]["time"])
    for one in expected:
        moment = datetime.fromisoformat(one["time"])
        in_force = [record for record in ours if record.time <= moment][-1]
        assert _settings(in_force) == _expected_settings(one)
    contents = [_settings(record) for record in ours]
    assert all(one != other for one, other in pairwise(contents))


def _settings(record: PumpSettings) -> dict[str, Any]:
    assert record.basal_schedules is not None
    return {
        "active": record.active_schedule,
        "basal": {
            name: [(entry.start_min, entry.rate_u_h) for entry in entries]
            for name, entries in record.basal_schedules.items()
        },
        "ratios": [(entry.start_min, entry.g_u) for entry in record.carb_ratios or ()],
        "isf": [(entry.start_min, entry.mgdl_u) for entry in record.isf or ()],
        "targets": [(entry.start_min, entry.low_mgdl, entry.high_mgdl) for entry in record.targets or ()],
    }


def _expected_settings(one: dict[str, Any]) -> dict[str, Any]:
    def minute(entry: dict[str, Any]) -> int:
        return int(entry["start"] / 60_000)

    return {
        "active": one.get("activeSchedule", one.get("activeBasalSchedule")),
        "basal": {
            name: [(minute(entry), entry["rate"]) for entry in entries]
            for name, entries in one["basalSchedules"].items()
        },
        "ratios": [(minute(entry), entry["amount"]) for entry in one["carbRatio"]],
        "isf": [(minute(entry), entry["amount"]) for entry in one["insulinSensitivity"]],
        "targets": [(minute(entry), entry["low"], entry["high"]) for entry in one["bgTarget"]],
    }


# --- the file of settings changes, with an older model's expectations ---

OLD = "v1_mmcsv_settings_changes"


def test_settings_changes_file_record_by_record() -> None:
    result = _file(OLD)
    expected = vectors.document("carelink-csv", f"{OLD}.expected.json")
    asserted = 0
    for one in expected:
        at = datetime.fromisoformat(one["deviceTime"])
        asserted += _ASSERTIONS[one["type"]](result, one, at)
    assert asserted == len(expected)


def _at(result: Decoded, kind: str, at: datetime) -> list[Any]:
    return [record for record in of_kind(result, kind) if record.device_time == at]


def _cbg(result: Decoded, one: dict[str, Any], at: datetime) -> bool:
    [record] = _at(result, "sensor_glucose", at)
    return bool(record.mgdl == one["value"] and record.device.model == one["deviceId"])


def _smbg(result: Decoded, one: dict[str, Any], at: datetime) -> bool:
    [record] = _at(result, "meter_glucose", at)
    return bool(record.mgdl == one["value"])


def _basal_change(result: Decoded, one: dict[str, Any], at: datetime) -> bool:
    records = _at(result, "basal", at)
    if one["deliveryType"] == "scheduled":
        [record] = records
        return (record.delivery, record.rate_u_h, record.schedule) == ("scheduled", one["value"], one["scheduleName"])
    if not one["duration"]:
        before = [record for record in of_kind(result, "basal") if record.time < records[0].time][-1]
        assert isinstance(before, Basal)
        return before.delivery == "temporary" and before.duration_min == pytest.approx(7 / 60)
    [record] = records
    return bool(record.percent == one["percent"] and record.duration_min is not None)


def _old_bolus(result: Decoded, one: dict[str, Any], at: datetime) -> bool:
    if one["subType"] == "normal":
        [record] = _at(result, "bolus", at)
        return (record.shape, record.delivered_u, record.programmed_u) == ("normal", one["value"], one["programmed"])
    [dual] = [record for record in of_kind(result, "bolus") if isinstance(record, Bolus) and record.shape == "dual"]
    if one["subType"] == "dual/normal":
        return (dual.device_time, dual.immediate_u, dual.programmed_immediate_u) == (
            at,
            one["value"],
            one["programmed"],
        )
    square = (dual.extended_u, dual.programmed_extended_u, dual.duration_min)
    return square == (one["value"], one["programmed"], one["duration"] / 60_000)


def _old_wizard(result: Decoded, one: dict[str, Any], at: datetime) -> bool:
    [record] = _at(result, "bolus_calculation", at)
    said = one["payload"]
    return (
        record.recommended_net_u, record.target_low_mgdl, record.target_high_mgdl, record.carb_ratio_g_u,
        record.isf_mgdl_u, record.carbs_g, record.bg_mgdl, record.recommended_correction_u,
        record.recommended_carb_u, record.iob_u,
    ) == (
        said["estimate"], said["targetLow"], said["targetHigh"], said["carbRatio"],
        said["insulinSensitivity"], said["carbInput"], said["bgInput"], said["correctionEstimate"],
        said["foodEstimate"], said["activeInsulin"],
    )  # fmt: skip


def _old_settings(result: Decoded, one: dict[str, Any], at: datetime) -> bool:
    [record] = _at(result, "pump_settings", at)
    return _settings(record) == _expected_settings(one)


_ASSERTIONS = {
    "cbg": _cbg,
    "smbg": _smbg,
    "basal-rate-change": _basal_change,
    "bolus": _old_bolus,
    "wizard": _old_wizard,
    "settings": _old_settings,
}
