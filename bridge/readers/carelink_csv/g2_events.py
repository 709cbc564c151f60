"""Cells of the second generation that stand for themselves: one row can say several things."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from bridge.errors import Malformed
from bridge.model.records import (
    BolusCalculation,
    Calibration,
    Carbs,
    DeviceEvent,
    Exercise,
    Injection,
    MeterGlucose,
    Note,
    Record,
    SensorGlucose,
)
from bridge.readers.carelink_csv.g2_rows import G2Row
from bridge.readers.carelink_csv.making import Draft, Findings
from bridge.readers.carelink_csv.numbers import MMOL, number, plain

BG_FOR_CALIBRATION = "BG_SENT_FOR_CALIB"
_MANUAL = ("ENTERED_IN_BG_ENTRY",)
_LINKED = ("USER_ACCEPTED_REMOTE_BG", "BG_READING_RECEIVED", "BG_READIN_RECEIVED")
_ONE_READING = timedelta(minutes=5)
_AMOUNT = re.compile(r"([^:]+):\s*([\d.,]+)\s*(\D*)", re.ASCII)
_LIMIT = re.compile(r"\d{1,3}(?:[.,]\d)?", re.ASCII)
_LOWEST, _HIGHEST = 40, 400
_TARGETS = (("cannula", "cannula"), ("fixed", "cannula"), ("tubing", "tubing"), ("manual", "tubing"))
_NO_ERROR = "NO_ERROR_MESSAGE"
_QUALITIES = (("CAL", "calibrating"), ("WARM", "warmup"), ("INIT", "warmup"))
_CALCULATED = ("BWZ Estimate", "BWZ Carb Input", "BWZ Food Estimate", "BWZ Correction Estimate")
_SETTINGS = ("Scroll Step Size", "Insulin Action Curve Time")
_NETWORK = (
    "BLE Network Device", "Device Update Event", "Network Device Associated Reason",
    "Network Device Disassociated Reason", "Network Device Disconnected Reason",
)  # fmt: skip


def draft_of(row: G2Row, model: type[Record], says: str, body: Mapping[str, Any], *used: str) -> Draft:
    """A draft under `<local time>:<what it says>`, with the cells used for it beside it."""
    key = f"{row.wall.isoformat()}:{says}"
    raw = {name: row.cells[name] for name in used if name in row.cells}
    return Draft(model, row.moment, row.device, key, dict(body), row.line, raw=raw)


# --- glucose ---------------------------------------------------------------------------------------


def _meter(row: G2Row) -> Iterator[Draft]:
    mgdl = _needed_mgdl(row, "BG Reading")
    source = row.text("BG Source")
    entry = "meter"
    if source in _MANUAL:
        entry = "manual"
    elif source in _LINKED or row.text("Linked BG Meter ID"):
        entry = "linked"
    used = ("BG Reading", "BG Source", "Linked BG Meter ID")
    says = _value(row, "BG Reading")
    yield draft_of(row, MeterGlucose, says, {"mgdl": mgdl, "entry": entry}, *used)
    if source == BG_FOR_CALIBRATION:
        yield draft_of(row, Calibration, says, {"mgdl": mgdl}, *used)


def _calibration(row: G2Row) -> Iterator[Draft]:
    refused = "Sensor Calibration Rejected Reason"
    body = {
        "mgdl": _needed_mgdl(row, "Sensor Calibration BG"),
        "accepted": False if row.text(refused) else None,
    }
    yield draft_of(row, Calibration, _value(row, "Sensor Calibration BG"), body, "Sensor Calibration BG", refused)


def _needed_mgdl(row: G2Row, name: str) -> int:
    mgdl = row.mgdl(name)
    if mgdl is None:
        raise Malformed(f"`{name}` is no glucose")
    return mgdl


def _value(row: G2Row, name: str) -> str:
    """The number of a cell as every locale's export gives it."""
    value = row.number(name)
    return "" if value is None else plain(value)


