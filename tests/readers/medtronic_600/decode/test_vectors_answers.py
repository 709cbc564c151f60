"""Every vector of the pump's answers: status, tables, patterns and the plain texts of a session."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.readers.medtronic_600 import payloads
from bridge.readers.medtronic_600.clock import wall
from bridge.readers.medtronic_600.glucose import sensor_state, trend_of
from bridge.readers.medtronic_600.settings_record import current_settings
from bridge.readers.medtronic_600.status_record import Status, read_status
from tests.support import vectors

FOLDER = "medtronic-600"
STATUS = vectors.rows(FOLDER, "status.jsonl")
SETTINGS = vectors.rows(FOLDER, "settings.jsonl")
RESPONSES = vectors.rows(FOLDER, "responses.jsonl")
NAMES = {
    "cgm": "sensor_on", "bolusing_delivered": "bolusing_delivered_u", "bolusing_ref": "bolus_reference",
    "last_bolus": "last_bolus_u", "last_bolus_rtc": "last_bolus_wall_s", "last_bolus_ref": "last_bolus_reference",
    "basal_pattern": "pattern", "basal_rate": "basal_u_h", "temp_rate": "temp_u_h", "temp_pct": "temp_percent",
    "basal_today": "basal_today_u", "battery": "battery_pct", "reservoir": "reservoir_u",
    "res_hours": "reservoir_hours", "res_minutes": "reservoir_minutes", "iob": "iob_u", "tx_batt": "transmitter_pct",
    "roc": "rate_mgdl_min", "bwz_recent": "wizard_recent", "bgl": "bg_mgdl", "silence_min": "silence_minutes",
}  # fmt: skip
EXCEPTIONS = {
    "reading_high": "above 400", "reading_low": "below 40", "calibrate_now": "calibrate now",
    "expired": "sensor expired", "sg_not_available": "updating", "warm_up": "warm-up",
}  # fmt: skip
CLASSES = {
    3: "double_up", 2: "single_up", 1: "forty_five_up", 0: "flat", -1: "forty_five_down", -2: "single_down",
    -3: "double_down",
}  # fmt: skip


def shown(status: Status, name: str) -> Any:
    match name:
        case "sg":
            return status.sg_raw if status.valid_sg else None
        case "sg_exception":
            return sensor_state(status.sg_raw) if status.sg_raw >= 768 else None
        case "sg_off" | "alert_off":
            return getattr(status, {"sg_off": "sg_offset", "alert_off": "alert_offset"}[name]) & 0xFFFFFFFF
        case "sg_time":
            return wall(status.sg_rtc, status.sg_offset).isoformat() if status.sg_rtc else None
        case "trend":
            return status.trend
        case "cal_minutes":
            return 0xFFFF if status.calibration_minutes is None else status.calibration_minutes
        case _:
            return getattr(status, NAMES.get(name, name))


@pytest.mark.parametrize("row", STATUS, ids=lambda row: str(row["id"]))
def test_status(row: dict[str, Any]) -> None:
    status = read_status(bytes.fromhex(row["payload_hex"]))
    expected = row["expected"]
    for name, value in expected.items():
        wanted = value
        if name == "trend":
            wanted = CLASSES.get(value) if expected["cgm"] and value is not None else status.trend
        elif name == "sg_exception" and value:
            wanted = EXCEPTIONS[value]
        assert shown(status, name) == wanted, name
    if status.valid_sg and status.trend not in (None, "none"):
        assert trend_of(status.rate_mgdl_min) == status.trend


@pytest.mark.parametrize("row", STATUS, ids=lambda row: str(row["id"]))
def test_no_arrow_without_a_valid_reading(row: dict[str, Any]) -> None:
    status = read_status(bytes.fromhex(row["payload_hex"]))
    if row["expected"]["sg"] is None:
        assert status.trend is None
        assert status.rate is None


@pytest.mark.parametrize("row", SETTINGS, ids=lambda row: f"{row['kind']}:{str(list(row.values())[1])[:12]}")
def test_settings(row: dict[str, Any]) -> None:
    payload = bytes.fromhex(row.get("payload_hex") or row["payload_with_crc_hex"][:-4])
    expected: Any = row["expected"]
    match row["kind"]:
        case "carb_ratios":
            found: Any = [
                {"start_min": each.start_min, "grams_per_u": each.g_u, "u_per_exch": each.u_exchange}
                for each in payloads.read_carb_ratios(payload)
            ]
        case "sensitivity":
            found = [each._asdict() for each in payloads.read_sensitivities(payload)]
        case _:
            pattern = payloads.read_basal_pattern(payload)
            found = {
                "pattern": pattern.number,
                "segments": [[each.start_min, each.rate_u_h] for each in pattern.rates],
            }
            segments = [[each["start_min"], each["rate"]] for each in expected["segments"]]
            expected = {"pattern": expected["pattern"], "segments": segments}
    assert found == expected


def plain(name: str) -> bytes:
    return bytes.fromhex(next(row["plaintext_hex"] for row in RESPONSES if row["response"] == name)[:-4])


def expected_of(name: str) -> Any:
    return next(row["expected"] for row in RESPONSES if row["response"] == name)


def test_all_responses_are_asserted_on() -> None:
    assert {row["response"] for row in RESPONSES} == {
        "PumpTimeResponse", "PumpStatusResponse", "BolusWizardBGTargetsResponse", "BolusWizardCarbRatiosResponse",
        "BolusWizardSensitivityFactorsResponse", "BasicNgpParametersResponse", "ReadBasalPatternResponse",
        "ReadHistoryInfoResponse", "DeviceCharacteristicsResponse", "DeviceStringResponse",
    }  # fmt: skip
    assert len(RESPONSES) == 11


def test_time() -> None:
    found, expected = payloads.read_time(plain("PumpTimeResponse")), expected_of("PumpTimeResponse")
    assert found == payloads.PumpTime(True, expected["rtc"], expected["offset"])
    assert f"{wall(found.rtc, found.offset).isoformat()}.000Z" == expected["time"]


def test_status_response() -> None:
    found, expected = read_status(plain("PumpStatusResponse")), expected_of("PumpStatusResponse")
    assert (found.pattern, found.delivering) == (expected["pattern"], expected["active"])
    assert expected["state"] == 0x10
    assert not found.suspended
    assert not found.bolusing


def test_targets() -> None:
    found = payloads.read_targets(plain("BolusWizardBGTargetsResponse"))
    expected = expected_of("BolusWizardBGTargetsResponse")
    assert [
        {"start": each.start_min * 60_000, "high": each.high_mgdl, "low": each.low_mgdl} for each in found
    ] == expected


@pytest.mark.parametrize(
    "row", [row for row in RESPONSES if row["command"] == "0x012c"], ids=lambda row: str(row["seq"])
)
def test_carb_ratios(row: dict[str, Any]) -> None:
    found = payloads.read_carb_ratios(bytes.fromhex(row["plaintext_hex"][:-4]))
    grams = row["expected"]["units"] == "grams"
    shown = [{"start": each.start_min * 60_000, "amount": each.g_u if grams else each.u_exchange} for each in found]
    assert shown == row["expected"]["ratios"]
    assert any(each.g_u for each in found) == grams


def test_sensitivities() -> None:
    found = payloads.read_sensitivities(plain("BolusWizardSensitivityFactorsResponse"))
    expected = expected_of("BolusWizardSensitivityFactorsResponse")
    assert [{"start": each.start_min * 60_000, "amount": each.mgdl} for each in found] == expected


def test_basic_parameters() -> None:
    found, expected = (
        payloads.read_basic_parameters(plain("BasicNgpParametersResponse")),
        expected_of("BasicNgpParametersResponse"),
    )
    assert found == payloads.BasicParameters(
        expected["ext"], expected["maxBolus"], expected["maxBasal"], expected["dia"], bool(expected["tempType"]),
        expected["wizard"],
    )  # fmt: skip


def test_basal_pattern() -> None:
    found = payloads.read_basal_pattern(plain("ReadBasalPatternResponse"))
    expected = expected_of("ReadBasalPatternResponse")
    assert [{"start": each.start_min * 60_000, "rate": each.rate_u_h} for each in found.rates] == expected


def test_history_info() -> None:
    found, expected = (
        payloads.read_history_info(plain("ReadHistoryInfoResponse")),
        expected_of("ReadHistoryInfoResponse"),
    )
    assert found.data_type == 2
    assert found.size == expected["size"]
    for name in ("start", "end"):
        assert f"{wall(*getattr(found, name)).isoformat()}.000Z" == expected[name]


def test_characteristics() -> None:
    found = payloads.read_characteristics(plain("DeviceCharacteristicsResponse"))
    expected = expected_of("DeviceCharacteristicsResponse")
    assert (found.serial, found.mac, found.comd_version, found.teld_version, found.model_version) == tuple(
        expected[name] for name in ("serial", "mac", "comd", "teld", "model")
    )
    assert (found.ping_s, found.sync_s, found.max_message, found.device_class, found.class_version) == tuple(
        expected[name] for name in ("ping", "sync", "max", "cls", "clsv")
    )
    assert (found.firmware, found.motor, found.units) == (expected["fw"], expected["motor"], expected["units"])
    assert found.display_unit == "mmol/L"


def test_device_text() -> None:
    found, expected = payloads.read_device_text(plain("DeviceStringResponse")), expected_of("DeviceStringResponse")
    assert found == payloads.DeviceText(expected["type"], expected["lang"], expected["string"])


def test_settings_of_an_exchange_pump_are_in_grams() -> None:
    ratios = payloads.read_carb_ratios(bytes.fromhex(SETTINGS[0]["payload_hex"]))
    basic = payloads.read_basic_parameters(plain("BasicNgpParametersResponse"))
    found = current_settings([], "Pattern 1", ratios, [], [], basic, None)
    assert [row["g_u"] for row in found["carb_ratios"]] == [37.5, 13.636, 13.636, 13.636, 23.077, 30, 30]
