"""Which documents of a site are ours, and what record each shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from bridge.contracts import StoredItem
from bridge.errors import BridgeError
from bridge.model import from_ms, second_id
from bridge.model.time import parse_instant
from bridge.model.units import MGDL_PER_MMOL

Stored = Mapping[str, Any]

_WRITERS = ("openaps://glucobridge", "glucobridge")
APP = "glucobridge"
_BOLUSES = frozenset(("SMB", "Bolus", "Meal Bolus", "Correction Bolus", "Combo Bolus"))
_OF_V3 = "srvModified"
"""What API v3 stamps. We write readings and treatments by v1, which stamps nothing and takes the stamp off."""


def is_our_writer(entered_by: object, configured: str | None = None) -> bool:
    """Whether `enteredBy` names us."""
    return entered_by in _WRITERS or (configured is not None and entered_by == configured)


def is_ours(name: str, document: Stored, configured: str | None = None) -> bool:
    """Whether we wrote it. `name` is the collection, `configured` the `entered_by` of the settings.

    A reading's device may be hidden by the site and a treatment's writer changed by a person: the identifier stays.
    """
    if name == "profile":
        return is_our_writer(document.get("enteredBy")) and isinstance(document.get("_id"), str)
    if not _is_uuid(document.get("identifier")):
        return False
    if name == "devicestatus":
        return document.get("app") == APP
    if _OF_V3 in document:
        return False
    if name == "entries":
        return UUID(document["identifier"]).version == 5
    same = document.get("syncIdentifier") == document["identifier"]
    return same or is_our_writer(document.get("enteredBy"), configured)


def _is_uuid(value: object) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value
    except ValueError:
        return False


def zero_keys(documents: Mapping[str, Stored]) -> frozenset[str]:
    """Keys among these treatments that are the second document of another one: the pause after its dose."""
    return frozenset(second_id(key, "zero") for key in documents) & documents.keys()


def item(name: str, document: Stored, path: str, *, zero: bool = False) -> StoredItem | None:
    """What a document of ours shows; None when it has no readable instant."""
    key = document["_id"] if name == "profile" else document["identifier"]
    try:
        time = from_ms(document["date"]) if name == "entries" else parse_instant(document[_date(name)])
    except (KeyError, TypeError, ValueError, OverflowError, BridgeError):
        return None
    if zero:
        return StoredItem(key, path, time=time)
    kind, value = _shown(name, document)
    return StoredItem(key, path, None if name == "profile" else key, kind, time, value)


def _date(name: str) -> str:
    return "startDate" if name == "profile" else "created_at"


def _shown(name: str, document: Stored) -> tuple[str | None, float | None]:
    if name == "treatments":
        return _treatment(document)
    if name != "entries":
        return {"devicestatus": "pump_status", "profile": "pump_settings"}[name], None
    kind = {"sgv": "sensor_glucose", "mbg": "meter_glucose"}.get(str(document.get("type")))
    return kind, _number(document, str(document.get("type")))


def _treatment(document: Stored) -> tuple[str | None, float | None]:
    """Kind, and mg/dL, U or g."""
    event = document.get("eventType")
    if event in _BOLUSES:
        kind = "injection" if str(document.get("notes", "")).startswith("injection") else "bolus"
        return kind, _number(document, "enteredinsulin" if event == "Combo Bolus" else "insulin")
    if event == "Carb Correction":
        return "carbs", _number(document, "carbs")
    if event == "BG Check":
        return _finger_stick(document)
    if event == "Temp Basal":
        return "basal", _dose(document)
    return ("exercise" if event == "Exercise" else None), None


def _finger_stick(document: Stored) -> tuple[str, float | None]:
    kind = "calibration" if re.match("calibration", str(document.get("notes", ""))) else "meter_glucose"
    value = _number(document, "glucose")
    if value is not None and document.get("units") == "mmol":
        value = float(round(value * MGDL_PER_MMOL))
    return kind, value


def _dose(document: Stored) -> float | None:
    """Units of an automatic dose; what a person or schedule set is known by its id alone."""
    rate, minutes = _number(document, "absolute"), _number(document, "duration")
    if document.get("automatic") is not True or rate is None or minutes is None:
        return None
    return round(rate * minutes / 60, 4)


def _number(document: Stored, name: str) -> float | None:
    value = document.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
