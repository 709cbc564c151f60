"""What is a capture, what is refused, and what is kept between reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.contracts import Memory
from bridge.errors import Malformed
from bridge.model import Capture, record_id
from bridge.readers.medtronic_600.history import MOST_BYTES, read_payload
from bridge.readers.medtronic_600.payloads import read_basal_pattern, read_carb_ratios, read_time
from bridge.wire.crc import crc16
from tests.readers.medtronic_600.decode.builders import (
    HOST,
    SERIAL,
    START,
    after,
    blocks,
    blood,
    decoded,
    delivered,
    event,
    file,
    history,
    payload,
    programmed,
    segment,
    sensor,
    table_answer,
    time_answer,
    u16,
    visit,
)


def spoilt(**changes: Any) -> Capture:
    body = {**json.loads(visit().body), **changes}
    return Capture("default", "medtronic-600", f"medtronic:{SERIAL}", HOST, json.dumps(body).encode())


@pytest.mark.parametrize(
    "body",
    [b"", b"nothing", b"[]", b"{}", b"\x03", b"\x03\x0e", b"\x03\x0e\x02\0\0", b"[" * 100_000, b"\xff\xfe", b"1"],
)
def test_other_input_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed) as refused:
        decoded(file(body))
    assert refused.value.state == "malformed"
    assert SERIAL not in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"pump": None}, {"pump": ""}, {"pump": 5}, {"pump": "x" * 40}, {"host_utc": None}, {"host_utc": "yesterday"},
        {"host_utc": "2017-09-01T12:00:00"}, {"host_utc": 7}, {"answers": []}, {"answers": {"0407": "xx"}},
        {"answers": {"0407": 5}}, {"answers": {}}, {"answers": {"0407": "0104"}}, {"history": []},
        {"history": {"02": "00"}}, {"history": {"04": []}}, {"history": {"02": ["zz"]}}, {"history": {"02": [5]}},
    ],
)  # fmt: skip
def test_spoilt_captures_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        decoded(spoilt(**changes))


def test_a_damaged_history_is_left_out_and_the_rest_is_told() -> None:
    good, bad = history(blood(START, 100)), bytearray(history(sensor(START, (120, 0, 0, 0)), kind=3))
    bad[-8] ^= 0xFF
    found = decoded(spoilt(history={"02": [good.hex()], "03": [bytes(bad).hex()]}))
    assert [record.kind for record in found.records] == ["meter_glucose"]
    assert [line.code for line in found.diagnostics] == ["history/malformed-03"]
    assert found.health.state == "malformed"
    assert not found.understood
    with pytest.raises(Malformed):
        decoded(file(bytes(bad)))


def test_a_history_of_another_kind_is_damaged() -> None:
    found = decoded(spoilt(history={"02": [history(blood(START, 100), kind=3).hex()]}))
    assert [line.code for line in found.diagnostics] == ["history/malformed-02"]


# --- payloads ----------------------------------------------------------------------------------------


def test_sizes_are_checked() -> None:
    data = blocks([blood(START, 100)])[0]
    assert len(read_payload(payload(data)).blocks) == 1
    assert len(read_payload(payload(data, compressed=False)).blocks) == 1
    assert read_payload(payload(b"", compressed=False)).blocks == ()
    for size in (0, 2047, 4096, MOST_BYTES + 2048, 0xFFFFFFFF):
        with pytest.raises(Malformed):
            read_payload(payload(data, size=size))
    with pytest.raises(Malformed):
        read_payload(payload(data * 33))
    for broken in (payload(data) + b"\0", payload(data)[:-1], b"\x03\x0d" + payload(data)[2:], payload(data)[:11]):
        with pytest.raises(Malformed):
            read_payload(broken)


def test_a_size_that_is_too_small_is_seen() -> None:
    """The LZO library hands out more than was announced without a word."""
    data = b"".join(blocks([blood(START + n, 100) for n in range(120)]))
    assert len(data) == 4096
    with pytest.raises(Malformed):
        read_payload(payload(data, size=2048))


def test_bytes_behind_the_compressed_data_are_refused() -> None:
    packed = payload(blocks([blood(START, 100)])[0])
    longer = packed[:3] + (len(packed) - 12 + 3).to_bytes(4, "big") + packed[7:] + b"abc"
    with pytest.raises(Malformed):
        read_payload(longer)


def test_blocks_are_checked() -> None:
    data = bytearray(blocks([blood(START, 100)])[0])
    data[20] ^= 1
    with pytest.raises(Malformed):
        read_payload(payload(bytes(data)))
    full = bytearray(2048)
    full[0x7FC:0x7FE] = u16(2045)
    with pytest.raises(Malformed):
        read_payload(payload(bytes(full)))


@pytest.mark.parametrize(
    "used", [b"\x32\0\x0a" + bytes(20), b"\x32\0\xff" + bytes(20), b"\x32", b"\x32\0\x0b" + bytes(5)]
)
def test_an_impossible_event_spoils_its_block(used: bytes) -> None:
    page = used.ljust(0x7FC, b"\0") + u16(len(used))
    with pytest.raises(Malformed):
        list(read_payload(payload(page + u16(crc16(used)))).events())


def test_tables_have_their_own_check() -> None:
    good = table_answer(0x012C, [(100).to_bytes(4, "big") + bytes(5)])
    assert read_carb_ratios(good)[0].g_u == 10
    for bad in (good[:-1], good[:5], good[:8] + b"\1" + good[9:], table_answer(0x0132, [bytes(9)])):
        with pytest.raises(Malformed):
            read_carb_ratios(bad)
    with pytest.raises(Malformed):
        read_basal_pattern(b"\1\1\x23\1\2" + bytes(5))
    assert not read_time(time_answer(START, is_set=False)).is_set


# --- identity and memory -----------------------------------------------------------------------------


def test_identity() -> None:
    (record,) = decoded(visit(blood(START, 100))).records
    assert record.source_key == f"{START}:32"
    assert record.id == record_id("default", f"medtronic:{SERIAL}", "meter_glucose", record.source_key)
    assert (record.device.serial, record.device.model, record.device.manufacturer) == (
        SERIAL,
        "MMT-1712",
        "Medtronic",
    )


def test_a_file_gives_the_same_ids_where_it_names_its_pump() -> None:
    device = b"\0" + SERIAL[::-1].encode() + bytes(8) + b"2171-TMM" + b"\2\x09D"
    named = event(0x04, START, b"\1" + device)
    (live,) = decoded(visit(named, blood(START, 100))).records
    (filed,) = decoded(file(history(named, blood(START, 100)))).records
    assert (filed.id, filed.device) == (live.id, live.device)
    (nameless,) = decoded(file(history(blood(START, 100)))).records
    assert nameless.id == record_id("default", "medtronic", "meter_glucose", nameless.source_key)


def test_a_file_of_several_payloads() -> None:
    found = decoded(file(history(blood(START, 100)) + history(sensor(START, (120, 0, 0, 0)), kind=3)))
    assert [record.kind for record in found.records] == ["meter_glucose", "sensor_glucose"]


def test_the_state_of_others_stays() -> None:
    memory = Memory({}, {"NG7654321H": {"channel": 20}, "decoded": {"NG7654321H": {"auto": True}}})
    state = decoded(visit(blood(START, 100)), memory).state
    assert state["NG7654321H"] == {"channel": 20}
    assert state["decoded"]["NG7654321H"] == {"auto": True}
    assert SERIAL in state["decoded"]


@pytest.mark.parametrize(
    "kept",
    [
        None, 5, [], {SERIAL: 5}, {SERIAL: {"carried": 5}},
        {SERIAL: {"carried": {"tail": [5, "zz", "00", "32" * 5]}}},
        {SERIAL: {"settings": 5, "auto": "x"}}, {SERIAL: {"carried": {"tail": "32", "open": {}, "orphans": None}}},
    ],
)  # fmt: skip
def test_a_state_that_is_not_understood_is_forgotten(kept: Any) -> None:
    found = decoded(visit(blood(START, 100)), Memory({}, {"decoded": kept}))
    assert [record.kind for record in found.records] == ["meter_glucose"]


def test_the_state_is_small_json_and_bounded() -> None:
    day = [segment(START + n * 600, 0.5, n % 250) for n in range(1000)]
    state = decoded(visit(*day, rtc=START + 600_000)).state
    assert len(json.dumps(state)) < 40_000
    assert json.loads(json.dumps(state)) == state


def test_a_hole_in_the_history_is_not_measured_across() -> None:
    day = 86_400
    found = decoded(visit(segment(START, 0.5), segment(START + 3 * day, 0.6), rtc=START + 3 * day + 60))
    assert [getattr(record, "duration_min", 0) for record in found.records] == [None, None]


def test_history_older_than_the_last_read_changes_nothing_newer() -> None:
    day = 86_400
    newest = decoded(visit(segment(START, 0.5), programmed(START + 9, 1, 2), delivered(START + 99, 1, 2)))
    older = decoded(visit(segment(START - 5 * day, 0.7), rtc=START + 7300), after(newest))
    assert [record.source_key for record in older.records] == [f"{START - 5 * day}:1D"]
    assert older.state["decoded"][SERIAL]["carried"] == newest.state["decoded"][SERIAL]["carried"]
