"""From frames to records: kinds, units, marks, identity, whole and cut transfers."""

from __future__ import annotations

import os
from random import Random
from typing import Any

import pytest

from bridge.contracts import Decoded, Memory, Setup
from bridge.errors import Malformed
from bridge.model import Record
from bridge.model.capture import Capture
from bridge.model.health import State
from bridge.model.identity import record_id
from bridge.model.records import Carbs, Injection, Ketone, MeterGlucose
from bridge.readers.contour_usb import ContourUsbReader, log
from bridge.wire.abc import payload
from bridge.wire.astm import ENQ, EOT
from tests.readers.contour_usb.bench import NOON, capture, decoded, frames, header, shown
from tests.support.clock import FakeClock
from tests.support.vectors import rows

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
SESSIONS = {row["id"]: row["events"] for row in rows("ble-and-contour", "contour_hid_sessions.jsonl")}
READER = ContourUsbReader(Setup("p1", {}, FakeClock(NOON), Random(1)))


def _only(*lines: str, **about: Any) -> Record:
    (record,) = decoded(*lines, **about).records
    return record


def _glucose(*lines: str, **about: Any) -> MeterGlucose:
    record = _only(*lines, **about)
    assert isinstance(record, MeterGlucose)
    return record


def _file(body: bytes, **context: str) -> Decoded:
    return READER.decode(Capture("p1", "contour-usb", "contour", NOON, body, context), Memory())


def _codes(found: Decoded) -> list[str]:
    return sorted(each.code for each in found.diagnostics)


# --- kinds ---


def test_a_blood_test() -> None:
    record = _glucose("R|1|^^^Glucose|102|mg/dL^P||B/M0/T1||202603100701")
    assert (record.mgdl, record.meal, record.entry, record.control_solution) == (102, "before", "meter", False)
    assert record.time.isoformat() == "2026-03-10T06:01:00+00:00"
    assert record.device_time is not None
    assert (record.device_time.isoformat(), record.utc_offset_min) == ("2026-03-10T07:01:00", 60)
    assert record.annotations == ()
    assert record.raw == {"value": "102", "unit": "mg/dL", "method": "P", "markers": ["B", "M0", "T1"]}
    assert record.device.model_dump() == {
        "manufacturer": "Ascensia", "model": "Contour Next USB", "serial": "1000001", "family": "CONTOUR",
    }  # fmt: skip


def test_identity_is_the_devices_also_from_a_file() -> None:
    record = _glucose("R|1|^^^Glucose|102|mg/dL^P||B||20260310070130")
    assert record.source_key == "20260310070130:Glucose:102mg/dL"
    assert record.id == record_id("p1", "contour:1000001", "meter_glucose", record.source_key)
    body = log.written(frames(header(), "P|1", "R|9|^^^Glucose|102|mg/dL^P||B||20260310070130", "L|1||N"))
    assert [each.id for each in _file(body, timezone="Europe/Berlin").records] == [record.id]


def test_the_identity_of_the_vectors() -> None:
    for row in rows("mapping", "identity.jsonl"):
        if row["device_or_feed"].startswith("contour:"):
            stamp, analyte, value = row["source_key"].split(":")
            line = f"R|1|^^^{analyte}|{value.removesuffix('mg/dL')}|mg/dL^P||||{stamp}"
            head = header().replace("1000001", row["device_or_feed"].removeprefix("contour:"))
            late = NOON.replace(month=4)
            assert _glucose(line, head=head.replace("20260310", "20260410"), host=late).id == row["id"]


@pytest.mark.parametrize(("mmol", "mgdl"), [("7.9", 142), ("10.1", 182), ("5.5", 99), ("33.3", 600)])
def test_each_result_has_its_own_unit_whatever_the_header_says(mmol: str, mgdl: int) -> None:
    found = decoded(
        f"R|1|^^^Glucose|{mmol}|mmol/L^P||||202603100701", "R|2|^^^Glucose|142|mg/dL^P||||202603100702"
    ).records
    assert [record.mgdl for record in found if isinstance(record, MeterGlucose)] == [mgdl, 142]
    assert found[0].source_key == f"202603100701:Glucose:{mmol}mmol/L"
    assert found[0].raw is not None
    assert (found[0].raw["value"], found[0].raw["unit"]) == (mmol, "mmol/L")


