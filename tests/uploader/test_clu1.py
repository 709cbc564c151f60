"""Contract clu-1: bytes, digests and keys."""

from __future__ import annotations

import gzip
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest

from bridge.contracts import DeviceRef, Interval, Snapshot, Trigger, UploadRequest
from bridge.errors import Incompatible, Refused
from bridge.model.capture import Capture
from bridge.model.records import (
    Basal,
    Bolus,
    BolusCalculation,
    DeviceEvent,
    Ketone,
    MeterGlucose,
    PumpSettings,
    PumpStatus,
    SensorGlucose,
    from_json,
)
from bridge.simulators.patient import fixed
from bridge.uploader import clu1
from bridge.uploader.kinds import wire_name
from tests.support.vectors import document
from tests.uploader.facts import NOW, glucose, made, request

EXAMPLE = document("carelink-upload", "contract_examples.json")
LIMITS = clu1.Limits()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def example_parts() -> list[clu1.Part]:
    bodies = (bytes(range(256)) * 4, EXAMPLE["part_1_text"].encode())
    return [
        clu1.Part(n, entry["name"], entry["media_type"], entry["encoding"], body, sha256(body).hexdigest())
        for n, (entry, body) in enumerate(zip(EXAMPLE["manifest"]["parts"], bodies, strict=True))
    ]


def test_parts_of_the_example_have_its_sizes_and_digests() -> None:
    assert [part.entry() for part in example_parts()] == EXAMPLE["manifest"]["parts"]
    assert [clu1.content_digest(part) for part in example_parts()] == EXAMPLE["content_digest_headers"]


def test_digest_input_digest_and_key_of_the_example() -> None:
    assert clu1.digest_input(example_parts()).decode() == EXAMPLE["manifest_digest_input"]
    assert clu1.digest_input(reversed(example_parts())).decode() == EXAMPLE["manifest_digest_input"]
    assert sha256(clu1.digest_input(example_parts())).hexdigest() == EXAMPLE["manifest"]["sha256"]
    assert clu1.idempotency_key(EXAMPLE["manifest"]) == EXAMPLE["idempotency_key"]


def test_the_whole_manifest_of_the_example() -> None:
    """Everything but the reader's name and version, which are ours, comes out as the example has it."""
    want = EXAMPLE["manifest"]
    window = Interval(at(want["window"]["start"]), at(want["window"]["end"]))
    asked = UploadRequest("r", "p", DeviceRef(**want["device"]), Trigger.MANUAL, window, at(want["captured_at"]))
    ahead = fixed(0, drift_s_day=0)
    records = [
        made(SensorGlucose, "a", at("2025-01-31T14:50:01Z"), ahead, mgdl=121),
        made(SensorGlucose, "b", at("2025-01-31T14:55:03Z"), ahead, mgdl=124),
        made(Bolus, "c", at("2025-01-31T18:06:00Z"), ahead, delivered_u=4.5).model_copy(
            update={"device_time": at("2025-01-31T18:06:02")}
        ),
    ]
    got = clu1.manifest("household-a", asked, Snapshot(records), example_parts())
    assert {**got, "reader": want["reader"]} == want


def test_gzip_is_the_same_whenever_and_wherever() -> None:
    plain = b"glucose " * 5000
    packed = clu1.gzipped(plain)
    assert gzip.decompress(packed) == plain
    assert packed[:10] == bytes.fromhex("1f8b08000000000000ff")
    assert packed == clu1.gzipped(plain)


def test_equal_content_in_any_order_gives_equal_bytes_digest_and_key() -> None:
    records = [glucose(NOW - timedelta(minutes=5 * number), 100 + number) for number in range(300)]
    captures = [Capture("p1", "medtronic-600", "f", NOW - timedelta(hours=n), bytes([n]) * 2000) for n in range(3)]
    one = clu1.container("p1", request(), Snapshot(records, captures), LIMITS)
    other = clu1.container("p1", request(), Snapshot(records[::-1], captures[::-1]), LIMITS)
    assert one == other
    later = replace(request(), asked_at=NOW + timedelta(hours=1))
    assert clu1.container("p1", later, Snapshot(records, captures), LIMITS).key == one.key


@pytest.mark.parametrize("change", ["account", "window", "record", "capture", "serial"])
def test_other_content_gives_another_key(change: str) -> None:
    base = clu1.container("p1", request(), Snapshot([glucose(NOW)]), LIMITS)
    asked, records, captures, account = request(), [glucose(NOW)], [], "p1"
    match change:
        case "account":
            account = "p2"
        case "window":
            asked = request(NOW - timedelta(hours=23))
        case "record":
            records = [glucose(NOW, 121)]
        case "capture":
            captures = [Capture("p1", "r", "f", NOW, b"x")]
        case "serial":
            asked = request(device=DeviceRef("pump", "", "NG0000006H"))
    assert clu1.container(account, asked, Snapshot(records, captures), LIMITS).key != base.key


