"""Records of another program made from the same history: where they agree with ours, and where not, and why.

What differs on purpose:
- a suspension is one record; the other program splits it where the schedule would have changed under it;
- a temp of 0 % is one record; the other program splits it at a schedule entry although the rate stays 0;
- the last segment is open here, there it has length 0;
- a rewind is told as `rewind` and `reservoir_change`, a filled cannula as `prime` and `site_change`;
- carbohydrates are in g here (15 g an exchange) and the ratio in g/U;
- negative corrections are read unsigned there;
- estimates that came to no bolus are kept here;
- a suspension is a basal segment; the status event made of it belongs to the destination.
"""

from __future__ import annotations

from typing import Any

from bridge.contracts import Decoded
from bridge.model import iso_ms
from tests.readers.medtronic_600.decode.builders import decoded, file, of_kind
from tests.support import vectors

THEIRS = vectors.rows("medtronic-600", "history_pump_records_tidepool.jsonl")
PUMP = vectors.document("medtronic-600", "history_pump.json")
DELIVERY = {"suspend": "suspended", "temp": "temporary", "scheduled": "scheduled"}
MINUTE_MS = 60_000
SPLIT_SUSPENSION = {"2017-08-21T18:58:07.000Z": 113_000, "2017-08-21T19:00:00.000Z": 28_000}
SPLIT_ZERO_TEMP = {"2017-08-11T16:42:59.000Z": 1_021_000, "2017-08-11T17:00:00.000Z": 779_000}
LAST = "2017-08-24T05:00:00.000Z"


def ours() -> Decoded:
    return decoded(file(b"".join(bytes.fromhex(text) for text in PUMP["payloads_hex"])))


def theirs(kind: str, sub: str | None = None) -> list[dict[str, Any]]:
    return [row for row in THEIRS if row["type"] == kind and (sub is None or row.get("subType") == sub)]


def test_every_row_is_compared_below() -> None:
    compared = [
        *theirs("basal"), *theirs("bolus"), *theirs("wizard"), *theirs("smbg"), *theirs("deviceEvent", "status"),
        *theirs("deviceEvent", "prime"), *theirs("deviceEvent", "reservoirChange"),
    ]  # fmt: skip
    assert len(compared) == len(THEIRS) == 887


def test_wall_clock_device_and_offset() -> None:
    found = ours()
    known = {(iso_ms(record.time), record.device_time.isoformat()) for record in found.records if record.device_time}
    split = {*SPLIT_SUSPENSION, *SPLIT_ZERO_TEMP}
    for row in THEIRS:
        if row["time"] not in split:
            assert (row["time"], row["deviceTime"]) in known
        assert row["timezoneOffset"] == 120
        assert row["deviceId"] == "MMT-1712:NG1234567H"
    assert {record.utc_offset_min for record in found.records} == {120}
    assert {(record.device.model, record.device.serial) for record in found.records} == {("MMT-1712", "NG1234567H")}


def test_basal() -> None:
    expected = {
        (row["time"], DELIVERY[row["deliveryType"]]): (round(row.get("rate") or 0, 3), row["duration"])
        for row in theirs("basal")
    }
    for split, delivery in ((SPLIT_SUSPENSION, "suspended"), (SPLIT_ZERO_TEMP, "temporary")):
        first, *others = sorted(split)
        assert {at: expected.pop((at, delivery))[1] for at in (first, *others)} == split
        expected[first, delivery] = 0.0, sum(split.values())
    assert expected.pop((LAST, "scheduled")) == (0.35, 0)
    found = {
        (iso_ms(record.time), record.delivery): (record.rate_u_h, record.duration_min)
        for record in of_kind(ours(), "basal")
    }
    assert found.pop((LAST, "scheduled")) == (0.35, None)
    assert found.keys() == expected.keys()
    for key, (rate, minutes) in found.items():
        assert (rate, round(minutes * MINUTE_MS)) == expected[key]


