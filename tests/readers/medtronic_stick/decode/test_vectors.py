"""Every row of the shared vectors, values equal."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from bridge.contracts import Decoded, Memory
from bridge.errors import Malformed
from bridge.readers.medtronic_stick import commands, fields_events, fields_insulin, fields_setup, glucose
from bridge.readers.medtronic_stick.commands import read_answer
from bridge.readers.medtronic_stick.dates import date2, date4, date5
from bridge.readers.medtronic_stick.decode import decode
from bridge.readers.medtronic_stick.glucose import checked_isig, glucose_record, isig_word, read_glucose_page
from bridge.readers.medtronic_stick.model import pump_model
from bridge.readers.medtronic_stick.opcodes import opcodes
from bridge.readers.medtronic_stick.pages import RawRecord, read_page, record_at
from bridge.wire.crc import crc16
from tests.readers.medtronic_stick.decode.payloads import capture, of_kind
from tests.support import vectors

FOLDER = "medtronic-stick"
PAGES = vectors.rows(FOLDER, "history_pages.jsonl")
COMMANDS = vectors.rows(FOLDER, "commands.jsonl")
GLUCOSE_RECORDS = vectors.rows(FOLDER, "glucose_records.jsonl")
GLUCOSE_PAGES = vectors.rows(FOLDER, "glucose_pages.jsonl")
DATES = [row for row in vectors.rows(FOLDER, "codec.jsonl") if row["kind"].startswith("date")]


def ids(rows: list[Any]) -> list[str]:
    return [row["id"] for row in rows]


# --- history ---------------------------------------------------------------------------------------


def half(setup: fields_setup.WizardHalf) -> dict[str, Any]:
    return {
        "bg_units": "mmol/L" if setup.mmol else "mg/dL",
        "carb_units": "exchanges" if setup.exchanges else "grams",
        "ratios": [{"start_min": step.start_min, "value": step.value} for step in setup.ratios],
        "sensitivities": [{"start_min": step.start_min, "value": step.value} for step in setup.sensitivities],
        "targets": [{"start_min": each.start_min, "low": each.low, "high": each.high} for each in setup.targets],
    }


def told(fields: Any) -> dict[str, Any]:  # noqa: C901 - one case a kind of record
    """A record's fields under the vectors' names."""
    match fields:
        case None:
            return {}
        case fields_insulin.BolusFields():
            said = {**fields._asdict(), "subtype_code": fields.subtype}
            del said["subtype"]
            return {name: value for name, value in said.items() if value is not None}
        case fields_insulin.WizardFields():
            said = fields._asdict()
            units = "mmol/L" if said.pop("mmol") else "mg/dL", "exchanges" if said.pop("exchanges") else "grams"
            return {**said, "bg_units": units[0], "carb_units": units[1]}
        case fields_insulin.Unabsorbed():
            return {"doses": [{"u": dose.units, "age_min": dose.age_min} for dose in fields.doses]}
        case fields_insulin.TempRate(rate_u_h=None):
            return {"kind": "percent", "percent": fields.percent}
        case fields_insulin.TempRate():
            return {"kind": "absolute", "rate_u_h": fields.rate_u_h}
        case fields_insulin.ProfileChange():
            steps = [{"start_min": step.start_min, "rate": step.rate_u_h} for step in fields.steps]
            return {"pattern": fields.pattern, "schedule": steps}
        case fields_insulin.ScheduledStart():
            said = fields._asdict()
            return {"index": said.pop("number"), **said}
        case fields_insulin.PatternChange():
            return {"old_pattern": fields.old, "new_pattern": fields.new}
        case fields_insulin.PrimeFields():
            return {**fields._asdict(), "kind": fields.target}
        case fields_events.AlarmFields():
            return {"alarm_code": fields.code, "line": fields.line, "module": fields.module}
        case fields_events.SensorAlarm():
            return {"alarm_code": fields.code, "value_raw": fields.value}
        case fields_events.ClearedAlarm():
            return {"alarm_code": fields.code}
        case fields_events.BgFields():
            return {"bg": fields.bg, "units": "mmol/L" if fields.mmol else "mg/dL"}
        case fields_events.Delivery():
            return {"state": fields.state, "prev_state": fields.before}
        case fields_events.BatteryFields():
            return {"battery_inserted": fields.inserted}
        case fields_events.Meal():
            return {"carbs": fields.carbs, "units": "exchanges" if fields.exchanges else "grams"}
        case fields_events.DayDetail():
            said = {"total_u": fields.total_u, "basal_u": fields.basal_u, "bolus_u": fields.bolus_u}
            return said | (fields.parts._asdict() if fields.parts else {})
        case fields_setup.WizardSetup():
            hours = {"dia_before_h": fields.dia_before_h or 15, "dia_after_h": fields.dia_after_h or 15}
            return {"before": half(fields.before), "after": half(fields.after), **hours}
    return dict(fields._asdict())


SETTINGS_NAMES = {0x24: "max_bolus_u", 0x2C: "max_basal_u_h"}


def fields_of(record: RawRecord) -> dict[str, Any]:
    if record.opcode in SETTINGS_NAMES:
        assert isinstance(record.fields, fields_setup.Limit)
        return {SETTINGS_NAMES[record.opcode]: record.fields.value}
    if record.opcode in (0x62, 0x64):
        assert isinstance(record.fields, fields_setup.Switch)
        on = record.fields.on
        return {"kind": "percent" if on else "absolute"} if record.opcode == 0x62 else {"hour24": on}
    return told(record.fields)


@pytest.mark.parametrize("row", PAGES, ids=ids(PAGES))
def test_every_record_of_every_history_page(row: Any) -> None:
    model = pump_model(row["model"])
    assert model.family == row["family"]
    page = read_page(bytes.fromhex(row["page_hex"]), model)
    assert (page.unknown, page.badly_dated) == ((), 0)
    assert len(page.records) == row["record_count"]
    for record, expected in zip(page.records, row["records"], strict=True):
        assert (record.offset, f"{record.opcode:02x}") == (expected["offset"], expected["op"])
        assert record.data.hex() == expected["raw"]
        assert (record.wall.isoformat() if record.wall else None) == expected["local_time"]
        assert record.requestor == expected.get("requestor")
        assert fields_of(record) == expected["fields"], expected


@pytest.mark.parametrize("row", DATES, ids=ids(DATES))
def test_dates(row: Any) -> None:
    found = {"date5": date5, "date4": date4, "date2": date2}[row["kind"]](bytes.fromhex(row["data"]))
    assert found is not None
    assert found.isoformat()[: len(row["expected"])] == row["expected"]


# --- single commands -------------------------------------------------------------------------------


def schedule(steps: Any) -> list[list[float]]:
    return [list(step) for step in steps]


def answered(answer: Any) -> dict[str, Any]:
    """An answer's values under the vectors' names."""
    match answer:
        case commands.Clock():
            return {"clock": answer.wall.isoformat()}
        case commands.Firmware():
            return {"firmware": answer.version}
        case commands.HistoryCounter():
            return {"counter": answer.counter, "pages": answer.pages}
        case commands.TempBasal(percent=None):
            return {"kind": "absolute", "rate_u_h": answer.rate_u_h, "remaining_min": answer.remaining_min}
        case commands.TempBasal():
            return {"kind": "percent", "percent": answer.percent, "remaining_min": answer.remaining_min}
        case commands.CarbRatios():
            return {"units": "exchanges" if answer.exchanges else "grams", "schedule": schedule(answer.schedule)}
        case commands.Sensitivities() | commands.Targets():
            return {"units": "mmol/L" if answer.mmol else "mg/dL", "schedule": schedule(answer.schedule)}
        case commands.Profile():
            return {"schedule": schedule(answer.schedule)}
        case commands.Settings():
            return {
                "auto_off_h": answer.auto_off_h,
                "max_bolus": answer.max_bolus_u,
                "max_basal": answer.max_basal_u_h,
                "pattern": answer.pattern,
                "dia_h": answer.dia_h,
                "rf_enabled": answer.rf_enabled,
                "insulin_type": {6: "fast", 8: "regular"}.get(answer.dia_h or 0),
            }
    return dict(answer._asdict())


@pytest.mark.parametrize("row", COMMANDS, ids=ids(COMMANDS))
@pytest.mark.parametrize("padded", [False, True])
def test_every_command(row: Any, padded: bool) -> None:
    payload = bytes.fromhex(row["payload_hex"])
    answer = read_answer(
        int(row["op"], 16), payload.ljust(64, b"\0") if padded else payload, pump_model(row["model"])
    )
    found = answered(answer)
    assert {name: found[name] for name in row["expected"]} == row["expected"]


# --- glucose ---------------------------------------------------------------------------------------

NAMES = {
    glucose.BATTERY: "battery_change", glucose.METER_VALUE: "cal_bg", glucose.CLOCK_CHANGE: "date_time_change",
    glucose.CAL_FACTOR: "cal_factor", glucose.SENSOR_CAL: "sensor_cal", glucose.ABOVE: "high", glucose.BELOW: "low",
    glucose.SENSOR_ERROR: "sensor_error", glucose.PACKET: "sensor_packet", glucose.SENSOR_STATUS: "sensor_status",
    glucose.SYNC: "sensor_sync", glucose.TIMESTAMP: "timestamp", glucose.SPECIAL: "special_event_10",
}  # fmt: skip
SUBS = {
    "sensor_cal": ["meter_bg_now", "waiting", "cal_error"], "sensor_error": ["", "end"],
    "sensor_packet": ["", "", "init"], "sensor_status": ["off", "on", "lost"],
    "sensor_sync": ["find", "new", "old", "find"], "timestamp": ["last_rf", "page_end", "gap"],
}  # fmt: skip


@pytest.mark.parametrize("row", GLUCOSE_RECORDS, ids=ids(GLUCOSE_RECORDS))
def test_every_glucose_record(row: Any) -> None:
    raw, expected = bytes.fromhex(row["raw"]), row["expected"]
    record = glucose_record(raw)
    assert record is not None
    assert record.known
    assert record.data == raw
    name = NAMES.get(record.opcode, "sgv")
    found: dict[str, Any] = {"name": name}
    if record.wall:
        found["local_time"] = record.wall.isoformat()
    if "sub" in expected:
        found["sub"] = SUBS[name][record.sub]
    if name == "cal_bg":
        found["bg"] = record.meter_mgdl
    if name == "cal_factor":
        found["factor"] = record.factor
    if name == "sgv":
        found["sgv_x22"] = 2 * record.opcode
    if name in ("low", "high"):
        found["sgv"] = 40 if name == "low" else 400
    assert found == expected


def page_of(row: Any) -> bytes:
    if "glucose_hex" in row:
        return bytes.fromhex(row["glucose_hex"])
    return bytes.fromhex(row["tail_hex"]).rjust(row["left_pad_to"], b"\0")


WITH_TRUTH = [row for row in GLUCOSE_PAGES if "isig_hex" in row]
TINY = [row for row in GLUCOSE_PAGES if "tail_hex" in row]
assert len(WITH_TRUTH) + len(TINY) == len(GLUCOSE_PAGES)


@pytest.mark.parametrize("row", WITH_TRUTH, ids=ids(WITH_TRUTH))
def test_glucose_pages_equal_the_vendors_export(row: Any) -> None:
    records = read_glucose_page(page_of(row))
    assert len(records) == row["event_count"]
    decoded = decode_with_isig(row)
    found = [[r.device_time.isoformat(), r.mgdl, r.isig_na] for r in of_kind(decoded, "sensor_glucose")]
    if row["expected"]:
        assert found == row["expected"]
    else:
        assert found
    assert len({record.source_key for record in decoded.records}) == len(decoded.records)


def decode_with_isig(row: Any) -> Decoded:
    number = row["page"]
    pages: dict[str, Any] = {"glucose": {number: page_of(row)}, "isig": {number: bytes.fromhex(row["isig_hex"])}}
    return decode(capture(now="2014-06-01 12:00", model=row["model"], **pages), Memory())


@pytest.mark.parametrize("row", TINY, ids=ids(TINY))
def test_anchors_of_tiny_pages(row: Any) -> None:
    records, expected = read_glucose_page(page_of(row)), row["expected"]
    newest = glucose.newest_time(records)
    if "events" in expected:
        assert len(records) == expected["events"]
        assert not records[-1].known
    if "needs_timestamp" in expected:
        assert (newest is None) == expected["needs_timestamp"]
    if "newest" in expected:
        assert newest == datetime.fromisoformat(expected["newest"])


def test_isig_words_of_a_page() -> None:
    row = WITH_TRUTH[0]
    page = checked_isig(bytes.fromhex(row["isig_hex"]))
    assert isig_word(page, 0) == int.from_bytes(page[:2], "little")
    with pytest.raises(Malformed):
        checked_isig(page[:-1])
    with pytest.raises(Malformed):
        checked_isig(b"\x01" + page[1:])


# --- single records --------------------------------------------------------------------------------

RECORDS = {row["id"]: row for row in vectors.rows(FOLDER, "records.jsonl")}
MODELS = {12: "512", 15: "515", 22: "522", 23: "523", 51: "551", 54: "554"}
GROUPS = {"rec-002", "rec-006", "rec-007"}
"""Groups of records: what they become is tested with boluses and basals."""


def one(row: Any) -> RawRecord:
    (raw,) = row["raw"]
    record = record_at(bytes.fromhex(raw), 0, opcodes(pump_model(MODELS[row["family"]])))
    assert record is not None
    assert record.data.hex() == raw
    return record


@pytest.mark.parametrize("name", sorted(RECORDS.keys() - GROUPS))
def test_every_single_record(name: str) -> None:
    row = RECORDS[name]
    record = one(row)
    found = {**fields_of(record), "local_time": record.wall.isoformat() if record.wall else None}
    if record.wall:
        found["day"] = record.wall.date().isoformat()
    if "doses" in found:
        found["doses"] = [[dose["u"], dose["age_min"]] for dose in found["doses"]]
    assert {field: found[field] for field in row["expected"]} == row["expected"]


def test_no_record_vector_is_forgotten() -> None:
    assert RECORDS.keys() >= GROUPS
    assert len(RECORDS) == 17
    assert crc16(bytes.fromhex("02060603")) == 0x41CD
