"""The virtual meter, byte for byte against recorded sessions; its descriptors and its faults."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.simulators.contour import (
    CONTOUR_NEXT_ONE,
    CONTOUR_NEXT_USB,
    KINDS,
    NEXT_LINK_24,
    Kind,
    Stored,
    VirtualMeter,
    carbs,
    glucose,
    insulin,
    lived,
)
from bridge.simulators.patient import Therapy, VirtualPatient
from bridge.simulators.usb import Unplugged
from bridge.wire.abc import payload, reports
from bridge.wire.astm import ACK, ENQ, EOT, NAK, ends_frame, parse
from tests.support.vectors import rows

SESSIONS = {row["id"]: row["events"] for row in rows("ble-and-contour", "contour_hid_sessions.jsonl")}
MAY = datetime(2024, 5, 1, 6, 30, tzinfo=UTC)
DAY = datetime(2024, 5, 1)  # noqa: DTZ001 - a meter's wall clock


def _as_recorded(name: str) -> VirtualMeter:
    """The meter that the session was recorded with."""
    if name == "empty-meter":
        return VirtualMeter(CONTOUR_NEXT_ONE, "0000002", lambda: MAY, ends_itself=True)
    results = [
        glucose(DAY.replace(hour=7, minute=1), 102), glucose(DAY.replace(hour=8, minute=30), 601, "A"),
        insulin(DAY.replace(hour=8, minute=31), 8.5),
    ]  # fmt: skip
    device = VirtualMeter(CONTOUR_NEXT_USB, "0000001", lambda: MAY, results)
    device.faults.corrupt_frame = 4 if name == "read-all-nak-once" else None
    return device


@pytest.mark.parametrize("name", SESSIONS)
def test_it_answers_as_recorded(name: str) -> None:
    device = _as_recorded(name)
    for number, event in enumerate(SESSIONS[name]):
        report = bytes.fromhex(event["report_hex"])
        if event["dir"] == "out":
            device.write(4, report)
        else:
            assert device.read(0x83, 64, 5.0) == report, f"{name}: event {number}"
    assert device.read(0x83, 64, 5.0) is None
    assert device.writes == (["D|240502|", "T|0915|"] if name == "clock-write" else [])


def _say(device: VirtualMeter, message: bytes) -> bytes:
    """Tell it something; all it answers."""
    for report in reports(message):
        device.write(1, report)
    answer = b""
    while (said := device.read(0x81, 64, 5.0)) is not None:
        answer += payload(said)
    return answer


def _lines(device: VirtualMeter) -> list[str]:
    said = []
    _say(device, b"X")
    answer = _say(device, ACK)
    while answer != EOT and answer:
        said.append(parse(answer).text)
        answer = _say(device, ACK)
    return said


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_kind_shows_and_says_what_it_is(kind: Kind) -> None:
    device = VirtualMeter(kind, "1234567", lambda: MAY, [glucose(DAY, 100, mmol=kind.mmol)])
    found = device.descriptor
    assert (found.vendor, found.product) == (0x1A79, kind.product)
    assert [each.usb_class for each in found.interfaces] == ([3, 8] if kind.mass_storage else [3])
    assert {each.address & 0x80 for each in found.interfaces[0].endpoints} == {0, 0x80}
    header, patient, result, end = _lines(device)
    fields = header.split("|")
    assert fields[4].split("^")[2] == kind.serial.format("1234567")
    assert len(fields[13]) == kind.clock_digits
    assert header.endswith("|") == kind.trailing_bar
    assert (patient, end, len(result.split("|")[8])) == ("P|1", "L|1||N", kind.stamp_digits)
    assert (result.split("|")[3], result.split("|")[4]) == (("5.6", "mmol/L^P") if kind.mmol else ("100", "mg/dL^P"))


def test_kinds_differ_in_their_endpoints() -> None:
    assert len({(kind.in_endpoint, kind.out_endpoint) for kind in KINDS}) == 4


def test_the_next_one_waits_for_a_nak_at_the_end() -> None:
    device = VirtualMeter(CONTOUR_NEXT_ONE, "1", lambda: MAY)
    assert len(_lines(device)) == 3
    assert _say(device, NAK) == EOT


def test_the_link_refuses_a_date_that_the_pump_owns() -> None:
    device = VirtualMeter(NEXT_LINK_24, "1", lambda: MAY)
    for message, answer in ((NAK, EOT), (ENQ, ACK), (b"W|", ACK), (b"D|\r", ACK), (b"240502|\r", NAK), (EOT, ENQ)):
        if message == NAK:
            _say(device, b"X")
        assert _say(device, message) == answer
    assert device.writes == []


def test_command_mode_refuses_what_it_does_not_know() -> None:
    device = VirtualMeter(CONTOUR_NEXT_USB, "1", lambda: MAY)
    _say(device, b"X")
    assert [_say(device, each) for each in (NAK, b"Q", b"X")][:1] == [EOT]
    _say(device, NAK)
    assert [_say(device, each) for each in (ENQ, b"Q|", b"R|", b"Z|\r")] == [ACK, NAK, ACK, NAK]


def _device(**faults: Any) -> VirtualMeter:
    device = VirtualMeter(CONTOUR_NEXT_USB, "1", lambda: MAY, [glucose(DAY, 100)])
    for name, value in faults.items():
        setattr(device.faults, name, value)
    return device


@pytest.mark.parametrize(("extra", "of"), [(0, "frame"), (1, "with EOT"), (2, "greeting")])
def test_a_header_that_fills_its_reports(extra: int, of: str) -> None:
    device = _device(fill_reports=extra)
    greeting = _say(device, b"X")
    assert (len(greeting) - 2 + extra) % 60 == 0, of
    assert ends_frame(greeting)


def test_faults_do_what_they_say() -> None:
    assert _say(_device(wake_naks=1), b"X") == NAK
    assert _say(_device(stale_session=ENQ), b"X") == ENQ
    assert _say(_device(mute=True), b"X") == b""
    assert _lines(_device(needs_rest=True)) == []
    assert [text[:1] for text in _lines(_device(no_terminator=True))] == ["H", "P", "R"]
    assert len(_lines(_device(e86_after=2))) == 2
    assert [text[:1] for text in _lines(_device(repeat_frame=2))] == ["H", "P", "P", "R", "L"]
    assert [text[:1] for text in _lines(_device(lose_ack=2))] == ["H", "P"]
    assert _lines(_device(clock_missing=True))[0].endswith("|1|")


def test_slow_answers_come_when_waited_for() -> None:
    device = _device(slow_answer_s=3.0)
    for report in reports(b"X"):
        device.write(4, report)
    assert device.read(0x83, 64, 2.0) is None
    assert device.read(0x83, 64, 2.0) is not None


def test_the_plug_comes_out_when_told() -> None:
    device = _device(unplug_after=3)
    device.write(4, next(iter(reports(b"X"))))
    device.read(0x83, 64, 1.0)
    device.read(0x83, 64, 1.0)
    with pytest.raises(Unplugged):
        device.read(0x83, 64, 1.0)
    device.replugged()
    assert len(_lines(device)) == 4


def test_a_late_acknowledgement_is_e86_until_unplugged() -> None:
    late = False
    device = _device()
    device.now = lambda: MAY + timedelta(seconds=3 if late else 0)
    _say(device, b"X")
    assert parse(_say(device, ACK)).number == 1
    late = True
    assert _say(device, ACK) == b""
    assert _say(device, b"X") == b""
    device.replugged()
    assert _say(device, b"X")[:1] == EOT


def test_values_beyond_the_range_are_marked() -> None:
    assert glucose(DAY, 12).line(1, 12) == "R|1|^^^Glucose|19|mg/dL^P||</M0/T1||202405010000"
    assert glucose(DAY, 900).line(1, 14) == "R|1|^^^Glucose|601|mg/dL^P||>/M0/T1||20240501000000"
    assert glucose(DAY, 700, mmol=True).line(1, 12).split("|")[3:5] == ["33.4", "mmol/L^P"]
    assert glucose(DAY, 5, mmol=True).line(1, 12).split("|")[3:7] == ["0.5", "mmol/L^P", "", "</M0/T1"]
    assert carbs(DAY, 44.6).line(2, 12) == "R|2|^^^Carb|45|1^||||202405010000"
    assert isinstance(insulin(DAY, 1), Stored)


def test_a_patients_meter_stores_what_the_patient_did() -> None:
    patient = VirtualPatient(3, therapy=Therapy.PENS)
    start, end = MAY, MAY + timedelta(days=5)
    full, plain = (lived(patient, start, end, kind, 30) for kind in (CONTOUR_NEXT_USB, NEXT_LINK_24))
    facts = patient.facts(start, end, ["meter_glucose", "calibration", "carbs", "injection"])
    assert len(full) == len([fact for fact in facts if fact.kind != "carbs" or round(fact.value)])
    assert {each.analyte for each in full} == {"Glucose", "Carb", "Insulin"}
    assert {each.analyte for each in plain} == {"Glucose"}
