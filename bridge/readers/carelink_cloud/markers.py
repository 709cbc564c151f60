"""Events of the answer (`markers`): insulin, meals, micro-doses, finger-sticks, modes and clock changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bridge.model.records import Basal, Calibration, Carbs, DeviceEvent, MeterGlucose
from bridge.readers.carelink_cloud.clocks import Clocks
from bridge.readers.carelink_cloud.glucose import LAST_HIGH, SUSPECT_BELOW, UNIT_WHY
from bridge.readers.carelink_cloud.insulin import read_insulin
from bridge.readers.carelink_cloud.marker_values import Read, Values
from bridge.readers.carelink_cloud.rows import TIME_CHANGE, Row, moment_of, plain, refused
from bridge.readers.carelink_cloud.timestamps import stamp, wall_of
from bridge.readers.carelink_cloud.values import flag, mapping, number, text, whole

MICRO_DOSE = "AUTO_BASAL_DELIVERY"
SUSPENDED = "LOW_GLUCOSE_SUSPENDED"
DOSE_MIN = 5
"""Minutes that one micro-dose stands for."""
LARGEST_DOSE_U = 8
"""No loop gives more in five minutes; the model's own limit is just above."""
DOSE: Mapping[str, Any] = {"delivery": "automatic", "duration_min": DOSE_MIN}
"""The body that all micro-doses share."""
LAST_INDEX, INDEX_MIN, INDEX_ROUND_MIN = 287, 5, 10
INDEX_REACH_S = 900.0
"""A stamp made from an index is rounded to 10 min and moves with the window."""
_STAMPS = ("displayTime", "timestamp", "dateTime")
_WINDOW, _AT_START = timedelta(hours=24), timedelta(minutes=10)
_PROVISIONAL = ({"code": "bolus/provisional"},)
_WITHOUT_PUMP = ("GUARDIAN", "CGM")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a marker needs to know of its answer. `starts` are wall clocks where its window may begin."""

    has_pump: bool
    last_sensor: datetime | None
    starts: tuple[datetime, ...]


def surroundings(patient: Mapping[str, Any], clocks: Clocks) -> Surroundings:
    """The surroundings of an answer's markers."""
    last_sg = mapping(patient.get("lastSG"))
    stamps = (patient.get("sLastSensorTime"), patient.get("lastSensorTSAsString"), last_sg.get("datetime"))
    offset = timedelta(minutes=clocks.offset_min or 0)
    starts = tuple(at.replace(tzinfo=None) + offset - _WINDOW for at in (clocks.now, clocks.updated_at) if at)
    return Surroundings(
        has_pump=text(patient.get("medicalDeviceFamily")) not in _WITHOUT_PUMP,
        last_sensor=next((found for value in stamps if (found := stamp(value))), None),
        starts=starts,
    )


def read_marker(marker: Mapping[str, Any], around: Surroundings) -> Row | None:
    """The row of one marker; None when it says nothing. A row without `model` makes no record: it marks an end,
    or has a `problem` in its body. Raises InvalidRecord for a marker with a bad value.
    """
    kind = text(marker.get("type"))
    if kind is None:
        raise refused("marker", "type", marker.get("type"), "it names no type")
    moment, by_index = _moment(marker, around)
    reader = _READERS.get(kind)
    if reader is None:
        read: Read | None = _silent(f"a marker of the unknown type {kind}")
    elif kind in _STATES and any(abs(wall_of(moment) - start) <= _AT_START for start in around.starts):
        read = None
    else:
        read = reader(Values(marker), around)
    if read is None:
        return None
    guid = text(marker.get("GUID"), 128) or text(marker.get("referenceGUID"), 128)
    row = Row(plain(kind), moment, read.content, read.model, read.body, read.detail, guid and plain(guid))
    if read.checked:
        row.checked = read.checked
    if read.provisional:
        row.annotations = _PROVISIONAL
    if by_index:
        row.uncertain, row.reach_s = True, INDEX_REACH_S
    return row


def _moment(marker: Mapping[str, Any], around: Surroundings) -> tuple[datetime, bool]:
    """When a marker happened, and whether that was worked out from its place on the graph."""
    moment = stamp(marker.get("displayTime"))
    if moment is not None:
        return moment, False
    index = whole(marker.get("index"))
    if index is None or around.last_sensor is None or any(marker.get(name) for name in _STAMPS):
        return moment_of("marker", marker, *_STAMPS), False
    return _by_index(index, around.last_sensor), True