def test_raw_reads_come_first_then_the_records_by_time() -> None:
    captures = [Capture("p1", "medtronic-600", "f", NOW - timedelta(hours=n), bytes([n]) * 2000) for n in range(2)]
    box = clu1.container(
        "p1", request(), Snapshot([glucose(NOW), glucose(NOW - timedelta(hours=1))], captures), LIMITS
    )
    names = ["history/pump-00000.bin", "history/pump-00001.bin", "records.ndjson"]
    assert [part.name for part in box.parts] == names
    assert gzip.decompress(box.parts[0].body) == bytes([1]) * 2000
    lines = gzip.decompress(box.parts[2].body).splitlines()
    assert [from_json(line).time for line in lines] == [NOW - timedelta(hours=1), NOW]
    assert box.manifest["captured_at"] == "2026-03-10T18:02:30Z"
    assert box.manifest["reader"]["name"] == "medtronic-600"


def test_parts_keep_to_the_size_that_the_server_takes_and_nothing_is_lost() -> None:
    records = [glucose(NOW - timedelta(minutes=5 * number)) for number in range(50)]
    body = sha256(b"noise").digest() * 400
    for accepts in (True, False):
        limits = clu1.Limits(max_part_bytes=3000, gzip=accepts)
        box = clu1.container("p1", request(), Snapshot(records, [Capture("p1", "r", "f", NOW, body)]), limits)
        assert max(len(part.body) for part in box.parts) <= 3000
        plain = [gzip.decompress(p.body) if p.encoding == "gzip" else p.body for p in box.parts]
        raw = b"".join(b for b, p in zip(plain, box.parts, strict=True) if p.media_type == clu1.OCTETS)
        lines = b"".join(b for b, p in zip(plain, box.parts, strict=True) if p.media_type == clu1.LINES).splitlines()
        assert raw == body
        assert len({part.name for part in box.parts}) == len(box.parts)
        assert [from_json(line).id for line in lines] == [record.id for record in reversed(records)]
        assert {part.encoding for part in box.parts} <= ({"gzip", "identity"} if accepts else {"identity"})


def test_nothing_to_send_and_too_much_to_send_are_said() -> None:
    with pytest.raises(Refused, match="nothing"):
        clu1.container("p1", request(), Snapshot([]), LIMITS)
    with pytest.raises(Refused, match="more than the server takes"):
        clu1.container("p1", request(), Snapshot([glucose(NOW)]), clu1.Limits(max_upload_bytes=100))


def test_a_device_whose_clock_is_not_known_is_not_given_one() -> None:
    box = clu1.container("p1", request(), Snapshot([made(SensorGlucose, "x", NOW, mgdl=100)]), LIMITS)
    assert (box.manifest["device_time"], box.manifest["utc_offset_minutes"]) == (None, None)


def test_wire_names() -> None:
    named = {
        "sensor_glucose": glucose(NOW),
        "meter_bg": made(MeterGlucose, "a", NOW, mgdl=100),
        "wizard": made(BolusCalculation, "a", NOW),
        "settings": made(PumpSettings, "a", NOW),
        "basal": made(Basal, "a", NOW, delivery="automatic"),
        "temp_basal": made(Basal, "a", NOW, delivery="temporary"),
        "suspend_resume": made(Basal, "a", NOW, delivery="suspended"),
        "alarm": made(DeviceEvent, "a", NOW, event="alarm_cleared"),
        "prime_rewind": made(DeviceEvent, "a", NOW, event="rewind"),
        "time_change": made(DeviceEvent, "a", NOW, event="time_change"),
        "device_event": made(DeviceEvent, "a", NOW, event="sensor_start"),
    }
    assert {wire_name(record) for record in named.values()} == set(named)
    assert all(wire_name(record) == name for name, record in named.items())
    assert wire_name(made(Ketone, "a", NOW, mmol_l=0.3)) is None
    assert wire_name(made(PumpStatus, "a", NOW)) is None
    silent = clu1.container("p1", request(), Snapshot([made(Ketone, "a", NOW, mmol_l=0.3)]), LIMITS)
    assert silent.manifest["data_types"] == {}
    assert len(silent.parts) == 1


def test_capabilities_of_another_contract_are_refused() -> None:
    told = {"contract": "clu-1", "max_part_bytes": 1000, "max_upload_bytes": 5, "accepts": ["identity"]}
    assert clu1.limits_of(told) == clu1.Limits(1000, 5, gzip=False)
    assert clu1.limits_of({"contract": "clu-1"}) == clu1.Limits(gzip=False)
    others: tuple[Any, ...] = ({"contract": "clu-2"}, [], None, "clu-1", {})
    for other in others:
        with pytest.raises(Incompatible):
            clu1.limits_of(other)