@pytest.mark.parametrize(
    ("line", "mgdl", "value", "threshold"),
    [
        ("R|1|^^^Glucose|19|mg/dL^P||<||202603100701", 19, "low", 20),
        ("R|1|^^^Glucose|601|mg/dL^P||>||202603100701", 601, "high", 600),
        ("R|1|^^^Glucose|33.4|mmol/L^P||>||202603100701", 602, "high", 600),
        ("R|1|^^^Glucose|0.5|mmol/L^P||<||202603100701", 10, "low", 20),
    ],
)
def test_lo_and_hi_carry_the_meters_limit(line: str, mgdl: int, value: str, threshold: int) -> None:
    record = _glucose(line)
    assert record.mgdl == mgdl
    assert record.annotations == ({"code": "bg/out-of-range", "value": value, "threshold_mgdl": threshold},)


@pytest.mark.parametrize(
    ("said", "threshold"), [("19|mg/dL^P||<", 20), ("601|mg/dL^P||>", 600), ("33.4|mmol/L^P||>", 600)]
)
def test_without_limits_in_the_header_the_value_is_one_step_beyond(said: str, threshold: int) -> None:
    record = _glucose(f"R|1|^^^Glucose|{said}||202603100701", head=header().replace("U=0^V=20600", ""))
    assert record.annotations[0]["threshold_mgdl"] == threshold


def test_control_solution_is_kept_and_never_blood() -> None:
    assert _glucose("R|1|^^^Glucose|118|mg/dL^P||C/M0||202603100701").control_solution
    assert _glucose("O|1||||||||||Q", "R|1|^^^Glucose|118|mg/dL^P||||202603100701").control_solution


def _glucose_of(found: Decoded) -> list[MeterGlucose]:
    return [record for record in found.records if isinstance(record, MeterGlucose)]


@pytest.mark.parametrize(("mark", "meal"), [("B", "before"), ("A", "after"), ("F", "fasting"), ("X", None)])
def test_meal_marks(mark: str, meal: str | None) -> None:
    record = _glucose(f"R|1|^^^Glucose|118|mg/dL^P||{mark}/Z4/S/D||202603100701")
    assert record.meal == meal
    assert record.raw is not None
    assert record.raw["minutes_after_meal"] == 60
    assert {"stress", "dont_feel_right"} <= set(record.raw["tags"])


def test_carbs_in_grams() -> None:
    record = _only("R|13|^^^Carb|45|1^||||202603100831")
    assert isinstance(record, Carbs)
    assert (record.grams, record.source_key) == (45, "202603100831:Carb:45")


@pytest.mark.parametrize("unit", ["0", "2", "3"])
def test_points_and_choices_are_not_grams(unit: str) -> None:
    found = decoded(f"R|13|^^^Carb|4|{unit}^||||202603100831")
    assert not found.records
    assert _codes(found) == ["unmapped_result"]


@pytest.mark.parametrize(("unit", "action"), [("0", None), ("1", "rapid"), ("2", "long"), ("3", "mixed")])
def test_insulin_is_an_injection_never_a_bolus(unit: str, action: str | None) -> None:
    record = _only(f"R|12|^^^Insulin|85|{unit}^||||202603100831")
    assert isinstance(record, Injection)
    assert (record.dose_u, record.action, record.source_key) == (8.5, action, "202603100831:Insulin:85")


def test_ketone_is_never_glucose() -> None:
    record = _only("R|14|^^^Ketone|0.4|mmol/L^P||N||202603100831")
    assert isinstance(record, Ketone)
    assert record.mmol_l == 0.4
    assert not decoded("R|14|^^^Ketone|4|mg/dL^P||||202603100831").records


