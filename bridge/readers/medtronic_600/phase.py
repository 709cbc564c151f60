"""When to visit the pump: in step with its sensor, sparing the pump's battery. Pure.

The sensor sends to the pump every five minutes. A visit in that moment makes the pump lose the packet, so visits
keep clear of it and come half a minute later, when the reading is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

PERIOD_S = 300
GRACE_S = 30
BEFORE_S = 15
FLOOR_S = 90
"""Never less than this between two visits."""
_LATE_GRACE_S = 90
_EXTRA_S = 15
_LOW_BATTERY_S = 900
_LOST_S = 60 * 60
_WARM_UP_S = 120 * 60
_UNPHASED_S = PERIOD_S + 15
_RETRY_S = {
    "no_device": 60, "unplugged": 60, "usb_permission": 60, "usb_busy": 60, "usb_stalled": 60,
    "out_of_range": 120, "meter_error": 300, "pump_alarm": _UNPHASED_S, "clock_not_set": 900, "not_linked": 900,
    "wrong_device": 900, "usb_unavailable": 900, "device_unbound": 900,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rhythm:
    """What is known of a pump's sensor: `sensor_at` the newest packet by our clock, None without a sensor.

    `misses` visits in a row found no new reading.
    """

    sensor_at: datetime | None = None
    warming_up: bool = False
    low_battery: bool = False
    misses: int = 0


def after_visit(now: datetime, rhythm: Rhythm) -> datetime:
    """Next visit after one that ended at `now` and went well."""
    sensor_at = rhythm.sensor_at
    if sensor_at is None or not _in_step(now, sensor_at, rhythm.warming_up):
        wait_s = _LOW_BATTERY_S if rhythm.low_battery else _UNPHASED_S
        return now + timedelta(seconds=wait_s)
    if rhythm.misses == 1 and not rhythm.low_battery:
        return _clear(now + timedelta(seconds=FLOOR_S), sensor_at)
    earliest_s = _LOW_BATTERY_S - BEFORE_S * 4 if rhythm.low_battery else FLOOR_S
    return _clear(_slot(now + timedelta(seconds=earliest_s), sensor_at, _grace_s(rhythm)), sensor_at)


def after_failure(now: datetime, state: str, rhythm: Rhythm) -> datetime:
    """Next visit after one that ended at `now` in that state."""
    due = now + timedelta(seconds=_RETRY_S.get(state, FLOOR_S))
    return _clear(due, rhythm.sensor_at)


def hold_s(now: datetime, rhythm: Rhythm) -> float:
    """How long a visit that wants to begin now must wait for the sensor's packet to pass, seconds."""
    return (_clear(now, rhythm.sensor_at) - now).total_seconds()


def near_slot(now: datetime, rhythm: Rhythm) -> bool:
    """Whether the sensor's last moment is at most two minutes ago: no time for a search over all channels."""
    sensor_at = rhythm.sensor_at
    return sensor_at is not None and (now - sensor_at).total_seconds() % PERIOD_S <= 120


def _in_step(now: datetime, sensor_at: datetime, warming_up: bool) -> bool:
    return now - sensor_at <= timedelta(seconds=_WARM_UP_S if warming_up else _LOST_S)


def _grace_s(rhythm: Rhythm) -> int:
    if not rhythm.misses and not rhythm.warming_up:
        return GRACE_S
    return _LATE_GRACE_S + (_EXTRA_S * ((rhythm.misses - 3) % 3) if rhythm.misses >= 3 else 0)


def _slot(earliest: datetime, sensor_at: datetime, grace_s: int) -> datetime:
    """The first moment at or after `earliest` that is `grace_s` after a packet is due."""
    periods = ceil((earliest - sensor_at).total_seconds() / PERIOD_S - grace_s / PERIOD_S)
    return sensor_at + timedelta(seconds=max(periods, 1) * PERIOD_S + grace_s)


def _clear(due: datetime, sensor_at: datetime | None) -> datetime:
    """`due`, or a little later when that is just when a packet is due."""
    if sensor_at is None:
        return due
    into_s = (due - sensor_at).total_seconds() % PERIOD_S
    if into_s < GRACE_S:
        return due + timedelta(seconds=GRACE_S - into_s)
    if into_s >= PERIOD_S - BEFORE_S:
        return due + timedelta(seconds=PERIOD_S - into_s + GRACE_S)
    return due
