"""Whole captures: what is and is not input, gaps, unknown bytes, first-seen times, status and settings."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest

from bridge.contracts import Memory
from bridge.errors import Malformed
from bridge.model import Capture, record_id, to_json
from bridge.readers.medtronic_stick.commands import read_answer
from bridge.readers.medtronic_stick.decode import decode, decode_page
from bridge.readers.medtronic_stick.model import pump_model
from bridge.readers.medtronic_stick.pages import read_page
from tests.readers.medtronic_stick.decode.payloads import (
    SERIAL,
    TOLD,
    bolus,
    capture,
    codes,
    keys,
    mark,
    of_kind,
    page,
    plain,
    read,
    scheduled,
    wall,
)
from tests.readers.medtronic_stick.decode.payloads import glucose_page as sensor_page

NOW: dict[str, Any] = {"now": "06-01 12:00"}


def told(**changed: Any) -> Capture:
    made = capture([page(bolus("06-01 08:00", 1))], **NOW)
    document = json.loads(made.body)
    document.update(changed)
    return replace(made, body=json.dumps(document).encode())


# --- what is input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"\xff" * 40, b"{}", b"[" * 100_000, b'{"model":"523"}', page(), b"\0" * 1023],
    ids=range(10),
)
def test_what_is_neither_a_read_nor_a_page_is_malformed(body: bytes) -> None:
    made = Capture("default", "medtronic-stick", "medtronic", datetime(2025, 6, 1, tzinfo=UTC), body)
    with pytest.raises(Malformed):
        decode(made, Memory())


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "770"}, {"model": "508"}, {"model": "511"}, {"model": 523}, {"model": None}, {"serial": ""},
        {"serial": "x" * 40}, {"serial": 5}, {"clock": "00"}, {"clock": None}, {"clock": "zz"},
        {"clock": "19000007e90d01"}, {"host_utc": "2025-06-01T12:00:00"}, {"host_utc": None},
        {"host_utc": "1999-06-01T12:00:00Z"}, {"history": []}, {"history": {"x": ""}}, {"history": {"-1": ""}},
        {"history": {"0": 5}}, {"history": {"0": "0"}}, {"history": {str(n): "" for n in range(65)}},
        {"answers": {"zz": ""}}, {"glucose": {"99999999999": ""}},
    ],
    ids=str,
)  # fmt: skip
def test_a_read_that_is_none_is_malformed(changed: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        decode(told(**changed), Memory())


def test_fields_that_a_later_version_adds_are_no_matter() -> None:
    assert len(decode(told(more=1, answers={"75": "00", "fe": "00"}), Memory()).records) == 1


@pytest.mark.parametrize("model", ["512", "715", "522", "722K", "523", "530", "540", "551", "754", "723NAS"])
def test_models(model: str) -> None:
    found = pump_model(model)
    assert found.family == int(model[1:3])
    assert found.new is (found.family >= 23)


def test_a_page_alone_needs_its_model_and_a_sound_checksum() -> None:
    now = datetime(2025, 6, 1, tzinfo=UTC)
    raw = page(bolus("06-01 08:00", 1))
    with pytest.raises(Malformed, match="model"):
        decode(Capture("default", "medtronic-stick", "medtronic", now, raw), Memory())
    with pytest.raises(Malformed, match="checksum"):
        decode_page(b"\x01" + raw[1:-1] + b"\0", "523", glucose=False, now=now)
    assert len(decode_page(raw, "523", glucose=False, now=now).records) == 1


def test_a_page_alone_that_begins_like_json() -> None:
    raw = page(scheduled("06-01 00:00", 0.8))
    assert raw.startswith(b"{")
    decoded = decode_page(raw, "523", glucose=False, now=datetime(2025, 6, 1, tzinfo=UTC))
    assert len(of_kind(decoded, "basal")) == 1


# --- pages ------------------------------------------------------------------------------------------


def test_pages_are_read_in_the_order_of_their_numbers() -> None:
    made = capture({10: page(bolus("06-01 06:00", 1)), 9: page(bolus("06-01 07:00", 2))}, **NOW)
    decoded = decode(made, Memory())
    assert [one.delivered_u for one in of_kind(decoded, "bolus")] == [1, 2]
    assert codes(decoded) == ["settings_incomplete"]


def test_a_gap_and_a_bad_page_are_told() -> None:
    bad = b"\x01" + page(bolus("06-01 07:00", 2))[1:-1] + b"\0"
    pages = {0: page(bolus("06-01 08:00", 3)), 1: bad, 2: page(bolus("06-01 06:00", 1))}
    decoded = decode(capture(pages, **NOW), Memory())
    assert [one.delivered_u for one in of_kind(decoded, "bolus")] == [1, 3]
    assert {"page_unreadable", "history_gap"} <= set(codes(decoded))
    assert not decoded.understood


def test_an_unknown_block_is_passed_over_and_kept_for_study() -> None:
    unknown = bytes.fromhex("ee010203040506070809")
    after = [plain(0x21, 0, f"06-01 0{hour}:00") for hour in (7, 8, 9)]
    decoded = read(bolus("06-01 06:00", 1), unknown, *after, bolus("06-01 10:00", 2), **NOW)
    assert [one.delivered_u for one in of_kind(decoded, "bolus")] == [1, 2]
    assert len(of_kind(decoded, "device_event")) == 3
    (block,) = [diagnostic for diagnostic in decoded.diagnostics if diagnostic.code == "unknown_block"]
    assert block.text == "History page 0, offset 13: ee010203040506070809"
    assert not decoded.understood


def test_records_begin_again_only_where_dates_fit() -> None:
    """What looks like records, but of other days, is no begin; a last record before the zero tail is one."""
    false = b"\xee" + plain(0x21, 0, "05-20 07:00") + plain(0x21, 0, "06-05 07:00")
    raw = page(bolus("06-01 06:00", 1), false, bolus("06-01 10:00", 2))
    found = read_page(raw, pump_model("523"), wall("06-01 12:00"))
    assert [record.opcode for record in found.records] == [1, 1]
    assert [block.offset for block in found.unknown] == [13]
    assert found.unknown[0].data == false
    nothing = read_page(page(bolus("06-01 06:00", 1), b"\xee" * 30), pump_model("523"))
    assert [(block.offset, len(block.data)) for block in nothing.unknown] == [(13, 30)]


def test_a_total_cut_off_at_the_end_of_a_page() -> None:
    detail = bytes([0x6E, 0xB1, 0x92, 5]) + bytes(7) + bytes.fromhex("009a0050") + bytes(7)
    filler = [plain(0x21, 0, "06-01 07:00")] * 143
    found = read_page(page(*filler, detail[:21]), pump_model("523"))
    assert found.records[-1].opcode == 0x6E
    assert found.unknown == ()
    shorter = read_page(page(*filler, b"\0" * 6 + b"\x6e" + b"\x01" * 14), pump_model("523"))
    assert len(shorter.unknown) == 1


def test_a_page_of_another_family_gives_nothing() -> None:
    raw = page(*[bolus(f"06-01 0{n}:00", 1.2, new=False) for n in range(9)])
    decoded = decode_page(raw, "523", glucose=False, now=datetime(2025, 6, 1, tzinfo=UTC))
    assert of_kind(decoded, "bolus") == []
    assert not decoded.understood


def test_a_record_that_the_model_refuses_harms_only_itself() -> None:
    decoded = read(plain(0x0A, 5, "06-01 08:00"), bolus("06-01 09:00", 1), **NOW)
    assert [record.kind for record in decoded.records] == ["bolus"]
    assert "record_refused" in codes(decoded)
    assert not decoded.understood


# --- identity ---------------------------------------------------------------------------------------


def test_ids_are_by_the_frozen_recipe() -> None:
    decoded = read(bolus("06-01 08:00", 1), **NOW)
    (one,) = decoded.records
    assert one.id == record_id("default", f"medtronic:{SERIAL}", "bolus", one.source_key)
    assert one.source_key == "01:" + sha256(bolus("06-01 08:00", 1)).hexdigest()[:16]
    assert (one.device.manufacturer, one.device.model, one.device.serial) == ("Medtronic", "523", SERIAL)


def test_a_capture_decodes_the_same_wherever_it_lies() -> None:
    made = capture([page(bolus("06-01 08:00", 1))], **NOW)
    moved = replace(made, feed="medtronic", taken_at=made.taken_at + timedelta(days=9))
    first, second = decode(made, Memory()), decode(moved, Memory())
    assert [to_json(record) for record in first.records] == [to_json(record) for record in second.records]


def test_a_row_seen_before_keeps_its_time() -> None:
    pages: dict[str, Any] = {"glucose": {3: sensor_page(b"\x32", mark("06-01 08:00"))}}
    records = (bolus("06-01 08:00", 1), scheduled("06-01 09:00", 0.8))
    first = decode(capture([page(*records)], ahead_s=-40, **pages, **NOW), Memory())
    memory = Memory(first.sightings, first.state)
    again = decode(capture([page(*records)], ahead_s=-55, **pages, **NOW), memory)
    assert len(first.sightings) == len(first.records) == 3
    kept = [record for record in again.records if record.kind != "pump_status"]
    assert [(r.id, r.time) for r in kept] == [(r.id, r.time) for r in first.records if r.kind != "pump_status"]
    assert again.sightings == {}


def test_only_rows_of_the_last_hours_are_remembered() -> None:
    decoded = read(bolus("05-20 08:00", 1), bolus("06-01 08:00", 1), **NOW)
    assert [sighting.time.day for sighting in decoded.sightings.values()] == [1]


def test_twins_get_numbers() -> None:
    sync = sensor_page(b"\x32", mark("06-01 08:00"), b"\x33", mark("06-01 08:00"))
    decoded = decode(capture(glucose={1: sync}, **NOW), Memory())
    found = keys(of_kind(decoded, "sensor_glucose"))
    assert sorted(found) == ["sensor_glucose:2025-06-01T08:00:0", "sensor_glucose:2025-06-01T08:00:0#2"]


def test_records_are_in_order_of_time() -> None:
    decoded = read(bolus("06-01 09:00", 1), bolus("06-01 08:00", 2), **NOW)
    assert [one.delivered_u for one in of_kind(decoded, "bolus")] == [2, 1]


def test_the_state_of_others_is_kept() -> None:
    state = {"io": {"x": 1}, "decoder": {"999999": {"clock": 5}}}
    decoded = read(bolus("06-01 08:00", 1), memory=Memory(state=state), **NOW)
    assert decoded.state["io"] == {"x": 1}
    assert decoded.state["decoder"].keys() == {"999999", SERIAL}
    json.dumps(decoded.state)


# --- the pump now ------------------------------------------------------------------------------------


def test_the_status() -> None:
    decoded = read(answers=TOLD, timezone="Europe/Berlin", offset_min=120, ahead_s=-40, **NOW)
    (one,) = of_kind(decoded, "pump_status")
    assert one.time == datetime(2025, 6, 1, 10, tzinfo=UTC)
    assert (one.device_time, one.pump_clock, one.utc_offset_min) == (wall("06-01 11:59:20"),) * 2 + (120,)
    assert (one.reservoir_u, one.battery_v, one.suspended, one.bolusing) == (80.875, 1.4, False, False)
    assert one.active_basal_u_h is None
    assert one.source_key == "status:2025-06-01T11:59:20"


@pytest.mark.parametrize(
    ("changed", "model", "active"),
    [
        ({"98": "000000370017"}, "523", 1.375), ({"98": "000000200000"}, "522", 0.8),
        ({"98": "019300000034"}, "523", None), ({"ce": "030001"}, "523", 0.0), ({"98": "00"}, "523", None),
    ],
)  # fmt: skip
def test_the_basal_now(changed: dict[str, str], model: str, active: float | None) -> None:
    answers = TOLD | {"73": "0546"} if model == "522" else TOLD
    (one,) = of_kind(read(answers=answers | changed, model=model, **NOW), "pump_status")
    assert one.active_basal_u_h == active


def settings(decoded: Any) -> list[Any]:
    return of_kind(decoded, "pump_settings")


def test_the_settings() -> None:
    (one,) = settings(read(answers=TOLD, **NOW))
    assert {name: [step.model_dump() for step in steps] for name, steps in one.basal_schedules.items()} == {
        "standard": [{"start_min": 0, "rate_u_h": 0.8}, {"start_min": 600, "rate_u_h": 1.0}]
    }
    assert one.active_schedule == "standard"
    assert [(step.start_min, step.g_u) for step in one.carb_ratios] == [(0, 10), (270, 12)]
    assert [(step.start_min, step.mgdl_u) for step in one.isf] == [(0, 50), (300, 60)]
    assert [(each.low_mgdl, each.high_mgdl) for each in one.targets] == [(100, 120)]
    assert (one.dia_min, one.max_bolus_u, one.max_basal_u_h, one.display_unit) == (240, 15, 3.5, "mg/dL")
    assert one.time == datetime(2025, 6, 1, 12, tzinfo=UTC)


def test_settings_of_mmol_and_exchanges() -> None:
    answers = TOLD | {"8b": "0200160000", "9f": "02002c43000000", "89": "02", "8a": "020800064000000000"}
    (one,) = settings(read(answers=answers, **NOW))
    assert [step.mgdl_u for step in one.isf] == [39.6]
    assert [(each.low_mgdl, each.high_mgdl) for each in one.targets] == [(79.3, 120.7)]
    assert [step.g_u for step in one.carb_ratios] == [9.4]
    assert one.display_unit == "mmol/L"


def test_settings_are_told_when_they_change() -> None:
    changed = TOLD | {"8b": "0100330000"}
    memory, found = Memory(), []
    for answers in (TOLD, TOLD, changed, {**TOLD, "92": ""}, TOLD, changed):
        decoded = read(answers=answers, memory=memory, **NOW)
        found.append([one.source_key.split(":")[1] for one in settings(decoded)])
        memory = Memory(state=decoded.state)
    assert found == [["1"], [], ["1"], [], ["2"], ["2"]]


def test_settings_without_a_part_that_was_told_before_are_no_change() -> None:
    first = read(answers=TOLD | {"93": "140000000000"}, **NOW)
    assert set(settings(first)[0].basal_schedules) == {"standard", "pattern a"}
    assert settings(read(answers=TOLD, memory=Memory(state=first.state), **NOW)) == []


def test_an_answer_that_cannot_be_read_is_told() -> None:
    decoded = read(answers=TOLD | {"73": "00"}, **NOW)
    assert "answer_unreadable" in codes(decoded)
    assert of_kind(decoded, "pump_status")[0].reservoir_u is None


@pytest.mark.parametrize(
    ("opcode", "payload"), [(0x70, "19000007e90601"), (0x74, "ff00"), (0x71, "c3a9c3a9c3a9"), (0x42, "")]
)
def test_answers_that_are_none(opcode: int, payload: str) -> None:
    with pytest.raises(Malformed):
        read_answer(opcode, bytes.fromhex(payload), pump_model("523"))