def test_basal_names_and_percents() -> None:
    found = {iso_ms(record.time): record for record in of_kind(ours(), "basal")}
    for row in theirs("basal"):
        record = found.get(row["time"])
        if record is None:
            assert row["time"] in {*SPLIT_SUSPENSION, *SPLIT_ZERO_TEMP}
        elif row["deliveryType"] == "scheduled":
            assert record.schedule == row["scheduleName"]
        elif row["deliveryType"] == "temp":
            assert record.percent == round(row["percent"] * 100)


def test_boluses() -> None:
    boluses = [*theirs("bolus"), *(row["bolus"] for row in theirs("wizard"))]
    expected = {row["time"]: (row["normal"], row.get("expectedNormal", row["normal"])) for row in boluses}
    found = {iso_ms(record.time): (record.delivered_u, record.programmed_u) for record in of_kind(ours(), "bolus")}
    assert found == expected
    assert all(record.completed and record.shape == "normal" for record in of_kind(ours(), "bolus"))


def test_calculations() -> None:
    found = ours()
    boluses = {record.id: record for record in of_kind(found, "bolus")}
    calculations = {iso_ms(record.time): record for record in of_kind(found, "bolus_calculation")}
    for row in theirs("wizard"):
        record = calculations[row["time"]]
        assert iso_ms(boluses[record.bolus_id].time) == row["bolus"]["time"]
        assert boluses[record.bolus_id].calculation_id == record.id
        assert record.bg_mgdl == row.get("bgInput")
        assert record.carb_exchanges == row["carbInput"]
        assert record.carbs_g == 15 * row["carbInput"]
        assert record.carb_ratio_g_u == round(15 / row["insulinCarbRatio"], 3)
        assert record.iob_u == row["insulinOnBoard"]
        assert record.isf_mgdl_u == row["insulinSensitivity"]
        target = record.target_low_mgdl, record.target_high_mgdl
        assert target == (row["bgTarget"]["low"], row["bgTarget"]["high"])
        assert record.recommended_carb_u == row["recommended"]["carb"]
        assert record.recommended_net_u == row["recommended"]["net"]
        if record.recommended_correction_u >= 0:
            assert record.recommended_correction_u == row["recommended"]["correction"]
    assert len([record for record in calculations.values() if record.bolus_id is None]) == 165 - 159
    assert len([record for record in calculations.values() if record.recommended_correction_u < 0]) >= 6


def test_meter_values() -> None:
    expected = [
        (row["time"], row["value"], row["subType"], row["payload"].get("meterSerial")) for row in theirs("smbg")
    ]
    found = [
        (iso_ms(record.time), record.mgdl, record.entry, record.raw.get("meter"))
        for record in of_kind(ours(), "meter_glucose")
    ]
    assert sorted(found, key=str) == sorted(expected, key=str)


def test_primes_and_reservoirs() -> None:
    events = of_kind(ours(), "device_event")
    primes = [(iso_ms(each.time), each.target, each.volume_u) for each in events if each.event == "prime"]
    assert sorted(primes) == sorted(
        (row["time"], row["primeTarget"], round(row["volume"], 3)) for row in theirs("deviceEvent", "prime")
    )
    expected = sorted(row["time"] for row in theirs("deviceEvent", "reservoirChange"))
    for name in ("rewind", "reservoir_change"):
        assert sorted(iso_ms(each.time) for each in events if each.event == name) == expected
    sites = [iso_ms(each.time) for each in events if each.event == "site_change"]
    assert sorted(sites) == sorted(time for time, target, _ in primes if target == "cannula")


def test_suspensions() -> None:
    causes = {"Set change suspend": "user", "User suspend": "user", "Alarm suspend": "alarm"}
    suspended = [record for record in of_kind(ours(), "basal") if record.delivery == "suspended"]
    found = [(iso_ms(each.time), round(each.duration_min * MINUTE_MS), each.suspend_reason) for each in suspended]
    expected = [
        (row["time"], row["duration"], causes[row["payload"]["suspended"]["cause"]])
        for row in theirs("deviceEvent", "status")
    ]
    assert sorted(found) == sorted(expected)