def test_an_unknown_analyte_is_kept_raw_and_told() -> None:
    found = decoded("R|1|^^^Lactate|90|mg/dL^P||||202603100831")
    assert (found.records, found.understood, _codes(found)) == ([], False, ["unmapped_result"])


def test_one_bad_line_harms_only_itself() -> None:
    found = decoded(
        "R|1|^^^Glucose|102|mg/dL^P||||202603100701", "R|2|^^^Glucose|HI|mg/dL^P||||202603100702",
        "R|3|^^^Glucose|5|mg/dL^P||||202603100703", "R|4|^^^Glucose|100|mg%^P||||202603100704", "Z|1",
        "R|5|^^^Glucose|103|mg/dL^P||||202603100705",
    )  # fmt: skip
    assert [record.mgdl for record in _glucose_of(found)] == [102, 103]
    assert not found.understood
    assert _codes(found) == ["refused_row", "refused_row", "refused_row", "unknown_line"]


def test_a_count_that_differs_is_told() -> None:
    found = decoded("R|1|^^^Glucose|102|mg/dL^P||||202603100701", head=header(count=2))
    assert _codes(found) == ["count_differs"]


def test_records_come_in_order_of_time() -> None:
    lines = [f"R|{n}|^^^Glucose|{100 + n}|mg/dL^P||||2026031007{n:02d}" for n in (5, 3, 9, 1)]
    times = [record.time for record in decoded(*lines).records]
    assert times == sorted(times)
    assert shown(decoded(*lines).records) == shown(decoded(*lines[::-1]).records)


# --- whole, cut, damaged ---


def test_a_transfer_without_its_end_gives_nothing() -> None:
    whole = frames(header(), "P|1", "R|1|^^^Glucose|102|mg/dL^P||||202603100701", "L|1||N")
    for kept in range(1, len(whole)):
        found = _file(log.written(whole[:kept]))
        assert (found.records, found.health.state) == ((), State.INCOMPLETE)
        assert found.health.text
    assert _file(log.written(whole)).records


def test_an_incomplete_transfer_changes_no_memory() -> None:
    memory = Memory(state={"1000001": {"clocks": [["drift", 70]], "rows": ["aaaaaaaa"]}, "other": {}})
    whole = capture("R|1|^^^Glucose|102|mg/dL^P||||202603100701")
    cut = Capture("p1", "contour-usb", "contour:1000001", NOON, whole.body[:-20], whole.context)
    assert READER.decode(cut, memory).state == memory.state


def test_an_end_that_says_it_was_broken_off_is_none() -> None:
    body = log.written(frames(header(), "P|1", "R|1|^^^Glucose|102|mg/dL^P||||202603100701", "L|1||E"))
    assert _file(body).health.state is State.INCOMPLETE


def test_a_missing_frame_is_no_whole_transfer() -> None:
    whole = frames(header(), "P|1", "R|1|^^^Glucose|102|mg/dL^P||||202603100701", "L|1||N")
    assert _file(log.written([*whole[:2], whole[3]])).health.state is State.INCOMPLETE


