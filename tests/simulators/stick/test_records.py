"""The simulator's own encoders against captured records: equal to the byte, spare bits and ids apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

from bridge.simulators.stick import records
from tests.support import vectors

PAGES = vectors.rows("medtronic-stick", "history_pages.jsonl")
REQUESTOR = 0xE0


def _masked(raw: bytes, day_at: int, *, hour: bool) -> bytes:
    """Without who asked for it, and without the spare bits of the hour where a record has no use for them."""
    hours = bytes([raw[day_at - 1] & (0x1F if hour else 0xFF)])
    return raw[: day_at - 1] + hours + bytes([raw[day_at] & ~REQUESTOR]) + raw[day_at + 1 :]


def _bolus(new: bool, wall: datetime, f: dict[str, Any]) -> bytes:
    amounts = (f["programmed_u"], f["delivered_u"], f["duration_min"], f.get("iob_u", 0.0))
    return records.bolus(new, wall, f["subtype_code"], *amounts)


def _wizard(new: bool, wall: datetime, f: dict[str, Any]) -> bytes | None:
    if (f["bg_units"], f["carb_units"]) != ("mg/dL", "grams"):
        return None
    asked = records.Sum(
        f["carbs"], f["ratio"], f["isf"], f["target_low"], f["target_high"], f["food_u"], f["correction_u"],
        f["iob_u"], f["estimate_u"], f["bg"],
    )  # fmt: skip
    return records.wizard(new, wall, asked)


def _temp(new: bool, wall: datetime, f: dict[str, Any]) -> bytes | None:
    return records.temp_basal(wall, f["rate_u_h"], 0)[0] if f["kind"] == "absolute" else None


def _glucose(new: bool, wall: datetime, f: dict[str, Any]) -> bytes | None:
    return records.glucose_entered(wall, f["bg"], linked=False)[0] if f["units"] == "mg/dL" else None


def _meter(new: bool, wall: datetime, f: dict[str, Any]) -> bytes:
    return records.glucose_entered(wall, f["bg_raw"], linked=True)[1][:7] + bytes.fromhex(f["meter_id"])


MADE: dict[str, tuple[int, int, Callable[[bool, datetime, dict[str, Any]], bytes | None]]] = {
    "01": (7, 11, _bolus),
    "03": (8, 8, lambda new, wall, f: records.prime(wall, f["fixed_u"], f["delivered_u"])),
    "0a": (5, 5, _glucose),
    "0b": (6, 6, lambda new, wall, f: records.sensor_alarm(wall, f["alarm_code"], f["value_raw"])),
    "16": (5, 5, lambda new, wall, f: records.temp_basal(wall, 0, f["duration_min"])[1]),
    "1e": (5, 5, lambda new, wall, f: records.suspend(new, wall) if f["state"] == new else None),
    "1f": (5, 5, lambda new, wall, f: records.resume(new, wall) if f["prev_state"] == new else None),
    "33": (5, 5, _temp),
    "3f": (5, 5, _meter),
    "5b": (5, 5, _wizard),
    "7b": (
        5, 5, lambda new, wall, f: None if f["pattern"] else
        records.basal_start(wall, f["index"], f["start_min"], f["rate_u_h"]),
    ),
}  # fmt: skip


def _unlike(op: str, new: bool, raw: bytes, wall: datetime, fields: dict[str, Any]) -> bool | None:
    old_at, new_at, make = MADE[op]
    made = make(new, wall, fields)
    if made is None:
        return None
    at = new_at if new else old_at
    hour = op in ("03", "0b")
    return _masked(made, at, hour=hour) != _masked(raw, at, hour=hour)


def test_captured_records_are_what_we_would_write() -> None:
    seen: Counter[str] = Counter()
    unlike: Counter[str] = Counter()
    for page in PAGES:
        for each in page["records"]:
            if each["op"] not in MADE or not each["local_time"] or page["family"] < 15:
                continue
            wall = datetime.fromisoformat(each["local_time"])
            new = page["family"] >= 23
            told = _unlike(each["op"], new, bytes.fromhex(each["raw"]), wall, each["fields"])
            if told is not None:
                seen[each["op"]] += 1
                unlike[each["op"]] += told
    assert set(seen) == set(MADE)
    assert not +unlike


def test_day_totals_have_their_lengths_and_sums() -> None:
    for new, lengths in ((False, [7, 44]), (True, [10, 52])):
        made = records.day_total(new, datetime(2026, 3, 9), 18.5, 31.25, 140)  # noqa: DTZ001
        assert [len(each) for each in made] == lengths
        assert int.from_bytes(made[0][3:5], "big") == round(49.75 * 40)
        body = made[1][3:]
        assert int.from_bytes(body[8:10], "big") == int.from_bytes(body[10:12], "big") + int.from_bytes(
            body[13:15], "big"
        )


def test_doses_on_board() -> None:
    assert records.unabsorbed([]) == b"\x5c\x02"
    assert records.unabsorbed([(3.5, 31), (3.0, 241), (4.5, 451)]).hex() == "5c0b8c1f0478f104b4c314"
