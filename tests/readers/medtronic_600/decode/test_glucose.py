"""Sensor readings, finger-sticks, calibrations."""

from __future__ import annotations

import pytest

from tests.readers.medtronic_600.decode.builders import (
    START,
    blood,
    decoded,
    event,
    file,
    history,
    loop_blood,
    of_kind,
    sensor,
    status_answer,
    u16,
    visit,
)

OFFSET_BYTES = (-1_592_387_759 & 0xFFFFFFFF).to_bytes(4, "big")


def readings(*events: bytes) -> list[dict[str, object]]:
    found = of_kind(decoded(file(history(*events, kind=3))), "sensor_glucose")
    return [record.model_dump() for record in found]


def meters(*events: bytes) -> list[tuple[int, str]]:
    found = of_kind(decoded(file(history(*events))), "meter_glucose")
    return [(record.mgdl, record.entry) for record in found]


def test_the_newest_reading_comes_first() -> None:
    found = of_kind(decoded(file(history(sensor(START, (120, 0.5, 0, 0), (110, 0, 0, 1)), kind=3))), "sensor_glucose")
    assert [(record.source_key, record.mgdl) for record in found] == [
        (f"{START - 300}:D6", 110),
        (f"{START}:D6", 120),
    ]
    assert found[0].annotation("backfilled")
    assert (found[0].rate_mgdl_min, found[0].trend) == (None, None)
    assert (found[1].rate_mgdl_min, found[1].trend, found[1].isig_na) == (0.5, "flat", 30)


@pytest.mark.parametrize(
    ("raw", "mgdl", "quality"),
    [
        (769, None, "warmup"), (770, None, "calibrating"), (771, None, "fault"), (772, None, "calibrating"),
        (773, None, "fault"), (774, None, "fault"), (775, None, "fault"), (776, 401, "ok"), (777, 39, "ok"),
        (778, None, "calibrating"), (779, None, "fault"), (780, None, "fault"), (1000, None, "fault"), (45, 45, "ok"),
    ],
)  # fmt: skip
def test_values_and_states(raw: int, mgdl: int | None, quality: str) -> None:
    (found,) = readings(sensor(START, (raw, 0, 0, 0)))
    assert (found["mgdl"], found["quality"]) == (mgdl, quality)


def test_above_and_below_are_annotated() -> None:
    high, low = readings(sensor(START + 300, (777, 0, 0, 0), (776, 0, 0, 0)))
    assert high["annotations"] == ({"code": "bg/out-of-range", "value": "high", "threshold_mgdl": 400},)
    assert low["annotations"] == ({"code": "bg/out-of-range", "value": "low", "threshold_mgdl": 40},)
    assert (low["trend"], low["rate_mgdl_min"]) == (None, None)


@pytest.mark.parametrize(("status", "quality"), [(0, "ok"), (1, "uncertain"), (2, "fault"), (3, "fault")])
def test_sensor_status(status: int, quality: str) -> None:
    (found,) = readings(sensor(START, (120, 0, status, 0)))
    assert (found["quality"], found["mgdl"]) == (quality, 120)


@pytest.mark.parametrize(
    ("rate", "trend"),
    [(0.99, "flat"), (1, "forty_five_up"), (2, "single_up"), (3, "double_up"), (-1.5, "forty_five_down"),
     (-2.5, "single_down"), (-9, "double_down")],
)  # fmt: skip
def test_trend_is_the_class_of_the_rate(rate: float, trend: str) -> None:
    (found,) = readings(sensor(START, (120, rate, 0, 0)))
    assert (found["trend"], found["rate_mgdl_min"]) == (trend, rate)


def test_a_reading_told_twice_is_one() -> None:
    found = readings(sensor(START, (771, 0, 0, 0)), sensor(START + 300, (125, 0, 0, 0), (120, 0, 0, 1)))
    assert [row["mgdl"] for row in found] == [120, 125]
    assert not readings(sensor(START, (0, 0, 0, 0)))


def test_the_status_shows_the_same_reading() -> None:
    rtc = START + 7100
    shows = status_answer(
        flags=(3, b"\x50"), sg=(0x35, u16(131) + rtc.to_bytes(4, "big") + OFFSET_BYTES), trend=(0x40, b"\xa0"),
        rate=(0x46, u16(210)),
    )  # fmt: skip
    alone = of_kind(decoded(visit(answers={"013c": shows})), "sensor_glucose")
    assert [(record.source_key, record.mgdl, record.trend) for record in alone] == [(f"{rtc}:D6", 131, "single_up")]
    both = of_kind(
        decoded(visit(answers={"013c": shows}, sensor_events=[sensor(rtc, (131, 2.1, 0, 0))])), "sensor_glucose"
    )
    assert [record.id for record in both] == [record.id for record in alone]
    assert (both[0].isig_na, both[0].trend, both[0].rate_mgdl_min) == (30, "single_up", 2.1)


def test_no_sensor_no_reading() -> None:
    off = status_answer(flags=(3, b"\x10"), sg=(0x35, u16(131) + START.to_bytes(4, "big") + OFFSET_BYTES))
    assert not of_kind(decoded(visit(answers={"013c": off})), "sensor_glucose")


# --- finger-sticks -----------------------------------------------------------------------------------


def test_linked_and_typed_in() -> None:
    assert meters(blood(START, 120, "BG1234567B"), blood(START + 60, 130)) == [(120, "linked"), (130, "manual")]


def test_sent_again_for_the_calibration() -> None:
    found = of_kind(
        decoded(file(history(blood(START, 120, "BG1234567B"), blood(START, 120, "BG1234567B", cal=True)))),
        "meter_glucose",
    )
    assert [record.mgdl for record in found] == [120]
    assert found[0].raw["calibration"] is True


def test_typed_in_after_it_was_sent_is_the_same() -> None:
    linked = blood(START, 120, "BG1234567B")
    assert meters(linked, blood(START + 899, 120)) == [(120, "linked")]
    assert meters(linked, blood(START + 900, 120)) == [(120, "linked"), (120, "manual")]
    assert meters(linked, blood(START + 60, 121)) == [(120, "linked"), (121, "manual")]
    assert meters(linked, blood(START + 1, 120, "BG1234567B")) == [(120, "linked"), (120, "linked")]
    assert meters(blood(START, 120), blood(START + 60, 120)) == [(120, "manual"), (120, "manual")]


def test_finger_sticks_of_the_closed_loop() -> None:
    shown = meters(loop_blood(START, 150, 0), loop_blood(START + 20, 150, 1), loop_blood(START + 60, 150, 6))
    assert shown == [(150, "linked")]
    assert meters(loop_blood(START, 150, 8, radio=False)) == [(150, "manual")]
    assert meters(loop_blood(START, 150, 2)) == []
    assert meters(blood(START, 150, "BG1234567B"), loop_blood(START + 2, 150, 0)) == [(150, "linked")]


def test_no_value_no_record() -> None:
    assert meters(blood(START, 0)) == []


def test_calibration_is_dated_at_its_finger_stick() -> None:
    done = event(0x38, START + 400, u16(512) + u16(120))
    (found,) = of_kind(decoded(file(history(blood(START, 120, "BG1234567B"), done))), "calibration")
    assert (found.mgdl, found.accepted, found.source_key) == (120, True, f"{START + 400}:38")
    assert found.device_time.isoformat() == "2017-09-01T12:00:00"
    (alone,) = of_kind(decoded(file(history(done))), "calibration")
    assert alone.device_time.isoformat() == "2017-09-01T12:06:40"
    assert alone.raw["factor"] == 5.12
