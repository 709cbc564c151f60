"""Notifications of a day: lows, highs, sensor changes, loop exits and the planned evening reminder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Literal

from bridge.simulators.patient.chance import draws, whole
from bridge.simulators.patient.events import Alarm, ModeChange, SensorChange, SensorReading

LOW, NEARING_LOW, HIGH, SENSOR_ON, SENSOR_EXPIRED, LOOP_EXIT, REMINDER = 802, 805, 816, 797, 794, 819, 869
_RTC_EPOCH = datetime(2001, 1, 1, tzinfo=UTC)
_KINDS: dict[int, Literal["ALARM", "ALERT", "REMINDER", "MESSAGE"]] = {
    LOW: "ALARM", NEARING_LOW: "ALERT", HIGH: "ALERT", SENSOR_ON: "MESSAGE", SENSOR_EXPIRED: "ALERT",
    LOOP_EXIT: "ALERT", REMINDER: "REMINDER",
}  # fmt: skip
Trigger = tuple[datetime, int, int | None]
"""When, fault id, glucose at that moment."""


def guid(sequence: int, fault_id: int, when: datetime) -> str:
    """As a pump forms it: running number, fault id and seconds since 2001, each least significant byte first."""
    seconds = int((when - _RTC_EPOCH).total_seconds())
    raw = (sequence & 0xFFFFFFFF).to_bytes(4, "little") + fault_id.to_bytes(2, "little") + bytes(4)
    text = (raw[:8] + (seconds & 0xFFFFFFFF).to_bytes(4, "little") + bytes(4)).hex().upper()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def alarms_of(
    seed: int,
    day: int,
    readings: Sequence[SensorReading],
    sensors: Iterable[SensorChange],
    modes: Iterable[ModeChange],
    evening: datetime,
) -> list[Alarm]:
    """All notifications that begin on a day, oldest first."""
    chance = draws(seed, day, "alarms")
    found: list[Trigger] = list(_glucose_triggers(readings))
    found += [(change.time, SENSOR_ON if change.started else SENSOR_EXPIRED, None) for change in sensors]
    found += [(change.time, LOOP_EXIT, None) for change in modes if not change.auto]
    found.append((evening, REMINDER, None))
    first = whole(seed, 40, 0, 1, 10**6) + day * 100
    return [_alarm(chance, first + number, *trigger) for number, trigger in enumerate(sorted(found, key=_by_time))]


def _by_time(trigger: Trigger) -> tuple[datetime, int]:
    return trigger[0], trigger[1]


def _alarm(chance: Random, sequence: int, when: datetime, fault_id: int, mgdl: int | None) -> Alarm:
    longest_s = 900 if chance.random() < 0.8 else 5400
    cleared = when + timedelta(seconds=chance.randint(20, longest_s))
    name = guid(sequence, fault_id, when)
    planned = when - timedelta(hours=24) if fault_id == REMINDER else None
    return Alarm(f"alarm-{name}", when, cleared, name, fault_id, _KINDS[fault_id], mgdl, planned)


def _glucose_triggers(readings: Sequence[SensorReading]) -> Iterator[Trigger]:
    """Each alert once until glucose is well again."""
    armed = {LOW: True, NEARING_LOW: True, HIGH: True}
    before: int | None = None
    for row in readings:
        if row.mgdl is None or row.backfilled:
            before = None
            continue
        falling = before is not None and before - row.mgdl >= 4
        for fault_id, raised, well in (
            (LOW, row.mgdl < 70, row.mgdl > 82),
            (NEARING_LOW, 70 <= row.mgdl < 90 and falling, row.mgdl > 105),
            (HIGH, row.mgdl >= 240, row.mgdl < 200),
        ):
            if raised and armed[fault_id]:
                yield row.time + timedelta(seconds=8), fault_id, row.mgdl
            armed[fault_id] = (armed[fault_id] and not raised) or well
        before = row.mgdl
