"""When the pump is visited."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from bridge.readers.medtronic_600 import phase
from bridge.readers.medtronic_600.phase import Rhythm

NOW = datetime(2026, 3, 10, 6, 0, tzinfo=UTC)


def _s(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def _wait_s(rhythm: Rhythm) -> float:
    return (phase.after_visit(NOW, rhythm) - NOW).total_seconds()


@pytest.mark.parametrize(
    ("rhythm", "wait_s"),
    [
        (Rhythm(NOW - _s(32)), 298),
        (Rhythm(NOW - _s(150)), 180),
        (Rhythm(NOW - _s(250)), 380),
        (Rhythm(NOW - _s(320), misses=1), 90),
        (Rhythm(NOW - _s(390), misses=2), 300),
        (Rhythm(NOW - _s(690), misses=3), 300),
        (Rhythm(NOW - _s(990), misses=4), 315),
        (Rhythm(NOW - _s(1305), misses=5), 315),
        (Rhythm(NOW - _s(1620), misses=6), 270),
        (Rhythm(NOW - _s(90), warming_up=True), 300),
        (Rhythm(NOW - _s(3700), misses=9), 315),
        (Rhythm(NOW - _s(3700), misses=9, warming_up=True), 290),
        (Rhythm(NOW - _s(7300), warming_up=True), 315),
        (Rhythm(None), 315),
        (Rhythm(None, low_battery=True), 900),
        (Rhythm(NOW - _s(35), low_battery=True), 895),
        (Rhythm(NOW - _s(340), low_battery=True, misses=1), 950),
    ],
)
def test_after_a_visit(rhythm: Rhythm, wait_s: float) -> None:
    assert _wait_s(rhythm) == wait_s


@pytest.mark.parametrize(
    ("state", "wait_s"),
    [("out_of_range", 120), ("unplugged", 60), ("no_device", 60), ("incomplete", 90), ("pump_alarm", 315),
     ("meter_error", 300), ("not_linked", 900), ("pump_busy", 90)],
)  # fmt: skip
def test_after_a_failure(state: str, wait_s: float) -> None:
    assert phase.after_failure(NOW, state, Rhythm()) == NOW + _s(wait_s)


def test_a_failure_is_not_followed_by_a_visit_in_the_sensors_moment() -> None:
    assert phase.after_failure(NOW, "incomplete", Rhythm(NOW - _s(200))) == NOW + _s(130)


def test_a_visit_waits_for_the_sensor() -> None:
    waits = {
        into: phase.hold_s(NOW, Rhythm(NOW - _s(into))) for into in (0, 10, 29, 30, 100, 284, 285, 299, 300, 610)
    }
    assert waits == {0: 30, 10: 20, 29: 1, 30: 0, 100: 0, 284: 0, 285: 45, 299: 31, 300: 30, 610: 20}
    assert phase.hold_s(NOW, Rhythm()) == 0


def test_near_the_sensors_moment() -> None:
    assert phase.near_slot(NOW, Rhythm(NOW - _s(400)))
    assert not phase.near_slot(NOW, Rhythm(NOW - _s(130)))
    assert not phase.near_slot(NOW, Rhythm())


def test_laws() -> None:
    """Never under 90 s, never from 15 s before to 30 s after a packet is due, never later than 19 min."""
    chance = Random(11)
    for _ in range(5000):
        at = NOW + _s(chance.uniform(0, 300))
        sensor_at = None if chance.random() < 0.1 else at - _s(chance.uniform(0, 8000))
        rhythm = Rhythm(sensor_at, chance.random() < 0.3, chance.random() < 0.3, chance.randint(0, 12))
        due = phase.after_visit(at, rhythm)
        assert _s(89.99) <= due - at <= _s(1140)
        if sensor_at is not None and at - sensor_at <= _s(3600):
            into_s = (due - sensor_at).total_seconds() % 300
            assert 29.99 <= into_s < 285.01
        if rhythm.low_battery:
            assert due - at >= _s(839.9)