def _by_index(index: int, last_sensor: datetime) -> datetime:
    """Wall clock of a place on the 24-hour graph, whose last one (287) is the newest reading."""
    if not 0 <= index <= LAST_INDEX:
        raise refused("marker", "index", index, f"it is not within 0..{LAST_INDEX}")
    moment = last_sensor - timedelta(minutes=(LAST_INDEX - index) * INDEX_MIN - INDEX_ROUND_MIN / 2)
    return moment.replace(minute=moment.minute // INDEX_ROUND_MIN * INDEX_ROUND_MIN, second=0, microsecond=0)


def _insulin(values: Values, around: Surroundings) -> Read:
    return read_insulin(values, around.has_pump)


def _meal(values: Values, _around: Surroundings) -> Read | None:
    grams = round(values.needed("carbs", "amount"), 1)
    return Read(Carbs, {"grams": grams}, str(grams)) if grams else None


def _micro_dose(values: Values, _around: Surroundings) -> Read:
    """One dose of the closed loop; as a rate it fills its five minutes."""
    dose = round(float(values.needed("basal", "bolusAmount")), 3)
    own = {"rate_u_h": hourly(dose), "dose_u": dose}
    if dose > LARGEST_DOSE_U:
        return Read(Basal, {**DOSE, **own}, str(dose))
    return Read(Basal, DOSE, str(dose), checked=own)


def hourly(dose_u: float) -> float:
    """U/h of a micro-dose."""
    return round(dose_u * 60 / DOSE_MIN, 3)


def _finger_stick(values: Values, _around: Surroundings) -> Read:
    mgdl = _blood_mgdl(values, "meter_glucose")
    return Read(MeterGlucose, {"mgdl": mgdl}, str(mgdl))


def _calibration(values: Values, _around: Surroundings) -> Read:
    mgdl = _blood_mgdl(values, "calibration")
    return Read(Calibration, {"mgdl": mgdl, "accepted": flag(values["calibrationSuccess"])}, str(mgdl))


def _blood_mgdl(values: Values, kind: str) -> int:
    """mg/dL whatever the display unit; a value that can only be mmol/L is refused, not multiplied."""
    value = values["value"] if values["value"] is not None else values["unitValue"]
    found = number(value)
    if found is None or found <= 0 or found > LAST_HIGH:
        raise refused(kind, "mgdl", value, "it is no blood glucose")
    if found < SUSPECT_BELOW or found != int(found):
        raise refused(kind, "mgdl", value, UNIT_WHY)
    return int(found)


def _auto_mode(values: Values, _around: Surroundings) -> Read:
    on = flag(values["autoModeOn"])
    if on is None:
        return _silent("an AUTO_MODE_STATUS marker without a value")
    return Read(DeviceEvent, {"event": "mode_change", "mode": "auto" if on else "manual"}, str(on))


def _suspended(values: Values, _around: Surroundings) -> Read:
    """A suspension's begin; its end comes from the next marker that says so (`close_suspensions`)."""
    on = flag(values["deliverySuspended"])
    if on is None:
        return _silent("a LOW_GLUCOSE_SUSPENDED marker without a value")
    body = {"delivery": "suspended", "rate_u_h": 0.0, "suspend_reason": "on_low"}
    return Read(Basal, body, "begin") if on else Read(None, {}, "end")


def _silent(problem: str) -> Read:
    return Read(None, {"problem": problem}, "")


def _time_change(values: Values, _around: Surroundings) -> Read:
    before = stamp(values["previousDateTime"])
    return Read(DeviceEvent, {"event": "time_change", "clock_from": wall_of(before) if before else None}, "")


_STATES = ("AUTO_MODE_STATUS", SUSPENDED)
"""Also listed at the window's begin, where they are no event."""
_READERS: Mapping[str, Callable[[Values, Surroundings], Read | None]] = {
    "INSULIN": _insulin,
    "MEAL": _meal,
    MICRO_DOSE: _micro_dose,
    "BG_READING": _finger_stick,
    "BG": _finger_stick,
    "CALIBRATION": _calibration,
    "AUTO_MODE_STATUS": _auto_mode,
    SUSPENDED: _suspended,
    TIME_CHANGE: _time_change,
}


def close_suspensions(rows: Sequence[Row]) -> None:
    """Give every suspension the minutes until the next marker that ends it; the last may still run."""
    ends = sorted(row.time for row in rows if row.content == "end")
    for row in rows:
        end = next((end for end in ends if end >= row.time), None)
        if row.model and end is not None:
            row.body = {**row.body, "duration_min": (end - row.time).total_seconds() / 60}