def _sensor_glucose(row: G2Row) -> Iterator[Draft]:
    text = row.text("Sensor Glucose")
    used = ("Sensor Glucose", "Sensor Exception", "Sensor State")
    body: dict[str, Any] = {"isig_na": row.number("ISIG Value")}
    beyond = _beyond(row, text)
    if beyond is not None:
        body["mgdl"] = beyond["threshold_mgdl"]
        draft = draft_of(row, SensorGlucose, str(beyond["value"]), body, *used)
        draft.annotations = (beyond,)
    else:
        body["mgdl"] = _needed_mgdl(row, "Sensor Glucose")
        draft = draft_of(row, SensorGlucose, _value(row, "Sensor Glucose"), body, *used)
    if row.text("Sensor State") == _NO_ERROR:
        draft.raw = {name: cell for name, cell in (draft.raw or {}).items() if name != "Sensor State"}
    if row.glucose_unit != MMOL:
        draft.raw = {name: cell for name, cell in (draft.raw or {}).items() if name != "Sensor Glucose"}
    yield draft


def _beyond(row: G2Row, text: str) -> dict[str, Any] | None:
    """The annotation of a reading that is told in words: lower or higher than the sensor's range."""
    upper = text.upper()
    side = "low" if "LOW" in upper or "<" in text else "high" if "HIGH" in upper or ">" in text else None
    if side is None:
        return None
    limit = _LIMIT.search(text)
    threshold = _LOWEST if side == "low" else _HIGHEST
    if limit is not None and row.glucose_unit != MMOL:
        threshold = round(number(limit[0], "Sensor Glucose"))
    return {"code": "bg/out-of-range", "value": side, "threshold_mgdl": threshold}


def _sensor_state(row: G2Row) -> Iterator[Draft]:
    """A sensor row without a reading: the exception tells why."""
    if "Sensor Glucose" in row.cells:
        return
    state = row.text("Sensor Exception") or row.text("Sensor State")
    quality = next((quality for word, quality in _QUALITIES if word in state.upper()), None)
    body = {
        "isig_na": row.number("ISIG Value"),
        "quality": quality or ("fault" if row.text("Sensor Exception") else "uncertain"),
    }
    yield draft_of(row, SensorGlucose, state, body, "Sensor Exception", "Sensor State")


# --- pump ------------------------------------------------------------------------------------------


def _prime(row: G2Row) -> Iterator[Draft]:
    kind = row.text("Prime Type")
    target = next((target for word, target in _TARGETS if word in kind.lower()), None)
    volume = row.number("Prime Volume Delivered")
    body = {"event": "prime", "target": target, "volume_u": volume}
    used = ("Prime Type", "Estimated Reservoir Volume after Fill")
    says = f"prime {target or kind} {plain(volume or 0)}"
    yield draft_of(row, DeviceEvent, says, body, *used)


def _rewind(row: G2Row) -> Iterator[Draft]:
    yield draft_of(row, DeviceEvent, "rewind", {"event": "rewind"})


def _alert(row: G2Row) -> Iterator[Draft]:
    text = row.text("Alert")
    yield draft_of(row, DeviceEvent, text, {"event": "alarm", "text": text, "state": "active"})


def _cleared(row: G2Row) -> Iterator[Draft]:
    text = row.text("User Cleared Alerts")
    yield draft_of(row, DeviceEvent, f"cleared {text}", {"event": "alarm_cleared", "text": text, "state": "cleared"})


def _calculation(row: G2Row) -> Iterator[Draft]:
    in_exchanges = "exchange" in row.units.get("BWZ Carb Input", "").lower()
    isf, ratio = row.number("BWZ Insulin Sensitivity"), row.number("BWZ Carb Ratio")
    if isf and row.glucose_unit == MMOL:
        isf = float(_needed_mgdl(row, "BWZ Insulin Sensitivity"))
    body = {
        "carb_exchanges" if in_exchanges else "carbs_g": row.number("BWZ Carb Input"),
        "bg_mgdl": row.mgdl("BWZ BG Input"),
        "iob_u": row.number("BWZ Active Insulin"),
        "recommended_carb_u": row.number("BWZ Food Estimate"),
        "recommended_correction_u": row.number("BWZ Correction Estimate"),
        "recommended_net_u": row.number("BWZ Estimate"),
        "carb_ratio_g_u": None if in_exchanges else ratio or None,
        "isf_mgdl_u": isf or None,
        "target_low_mgdl": row.mgdl("BWZ Target Low BG"),
        "target_high_mgdl": row.mgdl("BWZ Target High BG"),
    }
    says = " ".join(_value(row, name) for name in ("BWZ Estimate", "BWZ Carb Input", "BWZ BG Input"))
    used = ("BWZ Status", "BWZ Unabsorbed Insulin Total", "Final Bolus Estimate")
    yield draft_of(row, BolusCalculation, says, body, *used)


