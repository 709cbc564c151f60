"""What the virtual pump writes down of its wearer's life."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from bridge.simulators.next_link import PUMP, SENSOR, Pump
from bridge.simulators.next_link.clock import RunningClock
from bridge.simulators.next_link.history import Remembered, in_blocks
from bridge.simulators.patient import Bolus, MicroDose, SensorReading, VirtualPatient, fixed, kept_to, known_from
from tests.support.clock import FakeClock

PATIENT = VirtualPatient(3)
DAY_S = 86_400
NOW = FakeClock().now()


def _pump(kind: str = "670G") -> Pump:
    return Pump(lambda: NOW, PATIENT, kind=kind)


def _events(pump: Pump, data_type: int, day: int, now: datetime = NOW) -> list[bytes]:
    assert pump._life is not None
    return list(pump._life.day(data_type, day * DAY_S, day * DAY_S + DAY_S - 1, now))


def _readings(events: list[bytes]) -> Iterator[tuple[int, int]]:
    for event in events:
        rtc, interval_min, count = int.from_bytes(event[3:7], "big"), event[11], event[12]
        for index in range(count):
            entry = event[15 + 9 * index : 24 + 9 * index]
            yield rtc - index * interval_min * 60, (entry[0] & 3) << 8 | entry[1]


@pytest.mark.parametrize("kind", ["640G", "670G"])
def test_events_are_framed(kind: str) -> None:
    pump = _pump(kind)
    day = pump.clock.rtc(NOW) // DAY_S - 1
    for data_type in (PUMP, SENSOR):
        events = _events(pump, data_type, day)
        assert all(event[2] == len(event) >= 11 for event in events)
        stamps = [int.from_bytes(event[3:7], "big") for event in events]
        assert stamps == sorted(stamps)
        assert {stamp // DAY_S for stamp in stamps} == {day}
        assert {event[1] >> 7 for event in events} == {int(kind == "670G")}
    kinds = Counter(event[0] for event in _events(pump, PUMP, day))
    assert kinds[0x15] + kinds[0x16] + kinds[0x17] <= kinds[0xDC] + kinds[0xDD] + kinds[0xDE]
    assert (kinds[0x1D], kinds[0x3D] > 0, kinds[0x3E] > 0) == (
        (4, True, False) if kind == "640G" else (0, False, True)
    )
    assert kinds[0x04] == kinds[0x07] == 1


def test_every_reading_is_there_once_and_in_its_second() -> None:
    pump = _pump()
    day = pump.clock.rtc(NOW) // DAY_S - 1
    told = dict(_readings(_events(pump, SENSOR, day)))
    start, end = pump.clock.instant(day * DAY_S), pump.clock.instant((day + 1) * DAY_S)
    rows = [event for event in PATIENT.events(start, end) if isinstance(event, SensorReading)]
    assert sorted(told) == [pump.clock.rtc(row.time) for row in rows]
    assert [told[pump.clock.rtc(row.time)] for row in rows if row.mgdl is not None] == [
        row.mgdl for row in rows if row.mgdl is not None
    ]


def test_what_is_not_known_yet_is_not_told() -> None:
    pump = _pump()
    day = pump.clock.rtc(NOW) // DAY_S
    late = [row for row in PATIENT.events(NOW - timedelta(days=30), NOW) if isinstance(row, SensorReading)]
    row = next(row for row in late if known_from(row) > row.time + timedelta(minutes=20))
    day = pump.clock.rtc(row.time) // DAY_S
    before = dict(_readings(_events(pump, SENSOR, day, known_from(row) - timedelta(seconds=1))))
    after = dict(_readings(_events(pump, SENSOR, day, known_from(row))))
    assert pump.clock.rtc(row.time) not in before
    assert after[pump.clock.rtc(row.time)] == row.mgdl


def test_insulin_adds_up() -> None:
    pump = _pump()
    day = pump.clock.rtc(NOW) // DAY_S - 2
    start, end = pump.clock.instant(day * DAY_S), pump.clock.instant((day + 1) * DAY_S)
    given = {0xDC: 18, 0xDD: 18, 0xDE: 22}
    told_u = sum(
        int.from_bytes(event[given[event[0]] : given[event[0]] + 4], "big") / 10_000
        for event in _events(pump, PUMP, day)
        if event[0] in given
    )
    happened = PATIENT.events(start - timedelta(hours=3), end)
    doses_u = sum(event.dose_u for event in happened if isinstance(event, MicroDose) and event.time >= start)
    boluses_u = sum(
        event.delivered().total_u for event in happened if isinstance(event, Bolus) and start <= event.ends < end
    )
    assert told_u == pytest.approx(doses_u + boluses_u, abs=0.001)


def test_a_stretch_is_answered_with_whole_days() -> None:
    pump = _pump()
    assert pump._life is not None
    memory, now_rtc = Remembered(pump._life), pump.clock.rtc(NOW)
    day = now_rtc // DAY_S - 3
    whole = memory.pages(SENSOR, day * DAY_S, day * DAY_S + DAY_S - 1, NOW)
    assert memory.pages(SENSOR, day * DAY_S + 500, day * DAY_S + 900, NOW) == whole
    plain = Remembered(pump._life, pressed=False).pages(SENSOR, day * DAY_S, day * DAY_S, NOW)
    assert all(page[11] == 0 and (len(page) - 12) % 2048 == 0 for page in plain)
    assert sum(map(len, whole)) < sum(map(len, plain))


def test_events_never_cross_blocks() -> None:
    events = [bytes((0, 0, size)) + bytes(size - 3) for size in (200, 250, 33, 108) * 20]
    blocks = in_blocks(events)
    assert all(len(block) == 2048 for block in blocks)
    used = b"".join(block[: int.from_bytes(block[0x7FC:0x7FE], "big")] for block in blocks)
    assert used == b"".join(events)


def test_clock_runs_on_when_its_owner_sets_it() -> None:
    shown = kept_to("Europe/Berlin")
    clock = RunningClock(datetime(2025, 1, 1, tzinfo=NOW.tzinfo), shown)
    winter, summer = NOW, NOW + timedelta(days=60)
    assert clock.rtc(summer) - clock.rtc(winter) == pytest.approx(60 * DAY_S + 60 * 4, abs=1)
    moved_s = (clock.offset(summer) - clock.offset(winter)) % 2**32
    assert moved_s == pytest.approx(3600 - 60 * 4, abs=120)
    for days in range(0, 400, 7):
        at = NOW + timedelta(days=days)
        assert 0 <= clock.wall_seconds(at) - _wall_s(shown.wall(at)) <= 28 * 4


def test_putting_it_right_is_written_down() -> None:
    pump = _pump()
    clock, start = pump.clock, NOW - timedelta(days=28)
    (at,) = clock.corrections(start, NOW)
    assert clock.corrections(at, at + timedelta(hours=1)) == [at]
    assert clock.corrections(at + timedelta(seconds=1), at + timedelta(days=1)) == []
    day = clock.rtc(at) // DAY_S
    (event,) = (each for each in _events(pump, PUMP, day) if each[0] == 0x03)
    assert int.from_bytes(event[15:19], "big") - int.from_bytes(event[7:11], "big") == pytest.approx(-112, abs=2)


def _wall_s(wall: datetime) -> int:
    return int((wall - datetime(2000, 1, 1)).total_seconds())  # noqa: DTZ001 - a wall clock


def test_offset_stays_between_settings() -> None:
    clock = RunningClock(datetime(2025, 1, 1, tzinfo=NOW.tzinfo), fixed(60))
    assert len({clock.offset(NOW + timedelta(hours=hours)) for hours in range(28 * 24)}) == 2
    for hours in range(100):
        at = NOW + timedelta(hours=hours)
        assert abs((clock.instant(clock.rtc(at)) - at).total_seconds()) <= 1
