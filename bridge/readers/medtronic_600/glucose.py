"""Sensor readings, of the history and of the status, and calibrations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bridge.model.records import Calibration, SensorGlucose
from bridge.readers.medtronic_600.drafts import Draft, draft
from bridge.readers.medtronic_600.history import Event

READINGS = 0xD6
FIRST_EXCEPTION = 768
ABOVE, BELOW = 776, 777
HIGHEST, LOWEST = 400, 40
_CALIBRATED = 0x38
_BG_TYPES = (0x32, 0x82)
_CALIBRATION_REACH_S = 3600
_OUT_OF_RANGE: Mapping[int, tuple[int, dict[str, Any]]] = {
    ABOVE: (401, {"code": "bg/out-of-range", "value": "high", "threshold_mgdl": HIGHEST}),
    BELOW: (39, {"code": "bg/out-of-range", "value": "low", "threshold_mgdl": LOWEST}),
}
STATES = (
    "ok", "warm-up", "calibrate now", "updating", "calibration error", "change sensor", "sensor expired", "not ready",
    "above 400", "below 40", "calibrating", "calibration error, change sensor", "time unknown",
)  # fmt: skip
"""What a glucose number from 768 up means, by its low byte."""
_QUALITY = {1: "warmup", 2: "calibrating", 4: "calibrating", 10: "calibrating"}
_SENSOR_STATUS = {0: "ok", 1: "uncertain"}
_BACKFILLED, _SETTINGS_CHANGED = 1, 2
_CLASSES = ((3, "double"), (2, "single"), (1, "forty_five"))


def sensor_state(sg: int) -> str | None:
    """The state that a raw glucose number of 768 or more stands for, `ok` below; None for 0 (no sensor)."""
    if sg < FIRST_EXCEPTION:
        return "ok" if sg else None
    code = sg & 0xFF
    return STATES[code] if code < len(STATES) else f"state {code}"


def trend_of(rate_mgdl_min: float) -> str:
    """The arrow that the pump shows for a rate: from 1, from 2 and from 3 mg/dL/min."""
    side = "up" if rate_mgdl_min > 0 else "down"
    return next((f"{name}_{side}" for least, name in _CLASSES if abs(rate_mgdl_min) >= least), "flat")


def readings(events: Iterable[Event], status: Draft | None) -> list[Draft]:
    """One draft a reading: what two events tell of one counter value is one reading, as is the status's."""
    found: dict[int, Draft] = {}
    for event in events:
        if event.type == READINGS and event.known:
            for reading in event["readings"]:
                made = _reading(event, reading)
                if made is not None and _better(made, found.get(made.rtc)):
                    found[made.rtc] = made
    if status is not None:
        known = found.setdefault(status.rtc, status)
        if known is not status and known.body["mgdl"] is not None and status.body.get("trend"):
            known.body["trend"] = status.body["trend"]
    return list(found.values())


def _better(made: Draft, known: Draft | None) -> bool:
    return known is None or (known.body["mgdl"] is None and made.body["mgdl"] is not None)


def _reading(event: Event, reading: Mapping[str, Any]) -> Draft | None:
    sg = reading["sg"]
    if sg == 0:
        return None
    made = reading_draft(sg, reading["rtc"], event.offset, event)
    if made.body["mgdl"] is not None:
        _give_details(made, sg, reading)
    made.raw |= {name: reading[name] for name in ("vcntr", "sensor_status", "reading_status") if reading[name]}
    if reading["reading_status"] & _BACKFILLED:
        made.note("backfilled")
    return made


def _give_details(made: Draft, sg: int, reading: Mapping[str, Any]) -> None:
    """A backfilled reading comes without a rate: its 0 says nothing."""
    made.body["isig_na"] = reading["isig"]
    if sg < FIRST_EXCEPTION:
        made.body["quality"] = _SENSOR_STATUS.get(reading["sensor_status"], "fault")
        if reading["roc"] or not reading["reading_status"] & _BACKFILLED:
            made.body |= {"rate_mgdl_min": reading["roc"], "trend": trend_of(reading["roc"])}


def reading_draft(sg: int, rtc: int, offset: int, *events: Event) -> Draft:
    """A reading, known by the counter at which the sensor took it."""
    value: int | None = sg
    quality, annotations = "ok", []
    if sg in _OUT_OF_RANGE:
        value, note = _OUT_OF_RANGE[sg]
        annotations.append(note)
    elif sg >= FIRST_EXCEPTION:
        value, quality = None, _QUALITY.get(sg & 0xFF, "fault")
    made = Draft(SensorGlucose, f"{rtc}:{READINGS:02X}", rtc, offset, {"mgdl": value, "quality": quality}, events)
    made.annotations = annotations
    if sg >= FIRST_EXCEPTION:
        made.raw["sensor_state"] = sensor_state(sg)
    return made


def calibrations(events: Sequence[Event]) -> list[Draft]:
    """Finished calibrations, dated at the finger-stick that was used where it is known."""
    found = []
    blood: list[Event] = []
    for event in events:
        if event.type in _BG_TYPES and event.known:
            blood.append(event)
        elif event.type == _CALIBRATED and event.known:
            used = _used(event, blood)
            made = draft(Calibration, event, used, mgdl=event["bg_mgdl"], accepted=True)
            made.raw["factor"] = event["factor"]
            if used is not None:
                made.rtc, made.offset = used.rtc, used.offset
            found.append(made)
    return found


def _used(event: Event, blood: Sequence[Event]) -> Event | None:
    near = (one for one in reversed(blood) if event.rtc - one.rtc <= _CALIBRATION_REACH_S)
    return next((one for one in near if one["bg_mgdl"] == event["bg_mgdl"]), None)