# --- log book --------------------------------------------------------------------------------------


def _marker(row: G2Row) -> Iterator[Draft]:
    """A log entry: `Meal: 45.00grams`, `Insulin: 27,00`, exercise, or anything a person noted."""
    text = row.text("Event Marker")
    found = _AMOUNT.fullmatch(text)
    kind = (found[1] if found else text).strip().lower()
    if found and kind == "insulin":
        dose = number(found[2], "Event Marker")
        yield draft_of(row, Injection, plain(dose), {"dose_u": dose})
    elif found and kind in ("meal", "carbs") and found[3].strip().lower() in ("", "g", "gram", "grams"):
        grams = number(found[2], "Event Marker")
        if grams:
            yield draft_of(row, Carbs, plain(grams), {"grams": grams})
    elif kind.startswith("exercise"):
        yield draft_of(row, Exercise, text, {"text": text})
    else:
        yield draft_of(row, Note, text, {"text": text})


# --- the rest --------------------------------------------------------------------------------------


def _generic(event: str, names: Sequence[str]) -> Callable[[G2Row], Iterator[Draft]]:
    """An event that keeps the cells as they stand."""

    def read(row: G2Row) -> Iterator[Draft]:
        says = " ".join(f"{name}={row.cells[name]}" for name in names if name in row.cells)
        yield draft_of(row, DeviceEvent, says, {"event": event}, *names)

    return read


_READERS: Sequence[tuple[Sequence[str], Callable[[G2Row], Iterator[Draft]]]] = (
    (("BG Reading",), _meter),
    (("Sensor Calibration BG",), _calibration),
    (("Sensor Glucose",), _sensor_glucose),
    (("Sensor Exception", "ISIG Value"), _sensor_state),
    (("Prime Type", "Prime Volume Delivered"), _prime),
    (("Rewind",), _rewind),
    (("Alert",), _alert),
    (("User Cleared Alerts",), _cleared),
    (_CALCULATED, _calculation),
    (("Event Marker",), _marker),
    (_SETTINGS, _generic("setting_change", _SETTINGS)),
    (_NETWORK, _generic("network_device", _NETWORK)),
)
"""Which cells call for which reader."""
_ELSEWHERE = (
    "Basal Rate", "Temp Basal Amount", "Temp Basal Type", "Temp Basal Duration", "Suspend",
    "Bolus Volume Selected", "Bolus Volume Delivered", "New Device Time",
)  # fmt: skip
"""Cells that other modules read."""
_READER_OF = {name: reader for names, reader in _READERS for name in names}
_ORDER = {reader: place for place, (_, reader) in enumerate(_READERS)}


def read_row(row: G2Row, findings: Findings) -> list[Draft]:
    """Drafts of all that a row says by itself; a bad cell is noted and leaves the others standing."""
    readers = {reader for name in row.cells if (reader := _READER_OF.get(name)) is not None}
    drafts: list[Draft] = []
    for reader in sorted(readers, key=_ORDER.__getitem__):
        try:
            drafts += reader(row)
        except Malformed as why:
            findings.reject(row.line, why.message)
    if not readers and row.cells.keys().isdisjoint(_ELSEWHERE):
        drafts += _generic("other", sorted(row.cells))(row)
    return drafts


def one_reading_each(drafts: Iterable[Draft]) -> list[Draft]:
    """Of finger-sticks of one value within five minutes that come from different sources the first.

    A pump writes a reading when it comes, when it is accepted, and when it goes to the sensor.
    """
    kept: list[Draft] = []
    open_readings: dict[tuple[str | None, int], tuple[Draft, set[str]]] = {}
    for draft in sorted(drafts, key=lambda draft: (draft.moment.time, -draft.line)):
        key = (draft.device.serial, draft.body["mgdl"])
        source = str((draft.raw or {}).get("BG Source", ""))
        first = open_readings.get(key)
        if first is not None and draft.moment.time - first[0].moment.time <= _ONE_READING and source not in first[1]:
            first[1].add(source)
            if draft.body["entry"] != "meter" and first[0].body["entry"] == "meter":
                first[0].body["entry"] = draft.body["entry"]
            continue
        open_readings[key] = (draft, {source})
        kept.append(draft)
    return kept