def test_a_record_over_two_frames_is_one() -> None:
    from bridge.wire.astm import Frame, build

    cut = [
        build(Frame(1, header())), build(Frame(2, "P|1")), build(Frame(3, "R|1|^^^Glucose|1", whole=False)),
        build(Frame(4, "02|mg/dL^P||||202603100701")), build(Frame(5, "L|1||N", last=True)),
    ]  # fmt: skip
    assert [record.mgdl for record in _glucose_of(_file(log.written(cut)))] == [102]


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"{}", b"<html><body>Sign in</body></html>", b"\xff\xfe\x00", b"PK\x03\x04" + bytes(100), b"\x02",
     b"<STX>", b"<STX>1P|1<CR><ETB>52<CR><LF>", b"Index;Date;Time\n1;2026/01/01;10:00:00\n", b"\x02" * 50_000,
     b"<STX>" * 20_000, b"<STX>1H<CR><ETB>" * 3_000],
    ids=lambda body: repr(body[:12]),
)  # fmt: skip
def test_foreign_bytes_are_malformed(body: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        _file(body)
    assert caught.value.message


def test_an_unreadable_context_is_malformed() -> None:
    for name, value in (("timezone", "Mars/Olympus"), ("timezone", "../etc"), ("host_clock", "noon")):
        with pytest.raises(Malformed):
            _file(capture().body, **{name: value})


# --- files ---


def test_raw_bytes_and_the_text_log_say_the_same() -> None:
    whole = frames(header(), "P|1", "R|1|^^^Glucose|19|mg/dL^P||</F/I||202603100701", "L|1||N")
    text, raw = log.written(whole), b"".join(whole)
    greeting = EOT + whole[0] + ENQ + raw + EOT
    expected = shown(_file(text).records)
    assert expected
    assert [shown(_file(body).records) for body in (raw, greeting, text.replace(b"\n", b"\r\n"))] == [expected] * 3


def test_a_log_is_for_people_and_comes_back_exactly() -> None:
    whole = frames(r"H|\^&||x|Bayer7410^1^7428-1", "R|1|</F<STX>ÿ\x00", "L|1||N")
    text = log.written(whole)
    assert text.isascii()
    assert text.splitlines()[2] == b"<STX>3L|1||N<CR><ETX>82<CR><LF>"
    assert log.read(text) == whole


def test_without_a_host_clock_the_meter_is_believed_and_it_is_said() -> None:
    found = decoded("R|1|^^^Glucose|102|mg/dL^P||||202603100701", host=None)
    assert [record.annotations for record in found.records] == [()]
    assert _codes(found) == ["clock_unchecked"]


def _session(name: str) -> bytes:
    return b"".join(payload(bytes.fromhex(each["report_hex"])) for each in SESSIONS[name] if each["dir"] == "in")


def test_the_recorded_sessions_as_files() -> None:
    plain, repeated = _file(_session("read-all")), _file(_session("read-all-nak-once"))
    assert shown(plain.records) == shown(repeated.records)
    assert "frames_repeated" in _codes(repeated)
    assert "frames_repeated" not in _codes(plain)
    low, high = _glucose_of(plain)
    assert (low.mgdl, high.mgdl, high.meal) == (102, 601, "after")
    assert high.annotations[0]["threshold_mgdl"] == 600
    (insulin,) = [record for record in plain.records if isinstance(record, Injection)]
    assert (insulin.dose_u, insulin.action) == (8.5, "rapid")
    empty = _file(_session("empty-meter"))
    assert (empty.records, empty.health.state) == ([], State.OK)
    for name in ("clock-read", "clock-write"):
        assert _file(_session(name)).health.state is State.INCOMPLETE
    assert set(SESSIONS) == {"read-all", "read-all-nak-once", "clock-read", "clock-write", "empty-meter"}


@pytest.mark.proof
def test_mutated_captures_give_records_or_typed_errors_only() -> None:
    seed = 20260312
    print(f"seed {seed}")
    random = Random(seed)
    lines = [f"R|{n}|^^^Glucose|{100 + n}|mg/dL^P||B/M0||2026031007{n:02d}" for n in range(2)]
    whole = frames(header(2), "P|1", *lines, "R|3|^^^Insulin|85|1^||||202603100831", "L|1||N")
    bodies = [log.written(whole), b"".join(whole)]
    read = refused = cut = 0
    for _ in range(250_000 if LONG else 20_000):
        body = bytearray(random.choice(bodies))
        for _ in range(random.randint(0, 3)):
            body[random.randrange(len(body))] = random.choice(b"\x02\x03\x04\x05\x15\x17\r\n<>|0159ABN^\xff\x00")
        if random.random() < 0.1:
            del body[random.randrange(len(body)) :]
        try:
            found = _file(bytes(body))
        except Malformed:
            refused += 1
            continue
        read += bool(found.records)
        cut += found.health.state is State.INCOMPLETE
        assert not (found.records and found.health.state is State.INCOMPLETE)
    assert min(read, refused, cut) > 500
