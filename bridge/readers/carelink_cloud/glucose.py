"""Sensor readings (`sgs`) and the arrow of the newest one. Values are mg/dL whatever `bgUnits` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

from bridge.model.records import SensorGlucose
from bridge.readers.carelink_cloud.recall import arrow_rank
from bridge.readers.carelink_cloud.rows import SG, Row, moment_of, refused
from bridge.readers.carelink_cloud.timestamps import stamp
from bridge.readers.carelink_cloud.values import flag, listed, mapping, number, text

LOWEST, HIGHEST = 40, 400
BELOW, ABOVE = 39, 401
"""What stands for "below 40" and "above 400"."""
LAST_HIGH = 600
SUSPECT_BELOW = 20
UNIT_WHY = "the unit is suspect, it is no whole number of mg/dL from 20 up"

_LOW = {"code": "bg/out-of-range", "value": "low", "threshold_mgdl": LOWEST}
_HIGH = {"code": "bg/out-of-range", "value": "high", "threshold_mgdl": HIGHEST}
_BACKFILLED = {"code": "backfilled"}
OK = {"quality": "ok"}
"""The body of a reading without any doubt, shared by all of them."""
FINE = ("NO_ERROR_MESSAGE", "NORMAL", None)
_QUALITY = {
    "WARM_UP": "warmup", "WAITING_WARM_UP": "warmup", "CALIBRATING": "calibrating", "CHANGE_SENSOR": "fault",
}  # fmt: skip
_ARROWS = {
    "UP": "forty_five_up", "UP_DOUBLE": "single_up", "UP_TRIPLE": "double_up", "DOWN": "forty_five_down",
    "DOWN_DOUBLE": "single_down", "DOWN_TRIPLE": "double_down", "NONE": "none",
}  # fmt: skip
_time = attrgetter("time")
_FLAT_PAUSE_S = (180, 420)
_FLAT_BELOW_MGDL = 5


def reading(row: Mapping[str, Any]) -> Row | None:
    """One row of `sgs`; None when it holds no reading. Raises InvalidRecord for a value not to be trusted."""
    state, value = row.get("sensorState"), row.get("sg")
    annotations: tuple[dict[str, Any], ...] = ()
    if type(value) is int and LOWEST <= value <= HIGHEST and state in FINE:
        mgdl, body = value, OK
    else:
        found = _doubtful(value, text(state))
        if found is None:
            return None
        mgdl, quality, annotations = found
        body = {"quality": quality}
    moment = stamp(row.get("timestamp")) or _later_name(row, value)
    if moment is None:
        return None
    made = Row(SG, moment, str(mgdl), SensorGlucose, body)
    made.checked = {"mgdl": mgdl}
    if row.get("isBackfill") and flag(row["isBackfill"]):
        annotations = (_BACKFILLED, *annotations)
    if annotations:
        made.annotations = annotations
    return made


def _later_name(row: Mapping[str, Any], value: object) -> datetime | None:
    """The stamp under its old name; None for a placeholder without a time. Raises InvalidRecord for a value
    without one."""
    return moment_of("sensor_glucose", row, "datetime", "timestamp") if value else stamp(row.get("datetime"))


def any_stamp(row: Mapping[str, Any]) -> datetime | None:
    """The stamp of a reading under either name."""
    return stamp(row.get("timestamp")) or stamp(row.get("datetime"))


def _doubtful(value: object, state: str | None) -> tuple[int, str, tuple[dict[str, Any], ...]] | None:
    """mg/dL, quality and annotations of a row outside the plain case; None for no reading."""
    if state and state.startswith("SG_BELOW"):
        return BELOW, "ok", (_LOW,)
    if state and state.startswith("SG_ABOVE"):
        return ABOVE, "ok", (_HIGH,)
    found = number(value)
    if found == 0 or value is None:
        return None
    if found is None or found < 0:
        raise refused("sensor_glucose", "mgdl", value, "it is no glucose value")
    if found > LAST_HIGH:
        raise refused("sensor_glucose", "mgdl", value, f"no sensor shows more than {LAST_HIGH} mg/dL")
    if found < SUSPECT_BELOW or found != int(found):
        raise refused("sensor_glucose", "mgdl", value, UNIT_WHY)
    quality = "ok" if state in FINE else _QUALITY.get(str(state), "uncertain")
    if found < LOWEST:
        return BELOW, quality, (_LOW,)
    return (ABOVE, quality, (_HIGH,)) if found > HIGHEST else (int(found), quality, ())


def give_arrow(patient: Mapping[str, Any], readings: Sequence[Row]) -> Row | None:
    """Give the newest reading the answer's arrow, unless it has a better one; the reading that was changed.

    `readings` are placed, those held back included: the arrow belongs to the newest row alone.
    """
    arrow = _ARROWS.get(str(text(patient.get("lastSGTrend"))))
    if arrow is None or not readings or not _ends_valid(patient):
        return None
    newest = max(readings, key=_time)
    if arrow == "none" and _is_flat(newest, readings):
        arrow = "flat"
    if newest.body["quality"] != "ok" or arrow_rank(arrow) <= arrow_rank(newest.trend):
        return None
    newest.trend = arrow
    return newest


def _ends_valid(patient: Mapping[str, Any]) -> bool:
    """Whether the last row that has a time is a reading, and the one that `lastSG` means."""
    rows = [row for row in listed(patient.get("sgs")) if isinstance(row, dict)]
    for row in reversed(rows):
        at = any_stamp(row)
        if at is None:
            continue
        last_at = any_stamp(mapping(patient.get("lastSG")))
        return number(row.get("sg")) != 0 and (last_at is None or last_at == at)
    return False


def _is_flat(newest: Row, readings: Sequence[Row]) -> bool:
    """No arrow means steady only when the two newest readings prove it."""
    others = [row for row in readings if row is not newest]
    if not others:
        return False
    previous = max(others, key=_time)
    pause_s = (newest.time - previous.time).total_seconds()
    step = abs(newest.checked["mgdl"] - previous.checked["mgdl"])
    return _FLAT_PAUSE_S[0] <= pause_s <= _FLAT_PAUSE_S[1] and bool(step < _FLAT_BELOW_MGDL)
